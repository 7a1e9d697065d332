package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"mariner/internal/fault"
	"mariner/internal/store"
)

// open takes the image's lock and makes an empty folder for its files.
func (b *build) open(ctx context.Context) (func(), error) {
	if err := os.MkdirAll(b.Out, 0o755); err != nil {
		return nil, err
	}
	unlock, err := store.LockFile(ctx, filepath.Join(b.Out, "."+b.Config.Name+".lock"))
	if err != nil {
		return nil, fmt.Errorf("waiting for another build of this image: %w", err)
	}
	b.stage = filepath.Join(b.Out, "."+b.Config.Name+".new")
	if err := errors.Join(os.RemoveAll(b.stage), os.Mkdir(b.stage, 0o755)); err != nil {
		unlock()
		return nil, err
	}
	return func() {
		os.RemoveAll(b.stage)
		unlock()
	}, nil
}

// stampName is a file in an image's folder that says what it was made of, and its files. It comes and
// goes with them.
const stampName = ".mariner-image.json"

type stamp struct {
	Key   string
	Files map[string]int64 // sizes
}

// Made says whether the folder dir holds the image of that key, whole: each of its files is there with
// its size.
func Made(dir, key string) bool {
	var s stamp
	data, err := os.ReadFile(filepath.Join(dir, stampName))
	if err != nil || json.Unmarshal(data, &s) != nil || s.Key != key {
		return false
	}
	for name, size := range s.Files {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() != size {
			return false
		}
	}
	return true
}

// stamp writes the file that Made reads.
func (b *build) stamp() error {
	if b.Key == "" {
		return nil
	}
	s := stamp{b.Key, map[string]int64{}}
	err := filepath.WalkDir(b.stage, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(b.stage, p)
		s.Files[name] = info.Size()
		return err
	})
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.stage, stampName), append(data, '\n'), 0o644)
}

// finish swaps the new folder with the former one.
func (b *build) finish() (*Result, error) {
	dir := filepath.Join(b.Out, b.Config.Name)
	err := b.stamp()
	if err == nil {
		err = sync(b.stage)
	}
	if err == nil {
		err = replace(b.stage, dir)
	}
	if err != nil {
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
