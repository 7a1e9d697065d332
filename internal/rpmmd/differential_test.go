package rpmmd_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"mariner/internal/rpm/rpmtest"
	"mariner/internal/rpmmd"
)

const revision = 1700000000

// repository makes a directory with the packages of specs, and loads them.
func repository(t testing.TB, specs ...string) (string, []*rpmmd.Package) {
	t.Helper()
	dir := t.TempDir()
	var files []rpmmd.File
	for _, spec := range specs {
		for _, path := range rpmtest.Build(t, spec) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			location := "Packages/" + filepath.Base(path)
			writeFile(t, filepath.Join(dir, location), data)
			files = append(files, rpmmd.File{Path: filepath.Join(dir, location), Location: location})
		}
	}
	pkgs, err := rpmmd.Load(context.Background(), files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dir, pkgs
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeRepo(t testing.TB, dir string, pkgs []*rpmmd.Package, o rpmmd.Options) {
	t.Helper()
	o.Revision = revision
	if err := rpmmd.Write(context.Background(), dir, pkgs, o); err != nil {
		t.Fatal(err)
	}
}

// TestAgainstCreaterepo compares, element by element and attribute by attribute, what we write with
// what createrepo_c writes for the same packages.
func TestAgainstCreaterepo(t *testing.T) {
	rpmtest.NeedTools(t, "createrepo_c")
	dir, pkgs := repository(t, rpmtest.Everything, rpmtest.Simple("plain", "1.0", "Requires: libc.so.6(GLIBC_2.38)(64bit)", "Requires: libc.so.6()(64bit)", "Requires: libc.so.6(GLIBC_2.4)(64bit)", "Requires: /usr/sbin/x"))
	for _, compression := range []rpmmd.Compression{rpmmd.Zstd, rpmmd.Gzip} {
		writeRepo(t, dir, pkgs, rpmmd.Options{Compression: compression})
		ours := documentsOf(t, dir)
		if out, err := exec.Command("createrepo_c", "--quiet", "--no-database", "--simple-md-filenames", "--update", dir).CombinedOutput(); err != nil {
			t.Fatalf("createrepo_c: %v\n%s", err, out)
		}
		theirs := documentsOf(t, dir)
		repo, err := rpmmd.Read(context.Background(), rpmmd.FromDir(dir), rpmmd.ReadOptions{Unsigned: true, Filelists: true, Changelogs: true})
		if err != nil || len(repo.Packages) != len(pkgs) {
			t.Fatalf("reading what createrepo_c wrote: %v", err)
		}
		for kind, want := range theirs {
			if len(want.packages) != len(pkgs) {
				t.Fatalf("%s: expected createrepo_c to write %d packages, found %d", kind, len(pkgs), len(want.packages))
			}
			got := ours[kind]
			if got.root != want.root {
				t.Errorf("%s: createrepo_c says %s, we %s", kind, want.root, got.root)
			}
			for id, w := range want.packages {
				if g := got.packages[id]; g != w {
					t.Errorf("%s of %s differs: %s", kind, id[:12], firstDifference(w, g))
				}
			}
			if len(got.packages) != len(want.packages) {
				t.Errorf("%s: expected %d packages, found %d", kind, len(want.packages), len(got.packages))
			}
		}
	}
}

// doc is a document in a form that can be compared: one line an element, attributes sorted.
type doc struct {
	root     string
	packages map[string]string // by pkgid
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range w {
		if i >= len(g) || w[i] != g[i] {
			return fmt.Sprintf("line %d\ncreaterepo_c: %s\nwe:           %s", i, strings.Join(w[i:min(i+3, len(w))], "\n"), strings.Join(g[min(i, len(g)):min(i+3, len(g))], "\n"))
		}
	}
	return "we have more:\n" + strings.Join(g[len(w):], "\n")
}

func documentsOf(t *testing.T, dir string) map[string]doc {
	t.Helper()
	docs := make(map[string]doc)
	for _, kind := range []string{"primary", "filelists", "other"} {
		paths, err := filepath.Glob(filepath.Join(dir, "repodata", "*"+kind+".xml.*"))
		if err != nil || len(paths) != 1 {
			t.Fatalf("expected one %s, found %v (%v)", kind, paths, err)
		}
		docs[kind] = canonical(t, unpack(t, paths[0]))
	}
	return docs
}

func unpack(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader
	if strings.HasSuffix(path, ".zst") {
		var z *zstd.Decoder
		if z, err = zstd.NewReader(f); err == nil {
			defer z.Close()
		}
		r = z
	} else {
		r, err = gzip.NewReader(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func canonical(t *testing.T, raw []byte) doc {
	t.Helper()
	out := doc{packages: map[string]string{}}
	d := xml.NewDecoder(bytes.NewReader(raw))
	var cur strings.Builder
	depth, id := 0, ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if depth++; depth == 2 {
				cur.Reset()
			}
			line := element(e)
			if depth == 1 {
				out.root = line
				continue
			}
			if e.Name.Local == "package" && len(e.Attr) > 1 {
				id = e.Attr[0].Value
			}
			cur.WriteString(line)
		case xml.CharData:
			text := string(e)
			if depth == 3 && id == "" && strings.HasSuffix(cur.String(), " pkgid=YES type=sha256\n") {
				id = text
			}
			if strings.TrimSpace(text) != "" {
				cur.WriteString("text " + strings.ReplaceAll(text, "\n", `\n`) + "\n")
			}
		case xml.EndElement:
			if depth--; depth == 1 {
				out.packages[id], id = cur.String(), ""
			}
		}
	}
}

func element(e xml.StartElement) string {
	var attrs []string
	for _, a := range e.Attr {
		if e.Name.Local == "time" && a.Name.Local == "file" {
			continue // of the file as it lies here; ours is reproducible
		}
		attrs = append(attrs, a.Name.Local+"="+a.Value)
	}
	sort.Strings(attrs)
	return e.Name.Space + " " + e.Name.Local + " " + strings.Join(attrs, " ") + "\n"
}
