// Package rootfs makes the tree of files that an image holds: packages installed by rpm with their
// scriptlets, the changes that the configuration asks for, and everything removed that would differ
// from one run to the next.
//
// The tree lies in a directory whose files have the owners, capabilities and attributes that they
// will have in the image, as seen in the tools' user namespace: only the tools can read all of it.
// Package rootfs knows nothing of disks and containers.
package rootfs

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mariner/internal/image/tools"
	"mariner/internal/rpm"
	"mariner/internal/sandbox"
)

// DBPath is where a system of ours keeps rpm's database.
const DBPath = "/usr/lib/sysimage/rpm"

// Inside is where the tools see a tree.
const Inside = "/image"

// Package is an RPM file that is to be installed.
type Package struct {
	Path   string
	Header *rpm.Header
}

// Read reads the headers of RPM files.
func Read(paths []string) ([]Package, error) {
	pkgs := make([]Package, 0, len(paths))
	for _, p := range paths {
		h, err := rpm.ReadHeader(p)
		if err != nil {
			return nil, fmt.Errorf("reading a package to install: %w", err)
		}
		pkgs = append(pkgs, Package{p, h})
	}
	return pkgs, nil
}

// Owns says whether a package has the path among its files.
func (p Package) Owns(path string) bool {
	return slices.ContainsFunc(p.Header.Files, func(f rpm.File) bool { return f.Path == path })
}

// Tree is a directory that becomes an image.
type Tree struct {
	Dir   string
	Tools tools.Tools
}

// New makes an empty tree in dir, which must not exist.
func New(dir string, t tools.Tools) (*Tree, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	// Not what the umask leaves: this is the image's root directory.
	return &Tree{dir, t}, os.Chmod(dir, 0o755)
}

// Bind shows the tree to a script.
func (t *Tree) Bind(readOnly bool) sandbox.Bind {
	return sandbox.Bind{Source: t.Dir, Target: Inside, ReadOnly: readOnly}
}

//go:embed install.sh
var installScript string

//go:embed sysusers.sh
var sysusersScript string

// Install imports public keys (armored) into the tree's rpm database and installs packages, in this
// order but for what rpm must do first. With keys, rpm accepts only packages signed by one of them.
// A scriptlet that fails makes it fail.
//
// Install times are SOURCE_DATE_EPOCH (rpm 4.20), so the database has the same bytes every time.
func (t *Tree) Install(ctx context.Context, pkgs []Package, keys [][]byte) error {
	binds := []sandbox.Bind{t.Bind(false)}
	var first, rest []string
	for i, p := range pkgs {
		inside := fmt.Sprintf("/packages/%04d-%s.rpm", i, p.Header.NEVRA())
		binds = append(binds, sandbox.Bind{Source: p.Path, Target: inside, ReadOnly: true})
		// Directories that are mount points while scriptlets run cannot be installed then.
		if p.Owns("/proc") || p.Owns("/dev") {
			first = append(first, inside)
		} else {
			rest = append(rest, inside)
		}
	}
	dir, err := os.MkdirTemp(filepath.Dir(t.Dir), "install-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files := map[string][]byte{"sysusers": []byte(sysusersScript)}
	for i, k := range keys {
		files["key-"+strconv.Itoa(i)] = k
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o755); err != nil {
			return err
		}
	}
	binds = append(binds, sandbox.Bind{Source: dir, Target: "/install", ReadOnly: true})
	return t.Tools.Run(ctx, tools.Script{
		Name: fmt.Sprintf("installing %d packages", len(pkgs)), Text: installScript, Binds: binds,
		Env: map[string]string{
			"DBPATH": DBPath, "KEYS": strconv.Itoa(len(keys)),
			"FIRST": strings.Join(first, " "), "REST": strings.Join(rest, " "),
		},
		Refuse: func(line string) bool {
			return strings.Contains(line, "scriptlet failed") || strings.Contains(line, "does not exist - using root")
		},
	})
}

//go:embed finish.sh
var finishScript string

// Finish removes caches, logs, locks and journals, brings rpm's database into the form that a fresh
// one has, and sets every time stamp that is later than the tools' clock back to it. Nothing may be
// written to the tree afterwards.
func (t *Tree) Finish(ctx context.Context) error {
	return t.Tools.Run(ctx, tools.Script{
		Name: "finishing the file system", Text: finishScript, Binds: []sandbox.Bind{t.Bind(false)},
		Env: map[string]string{"DB": Inside + DBPath + "/rpmdb.sqlite"},
	})
}

// Remove deletes the tree.
func (t *Tree) Remove(ctx context.Context) error {
	err := t.Tools.Run(ctx, tools.Script{
		Name: "removing a finished file system", Binds: []sandbox.Bind{t.Bind(false)},
		Text: `find /image -mindepth 1 -delete`,
	})
	if err != nil {
		return err
	}
	return os.Remove(t.Dir)
}

// Size is what the tree's files and directories take on a file system with blocks of 4096 bytes,
// and how many they are. It does not depend on the file system that the tree lies on.
func (t *Tree) Size(ctx context.Context, below string) (bytes, inodes int64, err error) {
	out, err := t.Tools.Output(ctx, tools.Script{
		Name: "measuring the file system", Binds: []sandbox.Bind{t.Bind(true)}, Args: []string{Inside + below},
		Text: `find "$1" -xdev -printf '%i %y %s\n' | awk '
!seen[$1]++ { n++; s = $2 == "f" ? $3 : $2 == "l" && $3 < 60 ? 0 : 4096; bytes += int((s + 4095) / 4096) * 4096 }
END { printf "%d %d\n", bytes, n }'`,
	})
	if err != nil {
		return 0, 0, err
	}
	if _, err := fmt.Sscan(out, &bytes, &inodes); err != nil {
		return 0, 0, fmt.Errorf("measuring the file system: %q: %w", out, err)
	}
	return bytes, inodes, nil
}
