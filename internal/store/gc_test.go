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

// age sets the last use of an entry back.
func age(t *testing.T, path string, by time.Duration) {
	t.Helper()
	at := time.Now().Add(-by)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// ageAll sets the last use of every file and result back.
func ageAll(t *testing.T, s *Store, by time.Duration) {
	t.Helper()
	for _, folder := range []string{"files", "results"} {
		entries, err := list(filepath.Join(s.dir, folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			age(t, e.path, by)
		}
	}
}

func gc(t *testing.T, s *Store, policy Policy) Collected {
	t.Helper()
	done, err := s.GC(t.Context(), policy)
	if err != nil {
		t.Fatal(err)
	}
	clean(t, s)
	return done
}

func there(s *Store, r *Result) bool {
	if _, err := os.Stat(entry(s.dir, "results", r.Key)); err != nil {
		return false
	}
	for _, out := range r.Outputs {
		if !s.Has(out.Digest) {
			return false
		}
	}
	return true
}

func TestGC(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	source := put(t, first, "the source")
	old, now, bash := result(t, first, "build zlib", "1", "old", "shared"), result(t, first, "build zlib", "2", "new", "shared"), &Result{
		Action: "build bash", Inputs: []Input{{"source", source}}, Outputs: []Output{{"b", put(t, first, "b"), 1}},
	}
	bash.Key = Key(bash.Inputs)
	if err := first.PutResult(bash); err != nil {
		t.Fatal(err)
	}
	loose := put(t, first, "loose")
	ageAll(t, first, time.Hour)
	age(t, entry(dir, "results", old.Key), 2*time.Hour)
	first.Close()

	s := open(t, dir)
	dry := gc(t, s, Policy{DryRun: true})
	if !there(s, old) || !s.Has(loose) {
		t.Fatal("a dry run has dropped something")
	}
	done := gc(t, s, Policy{})
	if done != dry || done.Results != 1 || done.Files != 2 || done.Left != int64(len("sharednewbthe source")) {
		t.Errorf("found %+v, and without doing it %+v", done, dry)
	}
	if there(s, old) || !there(s, now) || !there(s, bash) || s.Has(loose) || !s.Has(source) {
		t.Error("the wrong things were dropped")
	}
	if last, err := s.Last("build zlib"); err != nil || last == nil || last.Key != now.Key {
		t.Errorf("Last: %v, %v", last, err)
	}
	if again := gc(t, s, Policy{}); again.Results+again.Files+again.Trees+again.Memos != 0 {
		t.Errorf("the second time: %+v", again)
	}
}

// The result that was used last is kept, not the one that was made last.
func TestGCKeepsUsed(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	old, newer := result(t, first, "build zlib", "1", "old"), result(t, first, "build zlib", "2", "new")
	ageAll(t, first, time.Hour)
	age(t, entry(dir, "results", old.Key), 2*time.Hour)
	first.Close()
	second := open(t, dir)
	if _, ok, err := second.Result(old.Key); !ok || err != nil {
		t.Fatal(ok, err)
	}
	second.Close()
	third := open(t, dir)
	gc(t, third, Policy{})
	if !there(third, old) || there(third, newer) {
		t.Error("the one not in use was kept")
	}
}

// What this process or another living one uses stays, whatever the policy.
func TestGCInUse(t *testing.T) {
	dir := t.TempDir()
	prepare := open(t, dir)
	old, now := result(t, prepare, "build zlib", "1", "old"), result(t, prepare, "build zlib", "2", "new")
	loose := put(t, prepare, "loose")
	tree := func(s *Store, key string) {
		t.Helper()
		if _, err := s.MakeTree(t.Context(), key, func(string) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	tree(prepare, "used")
	tree(prepare, "unused")
	ageAll(t, prepare, 60*24*time.Hour)
	age(t, prepare.treeFolder("used"), 60*24*time.Hour)
	age(t, prepare.treeFolder("unused"), 60*24*time.Hour)
	prepare.Close()

	user, s := open(t, dir), open(t, dir)
	if _, ok, err := user.Result(old.Key); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, err := user.File(loose); err != nil {
		t.Fatal(err)
	}
	if _, ok := user.Tree("used"); !ok {
		t.Fatal("no tree")
	}
	fresh := put(t, user, "fresh")
	done := gc(t, s, Policy{MaxAge: time.Nanosecond, MaxSize: 1})
	if !there(s, old) || !s.Has(loose) || !s.Has(fresh) {
		t.Errorf("what another process uses was dropped: %+v", done)
	}
	if there(s, now) || done.Trees != 1 {
		t.Errorf("what nobody uses was kept: %+v", done)
	}
	if _, ok := s.Tree("used"); !ok {
		t.Error("a tree in use was dropped")
	}
	gc(t, user, Policy{MaxAge: time.Nanosecond, MaxSize: 1})
	if !there(user, old) || !user.Has(loose) || !user.Has(fresh) {
		t.Error("a process has dropped what it uses itself")
	}
	user.Close()
	s.Close()

	last := open(t, dir)
	done = gc(t, last, Policy{MaxAge: time.Nanosecond})
	if done.Left != 0 || last.Has(fresh) || there(last, old) {
		t.Errorf("when nobody uses it: %+v", done)
	}
}

func TestGCMaxSize(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	big := strings.Repeat("x", 1000)
	results := []*Result{
		result(t, first, "build a", "a", "a"+big, "shared"),
		result(t, first, "build b", "b", "b"+big, "shared"),
		result(t, first, "build c", "c", "c"+big, "shared"),
	}
	ageAll(t, first, time.Hour)
	for i, r := range results {
		age(t, entry(dir, "results", r.Key), time.Duration(10-i)*time.Hour)
	}
	first.Close()
	s := open(t, dir)
	if done := gc(t, s, Policy{MaxSize: 2500}); done.Results != 1 || done.Files != 1 || done.Left != 2008 {
		t.Errorf("found %+v", done)
	}
	if there(s, results[0]) || !there(s, results[1]) || !there(s, results[2]) {
		t.Error("the least recently used should go first")
	}
	if done := gc(t, s, Policy{MaxSize: 1}); done.Results != 2 || done.Left != 0 {
		t.Errorf("found %+v", done)
	}
}

// removable lets an ordinary user remove a read-only folder of a test's at its end.
func removable(t *testing.T, path string) {
	t.Cleanup(func() {
		if err := os.Chmod(path, 0o755); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
}

func TestGCFailed(t *testing.T) {
	dir := t.TempDir()
	root := func(name string, by time.Duration) string {
		t.Helper()
		path := filepath.Join(dir, "failed", name)
		if err := errors.Join(os.MkdirAll(filepath.Join(path, "upper", "build"), 0o755),
			os.WriteFile(filepath.Join(path, "upper", "build", "half"), bytes.Repeat([]byte("x"), 10_000), 0o644),
			os.Chmod(filepath.Join(path, "upper", "build"), 0o555)); err != nil {
			t.Fatal(err)
		}
		removable(t, filepath.Join(path, "upper", "build"))
		age(t, path, by)
		return path
	}
	s := open(t, dir)
	if done := gc(t, s, Policy{}); done != (Collected{}) { // no build has failed yet
		t.Errorf("found %+v", done)
	}
	want := map[string]bool{
		root("old", 25*time.Hour):       false,
		root("older", 90*24*time.Hour):  false,
		root("younger", 23*time.Hour):   true,
		root("just now", 1*time.Second): true,
	}
	policy := Policy{MaxAge: time.Nanosecond, MaxSize: 1, DryRun: true} // nothing of it makes a young root go
	dry := gc(t, s, policy)
	for path := range want {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("a dry run: %v", err)
		}
	}
	policy.DryRun = false
	if done := gc(t, s, policy); done != dry || done.Failed != 2 || done.Freed < 20_000 {
		t.Errorf("found %+v, and without doing it %+v", done, dry)
	}
	for path, want := range want {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if left, _ := os.ReadDir(s.session); len(left) != 0 {
		t.Errorf("the session still holds %v", left)
	}
}

func TestGCRest(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, value := range []string{"one", "two"} {
		if err := s.PutMemo("spec", DigestOf(nil), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"old", "new"} {
		if err := os.WriteFile(s.Partial(name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	age(t, s.Partial("old"), 8*24*time.Hour)
	unlock, err := s.Lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	d := put(t, s, "text")
	damage(t, entry(dir, "files", d))
	if _, err := s.File(d); err == nil {
		t.Fatal("damage was not seen")
	}
	if done := gc(t, s, Policy{}); done.Memos != 1 {
		t.Errorf("found %+v", done)
	}
	for path, want := range map[string]bool{s.Partial("old"): false, s.Partial("new"): true, filepath.Join(dir, "locks", "x"): false} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "bad")); len(left) != 0 {
		t.Errorf("bad still holds %v", left)
	}
	// Both the process that has loaded the old memo file and the next go on with the new one.
	if err := s.PutMemo("spec", DigestOf([]byte("k")), []byte("three")); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{s, open(t, dir)} {
		for k, want := range map[Digest]string{DigestOf(nil): "two", DigestOf([]byte("k")): "three"} {
			if value, ok := s.Memo("spec", k); !ok || string(value) != want {
				t.Errorf("expected %q, found %q, %v", want, value, ok)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.GC(ctx, Policy{}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}

func TestVerify(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	r := result(t, s, "build zlib", "1", "one")
	if err := s.PutMemo("spec", r.Key, []byte("memo")); err != nil {
		t.Fatal(err)
	}
	var calls int
	if report, err := s.Verify(t.Context(), func(done, total int64) {
		calls++
		if done != 3 || total != 3 {
			t.Errorf("progress %d of %d", done, total)
		}
	}); err != nil || report.Err() != nil || report.Files != 1 || report.Results != 2 || report.Memos != 1 || calls != 1 {
		t.Fatalf("%+v, %v, %d calls", report, err, calls)
	}
	paths := []string{
		entry(dir, "files", r.Outputs[0].Digest), entry(dir, "results", r.Key), lastPath(dir, "build zlib"), filepath.Join(dir, "memo", "spec"),
	}
	for _, path := range paths {
		damage(t, path)
	}
	report, err := s.Verify(t.Context(), nil)
	if err != nil || len(report.Problems) != 4 || fault.KindOf(report.Err()) != fault.Check {
		t.Fatalf("%+v, %v", report, err)
	}
	for i, path := range paths {
		if p := report.Problems[i]; p.Path != path || p.Expected == "" || p.Found == "" {
			t.Errorf("%s: %+v", path, p)
		}
	}
	clean(t, s) // all is set aside
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Verify(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}

func TestArchive(t *testing.T) {
	from := open(t, t.TempDir())
	zlib, bash := result(t, from, "build zlib", "1", "z"), result(t, from, "build bash", "2", "b")
	loose := put(t, from, "loose")
	if err := from.PutMemo("spec", zlib.Key, []byte("memo")); err != nil {
		t.Fatal(err)
	}
	var all, again, one bytes.Buffer
	for w, keys := range map[*bytes.Buffer][]Digest{&all: nil, &again: nil, &one: {bash.Key}} {
		if err := from.Export(t.Context(), w, keys...); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(all.Bytes(), again.Bytes()) {
		t.Error("exported twice: not the same bytes")
	}
	if err := from.Export(t.Context(), &again, DigestOf(nil)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing result: %v", err)
	}

	s := open(t, t.TempDir())
	if done, err := s.Import(t.Context(), bytes.NewReader(one.Bytes())); err != nil || done != (Imported{Results: 1, Files: 1}) {
		t.Errorf("%+v, %v", done, err)
	}
	if !there(s, bash) || there(s, zlib) {
		t.Error("expected bash, and bash only")
	}
	for range 2 {
		if done, err := s.Import(t.Context(), bytes.NewReader(all.Bytes())); err != nil || done.Results != 2 || done.Files != 3 {
			t.Errorf("%+v, %v", done, err)
		}
	}
	if _, ok, err := s.Result(zlib.Key); !ok || err != nil || !s.Has(loose) {
		t.Errorf("Result: %v, %v", ok, err)
	}
	if value, ok := s.Memo("spec", zlib.Key); !ok || string(value) != "memo" {
		t.Errorf("Memo: %q, %v", value, ok)
	}
	clean(t, s)
}

// An archive that is cut off or changed anywhere is refused, and leaves a sound store.
func TestDamagedArchive(t *testing.T) {
	from := open(t, t.TempDir())
	result(t, from, "build zlib", "1", "z")
	var archive bytes.Buffer
	if err := from.Export(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}
	s := open(t, t.TempDir())
	end := archive.Len() - 1024 // the end mark: two empty blocks
	for n := 0; n < end-512; n += 97 {
		if _, err := s.Import(t.Context(), bytes.NewReader(archive.Bytes()[:n])); fault.KindOf(err) != fault.Check {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	// The byte that is the file's one, in the block after its header.
	data := bytes.Clone(archive.Bytes())
	at := bytes.Index(data, []byte("z\x00\x00\x00\x00\x00\x00\x00\x00"))
	data[at] = 'y'
	var damaged *CorruptError
	if _, err := s.Import(t.Context(), bytes.NewReader(data)); !errors.As(err, &damaged) {
		t.Errorf("a changed file: %v", err)
	}
	clean(t, s)
}

func FuzzImport(f *testing.F) {
	from, err := Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	defer from.Close()
	if _, _, err := from.Put(strings.NewReader("x")); err != nil {
		f.Fatal(err)
	}
	var archive bytes.Buffer
	if err := from.Export(f.Context(), &archive); err != nil {
		f.Fatal(err)
	}
	f.Add(archive.Bytes())
	s, err := Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = s.Import(t.Context(), bytes.NewReader(data))
		if entries, err := os.ReadDir(s.session); err != nil || len(entries) != 0 {
			t.Errorf("left behind: %v, %v", entries, err)
		}
	})
}
