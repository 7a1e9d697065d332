package project

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mariner/internal/distro/yamlfile"
	"mariner/internal/execute"
	"mariner/internal/fault"
	"mariner/internal/plan"
	"mariner/internal/spec"
	"mariner/internal/store"
)

func findSpec(specs []*spec.Spec, name string) (*spec.Spec, error) {
	var names []string
	for _, s := range specs {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return nil, fault.Errorf(fault.Usage, "there is no package %q in the tree%s", name, yamlfile.Nearest(name, names))
}

// Select is what the named packages need, themselves included; everything if none is named.
func (p *Project) Select(ctx context.Context, names []string) ([]*plan.Node, error) {
	g, err := p.Graph(ctx)
	if err != nil || len(names) == 0 {
		return nodesOf(g), err
	}
	var chosen []*plan.Node
	for _, name := range names {
		n, err := p.find(g, name)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, n)
	}
	return g.Closure(chosen...), nil
}

func nodesOf(g *plan.Graph) []*plan.Node {
	if g == nil {
		return nil
	}
	return g.Nodes
}

// Why says what a package needs, what needs it, and what changed since it was built last. It builds
// nothing: what cannot be known before a dependency is rebuilt is said so.
func (p *Project) Why(ctx context.Context, w io.Writer, name string) error {
	g, err := p.Graph(ctx)
	if err != nil {
		return err
	}
	n, err := p.find(g, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s %s (%s)\n", n.Name(), n.Spec.Source.EVR(), n.Spec.File)
	fmt.Fprintf(w, "  is built after:  %s\n", listed(n.Needs))
	fmt.Fprintf(w, "  is needed by:    %s\n", listed(n.By))
	if rest := g.Dependents(n); len(rest) > len(n.By) {
		fmt.Fprintf(w, "  and through these by %d more\n", len(rest)-len(n.By))
	}
	b, err := p.Builder()
	if err != nil {
		return err
	}
	for _, m := range g.Ancestors(n) {
		ok, err := b.Recall(g, m)
		if err != nil {
			return err
		}
		if !ok {
			changes, err := p.changes(b, g, m)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "  %s will be rebuilt first: %s\n", m.Name(), changes)
			fmt.Fprintf(w, "  if its packages come out as they were, %s is not rebuilt for it\n", n.Name())
			return nil
		}
	}
	ok, err := b.Recall(g, n)
	if err != nil {
		return err
	}
	if ok {
		fmt.Fprintln(w, "  up to date: nothing that its build reads has changed")
		return nil
	}
	changes, err := p.changes(b, g, n)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "  will be rebuilt: %s\n", changes)
	return nil
}

func (p *Project) changes(b *execute.Builder, g *plan.Graph, n *plan.Node) (string, error) {
	last, err := p.Store.Last("build " + n.Name())
	if err != nil {
		return "", err
	}
	if last == nil {
		return "it was never built here", nil
	}
	now, _, err := b.Inputs(g, n)
	if err != nil {
		return "", err
	}
	if store.Key(now) == last.Key {
		return "its packages are no longer in the store", nil
	}
	return strings.Join(plan.Changes(last.Inputs, now), "; "), nil
}

func listed(nodes []*plan.Node) string {
	if len(nodes) == 0 {
		return "nothing"
	}
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name())
	}
	return strings.Join(names, ", ")
}

// PrintBuilt copies the RPMs of the named packages, signed, to out/packages and prints their paths.
func (p *Project) PrintBuilt(ctx context.Context, w io.Writer, b *execute.Builder, nodes []*plan.Node, names []string) error {
	pub, err := p.Publisher(ctx)
	if err != nil {
		return err
	}
	dir := p.Out("packages")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, n := range nodes {
		product := b.Product(n)
		named := slices.Contains(names, n.Name())
		for _, pkg := range product.Packages {
			named = named || slices.Contains(names, pkg.Header.Name)
		}
		if !named {
			continue
		}
		signed, err := pub.Sign(ctx, product.Packages)
		if err != nil {
			return err
		}
		for _, s := range signed {
			to := filepath.Join(dir, s.File)
			if err := pub.Place(s, to); err != nil {
				return err
			}
			fmt.Fprintln(w, to)
		}
	}
	return nil
}

// FetchSources gets the sources of the named packages, or of all, into the store.
func (p *Project) FetchSources(ctx context.Context, names []string) error {
	nodes, err := p.Select(ctx, names)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if _, err := p.fetchSources(ctx, n.Spec); err != nil {
			return err
		}
	}
	return nil
}

// ExportCache writes the newest results of packages and all that they need to a file.
func (p *Project) ExportCache(ctx context.Context, file string, names []string) error {
	nodes, err := p.Select(ctx, names)
	if err != nil {
		return err
	}
	var keys []store.Digest
	for _, n := range nodes {
		last, err := p.Store.Last("build " + n.Name())
		if err != nil {
			return err
		}
		if last != nil {
			keys = append(keys, last.Key)
		}
	}
	if len(keys) == 0 {
		return fault.Errorf(fault.Usage, "nothing to export: none of these packages was built yet")
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".export-*")
	if err != nil {
		return fault.As(fault.Usage, err)
	}
	defer os.Remove(f.Name())
	err = p.Store.Export(ctx, f, keys...)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("exporting to %s: %w", file, err)
	}
	return os.Rename(f.Name(), file)
}
