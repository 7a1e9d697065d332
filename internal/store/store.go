package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"mariner/internal/fault"
)

// version is what the version file of this format holds.
const version = "mariner store 1\n"

// Store is an open store. Its methods may be called from several goroutines, and several processes
// may have the same store open.
type Store struct {
	dir    string
	caches []string
	remove func(path string) error

	session   string    // this process's folder in tmp
	lease     *os.File  // holds the lock of session
	started   time.Time // when lease was taken
	used      sync.Map  // what this Store has given out: a path -> struct{}
	distrust  sync.Map  // damaged files of caches: a path -> struct{}
	memosLock sync.Mutex
	memos     map[string]*memo // by path of the memo file
}

// Options are what Open leaves at its defaults.
type Options struct {
	// Caches are folders of further stores, read after the store itself and never written.
	Caches []string
	// Remove deletes a folder and everything below it. A tree made in a user namespace holds files of
	// other users: the owner of such trees gives a Remove that enters the namespace again.
	// nil is os.RemoveAll, after which folders without write permission are tried once more.
	Remove func(path string) error
}

// Open opens the store in dir, and makes it if dir is missing or empty. caches are folders of further
// stores that are read after it. Its errors are of the kind fault.Environment. Close it after use.
func Open(dir string, caches ...string) (*Store, error) {
	return Options{Caches: caches}.Open(dir)
}

// Open is the function Open with these options.
func (o Options) Open(dir string) (*Store, error) {
	s := &Store{remove: o.Remove, memos: map[string]*memo{}}
	if s.remove == nil {
		s.remove = removeAll
	}
	var err error
	if s.dir, err = filepath.Abs(dir); err != nil {
		return nil, fault.Errorf(fault.Environment, "opening store %s: %w", dir, err)
	}
	if err := s.prepare(); err != nil {
		return nil, fault.Errorf(fault.Environment, "opening store %s: %w", s.dir, err)
	}
	for _, cache := range o.Caches {
		path, err := openCache(cache)
		if err != nil {
			s.Close()
			return nil, fault.Errorf(fault.Environment, "opening cache %s: %w", cache, err)
		}
		s.caches = append(s.caches, path)
	}
	if err := s.loadDistrust(); err != nil {
		s.Close()
		return nil, fault.Errorf(fault.Environment, "opening store %s: %w", s.dir, err)
	}
	return s, nil
}

// Dir is the absolute path of the store's folder.
func (s *Store) Dir() string { return s.dir }

// Close removes the temporary files of this Store. Paths that File and Tree returned stay, but GC of
// another process may now remove what they name.
func (s *Store) Close() error {
	if s.lease == nil {
		return nil
	}
	err := s.remove(s.session)
	if err == nil {
		err = os.Remove(s.lease.Name())
	}
	s.lease.Close()
	s.lease = nil
	if err != nil {
		return fmt.Errorf("closing store %s: %w", s.dir, err)
	}
	return nil
}

// prepare makes the folders of the store, begins the session and sweeps up after dead ones.
func (s *Store) prepare() error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	fresh, err := checkVersion(s.dir)
	if err != nil {
		return err
	}
	if fresh {
		if err := writeVersion(s.dir); err != nil {
			return err
		}
	}
	for _, name := range []string{"files", "results", "last", "memo", "partial", "locks", "bad"} {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"trees", "tmp"} {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
			return err
		}
	}
	gc, err := os.OpenFile(filepath.Join(s.dir, "gc.lock"), os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	gc.Close()
	if err := s.begin(); err != nil {
		return err
	}
	// What cannot be removed now is met again by the next Open, and reported by GC.
	_ = s.sweep()
	return nil
}

// checkVersion says whether dir is yet to become a store. A folder that holds something else, or a
// store of another format, is an error.
func checkVersion(dir string) (fresh bool, err error) {
	found, err := os.ReadFile(filepath.Join(dir, "version"))
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return false, err
		}
		for _, e := range entries {
			if e.Name() == "version" { // another process has made it just now
				return checkVersion(dir)
			}
			if !strings.HasPrefix(e.Name(), ".version-") {
				return false, fmt.Errorf("it is no store: it has no file \"version\" and holds %q; name an empty folder", e.Name())
			}
		}
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if string(found) != version {
		return false, fmt.Errorf("%s: expected %q, found %q: it was made by another version of mariner; use that version, or another folder",
			filepath.Join(dir, "version"), version, found)
	}
	return false, nil
}

func writeVersion(dir string) error {
	f, err := os.CreateTemp(dir, ".version-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(version)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, "version"))
}

// openCache checks that dir is a store, or an empty folder that may become one.
func openCache(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	_, err = checkVersion(path)
	return path, err
}

// removeAll is os.RemoveAll, which fails below a folder without write permission (a Go module cache
// is one) unless root calls it.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}
