// Package buildroot makes the roots in which packages are built and tools run: stage0, a Debian root
// of tools made by mmdebstrap, and trees of our own RPMs that lie over it.
//
// Nothing of stage0 is ever shipped. Its libc headers and the like are taken out of it into layers of
// their own, which only packages see that ask for them: everything else compiles against our own RPMs.
// How that works is told in docs/stage0.md.
package buildroot

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mariner/internal/fault"
	"mariner/internal/sandbox"
	"mariner/internal/store"
	"mariner/internal/ui"
)

// Stage0 defines the first root. It is known by this definition, not by what came of it: which
// versions came is recorded, and Epoch is raised to take newer ones.
type Stage0 struct {
	Suite      string
	Components []string
	Epoch      int
	Packages   []string            // Debian packages
	Hidden     map[string][]string // capability -> Debian packages whose files are a layer of their own
}

//go:embed stage0.sh
var stage0Script []byte

// layout is the version of what stage0.sh makes; part of the root's identity.
const layout = "1"

// ID identifies the root.
func (d *Stage0) ID() store.Digest {
	inputs := []store.Input{
		{Name: "suite " + d.Suite + " " + strings.Join(d.Components, " ")},
		{Name: "epoch " + strconv.Itoa(d.Epoch)},
		{Name: "layout " + layout, Digest: store.DigestOf(stage0Script)},
	}
	for _, p := range d.Packages {
		inputs = append(inputs, store.Input{Name: "package " + p})
	}
	for capability, pkgs := range d.Hidden {
		inputs = append(inputs, store.Input{Name: "hidden " + capability + ": " + strings.Join(slices.Sorted(slices.Values(pkgs)), " ")})
	}
	return store.Key(inputs)
}

// Roots makes and remembers roots.
type Roots struct {
	Store  *store.Store
	Runner *sandbox.Namespaces
	Stage0 Stage0
	// Archives finds archives that have the suite, base URLs. It is called when stage0 is made; where the
	// packages come from does not define the root.
	Archives func(context.Context) ([]string, error)
	Offline  bool // stage0 is not made
	Sink     ui.Sink
}

// action is the name under which the store knows what stage0 consists of.
const action = "stage0"

// capabilities are the hidden layers' names, sorted; layer N of them is in the folder hidden/N.
func (d *Stage0) capabilities() []string {
	out := make([]string, 0, len(d.Hidden))
	for c := range d.Hidden {
		out = append(out, c)
	}
	sort.Strings(out)
	return out
}

// Root is stage0 as the layers of a sandbox, with the hidden layers that the capabilities name. It is
// made if this machine does not have it yet.
func (r *Roots) Root(ctx context.Context, capabilities ...string) (sandbox.Root, error) {
	tree, err := r.Store.MakeTree(ctx, "stage0-"+r.Stage0.ID().Hex()[:32], func(tmp string) error { return r.make(ctx, tmp) })
	if err != nil {
		return sandbox.Root{}, fault.As(fault.Environment, err)
	}
	var root sandbox.Root
	for i, c := range r.Stage0.capabilities() {
		if slices.Contains(capabilities, c) {
			root.Lower = append(root.Lower, filepath.Join(tree, "hidden", strconv.Itoa(i)))
		}
	}
	root.Lower = append(root.Lower, filepath.Join(tree, "base"))
	return root, nil
}

// make makes stage0 in tmp, and tells of it.
func (r *Roots) make(ctx context.Context, tmp string) error {
	if r.Offline {
		return fault.Errorf(fault.Environment, "this machine does not have stage0, the root of build tools, and nothing is fetched with --offline: run `mariner stage0` while online")
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return fault.Errorf(fault.Environment, "mmdebstrap is missing; it makes stage0, the root of build tools. Install it: sudo apt-get install mmdebstrap")
	}
	archives, err := r.Archives(ctx)
	if err != nil {
		return err
	}
	started := time.Now()
	r.Sink.Emit(ui.Event{Type: ui.Start, Kind: action, Name: "stage0", Message: "Debian " + r.Stage0.Suite + ", tools only"})
	err = r.bootstrap(ctx, tmp, archives)
	end := ui.Event{Type: ui.Done, Kind: action, Name: "stage0", Duration: time.Since(started)}
	if err != nil {
		end.Type, end.Message = ui.Failed, err.Error()
	}
	if ctx.Err() == nil {
		r.Sink.Emit(end)
	}
	return err
}

// bootstrap unpacks what mmdebstrap makes into tmp/base, in the sandbox's ids, and then takes it apart.
func (r *Roots) bootstrap(ctx context.Context, tmp string, archives []string) error {
	room, err := r.room(ctx)
	if err != nil {
		return fault.Errorf(fault.Environment, "making a folder for mmdebstrap: %w", err)
	}
	defer room.Close()
	defer r.Runner.RemoveAll(context.WithoutCancel(ctx), room.Name())
	packages := slices.Sorted(slices.Values(r.Stage0.Packages))
	args := []string{
		"--mode=unshare", "--variant=apt", "--format=tar", "--include=" + strings.Join(packages, ","),
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/info/*",
		// A URL may hold a password: builds must not read it, nor others here while stage0 is made.
		`--setup-hook=find "$1/etc/apt" -name "*.list" -exec chmod 0600 {} +`, `--customize-hook=find "$1/etc/apt" -name "*.list" -delete`,
		r.Stage0.Suite, "-", "-",
	}
	var sources strings.Builder
	for _, a := range archives {
		fmt.Fprintf(&sources, "deb %s %s %s\n", a, r.Stage0.Suite, strings.Join(r.Stage0.Components, " "))
	}
	boot := exec.CommandContext(ctx, "mmdebstrap", args...)
	// So it removes its own temporary root, a gigabyte.
	boot.Cancel = func() error { return boot.Process.Signal(os.Interrupt) }
	boot.WaitDelay = time.Minute
	// It does so too if we are killed: the kernel tells it when the thread that started it is gone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	boot.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	var log tail
	boot.Stderr = &log
	boot.Stdin = strings.NewReader(sources.String()) // everybody can see a command line
	boot.Env = append(os.Environ(), "TMPDIR="+room.Name())
	out, err := boot.StdoutPipe()
	if err != nil {
		return err
	}
	if err := boot.Start(); err != nil {
		return fmt.Errorf("starting mmdebstrap: %w", err)
	}
	script := filepath.Join(filepath.Dir(tmp), "stage0.sh")
	if err := os.WriteFile(script, stage0Script, 0o755); err != nil {
		return err
	}
	cmd := []string{"sh", "-eu", script, tmp}
	for _, c := range r.Stage0.capabilities() {
		cmd = append(cmd, strings.Join(r.Stage0.Hidden[c], " "))
	}
	var unpackLog tail
	_, unpackErr := r.Runner.Run(ctx, sandbox.Command{
		Args: cmd, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}, Stdin: out, Stdout: &unpackLog, Stderr: &unpackLog,
	})
	io.Copy(io.Discard, out)
	err = boot.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fault.Errorf(fault.Environment, "mmdebstrap could not make stage0: %w\n%s", err, ui.Redact(log.String()))
	}
	if unpackErr != nil {
		return fmt.Errorf("unpacking stage0: %w\n%s", unpackErr, unpackLog.String())
	}
	os.Remove(script)
	return r.record(tmp)
}

// rooms is where the folders of room are: on a disk, as /tmp may be in memory.
const rooms = "/var/tmp"

// room makes a folder in which mmdebstrap's user, who cannot reach the store, may work, and opens it.
// It is locked as long as it is open. Those of processes that have ended are removed first.
func (r *Roots) room(ctx context.Context) (*os.File, error) {
	old, err := filepath.Glob(filepath.Join(rooms, "mariner-stage0-*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range old {
		if f := lockRoom(dir); f != nil {
			r.Runner.RemoveAll(ctx, dir) // else next time
			f.Close()
		}
	}
	for range 10 { // another process may take it for an old one before it is locked
		dir, err := os.MkdirTemp(rooms, "mariner-stage0-")
		if err != nil {
			return nil, err
		}
		if f := lockRoom(dir); f != nil {
			return f, f.Chmod(0o711)
		}
		os.Remove(dir)
	}
	return nil, fmt.Errorf("a folder in %s cannot be locked: is it on a local file system?", rooms)
}

// lockRoom opens and locks a folder that is ours, exists and nobody else has locked; else nil.
func lockRoom(dir string) *os.File {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	var opened, named unix.Stat_t
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || unix.Fstat(int(f.Fd()), &opened) != nil ||
		unix.Lstat(dir, &named) != nil || opened.Ino != named.Ino || int(opened.Uid) != os.Geteuid() {
		f.Close()
		return nil
	}
	return f
}

// record puts the list of the packages that stage0 came to consist of into the store: provenance.
func (r *Roots) record(tree string) error {
	status, err := os.ReadFile(filepath.Join(tree, "base/var/lib/dpkg/status"))
	if err != nil {
		return err
	}
	var list bytes.Buffer
	var name string
	for line := range strings.Lines(string(status)) {
		if n, ok := strings.CutPrefix(line, "Package: "); ok {
			name = strings.TrimSpace(n)
		} else if v, ok := strings.CutPrefix(line, "Version: "); ok {
			fmt.Fprintf(&list, "%s %s\n", name, strings.TrimSpace(v))
		}
	}
	if list.Len() == 0 {
		return errors.New("stage0 holds no packages")
	}
	d, size, err := r.Store.Put(&list)
	if err != nil {
		return err
	}
	inputs := []store.Input{{Name: "definition", Digest: r.Stage0.ID()}}
	return r.Store.PutResult(&store.Result{
		Action: action, Key: store.Key(inputs), Inputs: inputs,
		Outputs: []store.Output{{Name: "packages", Digest: d, Size: size}},
	})
}

// tail keeps the last few kilobytes that were written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - 4096; over > 0 {
		t.b = t.b[over:]
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.b)) }
