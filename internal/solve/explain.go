package solve

// #include "glue.h"
import "C"

import (
	"slices"

	"mariner/internal/rpm"
)

// The kinds of libsolv's rules that explain is told of (SolverRuleinfo in its rules.h).
const (
	rulePkgNotInstallable = 0x101 + iota
	rulePkgNothingProvides
	rulePkgRequires
	rulePkgSelfConflict
	rulePkgConflicts
	rulePkgSameName
	rulePkgObsoletes
	rulePkgImplicitObsoletes
	rulePkgInstalledObsoletes
)

// maxNear is how many packages that come near to a missing dependency an error names.
const maxNear = 8

// explainer turns the rules of one problem into causes: from what is wanted down to why each
// candidate lost.
type explainer struct {
	n        *native
	excluded map[C.int]bool
	rules    map[C.int][]C.glue_info // by the package that they are of
	told     map[C.int]bool
}

// explain makes the error of a request that libsolv could not solve.
func (n *native) explain(infos []C.glue_info, wants []want, excluded map[C.int]bool, request C.int) *Unsolvable {
	u := &Unsolvable{}
	for i := 0; i < len(infos); {
		end := i
		for end < len(infos) && infos[end].problem == infos[i].problem {
			end++
		}
		e := explainer{n, excluded, map[C.int][]C.glue_info{}, map[C.int]bool{}}
		u.Problems = append(u.Problems, e.problem(infos[i:end], wants, request))
		i = end
	}
	return u
}

func (e *explainer) problem(infos []C.glue_info, wants []want, request C.int) Problem {
	var jobs []int
	for _, info := range infos {
		if info.job >= 0 {
			jobs = append(jobs, int(info.job))
		}
		if info.from != 0 {
			e.rules[info.from] = append(e.rules[info.from], info)
		}
		switch info.kind { // these are as much of the other package
		case rulePkgConflicts, rulePkgSameName, rulePkgObsoletes, rulePkgImplicitObsoletes, rulePkgInstalledObsoletes:
			if info.to != 0 {
				e.rules[info.to] = append(e.rules[info.to], info)
			}
		}
	}
	slices.Sort(jobs)
	var p Problem
	for _, job := range slices.Compact(jobs) {
		if job < len(wants) {
			p.Wants = append(p.Wants, Cause{Kind: Wanted, Dep: wants[job].spec, Because: e.all(wants[job].candidates)})
		}
	}
	if request != 0 {
		for _, c := range e.pkg(request) {
			if c.Kind == Otherwise { // the rich dependencies have no part in it
				continue
			}
			c.Kind, c.Package = Wanted, ""
			p.Wants = append(p.Wants, c)
		}
	}
	if len(p.Wants) == 0 { // a clash among what is installed
		for _, info := range infos {
			if info.from != 0 && !e.told[info.from] {
				p.Wants = append(p.Wants, e.pkg(info.from)...)
			}
		}
	}
	return p
}

func (e *explainer) all(candidates []C.int) []Cause {
	var causes []Cause
	for _, id := range candidates {
		causes = append(causes, e.pkg(id)...)
	}
	return causes
}

func (e *explainer) name(id C.int) string {
	if p := e.n.pkgs[id]; p != nil {
		return p.NEVRA()
	}
	return ""
}

// pkg tells why a package cannot be installed.
func (e *explainer) pkg(id C.int) []Cause {
	name := e.name(id)
	switch {
	case e.excluded[id]:
		return []Cause{{Kind: Excluded, Package: name}}
	case e.told[id]:
		return []Cause{{Kind: BrokenAbove, Package: name}}
	}
	e.told[id] = true
	var causes []Cause
	for _, info := range e.rules[id] {
		if c, ok := e.cause(info); ok && !slices.ContainsFunc(causes, func(o Cause) bool { return o.String() == c.String() }) {
			causes = append(causes, c)
		}
	}
	if len(causes) == 0 {
		causes = []Cause{{Kind: Otherwise, Package: name}}
	}
	return causes
}

func (e *explainer) cause(info C.glue_info) (Cause, bool) {
	c := Cause{Package: e.name(info.from), Other: e.name(info.to)}
	if info.dep != 0 {
		c.Dep = C.GoString(C.glue_text(e.n.glue, info.dep))
	}
	switch info.kind {
	case rulePkgNotInstallable:
		c.Kind = WrongArch
	case rulePkgNothingProvides:
		c.Kind, c.Because = Missing, e.n.near(rpm.ParseDep(c.Dep), e.excluded)
	case rulePkgRequires:
		c.Kind, c.Because = Needs, e.all(e.n.providers(info.dep))
	case rulePkgConflicts:
		c.Kind = Conflicts
	case rulePkgSelfConflict:
		c.Kind, c.Other = Conflicts, c.Package
	case rulePkgSameName:
		c.Kind = SameName
	case rulePkgObsoletes, rulePkgImplicitObsoletes, rulePkgInstalledObsoletes:
		c.Kind = Obsoletes
	default:
		return Cause{}, false
	}
	return c, true
}

// notFound is the problem of a wish that has no candidate.
func (n *native) notFound(spec string, excluded map[C.int]bool) Problem {
	return Problem{[]Cause{{Kind: Wanted, Dep: spec, Because: n.near(rpm.ParseDep(spec), excluded)}}}
}

// near are the packages that would answer a dependency but for their version, their architecture,
// or the request's wish to do without them.
func (n *native) near(d rpm.Dep, excluded map[C.int]bool) []Cause {
	var causes []Cause
	if d.Rich() {
		for _, part := range atoms(d.Name) {
			id, err := n.dep(part)
			if err == nil && len(n.providers(id)) == 0 {
				causes = append(append(causes, Cause{Kind: Nothing, Dep: part.String()}), n.near(part, excluded)...)
			}
		}
		return causes
	}
	for _, p := range n.order {
		provided := p.Name == d.Name || p.is(d.Name)
		found := rpm.Dep{Name: p.Name, Sense: rpm.Equal, EVR: p.EVR.String()}
		for _, have := range p.Provides {
			if have.Name == d.Name {
				provided, found = true, have
			}
		}
		switch {
		case !provided:
			continue
		case excluded[p.id]:
			causes = append(causes, Cause{Kind: Excluded, Package: p.NEVRA()})
		case C.glue_fits(n.glue, p.id) == 0:
			causes = append(causes, Cause{Kind: WrongArch, Package: p.NEVRA()})
		case d.Sense != 0:
			causes = append(causes, Cause{Kind: WrongEVR, Package: p.NEVRA(), Dep: found.String()})
		}
		if len(causes) == maxNear {
			break
		}
	}
	return causes
}
