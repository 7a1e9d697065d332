// Package image composes an image: from a configuration and RPM files to the files that people
// deploy. Build tells how, from top to bottom; the packages below hold the steps.
//
// It does not decide which packages those are, nor does it fetch or build them.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mariner/internal/fault"
	"mariner/internal/image/config"
	"mariner/internal/image/disk"
	"mariner/internal/image/rootfs"
	"mariner/internal/image/tools"
	"mariner/internal/rpm"
	"mariner/internal/sandbox"
)

// Request is what an image is made of.
type Request struct {
	Config *config.Config
	// Packages are RPM files, solved and verified, in the order in which to install them.
	Packages []string
	// Initrd are those of the initrd; a machine needs them.
	Initrd []string
	// Keys are armored OpenPGP public keys: rpm accepts only packages signed by one of them, knows
	// them in the image, and finds them at /etc/pki/rpm-gpg. Without any, nothing is verified.
	Keys [][]byte
	// Epoch is the image's clock. Zero: the newest build time of the packages.
	Epoch time.Time
	// Arch is the architecture as rpm spells it; "x86_64" if empty.
	Arch string

	Runner sandbox.Runner
	// Layers are the directories of the tools' root (stage0), the uppermost first.
	Layers []string
	// Work is an empty folder for what is gone at the end; on a file system with room for the
	// unpacked image. A failed build leaves files of other ids in it: remove it as the sandbox does.
	Work string
	// Out is the folder that gets a folder named as the image, which replaces one of that name.
	Out string
	// Key, if set, stands for all that the image is made of; Made looks for it.
	Key string
	// Log, if set, gets what the tools print; Step, if set, is told what begins.
	Log  io.Writer
	Step func(n, of int, what string)
}

// Output is a file, or for an OCI layout a folder, of an image.
type Output struct {
	Format config.Format
	Path   string
}

// Result is a finished image.
type Result struct {
	Dir      string
	Outputs  []Output
	Packages []string // NEVRA of what is installed, sorted
	Epoch    time.Time
}

// build is a Request on its way.
type build struct {
	Request
	pkgs, initrd []rootfs.Package
	tools        tools.Tools
	tree         *rootfs.Tree
	release      map[string]string // the tree's os-release
	layout       *disk.Layout
	stage        string // becomes Out/NAME
	outputs      []Output
	step, of     int
}

// Build makes the image. What it is made of is a function of the request alone: the same request
// gives the same bytes, anywhere and any time. Out/NAME is replaced as a whole when everything is
// done, so that an interrupted build leaves the former image. Another Build of the same image waits.
func Build(ctx context.Context, r Request) (*Result, error) {
	b := &build{Request: r, of: 5}
	if r.Config.Type == config.Machine {
		b.of = 8
	}
	name := r.Config.Name

	// 1. Look at everything before doing anything.
	b.begin("checking packages")
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	unlock, err := b.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	defer unlock()

	steps := []step{
		// 2, 3. A tree of files.
		{"installing packages", b.install},
		{"configuring the system", b.configure},
	}
	if r.Config.Type == config.Containers {
		// 4. A tree becomes a container.
		steps = append(steps, step{"writing the container", b.container})
	} else {
		steps = append(steps, []step{
			// 4. Where everything on the disk will be; the system has to know it.
			{"laying out the disk", b.plan},
			// 5. What starts before the disk is there.
			{"making the initrd", b.makeInitrd},
			// 6, 7. The disk, and what it is filled with.
			{"making the disk", b.disk},
			{"writing disk formats", b.formats},
		}...)
	}
	for _, s := range steps {
		b.begin(s.what)
		if err := s.do(ctx); err != nil {
			return nil, fault.As(fault.Image, fmt.Errorf("image %s: %w", name, err))
		}
	}
	// The last step: until here nothing that can be seen has changed.
	b.begin("putting the image in its place")
	if err := b.tree.Remove(ctx); err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	return b.finish()
}

type step struct {
	what string
	do   func(context.Context) error
}

func (b *build) begin(what string) {
	b.step++
	if b.Step != nil {
		b.Step(b.step, b.of, what)
	}
}

// check reads the packages and refuses what cannot become an image.
func (b *build) check() (err error) {
	if b.Arch == "" {
		b.Arch = "x86_64"
	}
	if _, ok := architectures()[b.Arch]; !ok {
		return fault.Errorf(fault.Usage, "images for %s cannot be made; known are %s", b.Arch, strings.Join(slices.Sorted(maps.Keys(architectures())), ", "))
	}
	if b.pkgs, err = rootfs.Read(b.Packages); err != nil {
		return err
	}
	if b.initrd, err = rootfs.Read(b.Initrd); err != nil {
		return err
	}
	if len(b.pkgs) == 0 {
		return errors.New("no packages were given")
	}
	if b.Config.Type == config.Machine && len(b.initrd) == 0 {
		return fault.Errorf(fault.Usage, "%s: a machine needs initrd.packages.install", b.Config.File())
	}
	if b.Epoch.IsZero() {
		for _, p := range slices.Concat(b.pkgs, b.initrd) {
			if t := time.Unix(p.Header.BuildTime, 0).UTC(); t.After(b.Epoch) {
				b.Epoch = t
			}
		}
	}
	if now := time.Now(); now.Before(b.Epoch) {
		return fault.Errorf(fault.Environment, "this machine's clock says %s, but the newest package is of %s: set the clock", now.UTC().Format(time.DateTime), b.Epoch.Format(time.DateTime))
	}
	b.tools = tools.Tools{Runner: b.Runner, Layers: b.Layers, Epoch: b.Epoch, Log: b.Log}
	return b.checkServices()
}

// checkServices refuses units that no package brings.
func (b *build) checkServices() error {
	var errs []error
	for _, l := range []struct {
		path  string
		units []string
	}{{"os.services.enable", b.Config.OS.Services.Enable}, {"os.services.disable", b.Config.OS.Services.Disable}} {
		for i, unit := range l.units {
			if !b.hasUnit(unit) {
				at := l.path + "[" + strconv.Itoa(i) + "]"
				errs = append(errs, fault.Errorf(fault.Usage, "%s:%d: %s: no installed package has the unit %s", b.Config.File(), b.Config.Line(at), at, unit))
			}
		}
	}
	return errors.Join(errs...)
}

func (b *build) hasUnit(unit string) bool {
	if filepath.Ext(unit) == "" {
		unit += ".service"
	}
	if before, after, ok := strings.Cut(unit, "@"); ok {
		unit = before + "@" + after[strings.LastIndex(after, "."):]
	}
	for _, f := range b.Config.OS.AdditionalFiles {
		if f.Destination == "/etc/systemd/system/"+unit {
			return true
		}
	}
	return slices.ContainsFunc(b.pkgs, func(p rootfs.Package) bool {
		return slices.ContainsFunc(p.Header.Files, func(f rpm.File) bool {
			return f.Path == "/usr/lib/systemd/system/"+unit || f.Path == "/etc/systemd/system/"+unit
		})
	})
}

// architectures are rpm's names and Go's.
func architectures() map[string]string {
	return map[string]string{"x86_64": "amd64"}
}

// The steps that both kinds of image share.

func (b *build) install(ctx context.Context) (err error) {
	if b.tree, err = rootfs.New(filepath.Join(b.Work, "root"), b.tools); err != nil {
		return err
	}
	return b.tree.Install(ctx, b.pkgs, b.Keys)
}

// configure makes the changes that the configuration asks for.
func (b *build) configure(ctx context.Context) (err error) {
	c := b.Config
	files := []rootfs.File{}
	for i, k := range b.Keys {
		name := "/etc/pki/rpm-gpg/RPM-GPG-KEY-mariner"
		if i > 0 {
			name += "-" + strconv.Itoa(i+1)
		}
		files = append(files, rootfs.File{Path: name, Mode: 0o644, Data: k})
	}
	if c.OS.Hostname != "" {
		files = append(files, rootfs.File{Path: "/etc/hostname", Mode: 0o644, Data: []byte(c.OS.Hostname + "\n")})
	}
	if c.Type == config.Machine {
		// machine-id(5): made at the first boot, which "uninitialized" marks.
		files = append(files, rootfs.File{Path: "/etc/machine-id", Mode: 0o444, Data: []byte("uninitialized\n")})
	}
	for _, f := range c.OS.AdditionalFiles {
		data, err := c.Read(f)
		if err != nil {
			return err
		}
		files = append(files, rootfs.File{Path: f.Destination, Mode: int64(f.Permissions), Data: data})
	}
	if err := b.tree.Write(ctx, files); err != nil {
		return err
	}
	if err := b.tree.Services(ctx, rootfs.Services(c.OS.Services)); err != nil {
		return err
	}
	if b.release, err = b.tree.OSRelease(ctx); err != nil {
		return err
	}
	if c.Type == config.Machine {
		return nil // finished when the disk is laid out: fstab is still to come
	}
	return b.tree.Finish(ctx)
}
