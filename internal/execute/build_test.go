package execute

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mariner/internal/fault"
	"mariner/internal/plan"
	"mariner/internal/spec"
	"mariner/internal/store"
)

// noSources are those of specs whose sources all lie beside them.
type noSources struct{}

func (noSources) Expected(*spec.Spec) (map[string]string, error) { return nil, nil }

func (noSources) Fetch(context.Context, *spec.Spec) (map[string]store.Digest, error) { return nil, nil }

// What is built must be what the key says: the folder as it was when the spec was read.
func TestActionOfChangedSpec(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a.spec", "Name: a")
	write("note", "first")
	n := &plan.Node{Spec: &spec.Spec{Name: "a", File: filepath.Join(dir, "a.spec"), Dir: dir, Sources: []spec.Source{{URL: "note"}}}}
	if n.Spec.Content, err = spec.Content(dir); err != nil {
		t.Fatal(err)
	}
	b := &Builder{Store: s, Sources: noSources{}}
	a, err := b.action(t.Context(), n, nil)
	if err != nil || a.Files["note"] != store.DigestOf([]byte("first")) {
		t.Fatalf("files %v, error %v", a.Files, err)
	}
	write("note", "later")
	_, err = b.action(t.Context(), n, nil)
	if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), dir+" was changed while the build ran: run again") {
		t.Errorf("expected a usage error that says so, found %v", err)
	}
}
