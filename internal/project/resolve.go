package project

import (
	"mariner/internal/execute"
	"mariner/internal/plan"
	"mariner/internal/rpm"
	"mariner/internal/rpmmd"
	"mariner/internal/solve"
	"mariner/internal/spec"
)

// planResolver answers plan's questions from what specs declare.
type planResolver struct {
	pool  *solve.Pool
	index map[*rpm.Header]int
}

func newPlanResolver(arch string, declared []plan.Declared, provides []string) (*planResolver, error) {
	pool, err := solve.New(arch)
	if err != nil {
		return nil, err
	}
	r := &planResolver{pool: pool, index: map[*rpm.Header]int{}}
	var pkgs []*rpmmd.Package
	for i, d := range declared {
		h, err := header(d.Package)
		if err != nil {
			pool.Close()
			return nil, err
		}
		r.index[h] = i
		pkgs = append(pkgs, &rpmmd.Package{Header: h})
	}
	pool.AddRepo("specs", pkgs, 0)
	pool.AddVirtual("stage0", provides)
	return r, nil
}

// Resolve implements plan.Resolver.
func (r *planResolver) Resolve(want []string) ([]int, error) {
	if len(want) == 0 {
		return nil, nil
	}
	pkgs, err := r.pool.Solve(solve.Request{Install: want})
	if err != nil {
		return nil, err
	}
	var out []int
	for _, p := range pkgs {
		if i, ok := r.index[p.Header]; ok {
			out = append(out, i)
		}
	}
	return out, nil
}

// header is a declared package as an RPM header, with what its files will provide.
func header(p *spec.Package) (*rpm.Header, error) {
	evr, err := rpm.ParseEVR(p.EVR())
	if err != nil {
		return nil, err
	}
	h := &rpm.Header{Name: p.Name, EVR: evr, Arch: p.Arch}
	h.Provides, h.Requires = deps(p.Provides), deps(p.Requires)
	h.Conflicts, h.Obsoletes = deps(p.Conflicts), deps(p.Obsoletes)
	for _, c := range p.Implied() {
		if c[0] == '/' {
			h.Files = append(h.Files, rpm.File{Path: c})
		} else {
			h.Provides = append(h.Provides, rpm.Dep{Name: c, Sense: rpm.Equal, EVR: p.Version})
		}
	}
	return h, nil
}

func deps(list []string) []rpm.Dep {
	out := make([]rpm.Dep, 0, len(list))
	for _, d := range list {
		out = append(out, rpm.ParseDep(d))
	}
	return out
}

// rootResolver finds what goes into a build root among built packages.
type rootResolver struct {
	arch     string
	provides []string
}

// Resolve implements execute.Resolver.
func (r *rootResolver) Resolve(pool []*execute.Package, want []string) ([]*execute.Package, error) {
	return choose(r.arch, pool, r.provides, want)
}

// choose solves want over pool, stage0 standing in for provides; without these it is an image's list.
func choose(arch string, pool []*execute.Package, provides, want []string) ([]*execute.Package, error) {
	if len(want) == 0 {
		return nil, nil
	}
	s, err := solve.New(arch)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	by := map[*rpm.Header]*execute.Package{}
	var pkgs []*rpmmd.Package
	for _, p := range pool {
		by[p.Header] = p
		pkgs = append(pkgs, &rpmmd.Package{Header: p.Header})
	}
	s.AddRepo("built", pkgs, 0)
	if len(provides) > 0 {
		s.AddVirtual("stage0", provides)
	}
	chosen, err := s.Solve(solve.Request{Install: want})
	if err != nil {
		return nil, err
	}
	var out []*execute.Package
	for _, c := range chosen {
		if p, ok := by[c.Header]; ok {
			out = append(out, p)
		}
	}
	return out, nil
}
