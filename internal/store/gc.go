package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	treeAge    = 30 * 24 * time.Hour // GC drops a tree that has not been used for so long, if no MaxAge is given
	partialAge = 7 * 24 * time.Hour  // and an unfinished download
	failedAge  = 24 * time.Hour      // and the root of a failed build, whatever the policy
	memoBytes  = 256 << 20           // and of a kind of memos the oldest beyond so many bytes
	useSlack   = time.Minute         // by how much a clock may be set back while a process uses the store
)

// Policy says what GC keeps beyond the least. The zero Policy keeps the most recently used result of
// each action with every file that it names, input or output.
type Policy struct {
	MaxAge  time.Duration // drop also what has not been used for so long; 0: no limit
	MaxSize int64         // then drop the least recently used until so many bytes are left; 0: no limit
	DryRun  bool          // only report
}

// Collected is what GC has dropped, or would drop.
type Collected struct {
	Results, Files, Trees, Memos int
	Failed                       int   // roots of failed builds
	Freed                        int64 // bytes, without trees and roots that cannot be looked into
	Left                         int64 // bytes of what is kept: files and trees
}

// GC drops what policy does not keep. It never drops what this Store has given out, nor what another
// living process has used. It reports folders of ended processes that cannot be removed.
func (s *Store) GC(ctx context.Context, policy Policy) (Collected, error) {
	trash, err := s.Temp("gc-")
	if err != nil {
		return Collected{}, err
	}
	g := &collector{store: s, policy: policy, now: time.Now(), trash: trash}
	// Nobody can use an entry between the decision about it and its removal. The removal is a rename:
	// deleting takes longer, and is done after.
	err = s.alone(ctx, func() error { return g.collect(ctx) })
	err = errors.Join(err, s.remove(trash))
	if !policy.DryRun {
		err = errors.Join(err, s.sweep())
	}
	if err != nil {
		return g.done, fmt.Errorf("collecting garbage: %w", err)
	}
	return g.done, nil
}

type collector struct {
	store  *Store
	policy Policy
	now    time.Time
	since  time.Time // what was used since then is in use by another process; zero: there is none
	trash  string
	moved  int
	done   Collected

	kept  []keptThing    // results and trees, to be given up for MaxSize
	refs  map[string]int // how many kept results name the file at a path
	files map[string]listed
}

// keptThing is a kept result or tree that is not in use.
type keptThing struct {
	path string
	last time.Time // use
	size int64     // of a tree; a result's files are counted when it goes
	refs []string  // the files that a result names
	tree bool
}

func (g *collector) collect(ctx context.Context) error {
	if g.since = g.store.othersSince(); !g.since.IsZero() {
		g.since = g.since.Add(-useSlack)
	}
	for _, step := range []func() error{g.results, g.trees, g.unnamedFiles, g.shrink, g.memos, g.failed, g.leftovers} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (g *collector) inUse(path string, last time.Time) bool {
	if _, used := g.store.used.Load(path); used {
		return true
	}
	return !g.since.IsZero() && !last.Before(g.since)
}

func (g *collector) tooOld(last time.Time, limit time.Duration) bool {
	return limit > 0 && g.now.Sub(last) > limit
}

// results decides which results stay, and counts who names which file.
func (g *collector) results() error {
	entries, err := list(filepath.Join(g.store.dir, "results"))
	if err != nil {
		return err
	}
	slices.SortStableFunc(entries, func(a, b listed) int { return b.info.ModTime().Compare(a.info.ModTime()) })
	g.refs = map[string]int{}
	newest := map[string]bool{}
	for _, e := range entries {
		r, err := readResult(e.path)
		last := e.info.ModTime()
		used := g.inUse(e.path, last)
		keep := err == nil && (used || !newest[r.Action] && !g.tooOld(last, g.policy.MaxAge))
		if !keep {
			if err := g.drop(e.path, &g.done.Results, e.size); err != nil {
				return err
			}
			continue
		}
		newest[r.Action] = true
		k := keptThing{path: e.path, last: last}
		for _, d := range r.digests() {
			path := entry(g.store.dir, "files", d)
			k.refs = append(k.refs, path)
			g.refs[path]++
		}
		if !used {
			g.kept = append(g.kept, k)
		}
	}
	return nil
}

// digests are those of the inputs and outputs of r.
func (r *Result) digests() []Digest {
	var all []Digest
	for _, in := range r.Inputs {
		if in.Digest.Valid() {
			all = append(all, in.Digest)
		}
	}
	for _, out := range r.Outputs {
		all = append(all, out.Digest)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (g *collector) trees() error {
	dir := filepath.Join(g.store.dir, "trees")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	limit := g.policy.MaxAge
	if limit == 0 {
		limit = treeAge
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := e.Info()
		if err != nil {
			return err
		}
		used, size := g.inUse(path, info.ModTime()), diskUse(path)
		if !used && g.tooOld(info.ModTime(), limit) {
			if err := g.drop(path, &g.done.Trees, size); err != nil {
				return err
			}
			continue
		}
		g.done.Left += size
		if !used {
			g.kept = append(g.kept, keptThing{path: path, last: info.ModTime(), size: size, tree: true})
		}
	}
	return nil
}

// unnamedFiles drops the files that no kept result names.
func (g *collector) unnamedFiles() error {
	entries, err := list(filepath.Join(g.store.dir, "files"))
	if err != nil {
		return err
	}
	g.files = make(map[string]listed, len(entries))
	for _, e := range entries {
		if g.refs[e.path] == 0 && !g.inUse(e.path, e.info.ModTime()) {
			if err := g.drop(e.path, &g.done.Files, e.size); err != nil {
				return err
			}
			continue
		}
		g.files[e.path] = e
		g.done.Left += e.size
	}
	return nil
}

// shrink gives up kept results and trees, the least recently used first, until MaxSize is met.
func (g *collector) shrink() error {
	slices.SortStableFunc(g.kept, func(a, b keptThing) int { return a.last.Compare(b.last) })
	for _, k := range g.kept {
		if g.policy.MaxSize == 0 || g.done.Left <= g.policy.MaxSize {
			return nil
		}
		count := &g.done.Results
		if k.tree {
			count = &g.done.Trees
		}
		if err := g.drop(k.path, count, k.size); err != nil {
			return err
		}
		g.done.Left -= k.size
		for _, path := range k.refs {
			g.refs[path]--
			f, ok := g.files[path]
			if !ok || g.refs[path] > 0 || g.inUse(path, f.info.ModTime()) {
				continue
			}
			if err := g.drop(path, &g.done.Files, f.size); err != nil {
				return err
			}
			delete(g.files, path)
			g.done.Left -= f.size
		}
	}
	return nil
}

// drop moves path out of the store.
func (g *collector) drop(path string, count *int, size int64) error {
	*count++
	g.done.Freed += size
	if g.policy.DryRun {
		return nil
	}
	g.moved++
	return os.Rename(path, filepath.Join(g.trash, fmt.Sprint(g.moved)))
}
