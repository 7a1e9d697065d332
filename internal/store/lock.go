package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Lock takes the lock of that name, between processes and within one, and waits for it until ctx
// ends. The lock ends with unlock or with the process, however it ends.
func (s *Store) Lock(ctx context.Context, name string) (unlock func(), err error) {
	unlock, err = LockFile(ctx, filepath.Join(s.dir, "locks", fileName(name)))
	if err != nil {
		return nil, fmt.Errorf("locking %q: %w", name, err)
	}
	return unlock, nil
}

// LockFile is Lock with a file that need not be a store's; it is made if need be, and stays.
func LockFile(ctx context.Context, path string) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := lockWait(ctx, f); err != nil {
			f.Close()
			return nil, err
		}
		if stillNamed(f, path) { // else GC has removed the file between open and lock
			return func() { f.Close() }, nil
		}
		f.Close()
	}
}

// lockWait takes f's exclusive lock. It asks again and again, as a waiting flock(2) cannot be ended
// when ctx does.
func lockWait(ctx context.Context, f *os.File) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if got, err := tryLock(f); got || err != nil {
			return err
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// tryLock takes f's exclusive lock if nobody holds it.
func tryLock(f *os.File) (bool, error) {
	err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// stillNamed says whether path still names the open file f.
func stillNamed(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, named)
}

// settled runs do while GC is kept out. do must be short: it touches, links or renames.
func (s *Store) settled(do func() error) error {
	f, err := os.Open(filepath.Join(s.dir, "gc.lock"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := flock(f, unix.LOCK_SH); err != nil {
		return fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return do()
}

// alone runs do while nobody touches an entry or puts one in place.
func (s *Store) alone(ctx context.Context, do func() error) error {
	f, err := os.Open(filepath.Join(s.dir, "gc.lock"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lockWait(ctx, f); err != nil {
		return fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return do()
}
