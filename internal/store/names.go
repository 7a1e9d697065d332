package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// fileName is name where that is a harmless file name, else something unique to it.
func fileName(name string) string {
	const harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-"
	odd := func(r rune) bool { return !strings.ContainsRune(harmless, r) }
	if name == "" || len(name) > 120 || strings.ContainsFunc(name, odd) ||
		strings.ContainsAny(name[:1], ".-") || strings.HasPrefix(name, "x-") {
		return "x-" + DigestOf([]byte(name)).Hex()
	}
	return name
}

// entry is the path of what has digest d in the folder "files" or "results" of a store.
func entry(dir, folder string, d Digest) string {
	hex := d.Hex()
	return filepath.Join(dir, folder, hex[:2], hex)
}

// writeAtomic gives path those bytes, all or nothing. It does not sync them to the disk.
func (s *Store) writeAtomic(path string, data []byte) error {
	f, err := os.CreateTemp(s.session, "write-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return s.settled(func() error { return s.place(f.Name(), path) })
}

// place renames a finished temporary file to path and makes the folder for it if need be.
func (s *Store) place(temp, path string) error {
	err := os.Rename(temp, path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		err = os.Rename(temp, path)
	}
	if err == nil {
		s.used.Store(path, struct{}{})
	}
	return err
}

// touch notes that path is in use. It fails with fs.ErrNotExist if path is not there.
// A time of this session is left alone: it protects from GC as well as a newer one.
func (s *Store) touch(path string) (fs.FileInfo, error) {
	var info fs.FileInfo
	err := s.settled(func() error {
		var err error
		if info, err = os.Lstat(path); err != nil {
			return err
		}
		s.used.Store(path, struct{}{})
		if info.ModTime().Before(s.started) {
			now := time.Now()
			return os.Chtimes(path, now, now)
		}
		return nil
	})
	return info, err
}

// setAside moves a damaged entry out of the way, unless another has taken its place since info.
func (s *Store) setAside(path string, info fs.FileInfo) error {
	return s.settled(func() error {
		now, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, info) {
			return nil
		}
		if err != nil {
			return err
		}
		to, err := os.MkdirTemp(filepath.Join(s.dir, "bad"), "found-")
		if err != nil {
			return err
		}
		return os.Rename(path, filepath.Join(to, filepath.Base(path)))
	})
}
