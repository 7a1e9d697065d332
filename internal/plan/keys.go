package plan

import (
	"mariner/internal/spec"
	"mariner/internal/store"
)

// buildLogic is the version of how a package is built: raised when a change of the toolkit changes
// what a build gives.
const buildLogic = "1"

// Environment is what every build of a tree has in common.
type Environment struct {
	Arch   string
	Stage0 store.Digest // of the definition
	Macros store.Digest
	Files  []store.Input // the files that are placed into every build root
	Check  bool          // %check runs
}

// RPM is a package in a build root.
type RPM struct {
	Name   string // its file name
	Digest store.Digest
}

// BuildInputs is everything that the build of a package reads. A source counts by the digest that
// the signatures file demands: the build never sees other bytes.
func BuildInputs(env Environment, s *spec.Spec, sources map[string]string, root []RPM) []store.Input {
	in := []store.Input{
		{Name: "logic " + buildLogic},
		{Name: "architecture " + env.Arch},
		{Name: "stage0", Digest: env.Stage0},
		{Name: "macros", Digest: env.Macros},
		{Name: "spec folder", Digest: s.Content},
	}
	if !env.Check {
		in = append(in, store.Input{Name: "without %check"})
	}
	in = append(in, env.Files...)
	for file, sum := range sources {
		in = append(in, store.Input{Name: "source " + file, Digest: store.Digest(sum)})
	}
	for _, p := range root {
		in = append(in, store.Input{Name: "rpm " + p.Name, Digest: p.Digest})
	}
	return in
}

// Changes compares the inputs of two builds of a package and says in words what changed.
func Changes(before, after []store.Input) []string {
	old := map[string]store.Digest{}
	for _, i := range before {
		old[i.Name] = i.Digest
	}
	var out []string
	seen := map[string]bool{}
	for _, i := range after {
		seen[i.Name] = true
		switch d, ok := old[i.Name]; {
		case !ok:
			out = append(out, i.Name+" is new")
		case d != i.Digest:
			out = append(out, i.Name+" changed")
		}
	}
	for _, i := range before {
		if !seen[i.Name] {
			out = append(out, i.Name+" is gone")
		}
	}
	return out
}
