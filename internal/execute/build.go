package execute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mariner/internal/fault"
	"mariner/internal/plan"
	"mariner/internal/rpm"
	"mariner/internal/spec"
	"mariner/internal/store"
	"mariner/internal/ui"
)

// Sources fetches what a spec names; see internal/source.
type Sources interface {
	// Expected are the digests that the signatures file demands, by file name, of the sources that do
	// not lie in the spec's folder.
	Expected(s *spec.Spec) (map[string]string, error)
	// Fetch gets them, verified, into the store.
	Fetch(ctx context.Context, s *spec.Spec) (map[string]store.Digest, error)
}

// Resolver finds the packages of a build root.
type Resolver interface {
	// Resolve gives the packages of pool that want needs, in the order of their names. What stage0
	// stands in for is not among them.
	Resolve(pool []*Package, want []string) ([]*Package, error)
}

// Package is a built RPM in the store.
type Package struct {
	File   string // the name that rpmbuild gave it
	Digest store.Digest
	Size   int64
	Header *rpm.Header
}

// Builder builds the packages of a graph, or finds them built.
type Builder struct {
	Store    *store.Store
	Engine   Engine
	Sources  Sources
	Resolver Resolver
	Env      plan.Environment
	Placed   []Placed
	Hidden   []string // the capabilities of stage0 that are layers of their own
	Sink     ui.Sink

	mu   sync.Mutex
	done map[*plan.Node]*Product
}

// Product is a source package's RPMs.
type Product struct {
	Packages []*Package
	Source   *Package
	Result   *store.Result
	Cached   bool
}

// defaultDuration and defaultMemory are assumed of what was never built.
const (
	defaultDuration = 40 * time.Second
	defaultMemory   = 1 << 30
)

// Tasks are the builds of nodes, which contain whatever they need: two tasks each, of which the first takes no
// core. It finds the package built, or fetches its sources.
func (b *Builder) Tasks(nodes []*plan.Node) []*Task {
	tasks := map[*plan.Node]*Task{}
	var out []*Task
	for _, n := range nodes {
		t := &Task{Name: "build " + n.Name(), Expected: defaultDuration, Memory: defaultMemory}
		var before time.Duration // what it took last time
		if last, err := b.Store.Last("build " + n.Name()); err == nil && last != nil {
			t.Expected, t.Memory, before = last.Duration, max(last.PeakMemory, 64<<20), last.Duration
		}
		ready := &Task{Name: "prepare " + n.Name(), For: t, Free: true, Do: func(ctx context.Context) error { return b.prepare(ctx, n) }}
		for _, m := range n.Needs {
			ready.Needs = append(ready.Needs, tasks[m])
		}
		t.Needs = []*Task{ready}
		t.Do = func(ctx context.Context) error {
			_, err := b.Build(ctx, n, before)
			return err
		}
		tasks[n] = t
		out = append(out, ready, t)
	}
	return out
}

// Product is what came of a node that was built in this run; nil if it was not.
func (b *Builder) Product(n *plan.Node) *Product {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.done[n]
}

// pool are the packages of nodes.
func (b *Builder) pool(nodes []*plan.Node) ([]*Package, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*Package
	for _, n := range nodes {
		p := b.done[n]
		if p == nil {
			return nil, fmt.Errorf("%s is needed but was not built", n.Name())
		}
		out = append(out, p.Packages...)
	}
	return out, nil
}

// Packages are the built packages of nodes and of all that they need: what an image may choose from.
func (b *Builder) Packages(nodes []*plan.Node) ([]*Package, error) { return b.pool(nodes) }

// Inputs finds out what the build of n reads, given that all it needs is built.
func (b *Builder) Inputs(g *plan.Graph, n *plan.Node) ([]store.Input, []plan.RPM, error) {
	want, _ := b.split(n.Spec.Source.Requires)
	pool, err := b.pool(g.Ancestors(n))
	if err != nil {
		return nil, nil, err
	}
	chosen, err := b.Resolver.Resolve(pool, want)
	if err != nil {
		return nil, nil, fault.Errorf(fault.Build, "the build root of %s: %w", n.Name(), err)
	}
	var root []plan.RPM
	for _, p := range chosen {
		root = append(root, plan.RPM{Name: p.File, Digest: p.Digest})
	}
	expected, err := b.Sources.Expected(n.Spec)
	if err != nil {
		return nil, nil, err
	}
	return plan.BuildInputs(b.Env, n.Spec, expected, root), root, nil
}

// split tells stage0's hidden layers from other BuildRequires.
func (b *Builder) split(requires []string) (want, hidden []string) {
	for _, r := range requires {
		if slices.Contains(b.Hidden, r) {
			hidden = append(hidden, r)
		} else {
			want = append(want, r)
		}
	}
	return want, hidden
}

// prepare finds n built from the same inputs, or has what its build reads at hand. All that n needs was built before.
func (b *Builder) prepare(ctx context.Context, n *plan.Node) error {
	if built, err := b.Recall(n.Graph(), n); built || err != nil {
		if built {
			b.Sink.Emit(ui.Event{Type: ui.Cached, Kind: "build", Name: n.Name(), Duration: b.Product(n).Result.Duration})
		}
		return err
	}
	_, err := b.Sources.Fetch(ctx, n.Spec)
	return err
}

// Build builds n, or finds it built from the same inputs. All that n needs was built before. expected
// is what it took last time, 0 if it was never built.
func (b *Builder) Build(ctx context.Context, n *plan.Node, expected time.Duration) (*Product, error) {
	if p := b.Product(n); p != nil {
		return p, nil
	}
	g := n.Graph()
	inputs, root, err := b.Inputs(g, n)
	if err != nil {
		return nil, err
	}
	key := store.Key(inputs)
	name := "build " + n.Name()
	// Two processes that build the same thing at once would only waste time: the second waits.
	unlock, err := b.Store.Lock(ctx, string(key))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if r, ok, err := b.Store.Result(key); err != nil {
		return nil, err
	} else if ok {
		b.Sink.Emit(ui.Event{Type: ui.Cached, Kind: "build", Name: n.Name(), Duration: r.Duration})
		return b.note(n, r, true)
	}
	b.Sink.Emit(ui.Event{Type: ui.Start, Kind: "build", Name: n.Name(), Expected: expected})
	r, err := b.build(ctx, n, name, key, inputs, root)
	if err != nil {
		if ctx.Err() == nil {
			b.Sink.Emit(ui.Event{Type: ui.Failed, Kind: "build", Name: n.Name(), Message: err.Error()})
		}
		return nil, err
	}
	b.Sink.Emit(ui.Event{Type: ui.Done, Kind: "build", Name: n.Name(), Duration: r.Duration})
	return b.note(n, r, false)
}

func (b *Builder) build(ctx context.Context, n *plan.Node, name string, key store.Digest, inputs []store.Input, root []plan.RPM) (*store.Result, error) {
	a, err := b.action(ctx, n, root)
	if err != nil {
		return nil, err
	}
	built, err := b.Engine.Build(ctx, a)
	if err != nil {
		return nil, err
	}
	r := &store.Result{
		Action: name, Key: key, Inputs: inputs, Outputs: built.Outputs,
		Started: built.Started, Duration: built.Duration, PeakMemory: built.PeakMemory,
		Note: map[string]string{"setup": built.Setup.String()},
	}
	return r, b.Store.PutResult(r)
}

// action gathers the files of a build in the store.
func (b *Builder) action(ctx context.Context, n *plan.Node, root []plan.RPM) (Action, error) {
	s := n.Spec
	_, hidden := b.split(s.Source.Requires)
	a := Action{
		Package: s.Name, SpecFile: filepath.Base(s.File), Files: map[string]store.Digest{},
		Placed: b.Placed, Root: root, Hidden: hidden, Arch: b.Env.Arch, Check: b.Env.Check,
	}
	fetched, err := b.Sources.Fetch(ctx, s)
	if err != nil {
		return a, err
	}
	maps.Copy(a.Files, fetched)
	for _, src := range s.Sources {
		if _, ok := a.Files[src.File()]; ok {
			continue
		}
		if err := b.local(&a, filepath.Join(s.Dir, src.File())); err != nil {
			return a, fault.As(fault.Source, err)
		}
	}
	if err := b.local(&a, s.File); err != nil {
		return a, err
	}
	// The key has the content of when the spec was read, perhaps an hour ago: files that were changed
	// since must not be built under it.
	now, err := spec.Content(s.Dir)
	if err == nil && now != s.Content {
		err = fault.Errorf(fault.Usage, "%s was changed while the build ran: run again", s.Dir)
	}
	return a, fault.As(fault.Usage, err)
}

// Action is the build of n as the engine gets it; all that n needs is built.
func (b *Builder) Action(ctx context.Context, n *plan.Node) (Action, error) {
	_, root, err := b.Inputs(n.Graph(), n)
	if err != nil {
		return Action{}, err
	}
	return b.action(ctx, n, root)
}

func (b *Builder) local(a *Action, file string) error {
	d, _, err := b.Store.PutFile(file)
	if err == nil {
		a.Files[filepath.Base(file)] = d
	}
	return err
}

// note remembers what came of n, with the headers of its packages.
func (b *Builder) note(n *plan.Node, r *store.Result, cached bool) (*Product, error) {
	p := &Product{Result: r, Cached: cached}
	for _, o := range r.Outputs {
		if !strings.HasSuffix(o.Name, ".rpm") {
			continue
		}
		h, err := Header(b.Store, o.Digest)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Name, err)
		}
		pkg := &Package{File: o.Name, Digest: o.Digest, Size: o.Size, Header: h}
		if strings.HasSuffix(o.Name, ".src.rpm") {
			p.Source = pkg
		} else {
			p.Packages = append(p.Packages, pkg)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done == nil {
		b.done = map[*plan.Node]*Product{}
	}
	b.done[n] = p
	return p, nil
}

// headerKind names the cache of RPM headers; it changes when rpm.Header does.
const headerKind = "header-1"

// Header reads the header of an RPM in the store, or remembers it.
func Header(s *store.Store, d store.Digest) (*rpm.Header, error) {
	if b, ok := s.Memo(headerKind, d); ok {
		h := new(rpm.Header)
		if json.Unmarshal(b, h) == nil {
			return h, nil
		}
	}
	path, err := s.File(d)
	if err != nil {
		return nil, err
	}
	h, err := rpm.ReadHeader(path)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	return h, s.PutMemo(headerKind, d, b)
}

// Placing puts a file of the tree into the store, to be placed into build roots.
func Placing(s *store.Store, source, path string, executable bool) (Placed, error) {
	p := Placed{Path: path, Mode: 0o644}
	if executable {
		p.Mode = 0o755
	}
	var err error
	if p.Digest, _, err = s.PutFile(source); errors.Is(err, os.ErrNotExist) {
		err = fault.Errorf(fault.Usage, "%s, to be placed at %s in build roots, is missing", source, path)
	}
	return p, err
}

// Recall finds n built, without building it, if all that it needs was recalled or built before.
func (b *Builder) Recall(g *plan.Graph, n *plan.Node) (bool, error) {
	if b.Product(n) != nil {
		return true, nil
	}
	for _, m := range n.Needs {
		if b.Product(m) == nil {
			return false, nil
		}
	}
	inputs, _, err := b.Inputs(g, n)
	if err != nil {
		return false, err
	}
	r, ok, err := b.Store.Result(store.Key(inputs))
	if err != nil || !ok {
		return false, err
	}
	_, err = b.note(n, r, true)
	return true, err
}
