package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	"mariner/internal/buildroot"
	"mariner/internal/project"
	"mariner/internal/sandbox"
	"mariner/internal/ui"
)

// packages compares the build of zlib, of which a comment has changed, with bare rpmbuild in a root that is ready: the
// difference is what reading the tree, solving, setting the root up, hashing and signing cost.
func (b *bench) packages() ([]measure, error) {
	tree, err := b.tree("packages")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(tree, "SPECS/zlib/zlib.spec")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	n := os.Getpid() * 1000
	comment := func() error {
		n++
		return os.WriteFile(file, append([]byte("# "+strconv.Itoa(n)+"\n"), text...), 0o644)
	}
	// What is built here is not to be the newest in the store at hand, which is only read.
	own, err := b.store("packages-store")
	if err != nil {
		return nil, err
	}
	shared, err := project.StoreDir()
	if err != nil {
		return nil, err
	}
	bare, err := b.bare(project.Options{Dir: tree, Store: own, Caches: []string{shared}, Sink: ui.Discard{}})
	if err != nil {
		return nil, err
	}
	return []measure{{
		"build of zlib",
		side{"package build", comment, b.command("bin/mariner", "--distro", tree, "--store", own, "--cache-from", shared, "--progress", "quiet", "package", "build", "zlib")},
		bare, 5,
	}}, nil
}

// bare prepares the build root of zlib and is rpmbuild in it.
func (b *bench) bare(o project.Options) (s side, err error) {
	p, err := project.Open(b.ctx, o)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	builder, nodes, err := p.Build(b.ctx, "zlib")
	if err != nil {
		return s, err
	}
	a, err := builder.Action(b.ctx, nodes[len(nodes)-1])
	if err != nil {
		return s, err
	}
	var rpms []buildroot.Package
	for _, r := range a.Root {
		path, err := p.Store.File(r.Digest)
		if err != nil {
			return s, err
		}
		rpms = append(rpms, buildroot.Package{Name: r.Name, Path: path})
	}
	layer := filepath.Join(b.work, "layer")
	if err := os.Mkdir(layer, 0o755); err != nil {
		return s, err
	}
	if err := p.Roots.Install(b.ctx, rpms, layer); err != nil {
		return s, err
	}
	root := buildroot.Over(b.stage0, layer)
	var binds []sandbox.Bind
	for _, f := range a.Placed {
		path, err := p.Store.File(f.Digest)
		if err != nil {
			return s, err
		}
		copied := filepath.Join(b.work, filepath.Base(f.Path))
		if out, err := exec.Command("install", "-m", fmt.Sprintf("%o", f.Mode), path, copied).CombinedOutput(); err != nil {
			return s, fmt.Errorf("%w: %s", err, out)
		}
		binds = append(binds, sandbox.Bind{Source: copied, Target: f.Path, ReadOnly: true})
	}
	for name, d := range a.Files {
		path, err := p.Store.File(d)
		if err != nil {
			return s, err
		}
		binds = append(binds, sandbox.Bind{Source: path, Target: "/sources/" + name, ReadOnly: true})
	}
	n := 0
	var scratch sandbox.Root
	s.name = "rpmbuild, root ready"
	s.before = func() (err error) {
		n++
		scratch, err = buildroot.Scratch(root, filepath.Join(b.work, "bare-"+strconv.Itoa(n)))
		return err
	}
	s.do = func() error {
		var out bytes.Buffer
		_, err := b.runner.Run(b.ctx, sandbox.Command{
			Args: []string{"sh", "-euc", `mkdir -p /build && cp -r /sources /build/SOURCES && rpmbuild -ba --nodeps --target x86_64 --define '_topdir /build' /build/SOURCES/*.spec`},
			Env: []string{
				"PATH=/usr/bin:/usr/sbin", "HOME=/build", "LC_ALL=C.UTF-8", "TZ=UTC", "LIBRARY_PATH=/usr/lib64", "PKG_CONFIG_PATH=/usr/lib64/pkgconfig",
				fmt.Sprintf("MAKEFLAGS=-j%d", runtime.NumCPU()),
			},
			Root: scratch, Binds: binds, Stdout: &out, Stderr: &out,
		})
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out.String())
		}
		return nil
	}
	return s, nil
}
