package distro

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mariner/internal/fault"
)

const minimal = `name: Test Linux
version: "1.0"
release: "1"
dist: .t1
architectures: [x86_64]
specs: [SPECS]
macros: SPECS/macros/macros.test
stage0:
  suite: trixie
  packages: [gcc]
`

// plant writes a tree of files; a name that ends in a slash is a folder.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func with(yaml string, more ...string) map[string]string {
	files := map[string]string{FileName: yaml, "SPECS/macros/macros.test": "", "SPECS/macros/macros.spec": ""}
	for _, name := range more {
		files[name] = ""
	}
	return files
}

func TestLoad(t *testing.T) {
	dir := plant(t, with(strings.Replace(minimal, "[SPECS]", "\n- SPECS\n- path: ACME\n  replaces: [zlib]", 1)+`  hidden:
    stage0(libc-devel): [libc6-dev]
  provides: [gcc, make]
buildroot:
  files:
  - {source: SPECS/macros/macros.test, path: /usr/lib/rpm/x}
  - {source: SPECS/macros/macros.test, path: /usr/bin/x, mode: 0755}
images: [images]
signing: {key: keys/release.asc}
sources:
  mirrors: [https://mirror.invalid/by-digest]
`, "ACME/", "images/"))
	tree, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Specs) != 2 || tree.Specs[0].Path != "SPECS" || tree.Specs[1].Path != "ACME" || tree.Specs[1].Replaces[0] != "zlib" {
		t.Errorf("specs: %+v", tree.Specs)
	}
	if tree.BuildRoot.Files[0].Mode != 0o644 || tree.BuildRoot.Files[1].Mode != 0o755 {
		t.Errorf("modes: %+v", tree.BuildRoot.Files)
	}
	for name, pair := range map[string][2]string{
		"components": {strings.Join(tree.Stage0.Components, " "), "main"},
		"hidden":     {tree.Stage0.Hidden["stage0(libc-devel)"][0], "libc6-dev"},
		"macros":     {tree.MacrosFile(), filepath.Join(dir, "SPECS/macros/macros.test")},
		"images":     {tree.ImageDirs()[0], filepath.Join(dir, "images")},
		"key":        {tree.SigningKeyFile(), filepath.Join(dir, "keys/release.asc")},
		"out":        {tree.Out(), filepath.Join(dir, "out")},
		"rel inside": {tree.Rel(filepath.Join(dir, "SPECS/a")), "SPECS/a"},
		"rel":        {tree.Rel("/elsewhere/a"), "/elsewhere/a"},
		"at":         {tree.At("stage0.suite"), filepath.Join(dir, FileName) + ":12"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: expected %q, found %q", name, pair[1], pair[0])
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	change := func(old, new string) string { return strings.Replace(minimal, old, new, 1) }
	cases := []struct{ name, yaml, want string }{
		{"unknown key", minimal + "imges: [x]\n", `mariner.yaml:11: unknown key "imges"; did you mean "images"?`},
		{"no name", change("name: Test Linux\n", ""), "name: expected a value, say Mariner Linux; found none"},
		{"version is a number", change(`"1.0"`, "1.0"), "mariner.yaml:2: version: expected text"},
		{"dist", change(".t1", "t1"), `mariner.yaml:4: dist: expected something like .mar1, found "t1"`},
		{"architecture", change("x86_64", "x86-64"), `mariner.yaml:5: architectures[0]: unknown architecture "x86-64"; did you mean "x86_64"?`},
		{"no folder", change("[SPECS]", "[SPEC]"), "mariner.yaml:6: specs[0]: expected a folder"},
		{"folder twice", change("[SPECS]", "[SPECS, ./SPECS]"), "mariner.yaml:6: specs[1]"},
		{"folder is a file", change("[SPECS]", "[mariner.yaml]"), "found a file"},
		{"empty path", change("[SPECS]", "[{replaces: [x]}]"), "expected the path of a folder"},
		{"nothing to replace", change("[SPECS]", "[{path: SPECS, replaces: [x]}]"), "the first folder has nothing before it"},
		{"no macros", change("macros.test", "macros.none"), "mariner.yaml:7: macros: expected a file"},
		{"suite", change("trixie", `"13"`), `mariner.yaml:9: stage0.suite: expected something like trixie, found "13"`},
		{"epoch", minimal + "  epoch: -1\n", "stage0.epoch: expected 0 or more, found -1"},
		{"no packages", change("[gcc]", "[]"), "stage0.packages: expected the Debian packages"},
		{"package to remove", change("[gcc]", "[gcc, curl-]"), `mariner.yaml:10: stage0.packages[1]: expected the name of a Debian package, found "curl-"`},
		{"package twice", change("[gcc]", "[gcc, gcc]"), "stage0.packages[1]: gcc is given twice"},
		{"versioned provide", minimal + "  provides: ['gcc = 1']\n", "expected a capability without a version"},
		{"hidden and provided", minimal + "  provides: [x]\n  hidden: {x: [y1]}\n", "x is in stage0.hidden"},
		{"hidden nothing", minimal + "  hidden: {x: []}\n", "stage0.hidden.x: expected Debian packages, found none"},
		{"mode", minimal + "buildroot: {files: [{source: SPECS/macros/macros.test, path: /x, mode: 888}]}\n", `expected permissions in octal, say 0755, found "888"`},
		{"relative", minimal + "buildroot: {files: [{source: SPECS/macros/macros.test, path: x}]}\n", "expected an absolute path"},
		{"no source", minimal + "buildroot: {files: [{path: /x}]}\n", "buildroot.files[0].source: expected the path of a file"},
		{"mirror", minimal + "sources: {mirrors: [mirror.invalid]}\n", "mariner.yaml:11: sources.mirrors[0]: expected a URL"},
		{"key", minimal + "signing: {key: .hidden}\n", "signing.key: expected something like"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(plant(t, with(c.yaml)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("expected %q, found %v", c.want, err)
			}
			if fault.KindOf(err) != fault.Usage {
				t.Errorf("expected a usage error, found %v", fault.KindOf(err))
			}
		})
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is no distribution tree") {
		t.Errorf("found %v", err)
	}
}

func TestPackages(t *testing.T) {
	two := strings.Replace(minimal, "[SPECS]", "[SPECS, ACME]", 1)
	replacing := strings.Replace(minimal, "[SPECS]", "[SPECS, {path: ACME, replaces: [zlib]}]", 1)
	cases := []struct {
		name, yaml string
		files      []string
		want       string // the spec files, or a part of the error
	}{
		{"one folder", minimal, []string{"SPECS/zlib/zlib.spec", "SPECS/zlib/zlib.patch", "SPECS/README.md", "SPECS/.git/x"}, "SPECS/macros/macros.spec SPECS/zlib/zlib.spec"},
		{"sorted over folders", two, []string{"SPECS/zlib/zlib.spec", "ACME/nano/nano.spec"}, "SPECS/macros/macros.spec ACME/nano/nano.spec SPECS/zlib/zlib.spec"},
		{"replaced", replacing, []string{"SPECS/zlib/zlib.spec", "ACME/zlib/zlib.spec"}, "SPECS/macros/macros.spec ACME/zlib/zlib.spec"},
		{"defined twice", two, []string{"SPECS/zlib/zlib.spec", "ACME/zlib/zlib.spec"}, "package zlib is defined twice, by SPECS/zlib/zlib.spec and by ACME/zlib/zlib.spec"},
		{"replaces what is not there", replacing, []string{"SPECS/zlib/zlib.spec", "ACME/"}, "mariner.yaml:6: replaces zlib, but ACME does not have it"},
		{"replaces nothing", replacing, []string{"ACME/zlib/zlib.spec"}, "replaces zlib, but no earlier folder has it"},
		{"no spec", minimal, []string{"SPECS/zlib/zlib.patch"}, "SPECS/zlib: expected zlib.spec, found no spec"},
		{"other name", minimal, []string{"SPECS/zlib/zlib-ng.spec"}, "SPECS/zlib: expected zlib.spec, found zlib-ng.spec: rename"},
		{"two specs", minimal, []string{"SPECS/zlib/zlib.spec", "SPECS/zlib/b.spec"}, "expected only zlib.spec, found b.spec as well"},
		{"spec without folder", minimal, []string{"SPECS/zlib.spec"}, "SPECS/zlib.spec: a spec stands in a folder of its name: move it to SPECS/zlib/zlib.spec"},
		{"spec is a folder", minimal, []string{"SPECS/zlib/zlib.spec/"}, "expected a spec file, found a folder"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tree, err := Load(plant(t, with(c.yaml, c.files...)))
			if err != nil {
				t.Fatal(err)
			}
			packages, err := tree.Packages()
			if err != nil {
				if !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != fault.Usage {
					t.Errorf("expected %q, found %v", c.want, err)
				}
				return
			}
			var specs []string
			for _, p := range packages {
				specs = append(specs, tree.Rel(p.SpecFile))
				if p.Dir != filepath.Dir(p.SpecFile) || p.Name != filepath.Base(p.Dir) {
					t.Errorf("found %+v", p)
				}
			}
			if got := strings.Join(specs, " "); got != c.want {
				t.Errorf("expected %s, found %s", c.want, got)
			}
		})
	}
}

func TestFind(t *testing.T) {
	dir := plant(t, with(minimal, "SPECS/zlib/zlib.spec"))
	got, err := Find(filepath.Join(dir, "SPECS", "zlib"))
	if err != nil || got != dir {
		t.Errorf("expected %s, found %s, %v", dir, got, err)
	}
	if _, err := Find(string(filepath.Separator)); fault.KindOf(err) != fault.Usage {
		t.Errorf("expected a usage error, found %v", err)
	}
}

// TestOurTree checks the mariner.yaml of this repository.
func TestOurTree(t *testing.T) {
	dir, err := Find(".")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err != nil {
		t.Error(err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(minimal))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, FileName), data, 0o644); err != nil {
			t.Fatal(err)
		}
		if tree, err := Load(dir); (tree == nil) != (err != nil) {
			t.Fatalf("expected a tree or an error, found %v and %v", tree, err)
		}
	})
}
