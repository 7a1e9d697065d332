package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"mariner/internal/fault"
)

// Problem is something that Verify found damaged.
type Problem struct {
	Path     string `json:"path"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
}

// Report is what Verify found in the store itself; caches are not looked at.
type Report struct {
	Files, Results, Memos int
	Bytes                 int64 // of all files
	Problems              []Problem
}

// Err is nil without problems, else an error of the kind fault.Check that names the first.
func (r Report) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	p := r.Problems[0]
	return fault.Errorf(fault.Check, "%d damaged entries in the store; the first is %s: expected %s, found %s; they have been set aside, the next build makes them anew",
		len(r.Problems), p.Path, p.Expected, p.Found)
}

// Verify reads everything in the store and sets aside what is damaged. progress may be nil; it is
// called with the bytes read and to be read, by one goroutine at a time.
func (s *Store) Verify(ctx context.Context, progress func(done, total int64)) (Report, error) {
	files, err := list(filepath.Join(s.dir, "files"))
	if err != nil {
		return Report{}, fmt.Errorf("verifying the store: %w", err)
	}
	v := &verifier{store: s, progress: progress}
	for _, f := range files {
		v.total += f.size
	}
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(min(4, runtime.NumCPU()))
	for _, f := range files {
		if running.Err() != nil {
			break
		}
		group.Go(func() error { return v.file(running, f) })
	}
	err = group.Wait()
	if err == nil {
		err = ctx.Err()
	}
	for _, check := range []func() error{v.results, v.last, v.memos} {
		if err == nil {
			err = check()
		}
	}
	if err != nil {
		return v.report, fmt.Errorf("verifying the store: %w", err)
	}
	return v.report, nil
}

type verifier struct {
	store    *Store
	progress func(done, total int64)
	total    int64
	mu       sync.Mutex
	report   Report
}

func (v *verifier) file(ctx context.Context, f listed) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	found, info, err := hashFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // GC was here
	}
	if err != nil {
		return err
	}
	expected := Digest(digestPrefix + filepath.Base(f.path))
	if found != expected || filepath.Dir(f.path) != filepath.Dir(entry(v.store.dir, "files", expected)) {
		if err := v.store.setAside(f.path, info); err != nil {
			return err
		}
		v.problem(f.path, string(expected), string(found))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Files++
	v.report.Bytes += f.size
	if v.progress != nil {
		v.progress(v.report.Bytes, v.total)
	}
	return nil
}

func (v *verifier) problem(path, expected, found string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Problems = append(v.report.Problems, Problem{path, expected, found})
}

func (v *verifier) results() error {
	return v.framed("results", func(path string, r *Result) bool { return entry(v.store.dir, "results", r.Key) == path })
}

func (v *verifier) last() error {
	return v.framed("last", func(path string, r *Result) bool { return lastPath(v.store.dir, r.Action) == path })
}

// framed checks the results in a folder, and that each has the name it should.
func (v *verifier) framed(folder string, named func(path string, r *Result) bool) error {
	entries, err := list(filepath.Join(v.store.dir, folder))
	if err != nil {
		return err
	}
	for _, e := range entries {
		r, err := readResult(e.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found := ""
		switch {
		case err != nil:
			found = err.Error()
		case !named(e.path, r):
			found = fmt.Sprintf("%s, %s", r.Action, r.Key)
		default:
			v.report.Results++
			continue
		}
		v.problem(e.path, "a whole result of that name", found)
		if err := v.store.setAside(e.path, e.info); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) memos() error {
	entries, err := list(filepath.Join(v.store.dir, "memo"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		data, err := os.ReadFile(e.path)
		if err != nil {
			return err
		}
		scan := scanMemos(data, func(memoRecord) {})
		v.report.Memos += scan.records
		if scan.damaged > 0 {
			v.problem(e.path, "whole records", fmt.Sprintf("a damaged one among the first %d bytes", min(scan.end+memoHeader, len(data))))
			if err := v.store.setAside(e.path, e.info); err != nil {
				return err
			}
		}
	}
	return nil
}

// listed is a file below a folder of the store.
type listed struct {
	path string
	size int64
	info fs.FileInfo
}

// list is every file below dir, sorted by path.
func list(dir string) ([]listed, error) {
	var found []listed
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			found = append(found, listed{path, info.Size(), info})
		}
		return err
	})
	return found, err
}
