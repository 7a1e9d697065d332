package solve

// #include <stdlib.h>
// #include "glue.h"
import "C"

import (
	"cmp"
	"errors"
	"maps"
	"runtime"
	"slices"
	"unsafe"

	"mariner/internal/fault"
	"mariner/internal/rpmmd"
)

// Solve chooses the packages to install so that all that the request asks for is there: sorted by
// name, without what is installed or virtual already. If it cannot be done, the error is an
// *Unsolvable that tells why; a request that makes no sense is an error of kind fault.Usage.
func (p *Pool) Solve(r Request) ([]*Pkg, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.learnFiles(r.Install)
	n, err := p.build(r.Installed)
	if err != nil {
		return nil, err
	}
	if n != p.native {
		defer n.free()
	}
	return n.solve(r)
}

func (n *native) solve(r Request) ([]*Pkg, error) {
	excluded := n.excluded(r.Exclude)
	wants, needs, missing, err := n.resolve(r.Install, excluded)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, &Unsolvable{missing}
	}
	var jobs []C.int
	for _, w := range wants {
		jobs = append(append(jobs, C.int(len(w.candidates))), w.candidates...)
	}
	out := slices.Sorted(maps.Keys(excluded))

	// The request is in C's memory only for this call; the pinned slices hold no pointers.
	var pins runtime.Pinner
	defer pins.Unpin()
	var cr C.glue_request
	if len(jobs) > 0 {
		pins.Pin(&jobs[0])
		cr.jobs, cr.njobs = &jobs[0], C.size_t(len(jobs))
	}
	if len(needs.buf) > 0 {
		pins.Pin(&needs.buf[0])
		cr.needs, cr.nneeds = needs.pointer(), C.size_t(len(needs.buf))
	}
	if len(out) > 0 {
		pins.Pin(&out[0])
		cr.excluded, cr.nexcluded = &out[0], C.size_t(len(out))
	}
	if r.WeakDeps {
		cr.weak = 1
	}
	var result C.glue_result
	defer func() {
		C.free(unsafe.Pointer(result.ids))
		C.free(unsafe.Pointer(result.infos))
	}()
	switch C.glue_solve(n.glue, &cr, &result) {
	case C.GLUE_OK:
	case C.GLUE_BAD_DEP:
		return nil, fault.Errorf(fault.Usage, "solving: a rich dependency of the request does not parse")
	default:
		return nil, errors.New("solving: out of memory")
	}
	if result.solved == 0 {
		infos := slices.Clone(unsafe.Slice(result.infos, int(result.count)))
		return nil, n.explain(infos, wants, excluded, result.request)
	}
	found := make([]*Pkg, 0, int(result.count))
	for _, id := range unsafe.Slice(result.ids, int(result.count)) {
		found = append(found, n.pkgs[id])
	}
	slices.SortFunc(found, func(a, b *Pkg) int {
		return cmp.Or(rpmmd.Compare(a.Package, b.Package), cmp.Compare(a.id, b.id))
	})
	return found, nil
}
