// Package plan turns specs into a graph of what must be built before what, and says what goes into
// the key of each action. It is pure: it reads no clock, no network and no files, so a plan can be
// printed, compared and tested as a value.
package plan

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"mariner/internal/fault"
	"mariner/internal/spec"
)

// Resolver finds the packages that a request needs, the packages that these need at run time
// included, among those that the specs declare and what stage0 stands in for.
type Resolver interface {
	// Resolve gives indices into the packages that the resolver was made from.
	Resolve(want []string) ([]int, error)
}

// Declared is a binary package as its spec declares it, before anything is built.
type Declared struct {
	Spec    int // index into the specs
	Package *spec.Package
}

// Declare lists the packages of all specs that exist for an architecture.
func Declare(specs []*spec.Spec, arch string) []Declared {
	var out []Declared
	for i, s := range specs {
		if !builds(s, arch) {
			continue
		}
		for j := range s.Packages {
			out = append(out, Declared{Spec: i, Package: &s.Packages[j]})
		}
	}
	return out
}

func builds(s *spec.Spec, arch string) bool {
	if len(s.Source.ExclusiveArch) > 0 && !slices.Contains(s.Source.ExclusiveArch, arch) {
		return false
	}
	return !slices.Contains(s.Source.ExcludeArch, arch)
}

// Node is a spec in the graph.
type Node struct {
	Spec  *spec.Spec
	Needs []*Node // must be built before; sorted by name
	By    []*Node // need this one; sorted by name

	index int
	graph *Graph
}

// Graph is the graph that the node is part of.
func (n *Node) Graph() *Graph { return n.graph }

// Name is the source package's name.
func (n *Node) Name() string { return n.Spec.Name }

// Graph is what must be built before what. It has no cycles.
type Graph struct {
	Nodes    []*Node // in an order in which they can be built
	packages []Declared
	nodes    []*Node // by spec
	resolver Resolver
}

// New makes the graph. Every unsatisfied BuildRequires is reported, and every cycle as a path with
// the BuildRequires that make it; both are of the kind fault.Usage.
func New(specs []*spec.Spec, packages []Declared, r Resolver) (*Graph, error) {
	g := &Graph{packages: packages, resolver: r, nodes: make([]*Node, len(specs))}
	for i, s := range specs {
		g.nodes[i] = &Node{Spec: s, index: i, graph: g}
	}
	declared := map[int]bool{}
	for _, p := range packages {
		declared[p.Spec] = true
	}
	var problems []error
	for i, n := range g.nodes {
		if !declared[i] {
			continue // not for this architecture
		}
		ids, err := r.Resolve(n.Spec.Source.Requires)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: its BuildRequires cannot be had:\n%w", n.Spec.File, err))
			continue
		}
		for _, id := range ids {
			n.need(g.nodes[packages[id].Spec])
		}
	}
	if len(problems) > 0 {
		return nil, fault.As(fault.Usage, errors.Join(problems...))
	}
	for _, n := range g.nodes {
		byName(n.Needs)
		byName(n.By)
	}
	if err := g.order(declared); err != nil {
		return nil, fault.As(fault.Usage, err)
	}
	return g, nil
}

func byName(nodes []*Node) {
	sort.Slice(nodes, func(i, j int) bool { return nodes[i].Name() < nodes[j].Name() })
}

func (n *Node) need(m *Node) {
	if !slices.Contains(n.Needs, m) {
		n.Needs = append(n.Needs, m)
		m.By = append(m.By, n)
	}
}

// order sorts the nodes, dependencies first, or reports the cycles.
func (g *Graph) order(declared map[int]bool) error {
	const (
		fresh = iota
		open
		done
	)
	state := map[*Node]int{}
	var path []*Node
	var cycles []string
	var visit func(*Node)
	visit = func(n *Node) {
		state[n] = open
		path = append(path, n)
		for _, m := range n.Needs {
			switch state[m] {
			case fresh:
				visit(m)
			case open:
				cycles = append(cycles, g.cycle(path[slices.Index(path, m):]))
			}
		}
		path = path[:len(path)-1]
		state[n] = done
		g.Nodes = append(g.Nodes, n)
	}
	all := slices.Clone(g.nodes)
	byName(all)
	for _, n := range all {
		if declared[n.index] && state[n] == fresh {
			visit(n)
		}
	}
	if len(cycles) > 0 {
		return fmt.Errorf("%s", strings.Join(cycles, "\n"))
	}
	return nil
}

// cycle describes a cycle: every edge with the BuildRequires that makes it, so that one can be cut.
func (g *Graph) cycle(path []*Node) string {
	var b strings.Builder
	b.WriteString("packages need each other to be built:\n")
	for i, n := range path {
		next := path[(i+1)%len(path)]
		fmt.Fprintf(&b, "  %s needs %s: %s\n", n.Name(), next.Name(), g.edge(n, next))
	}
	b.WriteString("remove one of these BuildRequires, or make it depend on a %bcond that is off for the first build")
	return b.String()
}

// edge says which BuildRequires of n leads to m, and through which packages.
func (g *Graph) edge(n, m *Node) string {
	var reasons []string
	for _, want := range n.Spec.Source.Requires {
		ids, err := g.resolver.Resolve([]string{want})
		if err != nil {
			continue
		}
		direct, through := "", false
		for _, id := range ids {
			if g.packages[id].Spec != m.index {
				continue
			}
			through = true
			if name := g.packages[id].Package.Name; name == strings.Fields(want)[0] {
				direct = name
			}
		}
		switch {
		case direct != "":
			reasons = append(reasons, "BuildRequires: "+want)
		case through:
			reasons = append(reasons, "BuildRequires: "+want+", which needs it at run time or provides it")
		}
	}
	if len(reasons) == 0 {
		return "(all its BuildRequires together)"
	}
	return n.Spec.File + ": " + strings.Join(reasons, "; ")
}

// Find is the node of a source package, or of the one that makes a binary package; nil if there is none.
func (g *Graph) Find(name string) *Node {
	for _, n := range g.Nodes {
		if n.Name() == name {
			return n
		}
	}
	for _, p := range g.packages {
		if p.Package.Name == name {
			return g.nodes[p.Spec]
		}
	}
	return nil
}

// Providers are the nodes that must be built to have all that want names, what these packages need
// at run time included. r resolves over the packages that the graph was made from: without stage0,
// if an image is to be made of them.
func (g *Graph) Providers(r Resolver, want []string) ([]*Node, error) {
	ids, err := r.Resolve(want)
	if err != nil {
		return nil, fault.As(fault.Usage, err)
	}
	var out []*Node
	for _, id := range ids {
		if n := g.nodes[g.packages[id].Spec]; !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	byName(out)
	return out, nil
}

// Closure is nodes and all that they need, in the order of the graph.
func (g *Graph) Closure(nodes ...*Node) []*Node {
	in := map[*Node]bool{}
	var add func(*Node)
	add = func(n *Node) {
		if in[n] {
			return
		}
		in[n] = true
		for _, m := range n.Needs {
			add(m)
		}
	}
	for _, n := range nodes {
		add(n)
	}
	var out []*Node
	for _, n := range g.Nodes {
		if in[n] {
			out = append(out, n)
		}
	}
	return out
}

// Ancestors is all that must be built before n: the only packages that its build may see.
func (g *Graph) Ancestors(n *Node) []*Node {
	all := g.Closure(n)
	return slices.DeleteFunc(all, func(m *Node) bool { return m == n })
}

// Dependents are all nodes that need n, however indirectly, sorted by name.
func (g *Graph) Dependents(n *Node) []*Node {
	in := map[*Node]bool{}
	var add func(*Node)
	add = func(m *Node) {
		for _, b := range m.By {
			if !in[b] {
				in[b] = true
				add(b)
			}
		}
	}
	add(n)
	var out []*Node
	for m := range in {
		out = append(out, m)
	}
	byName(out)
	return out
}
