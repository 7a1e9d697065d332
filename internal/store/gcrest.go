package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// memos writes each memo file again without the values that were replaced, are too old or too many.
// It runs while nobody appends; who has loaded the old file notices that there is another.
func (g *collector) memos() error {
	entries, err := list(filepath.Join(g.store.dir, "memo"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := g.memoFile(e); err != nil {
			return err
		}
	}
	return nil
}

func (g *collector) memoFile(e listed) error {
	data, err := os.ReadFile(e.path)
	if err != nil {
		return err
	}
	var all []memoRecord
	scanMemos(data, func(r memoRecord) { all = append(all, r) })
	kept, dropped := g.chooseMemos(all)
	var fresh []byte
	for _, r := range kept {
		fresh = appendMemo(fresh, r.key, r.at, r.value)
	}
	if len(fresh) == len(data) {
		return nil
	}
	g.done.Memos += dropped
	g.done.Freed += int64(len(data) - len(fresh))
	if g.policy.DryRun {
		return nil
	}
	temp := filepath.Join(g.trash, "memo")
	if err := os.WriteFile(temp, fresh, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, e.path)
}

// chooseMemos keeps the last record of each key, those within MaxAge, the newest within memoBytes.
func (g *collector) chooseMemos(all []memoRecord) (kept []memoRecord, dropped int) {
	seen := map[memoKey]bool{}
	var size int64
	for i := len(all) - 1; i >= 0; i-- {
		r := all[i]
		size += memoHeader + int64(len(r.value))
		if seen[r.key] || g.tooOld(r.at, g.policy.MaxAge) || size > memoBytes {
			dropped++
			size -= memoHeader + int64(len(r.value))
			continue
		}
		seen[r.key] = true
		kept = append(kept, r)
	}
	slices.Reverse(kept)
	return kept, dropped
}

// failed drops the roots of failed builds. Whoever builds or looks into one does not ask this package, so
// a root may come and go meanwhile, and its age is all that tells whether somebody still wants it.
func (g *collector) failed() error {
	dir := filepath.Join(g.store.dir, "failed")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!g.tooOld(info.ModTime(), failedAge) || g.inUse(path, info.ModTime())) {
			continue
		}
		if err != nil {
			return err
		}
		if err := g.drop(path, &g.done.Failed, diskUse(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// leftovers drops what was set aside, old partial files, and lock files that nobody holds.
func (g *collector) leftovers() error {
	var none int
	for _, name := range []string{"bad", "partial", "locks"} {
		dir := filepath.Join(g.store.dir, name)
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				return err
			}
			path := filepath.Join(dir, e.Name())
			if name == "partial" && !g.tooOld(info.ModTime(), partialAge) || name != "bad" && g.inUse(path, info.ModTime()) {
				continue
			}
			if name == "locks" {
				err = g.dropLock(path)
			} else {
				err = g.drop(path, &none, info.Size())
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// dropLock removes a lock file while it holds the lock; whoever has it open notices (stillNamed).
func (g *collector) dropLock(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if got, err := tryLock(f); !got || g.policy.DryRun {
		return err
	}
	return os.Remove(path)
}

// diskUse is the bytes that a tree takes on disk, as far as it may be read.
func diskUse(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := e.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				size += st.Blocks * 512
			} else {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}
