package buildroot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mariner/internal/fault"
	"mariner/internal/sandbox"
	"mariner/internal/store"
	"mariner/internal/ui"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

type events []ui.Event

func (e *events) Emit(event ui.Event) { *e = append(*e, event) }

func newRoots(t *testing.T) (*Roots, *events) {
	t.Helper()
	runner, shown := &sandbox.Namespaces{}, &events{}
	remove := func(path string) error { return runner.RemoveAll(context.Background(), path) }
	dir := filepath.Join(t.TempDir(), "store")
	s, err := (store.Options{Remove: remove}).Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); remove(dir) })
	if runner.Temp, err = s.Temp("test-"); err != nil {
		t.Fatal(err)
	}
	return &Roots{
		Store: s, Runner: runner, Sink: shown,
		Stage0:   Stage0{Suite: "trixie", Components: []string{"main"}},
		Archives: func(context.Context) ([]string, error) { return []string{"http://me:s3cret@m.invalid/debian"}, nil },
	}, shown
}

// mmdebstrap is one of the test's own, which notes in the folder that it returns what it was given.
func mmdebstrap(t *testing.T, script string) (notes string) {
	t.Helper()
	bin, notes := t.TempDir(), t.TempDir()
	text := fmt.Sprintf("#!/bin/sh\ncd %s\necho \"$@\" >args\ncat >stdin\necho $TMPDIR >tmpdir\nstat -c %%a $TMPDIR >mode\n%s\n", notes, script)
	if err := os.WriteFile(filepath.Join(bin, "mmdebstrap"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return notes
}

func TestBootstrapFails(t *testing.T) {
	notes := mmdebstrap(t, "touch $TMPDIR/left; echo E: http://me:s3cret@m.invalid/debian is away >&2; exit 1")
	r, shown := newRoots(t)
	dead := filepath.Join(rooms, fmt.Sprintf("mariner-stage0-test-%d", os.Getpid())) // of a process that was killed
	if err := os.MkdirAll(filepath.Join(dead, "mmdebstrap.0"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := r.Root(t.Context())
	if err == nil || !strings.Contains(err.Error(), "http://xxxxx@m.invalid/debian is away") || fault.KindOf(err) != fault.Environment {
		t.Errorf("found %v", err)
	}
	if len(*shown) != 2 || (*shown)[0].Type != ui.Start || (*shown)[1].Type != ui.Failed || (*shown)[1].Duration == 0 || strings.Contains((*shown)[1].Message, "s3cret") {
		t.Errorf("found %+v", *shown)
	}
	note := func(name string) string {
		data, err := os.ReadFile(filepath.Join(notes, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(data))
	}
	if got := note("stdin"); got != "deb http://me:s3cret@m.invalid/debian trixie main" {
		t.Errorf("found the sources %q", got)
	}
	if got := note("args"); strings.Contains(got, "s3cret") || !strings.HasSuffix(got, " trixie - -") {
		t.Errorf("found the arguments %q", got)
	}
	tmp := note("tmpdir")
	if !strings.HasPrefix(tmp, "/var/tmp/mariner-stage0-") || note("mode") != "711" {
		t.Errorf("it worked in %s, mode %s", tmp, note("mode"))
	}
	for _, dir := range []string{tmp, dead} {
		if _, err := os.Lstat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
}

// A folder that a living process works in stays.
func TestRoomsAreLocked(t *testing.T) {
	r, _ := newRoots(t)
	first, err := r.room(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(first.Name())
	defer first.Close()
	second, err := r.room(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(second.Name())
	defer second.Close()
	if _, err := os.Stat(first.Name()); err != nil {
		t.Error(err)
	}
}

func TestOffline(t *testing.T) {
	notes := mmdebstrap(t, "exit 1")
	r, shown := newRoots(t)
	r.Offline = true
	_, err := r.Root(t.Context())
	if err == nil || !strings.Contains(err.Error(), "run `mariner stage0` while online") || fault.KindOf(err) != fault.Environment {
		t.Errorf("found %v", err)
	}
	if started, _ := filepath.Glob(filepath.Join(notes, "*")); len(started) > 0 || len(*shown) > 0 {
		t.Errorf("found %v and %v", started, *shown)
	}
}
