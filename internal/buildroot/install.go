package buildroot

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"mariner/internal/sandbox"
)

// Package is an RPM file to install into a root.
type Package struct {
	Name string // for people: the file name that rpmbuild gave it
	Path string
}

// installScript installs every RPM under /packages into /target. A build root needs no scriptlets:
// nothing runs in it but the build. The loader stays stage0's: its programs run on its libc.
const installScript = `
rpm --root /target --define '_dbpath /usr/lib/sysimage/rpm' -U --nodeps --noscripts --notriggers \
    --nosignature --replacefiles --oldpackage --excludedocs /packages/*.rpm
rm -f /target/usr/lib64/ld-linux-x86-64.so.2
`

// Install unpacks packages into the folder dir, which becomes the layer of a build root over stage0.
func (r *Roots) Install(ctx context.Context, packages []Package, dir string) error {
	if len(packages) == 0 {
		return nil
	}
	root, err := r.Root(ctx)
	if err != nil {
		return err
	}
	binds := []sandbox.Bind{{Source: dir, Target: "/target"}}
	for i, p := range packages {
		binds = append(binds, sandbox.Bind{Source: p.Path, Target: "/packages/" + strconv.Itoa(i) + "-" + path.Base(p.Name), ReadOnly: true})
	}
	var log tail
	_, err = r.Runner.Run(ctx, sandbox.Command{
		Args: []string{"sh", "-euc", installScript}, Env: toolEnv, Root: root, Binds: binds, Stdout: &log, Stderr: &log,
	})
	if err != nil {
		return fmt.Errorf("installing %d packages into a build root: %w\n%s", len(packages), err, log.String())
	}
	return nil
}

// toolEnv is the environment of stage0's tools.
var toolEnv = []string{"PATH=/usr/bin:/usr/sbin", "HOME=/root", "LC_ALL=C.UTF-8", "TZ=UTC"}

// Over puts the folder layer over root.
func Over(root sandbox.Root, layer string) sandbox.Root {
	root.Lower = append([]string{layer}, root.Lower...)
	return root
}

// Scratch makes an upper and a work directory for a root in dir.
func Scratch(root sandbox.Root, dir string) (sandbox.Root, error) {
	root.Upper, root.Work = filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{root.Upper, root.Work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return root, err
		}
	}
	return root, nil
}
