package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestKey(t *testing.T) {
	a, b := Input{"spec a", DigestOf([]byte("a"))}, Input{"rpm b", DigestOf([]byte("b"))}
	keys := map[Digest]string{}
	for name, inputs := range map[string][]Input{
		"none": nil, "a": {a}, "ab": {a, b}, "aa": {a, a}, "names swapped": {{a.Name, b.Digest}, {b.Name, a.Digest}},
		"empty digest": {{"a", ""}}, "empty name": {{"", "a"}}, "line break": {{"a\" \"\"\n\"b", ""}}, "two": {{"a", ""}, {"b", ""}},
	} {
		if other, ok := keys[Key(inputs)]; ok {
			t.Errorf("%s and %s have the same key", name, other)
		}
		keys[Key(inputs)] = name
	}
	inputs := []Input{b, a}
	if Key(inputs) != Key([]Input{a, b}) {
		t.Error("the order counts")
	}
	if inputs[0] != b {
		t.Error("Key has sorted the caller's slice")
	}
	// Caches are shared between versions of mariner: the form must not change unnoticed.
	if got, want := Key([]Input{a, b}), Digest("sha256:0301d6df1bb41679c34c3e7c61ac338e465759a7804b61be11eccf6aa7c080bb"); got != want {
		t.Errorf("expected %s, found %s", want, got)
	}
}

func TestResult(t *testing.T) {
	s := open(t, t.TempDir())
	r := result(t, s, "build zlib", "1", "one", "two")
	r.Note, r.PeakMemory = map[string]string{"version": "1.3.1"}, 12345
	r.Started = r.Started.UTC().Round(0)
	if err := s.PutResult(r); err != nil {
		t.Fatal(err)
	}
	got, ok, err := s.Result(r.Key)
	if !ok || err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("expected %+v, found %+v, %v, %v", r, got, ok, err)
	}
	if _, ok, err := s.Result(DigestOf(nil)); ok || err != nil {
		t.Errorf("a missing result: %v, %v", ok, err)
	}
	if _, _, err := s.Result("x"); err == nil {
		t.Error("Result takes what is no digest")
	}
	newer := result(t, s, "build zlib", "2", "three")
	if last, err := s.Last("build zlib"); err != nil || last == nil || last.Key != newer.Key {
		t.Errorf("Last: %+v, %v", last, err)
	}
	if last, err := s.Last("build bash"); err != nil || last != nil {
		t.Errorf("Last of what never ran: %+v, %v", last, err)
	}

	wrong := *r
	wrong.Key = DigestOf(nil)
	missing := *r
	missing.Outputs = []Output{{"x", DigestOf([]byte("not there")), 9}}
	size := *r
	size.Outputs = []Output{{"x", r.Outputs[0].Digest, 9}}
	for name, bad := range map[string]*Result{"key": &wrong, "output": &missing, "size": &size, "action": {Key: Key(nil)}} {
		if err := s.PutResult(bad); err == nil {
			t.Errorf("a result with a wrong %s was stored", name)
		}
	}
	clean(t, s)
}

func TestDamagedResult(t *testing.T) {
	s := open(t, t.TempDir())
	r := result(t, s, "build zlib", "1", "one")
	damage(t, entry(s.Dir(), "results", r.Key))
	damage(t, lastPath(s.Dir(), "build zlib"))
	if last, err := s.Last("build zlib"); last != nil || err != nil {
		t.Errorf("Last: %v, %v", last, err)
	}
	if _, ok, err := s.Result(r.Key); ok || err != nil {
		t.Errorf("Result: %v, %v", ok, err)
	}
	if err := s.PutResult(r); err != nil {
		t.Fatal(err)
	}
	clean(t, s)
	// One under another's name is not taken either.
	other := result(t, s, "build bash", "2", "two")
	if err := os.Rename(entry(s.Dir(), "results", other.Key), entry(s.Dir(), "results", r.Key)); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Result(r.Key); ok || err != nil {
		t.Errorf("Result: %v, %v", ok, err)
	}
}

func FuzzResult(f *testing.F) {
	r := &Result{Action: "build zlib", Inputs: []Input{{"a", ""}}, Outputs: []Output{{"b", DigestOf(nil), 0}}}
	r.Key = Key(r.Inputs)
	data, err := formatResult(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(resultHeader))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseResult(data)
		if err != nil {
			return
		}
		again, err := formatResult(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseResult(again); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTree(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	if _, ok := a.Tree("stage0 1"); ok {
		t.Error("a tree that nobody made")
	}
	var mu sync.Mutex
	var made int
	fill := func(tmp string) error {
		mu.Lock()
		defer mu.Unlock()
		made++
		return errors.Join(os.WriteFile(filepath.Join(tmp, "f"), []byte("x"), 0o644), os.Chmod(tmp, 0o555))
	}
	var paths []string
	var wait sync.WaitGroup
	for i := range 6 {
		wait.Go(func() {
			path, err := []*Store{a, b}[i%2].MakeTree(t.Context(), "stage0 1", fill)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			paths = append(paths, path)
		})
	}
	wait.Wait()
	if paths = slices.Compact(paths); made != 1 || len(paths) != 1 {
		t.Errorf("made %d times, at %v", made, paths)
	}
	if path, ok := b.Tree("stage0 1"); !ok || path != paths[0] {
		t.Errorf("Tree: %s, %v", path, ok)
	}
	removable(t, paths[0])
	if info, err := os.Stat(paths[0]); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("the mode of the tree's root: %v, %v", info, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.MakeTree(ctx, "other", fill); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}

func TestMemo(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	key := func(text string) Digest { return DigestOf([]byte(text)) }
	if _, ok := a.Memo("spec", key("1")); ok {
		t.Error("a memo that nobody put")
	}
	for _, p := range []struct {
		s          *Store
		key, value string
	}{{a, "1", "one"}, {b, "2", "two"}, {a, "3", ""}, {b, "1", "uno"}, {a, "4", strings.Repeat("4", 1000)}} {
		if err := p.s.PutMemo("spec", key(p.key), []byte(p.value)); err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range map[string]*Store{"a": a, "next": open(t, dir)} {
		for k, want := range map[string]string{"1": "uno", "2": "two", "3": "", "4": strings.Repeat("4", 1000)} {
			if got, ok := s.Memo("spec", key(k)); !ok || string(got) != want {
				t.Errorf("%s: %s: expected %q, found %q, %v", name, k, want, got, ok)
			}
		}
	}
	for _, kind := range []string{"", "a/b", "..", "x-1"} {
		if err := a.PutMemo(kind, key("1"), nil); err == nil {
			t.Errorf("kind %q was taken", kind)
		}
		if _, ok := a.Memo(kind, key("1")); ok {
			t.Errorf("kind %q was found", kind)
		}
	}
	if err := a.PutMemo("spec", "x", nil); err == nil {
		t.Error("a key that is no digest was taken")
	}
	if report := clean(t, a); report.Memos != 5 {
		t.Errorf("expected 5 records, found %d", report.Memos)
	}
}

// A memo file cut off anywhere gives what is whole, counts as sound, and can be appended to.
func TestTornMemo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	one, two, three := DigestOf([]byte("1")), DigestOf([]byte("2")), DigestOf([]byte("3"))
	for _, k := range []Digest{one, two} {
		if err := s.PutMemo("spec", k, []byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "memo", "spec")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		s.memos = map[string]*memo{} // as in a new process
		if _, ok := s.Memo("spec", one); ok != (n >= len(whole)/2) {
			t.Fatalf("cut at %d: the first is there: %v", n, ok)
		}
		if _, ok := s.Memo("spec", two); ok {
			t.Fatalf("cut at %d: the second is there", n)
		}
		clean(t, s)
		if err := s.PutMemo("spec", three, []byte("3")); err != nil {
			t.Fatal(err)
		}
		s.memos = map[string]*memo{}
		if value, ok := s.Memo("spec", three); !ok || string(value) != "3" {
			t.Fatalf("cut at %d: appended, and found %q, %v", n, value, ok)
		}
	}
}

func TestDamagedMemo(t *testing.T) {
	var whole []byte
	for i := range 3 {
		whole = appendMemo(whole, memoKey{byte(i)}, time.Unix(1, 0), []byte("value"))
	}
	length := len(whole) / 3
	for i := range whole {
		data := slices.Clone(whole)
		data[i] ^= 0x10
		var got []byte
		scan := scanMemos(data, func(r memoRecord) { got = append(got, r.key[0]) })
		at, inHeader := i/length, i%length < memoHeader
		want := []byte{0, 1, 2}
		if inHeader {
			want = want[:at]
		} else {
			want = slices.Delete(want, at, at+1)
		}
		if !slices.Equal(got, want) || scan.damaged != 1 {
			t.Fatalf("byte %d changed: expected %v, found %v, %+v", i, want, got, scan)
		}
	}
}

func FuzzMemos(f *testing.F) {
	f.Add(appendMemo(appendMemo(nil, memoKey{1}, time.Unix(1, 0), []byte("a")), memoKey{2}, time.Unix(-1, 0), nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		var again []byte
		scan := scanMemos(data, func(r memoRecord) { again = appendMemo(again, r.key, r.at, r.value) })
		if scan.end > len(data) {
			t.Fatalf("ends at %d of %d", scan.end, len(data))
		}
		if scan.damaged == 0 && string(again) != string(data[:scan.end]) {
			t.Fatalf("%x was read as %x", data, again)
		}
	})
}

// 3,000 parsed specs of 5 kB are read in far less than 50 ms.
func BenchmarkMemoLoad(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	value := []byte(strings.Repeat("spec ", 1000))
	var keys []Digest
	for i := range 3000 {
		keys = append(keys, DigestOf([]byte{byte(i), byte(i >> 8)}))
		if err := s.PutMemo("spec", keys[i], value); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		s.memos = map[string]*memo{}
		for _, k := range keys {
			if _, ok := s.Memo("spec", k); !ok {
				b.Fatal("missing")
			}
		}
	}
}
