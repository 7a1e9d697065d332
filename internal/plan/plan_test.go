package plan_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mariner/internal/fault"
	"mariner/internal/plan"
	"mariner/internal/spec"
	"mariner/internal/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

// tree is a small distribution: what each source package builds with, and the packages that it makes with what these
// require at run time.
func tree() []*spec.Spec {
	return []*spec.Spec{
		source("glibc", []string{"kernel-headers"}, "glibc", "glibc-devel: glibc kernel-headers"),
		source("kernel-headers", nil, "kernel-headers"),
		source("zlib", []string{"glibc-devel"}, "zlib: glibc", "zlib-devel: zlib"),
		source("openssl", []string{"glibc-devel", "zlib-devel"}, "openssl-libs: glibc zlib", "openssl-devel: openssl-libs"),
		source("curl", []string{"glibc-devel", "openssl-devel"}, "curl: openssl-libs"),
		source("tzdata", nil, "tzdata"),
	}
}

// source is a spec; each of packages is "NAME: what it requires".
func source(name string, requires []string, packages ...string) *spec.Spec {
	s := &spec.Spec{Name: name, File: "SPECS/" + name + "/" + name + ".spec", Source: spec.Package{Name: name, Version: "1", Release: "1", Requires: requires}}
	for _, p := range packages {
		n, rest, _ := strings.Cut(p, ":")
		s.Packages = append(s.Packages, spec.Package{Name: n, Version: "1", Release: "1", Arch: "x86_64", Requires: strings.Fields(rest)})
	}
	return s
}

// byName resolves names alone; libsolv, which does it in earnest, has tests of its own.
type byName []plan.Declared

func (r byName) Resolve(want []string) ([]int, error) {
	var out []int
	for len(want) > 0 {
		i := slices.IndexFunc(r, func(d plan.Declared) bool { return d.Package.Name == want[0] })
		if i < 0 {
			return nil, errors.New("nothing provides " + want[0])
		}
		if want = want[1:]; !slices.Contains(out, i) {
			out = append(out, i)
			want = append(slices.Clone(r[i].Package.Requires), want...)
		}
	}
	return out, nil
}

func graph(specs []*spec.Spec) (*plan.Graph, error) {
	declared := plan.Declare(specs, "x86_64")
	return plan.New(specs, declared, byName(declared))
}

func TestGraph(t *testing.T) {
	g, err := graph(tree())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "%s\n  needs %s\n  before it %s\n  after it %s\n", n.Name(), names(n.Needs), names(g.Ancestors(n)), names(g.Dependents(n)))
	}
	golden(t, "graph.txt", b.Bytes())
	b.Reset()
	if err := plan.Dot(&b, g.Nodes); err != nil {
		t.Fatal(err)
	}
	golden(t, "graph.dot", b.Bytes())
	b.Reset()
	if err := plan.SVG(&b, g.Nodes); err != nil {
		t.Fatal(err)
	}
	golden(t, "graph.svg", b.Bytes())

	// The order of the specs is no input.
	specs := tree()
	slices.Reverse(specs)
	h, err := graph(specs)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := names(g.Nodes), names(h.Nodes); a != b {
		t.Errorf("in another order of the specs: %s, not %s", b, a)
	}
	if n := g.Find("openssl-devel"); n == nil || n.Name() != "openssl" {
		t.Errorf("openssl-devel comes from %v", n)
	}
	chosen, err := g.Providers(byName(plan.Declare(tree(), "x86_64")), []string{"curl", "tzdata"})
	if err != nil || names(chosen) != "curl glibc openssl tzdata zlib" {
		t.Errorf("an image of curl and tzdata needs %s: %v", names(chosen), err)
	}
}

func names(nodes []*plan.Node) string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name())
	}
	return strings.Join(out, " ")
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; make it with go test -update, and read it", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what it was; if it is right, run go test -update:\n%s", file, got)
	}
}

func TestWrongTrees(t *testing.T) {
	for _, tc := range []struct {
		name  string
		specs []*spec.Spec
		want  []string
	}{
		{"a cycle", append(tree(), source("loop", []string{"pool"}, "loop"), source("pool", []string{"curl", "loop"}, "pool")), []string{
			"packages need each other to be built:",
			"loop needs pool: SPECS/loop/loop.spec: BuildRequires: pool",
			"pool needs loop: SPECS/pool/pool.spec: BuildRequires: loop",
			"remove one of these BuildRequires",
		}},
		{"itself", []*spec.Spec{source("go", []string{"go"}, "go")}, []string{"go needs go: SPECS/go/go.spec: BuildRequires: go"}},
		{"through run time", []*spec.Spec{source("a", []string{"b"}, "a"), source("b", nil, "b: c"), source("c", []string{"a"}, "c")}, []string{
			"a needs c: SPECS/a/a.spec: BuildRequires: b, which needs it at run time",
		}},
		{"two that are missing", append(tree(), source("x", []string{"nowhere"}, "x"), source("y", []string{"nothing"}, "y")), []string{
			"SPECS/x/x.spec: its BuildRequires cannot be had:\nnothing provides nowhere",
			"SPECS/y/y.spec: its BuildRequires cannot be had:\nnothing provides nothing",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := graph(tc.specs)
			if fault.KindOf(err) != fault.Usage {
				t.Fatalf("got %v, want an error of the kind usage", err)
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("no %q in\n%v", w, err)
				}
			}
		})
	}
}

func TestArchitecture(t *testing.T) {
	specs := tree()
	specs[4].Source.ExclusiveArch = []string{"aarch64"}
	specs[5].Source.ExcludeArch = []string{"x86_64"}
	g, err := graph(specs)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(g.Nodes); got != "kernel-headers glibc zlib openssl" {
		t.Errorf("built are %s", got)
	}
}

func TestBuildInputs(t *testing.T) {
	env := plan.Environment{Arch: "x86_64", Stage0: "sha256:0", Macros: "sha256:1", Check: true, Files: []store.Input{{Name: "file /a", Digest: "sha256:2"}}}
	s := tree()[2]
	s.Content = "sha256:3"
	inputs := func() []store.Input {
		return plan.BuildInputs(env, s, map[string]string{"zlib.tar": "sha256:4", "b.tar": "sha512:5"}, []plan.RPM{{Name: "glibc.rpm", Digest: "sha256:6"}})
	}
	before, key := inputs(), store.Key(inputs())
	for range 20 { // the sources come in a map
		if store.Key(inputs()) != key {
			t.Fatal("the same inputs have two keys")
		}
	}
	changed := func(what string, want ...string) {
		t.Helper()
		if store.Key(inputs()) == key {
			t.Errorf("%s is not in the key", what)
		}
		if got := plan.Changes(before, inputs()); !slices.Equal(got, want) {
			t.Errorf("%s: it is said %q, not %q", what, got, want)
		}
	}
	s.Content = "sha256:7"
	changed("the spec", "spec folder changed")
	s.Content = "sha256:3"
	env.Macros = "sha256:8"
	changed("the macros", "macros changed")
	env.Macros = "sha256:1"
	env.Check = false
	changed("leaving %check out", "without %check is new")
	env.Check = true
	env.Files = nil
	changed("a placed file", "file /a is gone")
}
