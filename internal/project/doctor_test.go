package project

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mariner/internal/fault"
	"mariner/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

// TestDoctor looks at this machine, for a store that does not exist yet.
func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MARINER_STORE", filepath.Join(dir, "a", "store"))
	var out bytes.Buffer
	if err := Doctor(t.Context(), &out); err != nil && fault.KindOf(err) != fault.Environment {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "ok       a sandbox starts") {
		t.Errorf("expected that a sandbox starts, found\n%s", &out)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDoctorOfNothing has a PATH with nothing in it: everything is named, and how to mend it.
func TestDoctorOfNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MARINER_STORE", dir)
	t.Setenv("XDG_CACHE_HOME", dir)
	t.Setenv("PATH", filepath.Join(dir, "none"))
	var out bytes.Buffer
	if err := Doctor(t.Context(), &out); fault.KindOf(err) != fault.Environment {
		t.Errorf("expected an error of kind environment, found %v", err)
	}
	for _, want := range []string{
		"mend it: sudo apt-get install mmdebstrap\n", "go is not in PATH", "ssh is not installed\n",
		"install it: sudo apt-get install qemu-system-x86\n", "for tests tests: createrepo_c",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("expected %q in\n%s", want, &out)
		}
	}
	for line := range strings.Lines(out.String()) {
		mend, ok := strings.CutPrefix(strings.TrimSpace(line), "mend it: ")
		if word, _, _ := strings.Cut(mend, " "); ok && word != "sudo" && word != "export" {
			t.Errorf("%q is no command", mend)
		}
	}
}

// TestDoctorKnowsFetchedGo has an old Go in PATH and the one that tools/setup fetched out of it.
func TestDoctorKnowsFetchedGo(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	old, fetched := filepath.Join(dir, "old"), filepath.Join(dir, "mariner-go", "bin")
	for bin, v := range map[string]string{old: "go1.19.8", fetched: "go1.26.0"} {
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bin, "go"), []byte("#!/bin/sh\necho "+v+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", old)
	if err := goCommand(); err == nil || !strings.HasSuffix(err.Error(), ": export PATH="+fetched+":$PATH") {
		t.Errorf("expected that %s is named, found %v", fetched, err)
	}
	t.Setenv("PATH", fetched)
	if err := goCommand(); err != nil {
		t.Error(err)
	}
}
