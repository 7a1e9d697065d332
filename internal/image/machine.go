package image

import (
	"context"
	"os"
	"path/filepath"
	"strconv"

	"mariner/internal/image/boot"
	"mariner/internal/image/config"
	"mariner/internal/image/disk"
	"mariner/internal/image/format"
	"mariner/internal/image/rootfs"
)

// plan lays out the disk, tells the system and finishes its tree.
func (b *build) plan(ctx context.Context) (err error) {
	seed := disk.Seed(b.Config.Name + " " + strconv.FormatInt(b.Epoch.Unix(), 10))
	b.layout, err = disk.Plan(b.Config.Storage, seed, func(mount string) (int64, error) {
		bytes, inodes, err := b.tree.Size(ctx, mount)
		return bytes + inodes*256, err
	})
	if err != nil {
		return err
	}
	if err := b.tree.Write(ctx, []rootfs.File{{Path: "/etc/fstab", Mode: 0o644, Data: []byte(b.layout.Fstab())}}); err != nil {
		return err
	}
	if err := b.tree.MountPoints(ctx, b.layout.Paths()); err != nil {
		return err
	}
	return b.tree.Finish(ctx)
}

// makeInitrd makes a second, small system and packs it as Work/boot/initrd.
func (b *build) makeInitrd(ctx context.Context) error {
	extra := filepath.Join(b.Work, "boot")
	if err := os.Mkdir(extra, 0o755); err != nil {
		return err
	}
	t, err := rootfs.New(filepath.Join(b.Work, "initrd"), b.tools)
	if err != nil {
		return err
	}
	if err := t.Install(ctx, b.initrd, b.Keys); err != nil {
		return err
	}
	if err := boot.Prepare(ctx, t); err != nil {
		return err
	}
	if err := t.Finish(ctx); err != nil {
		return err
	}
	if err := boot.Initrd(ctx, t, filepath.Join(extra, "initrd")); err != nil {
		return err
	}
	return t.Remove(ctx)
}

// disk makes the raw disk, from which the other formats are converted.
func (b *build) disk(ctx context.Context) error {
	kernel, err := boot.Kernel(ctx, b.tree)
	if err != nil {
		return err
	}
	entry := boot.Entry{
		ID: b.release["ID"], Title: b.release["PRETTY_NAME"], Kernel: kernel, Timeout: b.Config.OS.Bootloader.Timeout,
		Options: append([]string{"root=" + b.layout.Mounted("/").FS.Tag, "rw"}, b.Config.OS.KernelCommandLine.ExtraCommandLine...),
	}
	if entry.ID == "" {
		entry.ID = b.Config.Name
	}
	if entry.Title == "" {
		entry.Title = entry.ID
	}
	extra := filepath.Join(b.Work, "boot")
	files, err := entry.Files(extra)
	if err != nil {
		return err
	}
	raw := b.raw()
	if err := b.layout.Create(raw); err != nil {
		return err
	}
	return b.layout.Fill(ctx, raw, b.tree, files, extra)
}

// raw is where the raw disk is made: in its place if it is wanted.
func (b *build) raw() string {
	if b.Config.Has(config.Raw) {
		return filepath.Join(b.stage, b.Config.Name+".raw")
	}
	return filepath.Join(b.Work, "disk.raw")
}

func (b *build) formats(ctx context.Context) error {
	if b.Config.Has(config.Raw) {
		b.outputs = append(b.outputs, Output{config.Raw, b.Config.Name + ".raw"})
	}
	if b.Config.Has(config.Qcow2) {
		name := b.Config.Name + ".qcow2"
		b.outputs = append(b.outputs, Output{config.Qcow2, name})
		return format.Qcow2(ctx, b.tools, b.raw(), filepath.Join(b.stage, name))
	}
	return nil
}
