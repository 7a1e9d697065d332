package spec_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"mariner/internal/sandbox"
	"mariner/internal/sandbox/sandboxtest"
	"mariner/internal/spec"
	"mariner/internal/store"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

// memory is a Memory that counts.
type memory struct {
	mu     sync.Mutex
	values map[store.Digest][]byte
	hits   int
}

func (m *memory) Memo(_ string, key store.Digest) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.values[key]
	if ok {
		m.hits++
	}
	return b, ok
}

func (m *memory) PutMemo(_ string, key store.Digest, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = value
	return nil
}

const macros = "../../SPECS/mariner-rpm-macros/macros.mariner"

// stage0 is the root that has RPM in it.
func stage0(t *testing.T) sandbox.Root {
	t.Helper()
	return sandbox.Root{Lower: sandboxtest.Stage0(t)}
}

func reader(t *testing.T, m spec.Memory) *spec.Reader {
	root := stage0(t)
	return &spec.Reader{
		Runner: &sandbox.Namespaces{Temp: t.TempDir()}, Memory: m, Macros: macros, Temp: t.TempDir(),
		Root: func(context.Context) (sandbox.Root, error) { return root, nil },
	}
}

// folders are the SPEC files at pattern.
func folders(t *testing.T, pattern string) (out []spec.Folder) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no spec at %s: %v", pattern, err)
	}
	for _, f := range files {
		if f, err = filepath.Abs(f); err != nil {
			t.Fatal(err)
		}
		out = append(out, spec.Folder{Name: filepath.Base(filepath.Dir(f)), File: f})
	}
	return out
}

// TestAgainstRpmspec reads the tree's own specs, and some that use what the tree's do not, and compares with what
// rpmspec(8) prints of each in a process of its own.
func TestAgainstRpmspec(t *testing.T) {
	all := append(folders(t, "../../SPECS/*/*.spec"), folders(t, "testdata/*/*.spec")...)
	specs, err := reader(t, &memory{values: map[store.Digest][]byte{}}).Read(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, s := range specs {
		fmt.Fprintf(&got, "source %s %s\n", s.Name, s.Source.EVR())
		lines(&got, "  requires ", s.Source.Requires)
		for _, p := range s.Packages {
			fmt.Fprintf(&got, "  package %s %s %s %s\n", p.Name, p.EVR(), p.Arch, p.License)
			lines(&got, "    provides ", p.Provides)
			lines(&got, "    requires ", p.Requires)
			lines(&got, "    recommends ", p.Recommends)
			lines(&got, "    conflicts ", p.Conflicts)
			lines(&got, "    obsoletes ", p.Obsoletes)
		}
	}
	want := rpmspec(t, all)
	if got.String() != want {
		t.Errorf("rpmspec and the reader differ:\n%s", firstDifference(want, got.String()))
	}
	if n := strings.Count(want, "\n  package "); n < len(all) {
		t.Errorf("only %d packages were compared", n)
	}
}

func lines(w *bytes.Buffer, prefix string, list []string) {
	list = slices.Clone(list)
	slices.Sort(list)
	for _, l := range list {
		fmt.Fprintln(w, prefix+l)
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range w {
		if i >= len(g) || w[i] != g[i] {
			from := max(0, i-8)
			return fmt.Sprintf("line %d\nrpmspec:\n%s\nreader:\n%s", i+1, strings.Join(w[from:min(i+4, len(w))], "\n"), strings.Join(g[min(from, len(g)):min(i+4, len(g))], "\n"))
		}
	}
	return fmt.Sprintf("the reader has %d lines more", len(g)-len(w))
}

// script prints of every spec what TestAgainstRpmspec prints of the reader's answers.
const script = `
list() { sed '/^(none)/d; s/ *$//; /^$/d; /^rpmlib(/d' | LC_ALL=C sort | sed "s/^/$1/"; }
while read -r spec; do
  dir=$(dirname "$spec")
  set -- --define "_sourcedir $dir"
  rpmspec "$@" -q --srpm --queryformat 'source %{name} %{evr}\n' "$spec"
  rpmspec "$@" -q --srpm --queryformat '[%{requirenevrs}\n]' "$spec" | list '  requires '
  rpmspec "$@" -q --builtrpms --queryformat '<package>%{name} %{evr} %{arch} %{license}\n[provides %{providenevrs}\n][requires %{requirenevrs}\n][recommends %{recommendnevrs}\n][conflicts %{conflictnevrs}\n][obsoletes %{obsoletenevrs}\n]' "$spec" >/tmp/q
  [ -s /tmp/q ] || { echo "rpmspec knows no package of $spec" >&2; exit 1; }
  csplit --quiet --elide-empty-files --prefix=/tmp/p- --digits=4 /tmp/q '/^<package>/' '{*}'
  for f in /tmp/p-*; do
    sed -n '1s/^<package>/  package /p' "$f"
    for kind in provides requires recommends conflicts obsoletes; do sed -n "s/^$kind //p" "$f" | list "    $kind "; done
  done
  rm /tmp/p-*
done
`

func rpmspec(t *testing.T, all []spec.Folder) string {
	binds := []sandbox.Bind{{Source: macros, Target: "/etc/rpm/macros.mariner", ReadOnly: true}}
	var list strings.Builder
	for _, f := range all {
		dir := filepath.Join("/specs", f.Name)
		binds = append(binds, sandbox.Bind{Source: filepath.Dir(f.File), Target: dir, ReadOnly: true})
		fmt.Fprintln(&list, filepath.Join(dir, filepath.Base(f.File)))
	}
	var out, errs bytes.Buffer
	_, err := (&sandbox.Namespaces{Temp: t.TempDir()}).Run(t.Context(), sandbox.Command{
		Args: []string{"bash", "-euo", "pipefail", "-c", script}, Env: []string{"PATH=/usr/bin:/usr/sbin", "LC_ALL=C.UTF-8", "HOME=/tmp", "TZ=UTC"},
		Root: stage0(t), Binds: binds, Stdin: strings.NewReader(list.String()), Stdout: &out, Stderr: &errs,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	return out.String()
}

func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "one")
	write := func(text string) []spec.Folder {
		t.Helper()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "one.spec")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return []spec.Folder{{Name: "one", File: file}}
	}
	const text = "Name: one\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nSource0: https://example.invalid/a/b.tar\nSource1: c.txt\nPatch5: d.patch\n" +
		"%description\n%check\ntrue\n%files\n%dir %attr(0755, root, root) /usr/share/one\n"
	m := &memory{values: map[store.Digest][]byte{}}
	r := reader(t, m)
	first, err := r.Read(t.Context(), write(text))
	if err != nil {
		t.Fatal(err)
	}
	s := first[0]
	s.LocateSources()
	want := []spec.Source{
		{URL: "https://example.invalid/a/b.tar", Number: 0, Line: 6},
		{URL: "c.txt", Number: 1, Line: 7},
		{URL: "d.patch", Number: 5, Patch: true, Line: 8},
	}
	if !slices.Equal(s.Sources, want) || !s.Check || !slices.Equal(s.Packages[0].Paths(), []string{"/usr/share/one"}) {
		t.Errorf("sources %+v, check %t, paths %q", s.Sources, s.Check, s.Packages[0].Paths())
	}
	again, err := r.Read(t.Context(), write(text))
	if err != nil || m.hits != 1 {
		t.Errorf("the second reading: %v, %d hits in the cache", err, m.hits)
	}
	first[0].Sources[0].Line, first[0].Sources[1].Line, first[0].Sources[2].Line = 0, 0, 0
	a, _ := json.Marshal(first)
	if b, _ := json.Marshal(again); !bytes.Equal(a, b) {
		t.Errorf("from the cache comes something else:\n%s\n%s", a, b)
	}
	for _, tc := range []struct{ name, from, to, want string }{
		{"an unknown tag", "Summary: s", "Sumary: s", "one.spec:4: Unknown tag: Sumary: s"},
		{"no files of that name", "Name: one", "Name: two", `one.spec: Name is "two"; it must be the folder's name, "one"`},
		{"a shell that hangs up", "Version: 1", "Version: %(exit 3)", "one.spec"},
		{"a hidden source", "c.txt", ".c.txt", "one.spec:7: .c.txt: hidden files and editors' backups (*~) are no part of a package"},
		{"a backup as a patch", "d.patch", "d.patch~", "one.spec:8: d.patch~: hidden files"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := r.Read(t.Context(), write(strings.Replace(text, tc.from, tc.to, 1)))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestPrivateTree reads a tree that was cloned under umask 077; who reads it in the sandbox owns nothing.
func TestPrivateTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "SPECS", "one")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	const text = "Name: one\nVersion: %(id -u)\nRelease: 1\nSummary: s\nLicense: MIT\n%description\n%include %{_sourcedir}/files\n"
	for name, text := range map[string]string{"one.spec": text, "files": "%files\n/usr/share/one\n", "macros": "%_prefix /usr\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := reader(t, &memory{values: map[store.Digest][]byte{}})
	r.Macros = filepath.Join(dir, "macros")
	specs, err := r.Read(t.Context(), []spec.Folder{{Name: "one", File: filepath.Join(dir, "one.spec")}})
	if err != nil {
		t.Fatal(err)
	}
	if s := specs[0]; s.Source.Version != "1000" || len(s.Packages) != 1 {
		t.Errorf("expected that user 1000 reads one package, found version %q, %d packages", s.Source.Version, len(s.Packages))
	}
}
