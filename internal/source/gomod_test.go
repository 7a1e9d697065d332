package source

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"

	"mariner/internal/fault"
)

// TestTarIsGNUTar compares our archive with that of the real tool.
func TestTarIsGNUTar(t *testing.T) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Fatal("tar is missing: apt-get install tar")
	}
	dir := t.TempDir()
	long := strings.Repeat("directory/", 12)
	for name, size := range map[string]int{
		"a/b": 1, "a.b": 512, "a-b/c": 513, "empty": 0, "Z": 100_000, "ä/ö": 3,
		long + "file": 7, strings.Repeat("x", 95): 1, strings.Repeat("y", 96): 1, strings.Repeat("z", 97): 1,
	} {
		path := filepath.Join(dir, "name-1.0", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	// prefixes that bring names just below, at and above the 100 bytes that fit
	for _, prefix := range []string{"name-1.0", "n"} {
		if prefix == "n" {
			if err := os.Rename(filepath.Join(dir, "name-1.0"), filepath.Join(dir, "n")); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), "tar", "--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u+rwX,go=rX", "--mtime=@0", "-cf", "-", "-C", dir, prefix)
		cmd.Env = append(os.Environ(), "LC_ALL=C", "TAR_OPTIONS=")
		want, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := writeTar(&got, filepath.Join(dir, prefix), prefix); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: expected the %d bytes of tar, found %d others", prefix, len(want), got.Len())
		}
	}
	if err := os.Symlink("a", filepath.Join(dir, "n", "link")); err != nil {
		t.Fatal(err)
	}
	if err := writeTar(&bytes.Buffer{}, filepath.Join(dir, "n"), "n"); err == nil || !strings.Contains(err.Error(), "expected a file or a folder") {
		t.Errorf("expected an error about the link, found %v", err)
	}
}

// moduleProxy makes a Go module proxy of files (go help goproxy) with a module that needs another.
func moduleProxy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	two := map[string]string{"go.mod": "module example.invalid/two\n\ngo 1.21\n", "two.go": "package two\n", "unused/u.go": "package unused\n", "two_test.go": "package two\n"}
	zipped := publish(t, dir, "two", two)
	sum, err := dirhash.HashZip(zipped, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	modSum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(two["go.mod"])), nil })
	if err != nil {
		t.Fatal(err)
	}
	publish(t, dir, "one", map[string]string{
		"go.mod":       "module example.invalid/one\n\ngo 1.21\n\nrequire example.invalid/two v1.0.0\n",
		"go.sum":       "example.invalid/two v1.0.0 " + sum + "\nexample.invalid/two v1.0.0/go.mod " + modSum + "\n",
		"one.go":       "package one\n\nimport _ \"example.invalid/two\"\n",
		"sub/LICENSE":  "free\n",
		"sub/one.go":   "package sub\n",
		"one_test.go":  "package one\n",
		"testdata/x.y": "x\n",
	})
	return dir
}

// publish puts version 1.0.0 of a module into the proxy, and gives the path of its zip file.
func publish(t *testing.T, proxy, module string, files map[string]string) string {
	t.Helper()
	base := filepath.Join(proxy, "example.invalid", module, "@v")
	if err := os.MkdirAll(base, 0o755); err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	z := zip.NewWriter(&zipped)
	for name, text := range files {
		w, err := z.Create("example.invalid/" + module + "@v1.0.0/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"v1.0.0.info": `{"Version":"v1.0.0"}`, "v1.0.0.mod": files["go.mod"], "v1.0.0.zip": zipped.String(), "list": "v1.0.0\n"} {
		if err := os.WriteFile(filepath.Join(base, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(base, "v1.0.0.zip")
}

func TestModule(t *testing.T) {
	cache := t.TempDir()
	t.Cleanup(func() { // the module cache is read-only
		_ = exec.Command("chmod", "-R", "u+w", cache).Run()
	})
	for name, value := range map[string]string{
		"GOPROXY": "file://" + moduleProxy(t), "GOMODCACHE": cache, "GONOSUMDB": "example.invalid", "GOFLAGS": "-mod=vendor", "GOWORK": "/nonexistent/go.work",
	} {
		t.Setenv(name, value)
	}
	b := newBench(t, Options{})
	refs := []Ref{b.ref("gomod:example.invalid/one@v1.0.0#/one-1.0.tar")}
	if err := b.Update(t.Context(), b.dir, refs); err != nil {
		t.Fatal(err)
	}
	sigs, err := ReadSignatures(SignaturesFile(b.dir))
	if err != nil {
		t.Fatal(err)
	}
	again := newBench(t, Options{}) // made anew, in another store: the same bytes
	got, err := again.Fetch(t.Context(), b.dir, sigs, refs)
	if err != nil {
		t.Fatal(err)
	}
	path, err := again.store.File(got["one-1.0.tar"])
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "tar", "-tf", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := `one-1.0/
one-1.0/go.mod
one-1.0/go.sum
one-1.0/one.go
one-1.0/one_test.go
one-1.0/sub/
one-1.0/sub/LICENSE
one-1.0/sub/one.go
one-1.0/testdata/
one-1.0/testdata/x.y
one-1.0/vendor/
one-1.0/vendor/example.invalid/
one-1.0/vendor/example.invalid/two/
one-1.0/vendor/example.invalid/two/two.go
one-1.0/vendor/modules.txt
`
	if string(out) != want {
		t.Errorf("expected:\n%sfound:\n%s", want, out)
	}
	wrong := b.sigs(t, map[string]string{"one-1.0.tar": sum256([]byte("x"))})
	if _, err := b.Fetch(t.Context(), b.dir, wrong, refs); err == nil || !strings.Contains(err.Error(), "wrong digest: expected sha256 "+sum256([]byte("x"))) {
		t.Errorf("expected a wrong digest, found %v", err)
	}
	err = b.Update(t.Context(), b.dir, []Ref{b.ref("gomod:example.invalid/none@v1.0.0#/none-1.0.tar")})
	if err == nil || fault.KindOf(err) != fault.Source || !strings.Contains(err.Error(), "SPECS/zlib/zlib.spec:7: none-1.0.tar: ") {
		t.Errorf("expected a source error with its place, found %v", err)
	}
	t.Setenv("PATH", "/nonexistent")
	if err = b.Update(t.Context(), b.dir, refs); fault.KindOf(err) != fault.Environment || !strings.Contains(err.Error(), "install Go") {
		t.Errorf("expected an error about go, found %v", err)
	}
}

func TestParseModule(t *testing.T) {
	for _, c := range []struct {
		url  string
		want moduleURL
	}{
		{"gomod:github.com/containerd/containerd/v2@v2.1.4#/containerd-2.1.4.tar", moduleURL{"github.com/containerd/containerd/v2", "v2.1.4", "containerd-2.1.4"}},
		{"gomod:example.com/a@v2.0.0+incompatible#/a-2.tar", moduleURL{"example.com/a", "v2.0.0+incompatible", "a-2"}},
		{"gomod:example.com/a@v2.0.0#/a-2.tar", moduleURL{}},
		{"gomod:example.com/a@latest#/a-2.tar", moduleURL{}},
		{"gomod:example.com/a@v1.0.0#/a-2.tar.gz", moduleURL{}},
		{"gomod:example.com/a@v1.0.0#/a/b.tar", moduleURL{}},
		{"gomod:example.com/a@v1.0.0#/.tar", moduleURL{}},
		{"gomod:../a@v1.0.0#/a.tar", moduleURL{}},
	} {
		got, err := parseModule(c.url)
		if (err != nil) != (c.want == moduleURL{}) || err == nil && got != c.want {
			t.Errorf("%s: expected %v, found %v, %v", c.url, c.want, got, err)
		}
	}
}
