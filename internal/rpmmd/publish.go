package rpmmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// stagePrefix begins the names of directories that are not published yet, or no longer.
const stagePrefix = ".repodata-"

// lockDir keeps other writers out of dir until unlock is called or this process ends. The lock is
// on the directory itself, so that nothing foreign stands in a published repository.
func lockDir(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(d.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("locking: %w", err)
	}
	return func() { d.Close() }, nil
}

// removeStale removes what writers that were killed have left. The lock is held.
func removeStale(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), stagePrefix) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// publish puts stage in the place of dir/repodata; what was there is then at stage, to be removed.
func publish(dir, stage string) error {
	final := filepath.Join(dir, "repodata")
	if err := syncDir(stage); err != nil {
		return err
	}
	err := unix.Renameat2(unix.AT_FDCWD, stage, unix.AT_FDCWD, final, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, unix.ENOENT):
		err = os.Rename(stage, final) // the first time
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EXDEV):
		// A filesystem without the exchange: for a moment there is no repository, never a mixed one.
		if err = os.Rename(final, stage+"-old"); err == nil {
			err = os.Rename(stage, final)
		}
		defer os.RemoveAll(stage + "-old")
	}
	if err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
