package solve

// #include <stdlib.h>
// #include "glue.h"
import "C"

import (
	"maps"
	"path"
	"slices"
	"strings"
	"unsafe"

	"mariner/internal/fault"
	"mariner/internal/rpm"
	"mariner/internal/rpmmd"
)

// Request says what is wanted.
type Request struct {
	// Install lists what must be there afterwards. Each is one of
	//   - a package: `bash`, `bash-5.2`, `bash-5.2-1.mar1.x86_64`, or a pattern of names, `glibc-*`,
	//     which means every package that matches. A package that obsoletes it will do, too;
	//   - a capability: `pkgconfig(zlib)`, or with a version `zlib >= 1.3`;
	//   - a file: `/usr/bin/sh`;
	//   - a rich dependency: `(a or b)`.
	// A name means the packages of that name, and only if there are none what provides it.
	Install []string
	// Exclude lists packages to leave out of account, as package names, versions or patterns.
	Exclude []string
	// WeakDeps says whether recommended and supplementing packages come along where they can.
	WeakDeps bool
	// Installed are packages that are there already: they satisfy dependencies, may be updated or
	// obsoleted by what is chosen, and are not in the result.
	Installed []*rpmmd.Package
}

// want is one entry of Install, made ready for libsolv.
type want struct {
	spec       string
	candidates []C.int // one of these is to be installed
}

// resolve finds the candidates for each entry. What needs no package is left out; a rich dependency
// goes into needs, because only as a requirement of a package does libsolv give it its full meaning.
func (n *native) resolve(specs []string, excluded map[C.int]bool) (wants []want, needs encoder, missing []Problem, err error) {
	for _, spec := range specs {
		d := rpm.ParseDep(spec)
		switch {
		case d.Name == "":
			return nil, encoder{}, nil, fault.Errorf(fault.Usage, "solving: expected a package, a capability, a file or a rich dependency, found an empty one")
		case d.Rich():
			if id, err := n.dep(d); err != nil || id == 0 {
				return nil, encoder{}, nil, fault.Errorf(fault.Usage, "solving: expected a rich dependency as rpm defines them, found %q", spec)
			}
			if err := needs.dep(d); err != nil {
				return nil, encoder{}, nil, fault.As(fault.Usage, err)
			}
			continue
		case d.Sense == 0 && !strings.HasPrefix(d.Name, "/") && isPattern(d.Name):
			groups := n.matching(d.Name)
			if len(groups) == 0 {
				missing = append(missing, n.notFound(spec, excluded))
			}
			for _, name := range groups {
				wants = append(wants, want{name, n.withObsoleters(ids(n.byName[name]))})
			}
			continue
		}
		candidates, there, err := n.candidates(d)
		switch {
		case err != nil:
			return nil, encoder{}, nil, fault.As(fault.Usage, err)
		case there:
		case len(candidates) == 0:
			missing = append(missing, n.notFound(spec, excluded))
		default:
			wants = append(wants, want{spec, candidates})
		}
	}
	for _, w := range wants {
		if !slices.ContainsFunc(w.candidates, func(id C.int) bool { return !excluded[id] }) {
			missing = append(missing, n.notFound(w.spec, excluded))
		}
	}
	return wants, needs, missing, nil
}

// candidates are the packages any of which answers d; there is true if a virtual package does.
func (n *native) candidates(d rpm.Dep) (found []C.int, there bool, err error) {
	id, err := n.dep(d)
	if err != nil {
		return nil, false, err
	}
	providers := n.providers(id)
	for _, p := range providers {
		if n.virtual[p] {
			return nil, true, nil
		}
	}
	if d.Sense != 0 {
		return providers, false, nil
	}
	if strings.HasPrefix(d.Name, "/") {
		if !n.files[d.Name] {
			providers = append(providers, n.owners(d.Name)...)
			slices.Sort(providers)
			providers = slices.Compact(providers)
		}
		return providers, false, nil
	}
	if named := n.byName[d.Name]; len(named) > 0 {
		return n.withObsoleters(ids(named)), false, nil
	}
	if exact := n.nevra(d.Name); len(exact) > 0 {
		return exact, false, nil
	}
	return providers, false, nil
}

func isPattern(s string) bool {
	_, err := path.Match(s, "")
	return err == nil && strings.ContainsAny(s, "*?[")
}

// matching are the names of packages that a pattern matches, sorted.
func (n *native) matching(pattern string) []string {
	var names []string
	for name := range maps.Keys(n.byName) {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func ids(pkgs []*Pkg) []C.int {
	out := make([]C.int, len(pkgs))
	for i, p := range pkgs {
		out[i] = p.id
	}
	return out
}

// owners are the packages that have a file, if no dependency names it and so libsolv knows nothing
// of it.
func (n *native) owners(file string) []C.int {
	var found []C.int
	for _, p := range n.order {
		if C.glue_fits(n.glue, p.id) != 0 && slices.ContainsFunc(p.Files, func(f rpm.File) bool { return f.Path == file }) {
			found = append(found, p.id)
		}
	}
	return found
}

// nevra are the packages that are meant by more than their name: `name.arch`, `name-version`,
// `name-version-release`, each of the last two also with an epoch before the version or `.arch`.
func (n *native) nevra(s string) []C.int {
	var found []C.int
	for i, c := range s {
		if c != '-' && c != '.' { // what follows a name
			continue
		}
		for _, p := range n.byName[s[:i]] {
			if p.is(s) {
				found = append(found, p.id)
			}
		}
	}
	slices.Sort(found)
	return found
}

func (p *Pkg) is(s string) bool {
	rest := strings.TrimPrefix(s, p.Name)
	if rest == s {
		return false
	}
	rest = strings.TrimSuffix(rest, "."+p.Arch)
	if rest == "" {
		return true
	}
	plain := p.EVR
	plain.Epoch = 0
	for _, e := range []rpm.EVR{p.EVR, plain} {
		if rest == "-"+e.String() || rest == "-"+(rpm.EVR{Epoch: e.Epoch, Version: e.Version}).String() {
			return true
		}
	}
	return false
}

// excluded are the packages that patterns name.
func (n *native) excluded(patterns []string) map[C.int]bool {
	out := make(map[C.int]bool)
	for _, pattern := range patterns {
		for _, p := range n.order {
			if n.virtual[p.id] {
				continue
			}
			if ok, err := path.Match(pattern, p.Name); (err == nil && ok) || p.is(pattern) {
				out[p.id] = true
			}
		}
	}
	return out
}

func (n *native) dep(d rpm.Dep) (C.int, error) {
	var e encoder
	if err := e.dep(d); err != nil {
		return 0, err
	}
	return C.glue_dep(n.glue, e.pointer(), C.size_t(len(e.buf))), nil
}

func (n *native) providers(dep C.int) []C.int {
	var out *C.int
	count := C.glue_providers(n.glue, dep, &out)
	return take(out, count)
}

func (n *native) withObsoleters(candidates []C.int) []C.int {
	var out *C.int
	count := C.glue_obsoleters(n.glue, &candidates[0], C.size_t(len(candidates)), &out)
	all := append(candidates, take(out, count)...)
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(id C.int) bool { return C.glue_fits(n.glue, id) == 0 })
}

// take copies what C handed out and frees it.
func take(from *C.int, count C.int) []C.int {
	if from == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(from))
	return slices.Clone(unsafe.Slice(from, int(count)))
}
