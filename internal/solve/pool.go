package solve

// #cgo LDFLAGS: -lsolvext -lsolv
// #include <stdlib.h>
// #include "glue.h"
import "C"

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"mariner/internal/fault"
	"mariner/internal/rpm"
	"mariner/internal/rpmmd"
)

// Pkg is a package that Solve chose, or could have.
type Pkg struct {
	*rpmmd.Package
	Repo string // the name given to AddRepo

	id C.int // in the pool's libsolv pool; 0 if it does not take part
}

// Pool holds the packages that there are. The results of Solve depend on what was added, never on
// the order of adding. All methods may be called from several goroutines; they take turns. Memory
// outside Go's is held from the first Solve until Close.
type Pool struct {
	arch string

	mu       sync.Mutex
	repos    []repository
	virtuals []*Pkg
	files    map[string]bool // paths that rich dependencies of requests named
	native   *native         // built from the above when first needed, nil until then
	closed   bool
}

type repository struct {
	name     string
	priority int
	pkgs     []*rpmmd.Package
}

// New makes an empty pool for an architecture, such as `x86_64`: packages of others that cannot be
// installed there, and source packages, are left out of account. Close it after use.
func New(arch string) (*Pool, error) {
	if arch == "" || arch == "noarch" || arch == "src" {
		return nil, fault.Errorf(fault.Usage, "solving: expected the architecture of a machine, such as x86_64, found %q", arch)
	}
	g, err := newGlue(arch) // only to refuse a libsolv without RPM now rather than later
	if err != nil {
		return nil, err
	}
	C.glue_free(g)
	return &Pool{arch: arch, files: map[string]bool{}}, nil
}

// Close gives back the memory that libsolv holds. Solving after it is an error.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reset()
	p.closed = true
}

// AddRepo adds a repository. Where several have a package, the one with the smallest priority number
// wins, whatever the versions, as in dnf (whose default is 99). The packages must not change later.
func (p *Pool) AddRepo(name string, pkgs []*rpmmd.Package, priority int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reset()
	p.repos = append(p.repos, repository{name, priority, pkgs})
}

// AddVirtual adds something that is there already, such as a stage0 root: it provides what provides
// lists (`gcc`, `gcc = 14.2`, `/usr/bin/make`), is preferred to any package, and is in no result.
func (p *Pool) AddVirtual(name string, provides []string) {
	h := &rpm.Header{Name: name, EVR: rpm.EVR{Version: "0"}, Arch: "noarch"}
	for _, s := range provides {
		h.Provides = append(h.Provides, rpm.ParseDep(s))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reset()
	p.virtuals = append(p.virtuals, &Pkg{Package: &rpmmd.Package{Header: h}, Repo: name})
}

// EVRCompare is libsolv's own order of two versions, with which rpm.Compare must agree.
func (p *Pool) EVRCompare(a, b string) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.build(nil)
	if err != nil {
		return 0, err
	}
	ca, cb := C.CString(a), C.CString(b)
	defer C.free(unsafe.Pointer(ca))
	defer C.free(unsafe.Pointer(cb))
	return int(C.glue_evrcmp(n.glue, ca, cb)), nil
}

// learnFiles makes the files that rich dependencies of a request name known to libsolv, which has to
// be told of files before all else.
func (p *Pool) learnFiles(specs []string) {
	for _, spec := range specs {
		d := rpm.ParseDep(spec)
		if !d.Rich() {
			continue
		}
		for _, path := range filesInRich(d.Name) {
			p.files[path] = true
			if p.native != nil && !p.native.files[path] {
				p.reset()
			}
		}
	}
}

func (p *Pool) reset() {
	if p.native != nil {
		p.native.free()
		p.native = nil
	}
}

// native is a libsolv pool and what is needed to speak of its packages in Go.
type native struct {
	glue    *C.glue_pool
	pkgs    map[C.int]*Pkg
	order   []*Pkg // by id
	byName  map[string][]*Pkg
	files   map[string]bool // paths that some dependency names, which are provided in libsolv
	virtual map[C.int]bool
}

func (n *native) free() { C.glue_free(n.glue) }

func newGlue(arch string) (*C.glue_pool, error) {
	carch := C.CString(arch)
	defer C.free(unsafe.Pointer(carch))
	var g *C.glue_pool
	switch C.glue_new(carch, &g) {
	case C.GLUE_OK:
		return g, nil
	case C.GLUE_NO_RPM:
		return nil, fault.Errorf(fault.Environment, "solving: this libsolv was built without support for RPM: install one that has it (Debian's and Fedora's libsolv have)")
	}
	return nil, errors.New("solving: out of memory")
}

// build makes the libsolv pool of everything added and of the packages that are installed. Without
// such packages it is kept; else the caller frees it. The lock is held.
func (p *Pool) build(installed []*rpmmd.Package) (*native, error) {
	if p.closed {
		return nil, errors.New("solving: the pool is closed")
	}
	if p.native != nil && len(installed) == 0 {
		return p.native, nil
	}
	g, err := newGlue(p.arch)
	if err != nil {
		return nil, err
	}
	n := &native{
		glue: g, pkgs: map[C.int]*Pkg{}, byName: map[string][]*Pkg{},
		files: maps.Clone(p.files), virtual: map[C.int]bool{},
	}
	if err := p.fill(n, installed); err != nil {
		n.free()
		return nil, err
	}
	if len(installed) == 0 {
		p.native = n
	}
	return n, nil
}

func (p *Pool) fill(n *native, installed []*rpmmd.Package) error {
	repos := slices.Clone(p.repos)
	slices.SortStableFunc(repos, func(a, b repository) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.name, b.name))
	})
	lists := make([][]*Pkg, len(repos))
	for i, r := range repos {
		lists[i] = members(r.name, r.pkgs)
		n.collectFiles(lists[i])
	}
	system := slices.Clone(p.virtuals)
	slices.SortStableFunc(system, func(a, b *Pkg) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), slices.CompareFunc(a.Provides, b.Provides, func(x, y rpm.Dep) int {
			return cmp.Compare(x.String(), y.String())
		}))
	})
	nvirtual := len(system)
	system = append(system, members("installed", installed)...)
	n.collectFiles(system)
	for i, r := range repos {
		if err := n.add(r.name, -r.priority, false, lists[i]); err != nil {
			return err
		}
	}
	if len(system) > 0 {
		if err := n.add("installed", 0, true, system); err != nil {
			return err
		}
	}
	for _, v := range system[:nvirtual] {
		n.virtual[v.id] = true
	}
	C.glue_finish(n.glue)
	for _, pkg := range n.order {
		if C.glue_fits(n.glue, pkg.id) != 0 && !n.virtual[pkg.id] {
			n.byName[pkg.Name] = append(n.byName[pkg.Name], pkg)
		}
	}
	return nil
}

// members are the binary packages of a repository in the order in which rpmmd.Write lists them, so
// that libsolv's choice among equals is that of dnf with the same repository.
func members(repo string, pkgs []*rpmmd.Package) []*Pkg {
	out := make([]*Pkg, 0, len(pkgs))
	for _, pkg := range pkgs {
		if !pkg.Source() {
			out = append(out, &Pkg{Package: pkg, Repo: repo})
		}
	}
	slices.SortStableFunc(out, func(a, b *Pkg) int { return rpmmd.Compare(a.Package, b.Package) })
	return out
}

// add hands packages to libsolv and gives them their ids.
func (n *native) add(repo string, priority int, installed bool, pkgs []*Pkg) error {
	var e encoder
	starts := make([]int, len(pkgs))
	for i, pkg := range pkgs {
		starts[i] = len(e.buf)
		if err := e.pkg(pkg, n.files); err != nil {
			return fmt.Errorf("solving: repository %s: %s: %w", repo, pkg.NEVRA(), err)
		}
	}
	if len(pkgs) == 0 {
		return nil
	}
	cname := C.CString(repo)
	defer C.free(unsafe.Pointer(cname))
	var first C.int
	var bad C.size_t
	flag := C.int(0)
	if installed {
		flag = 1
	}
	if C.glue_add(n.glue, cname, C.int(priority), flag, e.pointer(), C.size_t(len(e.buf)), &first, &bad) != C.GLUE_OK {
		i, found := slices.BinarySearch(starts, int(bad))
		if !found {
			i--
		}
		dep, _, _ := strings.Cut(string(e.buf[bad+1:]), "\x00")
		return fault.Errorf(fault.Check, "solving: repository %s: %s: expected a rich dependency as rpm defines them, found %q", repo, pkgs[i].NEVRA(), dep)
	}
	for i, pkg := range pkgs {
		pkg.id = first + C.int(i)
		n.pkgs[pkg.id] = pkg
	}
	n.order = append(n.order, pkgs...)
	return nil
}
