package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"mariner/internal/fault"
)

// Put stores the bytes of r and returns their digest and number. They are on the disk when it returns.
func (s *Store) Put(r io.Reader) (Digest, int64, error) {
	d, n, err := s.put(r, "")
	if err != nil {
		return "", 0, fmt.Errorf("storing a file: %w", full(err))
	}
	return d, n, nil
}

// PutFile stores a copy of the file at path. It is a copy and never a link, since path may change later.
func (s *Store) PutFile(path string) (Digest, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, fmt.Errorf("storing a file: %w", err)
	}
	defer f.Close()
	d, n, err := s.put(f, "")
	if err != nil {
		return "", 0, fmt.Errorf("storing %s: %w", path, full(err))
	}
	return d, n, nil
}

// full adds the remedy to an error that says that the disk is full.
func full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fault.Errorf(fault.Environment, "%w; make room, for instance with `mariner cache gc`", err)
	}
	return err
}

// put stores what r holds; if expected is not empty, only if its digest is that. It replaces a file
// of the same digest, as that may be damaged.
func (s *Store) put(r io.Reader, expected Digest) (Digest, int64, error) {
	f, err := os.CreateTemp(s.session, "put-")
	if err != nil {
		return "", 0, err
	}
	defer os.Remove(f.Name())
	d, n, err := copyHashed(f, r)
	if err == nil && expected != "" && d != expected {
		err = corrupt("", expected, d)
	}
	if err == nil {
		err = errors.Join(f.Chmod(0o444), f.Sync())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return d, n, err
	}
	now := time.Now() // the kernel's own time stamp may lie a tick before the session's start
	err = s.settled(func() error {
		return errors.Join(os.Chtimes(f.Name(), now, now), s.place(f.Name(), entry(s.dir, "files", d)))
	})
	return d, n, err
}

// Has says whether the store or a cache has a file of that digest. It does not read it.
func (s *Store) Has(d Digest) bool {
	_, ok := s.size(d)
	return ok
}

// size is the size of the file d, wherever it is.
func (s *Store) size(d Digest) (int64, bool) {
	if !d.Valid() {
		return 0, false
	}
	if info, err := os.Lstat(entry(s.dir, "files", d)); err == nil && info.Mode().IsRegular() {
		return info.Size(), true
	}
	for _, path := range s.inCaches(d) {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return info.Size(), true
		}
	}
	return 0, false
}

// File is the path of the file whose bytes have digest d; its bytes have just been hashed again. The
// file must not be written to. A file found only in a cache is copied into the store first.
//
// Damaged bytes are set aside and are a *CorruptError (kind fault.Check), unless a cache has good
// ones. If nobody has the file the error is fs.ErrNotExist.
func (s *Store) File(d Digest) (path string, err error) {
	if !d.Valid() {
		return "", fmt.Errorf("reading %q from the store: not a digest", d)
	}
	path = entry(s.dir, "files", d)
	localErr := s.verify(path, d)
	if localErr == nil {
		return path, nil
	}
	var damaged *CorruptError
	if !errors.Is(localErr, fs.ErrNotExist) && !errors.As(localErr, &damaged) {
		return "", fmt.Errorf("reading from the store: %w", localErr)
	}
	var cacheErr error
	for _, cached := range s.inCaches(d) {
		err := s.copyFrom(cached, d)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			cacheErr = errors.Join(cacheErr, err)
		}
	}
	if damaged != nil {
		return "", localErr
	}
	if cacheErr != nil {
		return "", cacheErr
	}
	return "", fmt.Errorf("the store %s does not have the file %s: %w", s.dir, d, fs.ErrNotExist)
}

// Read is the bytes of the file with digest d. Its errors are those of File.
func (s *Store) Read(d Digest) ([]byte, error) {
	path, err := s.File(d)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading from the store: %w", err)
	}
	if found := DigestOf(data); found != d {
		return nil, corrupt(path, d, found)
	}
	return data, nil
}

// verify hashes the entry at path, and sets it aside if its digest is not d.
func (s *Store) verify(path string, d Digest) error {
	if _, err := s.touch(path); err != nil {
		return err
	}
	found, info, err := hashFile(path)
	if err != nil || found == d {
		return err
	}
	return errors.Join(corrupt(path, d, found), s.setAside(path, info))
}

// copyFrom copies a cache's file into the store. A damaged one is noted, as it cannot be set aside.
func (s *Store) copyFrom(cached string, d Digest) error {
	f, err := os.Open(cached)
	if err != nil {
		return err
	}
	defer f.Close()
	_, _, err = s.put(f, d)
	var damaged *CorruptError
	if errors.As(err, &damaged) {
		damaged.Path = cached
		return errors.Join(fault.As(fault.Check, damaged), s.addDistrust(cached))
	}
	if err != nil {
		return fmt.Errorf("copying %s into the store: %w", cached, err)
	}
	return nil
}

// inCaches are the paths where caches would have the file d, without those found damaged.
func (s *Store) inCaches(d Digest) []string {
	var paths []string
	for _, cache := range s.caches {
		path := entry(cache, "files", d)
		if _, bad := s.distrust.Load(path); !bad {
			paths = append(paths, path)
		}
	}
	return paths
}

// addDistrust notes that a cache's file is damaged, so that this and later runs count it as absent.
func (s *Store) addDistrust(path string) error {
	s.distrust.Store(path, struct{}{})
	mark := filepath.Join(s.dir, "bad", "cache-"+DigestOf([]byte(path)).Hex())
	return s.writeAtomic(mark, []byte(path))
}

func (s *Store) loadDistrust() error {
	marks, err := filepath.Glob(filepath.Join(s.dir, "bad", "cache-*"))
	if err != nil {
		return err
	}
	for _, mark := range marks {
		path, err := os.ReadFile(mark)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		s.distrust.Store(string(bytes.TrimSpace(path)), struct{}{})
	}
	return nil
}
