// Package project is a distribution tree, opened to work on it: it wires the tree, the store, the
// sandbox, the plan, the engine and the publisher together, and has a method for each thing that a
// user asks for. The commands call it and nothing else.
package project

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"mariner/internal/buildroot"
	"mariner/internal/distro"
	"mariner/internal/distro/yamlfile"
	"mariner/internal/execute"
	"mariner/internal/fault"
	"mariner/internal/plan"
	"mariner/internal/release"
	"mariner/internal/sandbox"
	"mariner/internal/sign"
	"mariner/internal/solve"
	"mariner/internal/source"
	"mariner/internal/spec"
	"mariner/internal/store"
	"mariner/internal/ui"
)

// Options are what a command line says.
type Options struct {
	Dir     string // of the tree, or below it
	Store   string // "" is MARINER_STORE, or mariner in the user's cache folder
	Caches  []string
	Offline bool
	NoCheck bool // %check is left out
	Jobs    int  // cores to use; all if 0
	Sink    ui.Sink
}

// Project is an open tree. Close it after use.
type Project struct {
	Tree   *distro.Tree
	Store  *store.Store
	Runner *sandbox.Namespaces
	Roots  *buildroot.Roots
	Cores  *execute.JobServer
	Sink   ui.Sink

	options Options
	fetcher *source.Fetcher
	temp    string
	arch    string
	pools   []*solve.Pool
	shipped *planResolver // over declared packages alone, as images are; made with the graph
	signer  sign.Signer   // opened once: a passphrase from a file descriptor can be read only once
}

// StoreDir is where the store is when nothing else is said.
func StoreDir() (string, error) {
	if d := os.Getenv("MARINER_STORE"); d != "" {
		return d, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fault.Errorf(fault.Environment, "finding a place for the store: %w; set MARINER_STORE", err)
	}
	return filepath.Join(cache, "mariner"), nil
}

// Open loads the tree and opens the store.
func Open(ctx context.Context, o Options) (p *Project, err error) {
	if o.Dir, err = distro.Find(o.Dir); err != nil {
		return nil, err
	}
	tree, err := distro.Load(o.Dir)
	if err != nil {
		return nil, err
	}
	if o.Store == "" {
		if o.Store, err = StoreDir(); err != nil {
			return nil, err
		}
	}
	if o.Jobs == 0 {
		o.Jobs = runtime.NumCPU()
	}
	p = &Project{Tree: tree, Sink: o.Sink, options: o, arch: tree.Architectures[0]}
	p.Runner = &sandbox.Namespaces{}
	remove := func(path string) error { return p.Runner.RemoveAll(context.WithoutCancel(ctx), path) }
	if p.Store, err = (store.Options{Caches: o.Caches, Remove: remove}).Open(o.Store); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.Store.Close()
		}
	}()
	if p.temp, err = p.Store.Temp("run-"); err != nil {
		return nil, err
	}
	p.Runner.Temp = p.temp
	if p.Cores, err = execute.NewJobServer(p.temp, o.Jobs); err != nil {
		return nil, err
	}
	p.Roots = &buildroot.Roots{
		Store: p.Store, Runner: p.Runner, Sink: o.Sink, Offline: o.Offline,
		Stage0: buildroot.Stage0{
			Suite: tree.Stage0.Suite, Components: tree.Stage0.Components, Epoch: tree.Stage0.Epoch,
			Packages: tree.Stage0.Packages, Hidden: tree.Stage0.Hidden,
		},
		Archives: func(ctx context.Context) ([]string, error) { return p.fetcher.Archives(ctx, tree.Stage0.Suite) },
	}
	p.fetcher = source.New(p.Store, source.Options{
		Offline: o.Offline, Mirrors: tree.Sources.Mirrors, Debian: tree.Sources.Debian, Sink: o.Sink,
	})
	return p, nil
}

// Close gives everything back.
func (p *Project) Close() error {
	for _, pool := range p.pools {
		pool.Close()
	}
	return errors.Join(p.Cores.Close(), p.Store.Close())
}

// Out is a path below the folder of results.
func (p *Project) Out(elem ...string) string {
	return filepath.Join(append([]string{p.Tree.Out()}, elem...)...)
}

// Specs reads all specs of the tree.
func (p *Project) Specs(ctx context.Context) ([]*spec.Spec, error) {
	pkgs, err := p.Tree.Packages()
	if err != nil {
		return nil, err
	}
	var folders []spec.Folder
	for _, f := range pkgs {
		folders = append(folders, spec.Folder{Name: f.Name, File: f.SpecFile})
	}
	r := &spec.Reader{
		Runner: p.Runner, RootID: p.Roots.Stage0.ID(), Macros: p.Tree.MacrosFile(), Memory: p.Store, Temp: p.temp,
		Jobs: p.options.Jobs,
		Root: func(ctx context.Context) (sandbox.Root, error) { return p.Roots.Root(ctx) },
	}
	return r.Read(ctx, folders)
}

// Graph reads the specs and finds out what needs what.
func (p *Project) Graph(ctx context.Context) (*plan.Graph, error) {
	specs, err := p.Specs(ctx)
	if err != nil {
		return nil, err
	}
	declared := plan.Declare(specs, p.arch)
	r, err := newPlanResolver(p.arch, declared, p.stage0Provides())
	if err != nil {
		return nil, err
	}
	p.pools = append(p.pools, r.pool) // the graph goes on asking
	if p.shipped, err = newPlanResolver(p.arch, declared, nil); err != nil {
		return nil, err
	}
	p.pools = append(p.pools, p.shipped.pool)
	g, err := plan.New(specs, declared, r)
	if err != nil {
		return nil, err
	}
	return g, nil
}

// stage0Provides are the capabilities that stage0 stands in for, hidden layers included.
func (p *Project) stage0Provides() []string {
	out := slices.Clone(p.Tree.Stage0.Provides)
	for c := range p.Tree.Stage0.Hidden {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

// Builder makes a builder for this tree.
func (p *Project) Builder() (*execute.Builder, error) { return p.builder(!p.options.NoCheck) }

func (p *Project) builder(check bool) (*execute.Builder, error) {
	macros, err := os.ReadFile(p.Tree.MacrosFile())
	if err != nil {
		return nil, fault.Errorf(fault.Usage, "reading the macros: %w", err)
	}
	env := plan.Environment{
		Arch: p.arch, Stage0: p.Roots.Stage0.ID(), Macros: store.DigestOf(macros), Check: check,
	}
	placed := []execute.Placed{}
	add := func(src, to string, exec bool) error {
		f, err := execute.Placing(p.Store, src, to, exec)
		placed = append(placed, f)
		return err
	}
	if err := add(p.Tree.MacrosFile(), "/etc/rpm/macros.mariner", false); err != nil {
		return nil, err
	}
	for _, f := range p.Tree.BuildRoot.Files {
		if err := add(p.Tree.Path(f.Source), f.Path, f.Mode&0o111 != 0); err != nil {
			return nil, err
		}
		last := placed[len(placed)-1]
		env.Files = append(env.Files, store.Input{Name: "file " + f.Path, Digest: last.Digest})
	}
	hidden := make([]string, 0, len(p.Tree.Stage0.Hidden))
	for c := range p.Tree.Stage0.Hidden {
		hidden = append(hidden, c)
	}
	slices.Sort(hidden)
	engine := &execute.Local{
		Store: p.Store, Roots: p.Roots, Runner: p.Runner, Cores: p.Cores,
		LogDir: p.Out("logs"), Failed: filepath.Join(p.Store.Dir(), "failed"),
	}
	return &execute.Builder{
		Store: p.Store, Engine: engine, Sources: &sources{p}, Env: env, Placed: placed, Hidden: hidden, Sink: p.Sink,
		Resolver: &rootResolver{arch: p.arch, provides: p.stage0Provides()},
	}, nil
}

// Build builds the source packages that names name (all if there are none) and what they need.
func (p *Project) Build(ctx context.Context, names ...string) (*execute.Builder, []*plan.Node, error) {
	g, err := p.Graph(ctx)
	if err != nil {
		return nil, nil, err
	}
	nodes := g.Nodes
	if len(names) > 0 {
		var chosen []*plan.Node
		for _, name := range names {
			n, err := p.find(g, name)
			if err != nil {
				return nil, nil, err
			}
			chosen = append(chosen, n)
		}
		nodes = g.Closure(chosen...)
	}
	b, err := p.BuildNodes(ctx, nodes)
	return b, nodes, err
}

// Heal does do, and does it again for each damaged file of the store that it met: the file has been
// set aside, so that what it came from is done anew.
func (p *Project) Heal(do func() error) error {
	for met := map[string]bool{}; ; {
		err := do()
		var damaged *store.CorruptError
		if !errors.As(err, &damaged) || met[damaged.Path] {
			return err
		}
		met[damaged.Path] = true
		p.Sink.Emit(ui.Event{Type: ui.Warning, Kind: "store", Name: damaged.Path, Message: fmt.Sprintf(
			"damaged: expected %s, found %s; it is made anew", damaged.Expected, damaged.Found)})
	}
}

func (p *Project) find(g *plan.Graph, name string) (*plan.Node, error) {
	if n := g.Find(name); n != nil {
		return n, nil
	}
	var all []string
	for _, n := range g.Nodes {
		all = append(all, n.Name())
	}
	return nil, fault.Errorf(fault.Usage, "no spec makes a package %q%s", name, yamlfile.Nearest(name, all))
}

// BuildNodes builds nodes, which contain whatever they need.
func (p *Project) BuildNodes(ctx context.Context, nodes []*plan.Node) (*execute.Builder, error) {
	b, err := p.Builder()
	if err != nil {
		return nil, err
	}
	tasks := b.Tasks(nodes)
	left := execute.Remaining(tasks, p.options.Jobs)
	p.Sink.Emit(ui.Event{Type: ui.Plan, Kind: "build", Total: int64(len(nodes)), Expected: left})
	return b, execute.Run(ctx, tasks, execute.Limits{Cores: p.Cores, Memory: memoryLimit()})
}

// Publisher signs with the tree's key, whose public half it writes to out/keys.
func (p *Project) Publisher(ctx context.Context) (*release.Publisher, error) {
	if p.signer == nil {
		key, err := p.openKey(ctx)
		if err != nil {
			return nil, err
		}
		p.signer = key
	}
	if _, err := sign.WritePublic(p.signer, p.Out("keys")); err != nil {
		return nil, err
	}
	return &release.Publisher{Store: p.Store, Signer: p.signer}, nil
}

func (p *Project) openKey(ctx context.Context) (*sign.Key, error) {
	if file := p.Tree.SigningKeyFile(); file != "" {
		return sign.OpenFile(file, sign.PassphraseFromEnvironment(os.Getenv))
	}
	dir, err := sign.KeyDir(os.Getenv)
	if err != nil {
		return nil, err
	}
	return sign.Development(ctx, dir, p.Tree.Signing.Key)
}

// Publish signs the packages of nodes, sources included, and publishes them as out/repo, together with
// all others of the tree that earlier runs have built and that nothing has changed since.
func (p *Project) Publish(ctx context.Context, b *execute.Builder, nodes []*plan.Node) error {
	pub, err := p.Publisher(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.Out(), 0o755); err != nil {
		return err
	}
	// Who comes second looks for what is built only now: the first may have built more.
	unlock, err := store.LockFile(ctx, p.Out(".repo.lock"))
	if err != nil {
		return fmt.Errorf("waiting for another run to publish out/repo: %w", err)
	}
	defer unlock()
	products, err := p.built(ctx, b, nodes)
	if err != nil {
		return err
	}
	var pkgs []*execute.Package
	for _, product := range products {
		pkgs = append(pkgs, product.Packages...)
		if product.Source != nil {
			pkgs = append(pkgs, product.Source)
		}
	}
	signed, err := pub.Sign(ctx, pkgs)
	if err != nil {
		return err
	}
	changed, err := pub.Repository(ctx, p.Out("repo"), signed)
	if changed {
		p.Sink.Emit(ui.Event{Type: ui.Note, Kind: "repo", Name: "out/repo", Message: fmt.Sprintf("%d signed packages in out/repo", len(signed))})
	}
	return err
}

// built finds what is built, without building it, of the tree that nodes are of; b has built them.
func (p *Project) built(ctx context.Context, b *execute.Builder, nodes []*plan.Node) ([]*execute.Product, error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	builders := []*execute.Builder{b}
	if p.options.NoCheck { // what passed its %check stays published
		checked, err := p.builder(true)
		if err != nil {
			return nil, err
		}
		builders = append(builders, checked)
	}
	g := nodes[0].Graph()
	var out []*execute.Product
	for _, n := range g.Nodes {
		var found *execute.Product
		for _, b := range builders {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			_, err := b.Recall(g, n)
			if k := fault.KindOf(err); k == fault.Source || k == fault.Build {
				// It cannot be built as it is now. Who builds it is told; here others are published.
				p.Sink.Emit(ui.Event{Type: ui.Warning, Kind: "repo", Name: n.Name(), Message: fmt.Sprintf("not in out/repo: %v", err)})
			} else if err != nil {
				return nil, err
			}
			if found == nil {
				found = b.Product(n)
			}
		}
		if found != nil {
			out = append(out, found)
		}
	}
	return out, nil
}
