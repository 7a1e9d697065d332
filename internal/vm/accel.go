package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Acceleration is how a guest's instructions are carried out, and why so.
type Acceleration struct {
	Name string // kvm or tcg
	Why  string // for people: why not KVM
}

// probeTime is how long firmware may take to say its first word under KVM; it needs less than one
// second where KVM works.
const probeTime = 8 * time.Second

// Accelerator finds out whether KVM runs guests here. That the device opens proves nothing, nor does
// a guest of a few instructions: there are machines where both work and real guests hang. So the
// firmware itself, 64-bit code with paging and interrupts, has to reach its console.
//
// The answer holds until the next boot and is kept in the folder cache, if that is not empty.
func Accelerator(ctx context.Context, qemu string, f Firmware, cache string) Acceleration {
	if dev, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		return Acceleration{"tcg", err.Error()}
	} else {
		dev.Close()
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		cache = ""
	}
	file := filepath.Join(cache, "kvm.json")
	key := strings.TrimSpace(string(boot)) + " " + qemu + " " + f.Code
	var kept struct {
		Key    string
		Answer Acceleration
	}
	if cache != "" {
		if data, err := os.ReadFile(file); err == nil && json.Unmarshal(data, &kept) == nil && kept.Key == key {
			return kept.Answer
		}
	}
	a := probe(ctx, qemu, f)
	if cache != "" && ctx.Err() == nil {
		kept.Key, kept.Answer = key, a
		if data, err := json.Marshal(kept); err == nil {
			keep(file, data) // without it the next run asks again
		}
	}
	return a
}

// keep writes a file at once or not at all.
func keep(file string, data []byte) {
	if os.MkdirAll(filepath.Dir(file), 0o755) != nil {
		return
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".kvm-*")
	if err != nil {
		return
	}
	_, err = tmp.Write(data)
	if errors.Join(err, tmp.Close()) != nil || os.Rename(tmp.Name(), file) != nil {
		os.Remove(tmp.Name())
	}
}

// probe starts a machine without disks and waits for the first byte on its console.
func probe(ctx context.Context, qemu string, f Firmware) Acceleration {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemu, append(accelArgs("kvm"),
		"-nodefaults", "-no-user-config", "-display", "none", "-m", "256", "-serial", "stdio",
		"-drive", "if=pflash,format=raw,readonly=on,file="+comma(f.Code),
		"-drive", "if=pflash,format=raw,snapshot=on,file="+comma(f.Vars))...)
	spoke, failed := newWatch(func(b []byte) bool { return len(b) > 0 }), newWatch(func(b []byte) bool {
		return strings.Contains(string(b), "KVM internal error")
	})
	cmd.Stdout, cmd.Stderr = spoke, failed
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return Acceleration{"tcg", fmt.Sprintf("QEMU does not start: %v", err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { cancel(); <-ended }()
	select {
	case <-spoke.seen:
		return Acceleration{Name: "kvm"}
	case <-failed.seen:
		return Acceleration{"tcg", "guests crash under KVM: " + failed.firstLine("KVM internal error")}
	case err := <-ended:
		ended <- err
		return Acceleration{"tcg", fmt.Sprintf("QEMU with KVM ended: %v: %s", err, failed.firstLine(""))}
	case <-ctx.Done():
		return Acceleration{"tcg", fmt.Sprintf("a guest under KVM said nothing within %s", probeTime)}
	}
}

// watch collects output and tells when it satisfies a condition.
type watch struct {
	mu   sync.Mutex
	buf  []byte
	want func([]byte) bool
	seen chan struct{}
	done bool
}

func newWatch(want func([]byte) bool) *watch { return &watch{want: want, seen: make(chan struct{})} }

func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done || len(w.buf) > 1<<16 {
		return len(p), nil
	}
	w.buf = append(w.buf, p...)
	if w.want(w.buf) {
		w.done = true
		close(w.seen)
	}
	return len(p), nil
}

// firstLine is the first line that contains text.
func (w *watch) firstLine(text string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range strings.Lines(string(w.buf)) {
		if strings.Contains(line, text) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// accelArgs choose machine, accelerator and processor. The 64-bit SMBIOS entry point has room for
// credentials of more than 64 KiB.
func accelArgs(name string) []string {
	machine := "q35,smbios-entry-point-type=64,vmport=off"
	if name == "kvm" {
		return []string{"-machine", machine, "-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-machine", machine, "-accel", "tcg,thread=multi", "-cpu", "max"}
}
