package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Temp makes a folder of this process, mode 0700, in the store's own file system, so that what grows
// in it can be renamed into place. pattern is that of os.MkdirTemp. The caller removes it when it is
// done; failing that, Close does, or the next Open after this process has ended.
func (s *Store) Temp(pattern string) (dir string, err error) {
	dir, err = os.MkdirTemp(s.session, pattern)
	if err != nil {
		return "", fmt.Errorf("making a temporary folder in store %s: %w", s.dir, err)
	}
	return dir, nil
}

// Partial is the path for an unfinished file of that name, say of a download: it is kept when the
// process ends, so that the next can go on. It need not exist. The caller holds a Lock while it
// writes, and verifies what it has when it is complete (Put does). GC removes it a week after the
// last write.
func (s *Store) Partial(name string) string {
	return filepath.Join(s.dir, "partial", fileName(name))
}

// begin makes the session: first its lock, then its folder, so that a folder without a lock that is
// held has no owner.
func (s *Store) begin() error {
	for {
		name := fmt.Sprintf("%d-%s", os.Getpid(), strings.ToLower(rand.Text()[:10]))
		path := filepath.Join(s.dir, "tmp", name)
		f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		got, err := tryLock(f)
		if err != nil {
			f.Close()
			return fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		if !got || !stillNamed(f, f.Name()) { // a sweeper was faster: take another name
			f.Close()
			continue
		}
		s.started = time.Now()
		if err := errors.Join(os.Chtimes(f.Name(), s.started, s.started), os.Mkdir(path, 0o700)); err != nil {
			f.Close()
			return err
		}
		s.session, s.lease = path, f
		return nil
	}
}

// sweep removes the sessions whose owner is gone.
func (s *Store) sweep() error {
	var errs []error
	for _, name := range s.sessions() {
		if name == filepath.Base(s.session) {
			continue
		}
		errs = append(errs, s.sweepSession(filepath.Join(s.dir, "tmp", name)))
	}
	return errors.Join(errs...)
}

func (s *Store) sweepSession(path string) error {
	f, err := os.OpenFile(path+".lock", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return s.remove(path) // no lock, no owner
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if got, err := tryLock(f); !got {
		return err
	}
	if err := s.remove(path); err != nil {
		return fmt.Errorf("removing what an ended process left: %w", err)
	}
	if err := os.Remove(f.Name()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sessions are the names in tmp, of the living and of the dead.
func (s *Store) sessions() []string {
	entries, _ := os.ReadDir(filepath.Join(s.dir, "tmp"))
	seen := map[string]bool{}
	var names []string
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".lock")
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// othersSince is when the oldest session of another living process began; the zero time if there is none.
func (s *Store) othersSince() (oldest time.Time) {
	for _, name := range s.sessions() {
		path := filepath.Join(s.dir, "tmp", name+".lock")
		if path == s.lease.Name() {
			continue
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		got, err := tryLock(f)
		info, statErr := f.Stat()
		f.Close()
		if got || err != nil || statErr != nil {
			continue
		}
		if oldest.IsZero() || info.ModTime().Before(oldest) {
			oldest = info.ModTime()
		}
	}
	return oldest
}
