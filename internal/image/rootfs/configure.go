package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"path"
	"strings"

	"mariner/internal/image/tools"
	"mariner/internal/sandbox"
)

// File is a file or a symbolic link to be put into a tree; its owner is root.
type File struct {
	Path string // absolute
	Mode int64  // the lower 12 bits
	Data []byte
	Link string // if not empty, the target of a symbolic link
}

//go:embed write.sh
var writeScript string

// Write puts files into the tree, over what is there. Missing directories are made with mode 755. A
// path that leads out of the tree, by a symbolic link, is an error.
func (t *Tree) Write(ctx context.Context, files []File) error {
	if len(files) == 0 {
		return nil
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	paths := make([]string, 0, len(files))
	for _, f := range files {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: strings.TrimPrefix(f.Path, "/"), Mode: f.Mode, Size: int64(len(f.Data)),
			ModTime: t.Tools.Epoch, Format: tar.FormatPAX,
		}
		if f.Link != "" {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, f.Link, 0
		}
		if err := w.WriteHeader(h); err != nil {
			return fmt.Errorf("packing %s: %w", f.Path, err)
		}
		if f.Link == "" {
			if _, err := w.Write(f.Data); err != nil {
				return fmt.Errorf("packing %s: %w", f.Path, err)
			}
		}
		paths = append(paths, path.Dir(f.Path))
	}
	if err := w.Close(); err != nil {
		return err
	}
	return t.Tools.Run(ctx, tools.Script{
		Name: "writing the configured files", Text: writeScript, Args: paths, Stdin: &buf,
		Binds: []sandbox.Bind{t.Bind(false)},
	})
}

// MountPoints makes empty directories where there are none.
func (t *Tree) MountPoints(ctx context.Context, paths []string) error {
	return t.Tools.Run(ctx, tools.Script{
		Name: "making mount points", Args: paths, Binds: []sandbox.Bind{t.Bind(false)},
		Text: `for dir in "$@"; do mkdir -p "/image$dir"; done`,
	})
}

// Services are units switched on and off.
type Services struct{ Enable, Disable []string }

//go:embed services.sh
var servicesScript string

// Services applies the presets of the installed packages (systemd.preset(5)), then the given
// changes. A tree without systemctl is left alone, unless there are changes to make.
func (t *Tree) Services(ctx context.Context, s Services) error {
	return t.Tools.Run(ctx, tools.Script{
		Name: "switching services on and off", Text: servicesScript, Binds: []sandbox.Bind{t.Bind(false)},
		Env: map[string]string{"ENABLE": strings.Join(s.Enable, " "), "DISABLE": strings.Join(s.Disable, " ")},
	})
}

// OSRelease are the variables of the tree's os-release(5).
func (t *Tree) OSRelease(ctx context.Context) (map[string]string, error) {
	out, err := t.Tools.Output(ctx, tools.Script{
		Name: "reading os-release", Binds: []sandbox.Bind{t.Bind(true)},
		Text: `cat /image/usr/lib/os-release 2>/dev/null || cat /image/etc/os-release 2>/dev/null || true`,
	})
	if err != nil {
		return nil, err
	}
	return parseOSRelease(out), nil
}

// parseOSRelease reads shell-like assignments; quotes around a value are taken off.
func parseOSRelease(text string) map[string]string {
	vars := map[string]string{}
	for line := range strings.Lines(text) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(k, "#") {
			continue
		}
		if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
			v = v[1 : len(v)-1]
		}
		vars[k] = v
	}
	return vars
}
