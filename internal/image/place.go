package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"mariner/internal/fault"
)

// open takes the image's lock and makes an empty folder for its files.
func (b *build) open(ctx context.Context) (func(), error) {
	if err := os.MkdirAll(b.Out, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(b.Out, "."+b.Config.Name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("waiting for another build of this image: %w", err)
	}
	b.stage = filepath.Join(b.Out, "."+b.Config.Name+".new")
	if err := errors.Join(os.RemoveAll(b.stage), os.Mkdir(b.stage, 0o755)); err != nil {
		lock.Close()
		return nil, err
	}
	return func() {
		os.RemoveAll(b.stage)
		lock.Close()
	}, nil
}

// flock locks f, asking again and again so that ctx can end the wait.
func flock(ctx context.Context, f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// finish swaps the new folder with the former one.
func (b *build) finish() (*Result, error) {
	dir := filepath.Join(b.Out, b.Config.Name)
	if err := errors.Join(sync(b.stage), replace(b.stage, dir)); err != nil {
		return nil, fault.Errorf(fault.Image, "image %s: putting it in its place: %w", b.Config.Name, err)
	}
	res := &Result{Dir: dir, Epoch: b.Epoch}
	for _, o := range b.outputs {
		res.Outputs = append(res.Outputs, Output{o.Format, filepath.Join(dir, o.Path)})
	}
	for _, p := range b.pkgs {
		res.Packages = append(res.Packages, p.Header.NEVRA())
	}
	slices.Sort(res.Packages)
	return res, nil
}

// replace puts the folder stage at dir; what was there is at stage afterwards.
func replace(stage, dir string) error {
	err := unix.Renameat2(unix.AT_FDCWD, stage, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOENT) {
		err = os.Rename(stage, dir)
	}
	if err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// sync puts every file below dir on the disk, so that a folder in its place is a whole one even
// after a power failure.
func sync(dir string) error {
	return filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
