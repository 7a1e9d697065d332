package store

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mariner/internal/fault"
)

func open(t *testing.T, dir string, caches ...string) *Store {
	t.Helper()
	s, err := Open(dir, caches...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(t *testing.T, s *Store, text string) Digest {
	t.Helper()
	d, n, err := s.Put(strings.NewReader(text))
	if err != nil || n != int64(len(text)) {
		t.Fatalf("Put: %d bytes, %v", n, err)
	}
	return d
}

// result stores a result of an action with one input, and outputs of these texts.
func result(t *testing.T, s *Store, action, input string, outputs ...string) *Result {
	t.Helper()
	r := &Result{Action: action, Inputs: []Input{{"spec", DigestOf([]byte(input))}}, Started: time.Now(), Duration: time.Second}
	r.Key = Key(r.Inputs)
	for _, text := range outputs {
		r.Outputs = append(r.Outputs, Output{text, put(t, s, text), int64(len(text))})
	}
	if err := s.PutResult(r); err != nil {
		t.Fatal(err)
	}
	return r
}

// damage changes a byte of a file behind the store's back.
func damage(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, data, 0o644)); err != nil {
		t.Fatal(err)
	}
}

func clean(t *testing.T, s *Store) Report {
	t.Helper()
	report, err := s.Verify(t.Context(), nil)
	if err != nil || report.Err() != nil {
		t.Fatalf("Verify: %v, %+v", err, report)
	}
	return report
}

func TestFiles(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "new", "store"))
	d := put(t, s, "hello\n")
	if want := Digest("sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"); d != want {
		t.Fatalf("expected %s, found %s", want, d)
	}
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, _, err := s.PutFile(source); err != nil || again != d {
		t.Fatalf("PutFile: %s, %v", again, err)
	}
	path, err := s.File(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(source, []byte("other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := s.Read(d); err != nil || string(data) != "hello\n" {
		t.Errorf("Read: %q, %v", data, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o444 {
		t.Errorf("expected mode 0444, found %v, %v", info.Mode(), err)
	}
	if !s.Has(d) || s.Has(DigestOf(nil)) || s.Has("") || s.Has("sha256:../../x") {
		t.Error("Has is wrong")
	}
	if _, err := s.File(DigestOf(nil)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := s.File("sha256:zz"); err == nil {
		t.Error("File takes what is no digest")
	}
	clean(t, s)
}

func TestDamagedFile(t *testing.T) {
	s := open(t, t.TempDir())
	r := result(t, s, "build zlib", "1", "an rpm")
	d := r.Outputs[0].Digest
	path, err := s.File(d)
	if err != nil {
		t.Fatal(err)
	}
	damage(t, path)
	_, err = s.File(d)
	var damaged *CorruptError
	if !errors.As(err, &damaged) || damaged.Expected != d || damaged.Found == d || fault.KindOf(err) != fault.Check {
		t.Fatalf("expected a CorruptError, found %v", err)
	}
	for _, part := range []string{path, string(d), string(damaged.Found), "again"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
	if s.Has(d) {
		t.Error("it has not been set aside")
	}
	if _, ok, err := s.Result(r.Key); ok || err != nil {
		t.Errorf("the result should count as absent: %v, %v", ok, err)
	}
	put(t, s, "an rpm") // made anew
	if _, ok, err := s.Result(r.Key); !ok || err != nil {
		t.Errorf("Result: %v, %v", ok, err)
	}
	// To be put again mends it too.
	damage(t, path)
	put(t, s, "an rpm")
	clean(t, s)
}

// A file of the wrong size, as after a power cut, is noticed without reading it.
func TestTruncatedOutput(t *testing.T) {
	s := open(t, t.TempDir())
	r := result(t, s, "build zlib", "1", "an rpm")
	path := entry(s.Dir(), "files", r.Outputs[0].Digest)
	if err := errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 0)); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Result(r.Key); ok || err != nil {
		t.Errorf("Result: %v, %v", ok, err)
	}
	if s.Has(r.Outputs[0].Digest) {
		t.Error("it has not been set aside")
	}
}

func TestCaches(t *testing.T) {
	theirs := open(t, t.TempDir())
	r := result(t, theirs, "build zlib", "1", "good", "bad")
	if err := theirs.PutMemo("spec", r.Key, []byte("memo")); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, theirs.Dir())
	dir := t.TempDir()
	s := open(t, dir, t.TempDir(), theirs.Dir())
	good, bad := r.Outputs[0].Digest, r.Outputs[1].Digest
	if last, err := s.Last("build zlib"); err != nil || last == nil || last.Key != r.Key {
		t.Fatalf("Last: %v, %v", last, err)
	}
	if _, ok, err := s.Result(r.Key); !ok || err != nil {
		t.Fatalf("Result: %v, %v", ok, err)
	}
	if value, ok := s.Memo("spec", r.Key); !ok || string(value) != "memo" {
		t.Fatalf("Memo: %q, %v", value, ok)
	}
	path, err := s.File(good)
	if err != nil || !strings.HasPrefix(path, dir) {
		t.Fatalf("File: %s, %v: expected a copy in the store", path, err)
	}
	if after := snapshot(t, theirs.Dir()); after != before {
		t.Errorf("the cache was written to:\n%s\n%s", before, after)
	}

	damage(t, entry(theirs.Dir(), "files", bad))
	for range 2 { // in this process and in the next
		_, err := s.File(bad)
		if s.Has(bad) {
			t.Error("a damaged file of a cache still counts as present")
		}
		if _, ok, _ := s.Result(r.Key); ok {
			t.Error("so does the result")
		}
		if err == nil {
			t.Fatal("a damaged file of a cache was taken")
		}
		s = open(t, dir, theirs.Dir())
	}
	put(t, s, "bad")
	if _, ok, err := s.Result(r.Key); !ok || err != nil {
		t.Errorf("made anew: %v, %v", ok, err)
	}
	clean(t, s)
}

// A damaged file of ours is mended from a cache without a word.
func TestCacheMends(t *testing.T) {
	theirs, s := open(t, t.TempDir()), (*Store)(nil)
	d := put(t, theirs, "text")
	s = open(t, t.TempDir(), theirs.Dir())
	path, err := s.File(d)
	if err != nil {
		t.Fatal(err)
	}
	damage(t, path)
	if data, err := s.Read(d); err != nil || string(data) != "text" {
		t.Errorf("Read: %q, %v", data, err)
	}
}

// snapshot lists the names, sizes and times below dir.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	entries, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.path + e.info.ModTime().String() + e.info.Mode().String() + "\n")
	}
	return b.String()
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := errors.Join(os.Mkdir(other, 0o755), os.WriteFile(filepath.Join(other, "thesis.txt"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	future := filepath.Join(dir, "future")
	if err := errors.Join(os.Mkdir(future, 0o755), os.WriteFile(filepath.Join(future, "version"), []byte("mariner store 2\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		other: "thesis.txt", future: "mariner store 2", filepath.Join(other, "thesis.txt"): "not a directory",
	} {
		_, err := Open(path)
		if fault.KindOf(err) != fault.Environment || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: expected an error with %q, found %v", path, want, err)
		}
	}
	if _, err := Open(filepath.Join(dir, "mine"), filepath.Join(dir, "missing")); fault.KindOf(err) != fault.Environment {
		t.Errorf("a missing cache: %v", err)
	}
	if entries, _ := os.ReadDir(other); len(entries) != 1 {
		t.Error("something was written into a folder that is no store")
	}
	// Killed while it made the version file.
	half := filepath.Join(dir, "half")
	if err := errors.Join(os.Mkdir(half, 0o755), os.WriteFile(filepath.Join(half, ".version-123"), []byte("mari"), 0o644)); err != nil {
		t.Fatal(err)
	}
	put(t, open(t, half), "x")
}

func TestTempIsSwept(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	mine, err := s.Temp("build-")
	if err != nil {
		t.Fatal(err)
	}
	// What a killed process leaves: its folder, and a lock that nobody holds.
	dead := filepath.Join(dir, "tmp", "1-dead")
	readOnly := filepath.Join(dead, "build-1", "pkg")
	if err := errors.Join(os.MkdirAll(readOnly, 0o755), os.WriteFile(filepath.Join(readOnly, "f"), nil, 0o444),
		os.Chmod(readOnly, 0o555), os.WriteFile(dead+".lock", nil, 0o600), os.MkdirAll(filepath.Join(dir, "tmp", "2-nolock"), 0o755)); err != nil {
		t.Fatal(err)
	}
	other := open(t, dir)
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("the folder of a living process is gone: %v", err)
	}
	if names := other.sessions(); len(names) != 2 {
		t.Errorf("expected two sessions, found %v", names)
	}
}

// Files of other users need more than os.RemoveAll.
func TestRemoveOption(t *testing.T) {
	var removed []string
	remove := func(path string) error {
		removed = append(removed, path)
		return os.RemoveAll(path)
	}
	s, err := Options{Remove: remove}.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.MakeTree(t.Context(), "x", func(string) error { return errors.New("no") })
	if err == nil || len(removed) != 1 {
		t.Errorf("a failed tree: %v, removed %v", err, removed)
	}
	if err := s.Close(); err != nil || len(removed) != 2 {
		t.Errorf("Close: %v, removed %v", err, removed)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	unlock, err := a.Lock(t.Context(), "build zlib")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if _, err := b.Lock(ctx, "build zlib"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second lock: %v", err)
	}
	if free, err := b.Lock(t.Context(), "build bash"); err != nil {
		t.Error(err)
	} else {
		free()
	}
	if _, err := b.GC(t.Context(), Policy{}); err != nil { // keeps the lock that is held
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if _, err := b.Lock(ctx, "build zlib"); err == nil {
		t.Error("GC has removed a lock that is held")
	}
	unlock()
	free, err := b.Lock(t.Context(), "build zlib")
	if err != nil {
		t.Fatal(err)
	}
	free()
}

func TestFileName(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{
		"", ".", "..", "a", "A", "a b", "a/b", "../a", "-a", "x-a", "x", "é", "glibc-2.41+1_2", strings.Repeat("a", 121), "a\x00", "a\n",
	} {
		got := fileName(name)
		if got == "" || len(got) > 120 || strings.ContainsAny(got, "/\x00\n") || got[0] == '.' {
			t.Errorf("%q gives %q", name, got)
		}
		if was, ok := seen[got]; ok {
			t.Errorf("%q and %q give %q", name, was, got)
		}
		seen[got] = name
	}
}

func FuzzDigest(f *testing.F) {
	f.Add(string(DigestOf(nil)))
	f.Add("sha256:")
	f.Fuzz(func(t *testing.T, text string) {
		d := Digest(text)
		if d.Valid() && (len(d.Hex()) != 64 || strings.ContainsAny(d.Hex(), "/.")) {
			t.Errorf("%q was taken", text)
		}
		if _, err := memoKeyOf(d); d.Valid() != (err == nil) {
			t.Errorf("%q: %t and %v", text, d.Valid(), err)
		}
	})
}

func TestPutFails(t *testing.T) {
	s := open(t, t.TempDir())
	_, _, err := s.Put(&failing{Reader: bytes.NewReader(make([]byte, 1<<20))})
	if err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("found %v", err)
	}
	if entries, _ := os.ReadDir(s.session); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

type failing struct{ *bytes.Reader }

func (f *failing) Read(p []byte) (int, error) {
	if n, err := f.Reader.Read(p); err == nil {
		return n, nil
	}
	return 0, errors.New("cut off")
}

func (f *failing) WriteTo() {}
