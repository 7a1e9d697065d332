package rpmmd_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mariner/internal/fault"
	"mariner/internal/rpm"
	"mariner/internal/rpm/rpmtest"
	"mariner/internal/rpmmd"
)

// generated are n packages that exist only as metadata.
func generated(n int) []*rpmmd.Package {
	pkgs := make([]*rpmmd.Package, n)
	for i := range pkgs {
		name := fmt.Sprintf("pkg%04d", i)
		sum := sha256.Sum256([]byte(name))
		h := &rpm.Header{
			Name: name, EVR: rpm.EVR{Version: "1." + fmt.Sprint(i%7), Release: "1"}, Arch: "x86_64",
			Summary: "Package " + name, License: "MIT", BuildTime: revision,
			Provides:  []rpm.Dep{{Name: name, Sense: rpm.Equal, EVR: "1-1"}, {Name: "virtual" + name}},
			Requires:  []rpm.Dep{{Name: "/bin/sh", Pre: true}, {Name: "pkg0000", Sense: rpm.Greater | rpm.Equal, EVR: "1.0"}},
			Files:     []rpm.File{{Path: "/usr/bin/" + name}},
			Changelog: []rpm.Change{{Time: revision, Author: "A <a@example.org> - 1", Text: "- new"}, {Time: revision - 86400, Author: "B", Text: "- first"}},
		}
		for f := range 10 {
			h.Files = append(h.Files, rpm.File{Path: fmt.Sprintf("/usr/share/%s/file%d", name, f)})
		}
		pkgs[i] = &rpmmd.Package{Header: h, Digest: hex.EncodeToString(sum[:]), Location: "Packages/" + name + ".rpm"}
	}
	return pkgs
}

func TestWriteThenRead(t *testing.T) {
	dir, pkgs := repository(t, rpmtest.Everything)
	key := rpmtest.NewKey(t)
	writeRepo(t, dir, pkgs, rpmmd.Options{Signer: key})
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	for name, fetch := range map[string]rpmmd.Fetch{"directory": rpmmd.FromDir(dir), "HTTP": rpmmd.FromURL(nil, server.URL)} {
		repo, err := rpmmd.Read(context.Background(), fetch, rpmmd.ReadOptions{Keyring: key.Keyring(), Filelists: true, Changelogs: true})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if repo.Revision != fmt.Sprint(revision) || len(repo.Packages) != len(pkgs) {
			t.Fatalf("%s: revision %s, %d packages", name, repo.Revision, len(repo.Packages))
		}
		for _, got := range repo.Packages {
			i := slices.IndexFunc(pkgs, func(p *rpmmd.Package) bool { return p.Digest == got.Digest })
			compare(t, pkgs[i], got)
		}
	}
}

// compare checks that got has all of want that metadata can hold.
func compare(t *testing.T, want, got *rpmmd.Package) {
	t.Helper()
	w, g := *want.Header, *got.Header
	if got.Location != want.Location || got.FileTime != w.BuildTime {
		t.Errorf("%s: location %s, time %d", w.NEVRA(), got.Location, got.FileTime)
	}
	if len(g.Files) != len(w.Files) {
		t.Fatalf("%s: expected %d files, found %d", w.NEVRA(), len(w.Files), len(g.Files))
	}
	for i := range w.Files {
		if g.Files[i].Path != w.Files[i].Path || g.Files[i].Type != w.Files[i].Type {
			t.Errorf("%s: file %d: expected %+v, found %+v", w.NEVRA(), i, w.Files[i], g.Files[i])
		}
	}
	for _, d := range g.Requires {
		if !slices.Contains(w.Requires, d) {
			t.Errorf("%s: requirement %+v is new", w.NEVRA(), d)
		}
	}
	if n := min(len(w.Changelog), 10); len(g.Changelog) != n {
		t.Errorf("%s: expected %d changes, found %d", w.NEVRA(), n, len(g.Changelog))
	}
	for _, h := range []*rpm.Header{&w, &g} {
		h.Files, h.Requires, h.Changelog = nil, nil, nil
		h.PayloadDigest, h.HeaderSHA256, h.FileDigestAlgo = "", "", 0
	}
	if !reflect.DeepEqual(w, g) {
		t.Errorf("%s: expected\n%+v\nfound\n%+v", w.NEVRA(), w, g)
	}
}

func TestWriteIsDeterministicAndAtomic(t *testing.T) {
	pkgs := generated(50)
	key := rpmtest.NewKey(t)
	a, b := t.TempDir(), t.TempDir()
	writeRepo(t, a, generated(3), rpmmd.Options{Signer: key}) // to be replaced
	writeFile(t, filepath.Join(a, ".repodata-killed", "x"), nil)
	writeRepo(t, a, pkgs, rpmmd.Options{Signer: key})
	slices.Reverse(pkgs)
	writeRepo(t, b, pkgs, rpmmd.Options{Signer: key})
	if got, want := tree(t, a), tree(t, b); got != want {
		t.Errorf("the same packages gave\n%s\nand\n%s", got, want)
	}
	before := tree(t, a)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := rpmmd.Write(ctx, a, generated(4), rpmmd.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("expected the context's error, found %v", err)
	}
	twice := []*rpmmd.Package{pkgs[0], pkgs[0]}
	if err := rpmmd.Write(context.Background(), a, twice, rpmmd.Options{}); err == nil || !strings.Contains(err.Error(), "have the same location") {
		t.Errorf("two packages at one location: %v", err)
	}
	if after := tree(t, a); after != before {
		t.Errorf("a failed write changed the repository from\n%s\nto\n%s", before, after)
	}
}

// TestReadersNeverSeeAMixture reads a repository over and over while it is being rewritten.
func TestReadersNeverSeeAMixture(t *testing.T) {
	dir := t.TempDir()
	key := rpmtest.NewKey(t)
	writeRepo(t, dir, generated(5), rpmmd.Options{Signer: key})
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := range 15 {
				writeRepo(t, dir, generated(5+i+w), rpmmd.Options{Signer: key})
			}
		})
	}
	for range 100 {
		repodata, err := os.Open(filepath.Join(dir, "repodata")) // one generation, as a snapshot sees it
		if err != nil {
			t.Fatal(err)
		}
		index, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d/repomd.xml", repodata.Fd()))
		if err == nil {
			var sig []byte
			if sig, err = os.ReadFile(fmt.Sprintf("/proc/self/fd/%d/repomd.xml.asc", repodata.Fd())); err == nil {
				want, _ := key.SignDetached(bytes.NewReader(index), timeOf(revision))
				if !bytes.Equal(sig, want) {
					t.Error("the signature is not of this repomd.xml")
				}
			}
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) { // removed since: a reader starts again
			t.Fatal(err)
		}
		repodata.Close()
	}
	wg.Wait()
}

func TestReadRefuses(t *testing.T) {
	key, other := rpmtest.NewKey(t), rpmtest.NewKey(t)
	ours := rpmmd.ReadOptions{Keyring: key.Keyring(), Filelists: true}
	for _, c := range []struct {
		name    string
		damage  func(t *testing.T, dir string)
		options rpmmd.ReadOptions
		want    string
		kind    fault.Kind
	}{
		{"no key", nil, rpmmd.ReadOptions{}, rpmmd.ErrNoKeys.Error(), fault.Usage},
		{"another key", nil, rpmmd.ReadOptions{Keyring: other.Keyring()}, "not signed by a key that is trusted", fault.Check},
		{"repomd.xml", flip("repomd.xml"), ours, "not signed by a key that is trusted", fault.Check},
		{"signature missing", remove("repomd.xml.asc"), ours, "repomd.xml.asc", fault.Source},
		{"primary", flip("*-primary.xml.zst"), ours, "expected sha256", fault.Check},
		{"filelists", flip("*-filelists.xml.zst"), ours, "expected sha256", fault.Check},
		{"filelists missing", remove("*-filelists.xml.zst"), ours, "filelists", fault.Source},
		{"primary too long", lengthen("*-primary.xml.zst"), ours, "bytes, found more", fault.Check},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeRepo(t, dir, generated(20), rpmmd.Options{Signer: key})
			if c.damage != nil {
				c.damage(t, dir)
			}
			_, err := rpmmd.Read(context.Background(), rpmmd.FromDir(dir), c.options)
			if err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != c.kind {
				t.Errorf("expected an error of kind %v with %q, found %v", c.kind, c.want, err)
			}
		})
	}
}

func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "repodata", pattern))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%s: %v, %v", pattern, paths, err)
	}
	return paths[0]
}

func flip(pattern string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { flipFile(t, one(t, dir, pattern)) }
}

// flipFile changes one bit in the middle of a file.
func flipFile(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	writeFile(t, path, data)
}

func remove(pattern string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.Remove(one(t, dir, pattern)); err != nil {
			t.Fatal(err)
		}
	}
}

func lengthen(pattern string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		path := one(t, dir, pattern)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, append(data, 0))
	}
}

// tree lists all files below dir with their digests.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&out, "%s %x\n", strings.TrimPrefix(path, dir), sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestLoadCaches(t *testing.T) {
	path := rpmtest.Build(t, rpmtest.Simple("small", "1"))[0]
	var cache rpmmd.Headers
	files := []rpmmd.File{{Path: path, Location: "a.rpm"}}
	first, err := rpmmd.Load(context.Background(), files, &cache)
	if err != nil {
		t.Fatal(err)
	}
	files[0].Digest = first[0].Digest
	files[0].Path = filepath.Join(t.TempDir(), "is not read")
	second, err := rpmmd.Load(context.Background(), files, &cache)
	if err != nil {
		t.Fatal(err)
	}
	if second[0].Header != first[0].Header {
		t.Error("the header was read again")
	}
}

func BenchmarkWrite(b *testing.B) {
	pkgs, dir := generated(2000), b.TempDir()
	for b.Loop() {
		writeRepo(b, dir, pkgs, rpmmd.Options{})
	}
}

func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	writeRepo(b, dir, generated(2000), rpmmd.Options{})
	for b.Loop() {
		if _, err := rpmmd.Read(context.Background(), rpmmd.FromDir(dir), rpmmd.ReadOptions{Unsigned: true, Filelists: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	paths := rpmtest.Build(b, rpmtest.Everything)
	files := make([]rpmmd.File, 1000)
	for i := range files {
		files[i] = rpmmd.File{Path: paths[0], Location: "x", Digest: "known"}
	}
	for b.Loop() {
		if _, err := rpmmd.Load(context.Background(), files, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func timeOf(seconds int64) time.Time { return time.Unix(seconds, 0) }
