package vm

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func firmware(t testing.TB) (string, Firmware) {
	t.Helper()
	q, err := FindQEMU()
	if err != nil {
		t.Fatal(err)
	}
	f, err := FindFirmware()
	if err != nil {
		t.Fatal(err)
	}
	return q, f
}

func empty(t testing.TB) Disk {
	t.Helper()
	p := filepath.Join(t.TempDir(), "a, b.raw") // commas mean something to QEMU
	if err := os.WriteFile(p, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	return Disk{Path: p, Serial: "empty"}
}

// TestFirmwareTalks runs a machine without a system: QEMU has to accept every option, and the
// firmware to appear on the console.
func TestFirmwareTalks(t *testing.T) {
	firmware(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	disk := empty(t)
	console := newWatch(func(b []byte) bool { return bytes.Contains(b, []byte("BdsDxe")) })
	go func() {
		select {
		case <-console.seen:
		case <-ctx.Done():
		}
		cancel()
	}()
	err := Run(ctx, Options{
		Disk: disk, ExtraDisks: []Disk{{Path: disk.Path, ReadOnly: true, Serial: "extra"}}, Memory: 512 << 20, CPUs: 1,
		Console: console, ForwardSSH: 0, Credentials: User("me", []byte("ssh-ed25519 AAAA me@here\n")), Cache: t.TempDir(), NoReboot: true,
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !console.done {
		t.Errorf("the firmware said nothing: %q", console.buf)
	}
	if data, _ := os.ReadFile(disk.Path); len(bytes.Trim(data, "\x00")) != 0 {
		t.Error("the disk was written to")
	}
}

func TestAcceleratorIsKept(t *testing.T) {
	q, f := firmware(t)
	dir := t.TempDir()
	first := Accelerator(t.Context(), q, f, dir)
	t.Logf("%+v", first)
	if first.Name != "kvm" && (first.Name != "tcg" || first.Why == "") {
		t.Errorf("no answer: %+v", first)
	}
	// A QEMU that does not exist is not asked when the answer is known.
	start := time.Now()
	if again := Accelerator(t.Context(), q, f, dir); again != first {
		t.Errorf("%+v, then %+v", first, again)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("a kept answer took %s", d)
	}
}

func TestQEMUFails(t *testing.T) {
	firmware(t)
	err := Run(t.Context(), Options{Disk: Disk{Path: empty(t).Path, Format: "qcow2"}, Accelerator: "tcg"})
	if err == nil || !strings.Contains(err.Error(), "qcow2") {
		t.Errorf("got %v, want QEMU's reason", err)
	}
	err = Run(t.Context(), Options{Disk: Disk{Path: t.TempDir()}, Accelerator: "tcg"})
	if err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("got %v", err)
	}
}

func TestArgs(t *testing.T) {
	_, f := firmware(t)
	work := t.TempDir()
	o := Options{Disk: empty(t), Firmware: f, Accelerator: "tcg", ForwardSSH: 2222, Credentials: map[string][]byte{"b": []byte("1"), "a": []byte("x\x00,y")}}
	args, err := o.args(work)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(args, " ")
	for _, want := range []string{"snapshot=on", "hostfwd=tcp:127.0.0.1:2222-:22", "a,, b.raw", "-accel tcg,thread=multi -cpu max"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in %s", want, all)
		}
	}
	if strings.Contains(all, base64.StdEncoding.EncodeToString([]byte("x\x00,y"))) {
		t.Error("a credential is on the command line")
	}
	data, err := os.ReadFile(filepath.Join(work, "credential-0"))
	if err != nil || string(data) != "io.systemd.credential.binary:a=eAAseQ==" {
		t.Errorf("%q %v", data, err)
	}
	o.Write = true
	if args, err = o.args(t.TempDir()); err != nil || slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, "snapshot") }) {
		t.Errorf("%v %v", args, err)
	}
}
