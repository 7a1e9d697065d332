package project

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/version"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mariner/internal/fault"
	"mariner/internal/sandbox"
	"mariner/internal/vm"
)

// need is something that a command of ours wants from the machine.
type need struct {
	what    string
	find    func() error
	mend    string // a command; "" if the error ends in it
	testing bool   // only the tests want it
}

func command(names ...string) func() error {
	return func() error {
		for _, n := range names {
			if _, err := exec.LookPath(n); err == nil {
				return nil
			}
			for _, dir := range []string{"/usr/sbin", "/sbin"} {
				if st, err := os.Stat(filepath.Join(dir, n)); err == nil && st.Mode()&0o111 != 0 {
					return nil
				}
			}
		}
		return fmt.Errorf("%s is not installed", names[0])
	}
}

func apt(pkg string) string { return "sudo apt-get install " + pkg }

// minFree is the disk space that a build of everything takes, bytes.
const minFree = 20 << 30

// tools/setup installs the same packages, and those that compiling the toolkit takes.
var needs = []need{
	{"stage0: mmdebstrap", command("mmdebstrap"), apt("mmdebstrap"), false},
	{"ids of other users: newuidmap", command("newuidmap"), apt("uidmap"), false},
	{"Debian's signing keys", exists("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"), apt("debian-archive-keyring"), false},
	{"sources that are Go modules: Go", goCommand, "", false},
	{"running images: QEMU", func() error { _, err := vm.FindQEMU(); return err }, "", false},
	{"running images: UEFI firmware", func() error { _, err := vm.FindFirmware(); return err }, "", false},
	{"into a running image: ssh", command("ssh"), apt("openssh-client"), false},
	{"tests: createrepo_c", command("createrepo_c"), apt("createrepo-c"), true},
	{"tests: dnf", command("dnf"), apt("dnf"), true},
	{"tests: rpmbuild", command("rpmbuild"), apt("rpm"), true},
	{"tests: skopeo", command("skopeo"), apt("skopeo"), true},
	{"tests: sgdisk", command("sgdisk"), apt("gdisk"), true},
	{"tests: fsck.fat", command("fsck.fat"), apt("dosfstools"), true},
	{"tests: e2fsck", command("e2fsck"), apt("e2fsprogs"), true},
	{"tests: mtools", command("mdir"), apt("mtools"), true},
	{"tests: qemu-img", command("qemu-img"), apt("qemu-utils"), true},
	{"tests: gpgv", command("gpgv"), apt("gpgv"), true},
	{"tests: python3", command("python3"), apt("python3"), true},
}

// goCommand looks for a Go that can fetch the version which a module wants. make looks into more
// folders than PATH has, mariner does not.
func goCommand() error {
	var found error
	if path, err := exec.LookPath("go"); err != nil {
		found = errors.New("go is not in PATH")
	} else if v := goVersion(path); version.Compare(v, "go1.21") < 0 {
		found = fmt.Errorf("%s is %s, 1.21 is the first that will do", path, cmp.Or(v, "no Go that runs"))
	} else {
		return nil
	}
	dirs := []string{"/usr/local/go/bin"}
	if cache, err := os.UserCacheDir(); err == nil {
		dirs = append([]string{filepath.Join(cache, "mariner-go", "bin")}, dirs...)
	}
	for _, dir := range dirs {
		if v := goVersion(filepath.Join(dir, "go")); version.Compare(v, "go1.21") >= 0 {
			return fmt.Errorf("%w, but there is %s: export PATH=%s:$PATH", found, v, dir)
		}
	}
	return fmt.Errorf("%w; install it: make setup", found)
}

// goVersion asks outside of every module, which could name another version.
func goVersion(path string) string {
	cmd := exec.Command(path, "env", "GOVERSION")
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "GOTOOLCHAIN=local")
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func exists(paths ...string) func() error {
	return func() error {
		for _, p := range paths {
			if _, err := os.Stat(p); err == nil {
				return nil
			}
		}
		return fmt.Errorf("%s does not exist", paths[0])
	}
}

// Doctor checks the machine and prints what it found, with the command that mends what is missing.
// What only the tests need is told, but is no error.
func Doctor(ctx context.Context, w io.Writer) error {
	missing := 0
	report := func(what string, err error, mend string, testing bool) {
		if err == nil {
			fmt.Fprintf(w, "ok       %s\n", what)
			return
		}
		state := "missing "
		if testing {
			state = "for tests"
		} else {
			missing++
		}
		fmt.Fprintf(w, "%s %s: %v\n", state, what, err)
		if mend != "" {
			fmt.Fprintf(w, "         mend it: %s\n", mend)
		}
	}
	for _, n := range needs {
		report(n.what, n.find(), n.mend, n.testing)
	}
	what := "user namespace"
	how, err := sandbox.Probe()
	if err == nil {
		what += ": " + how
	}
	report(what, err, "", false)
	if dir, e := StoreDir(); e == nil {
		if err == nil {
			err = trySandbox(ctx, existing(dir))
			report("a sandbox starts, on the store's file system", err, sandboxMend(err), false)
		}
		report("disk space for the store", diskSpace(existing(dir)), otherStore, false)
	} else {
		report("the store", e, otherStore, false)
	}
	if missing > 0 {
		return fault.Errorf(fault.Environment, "%d of the above are missing on this machine; `make setup` installs packages", missing)
	}
	return nil
}

const otherStore = "export MARINER_STORE=/a/folder/on/a/large/local/disk"

// trySandbox does in a sandbox what a build does: it moves a file of a layer, with the host's own mv.
// What it writes lies in dir, since not every file system can be the upper one of an overlay.
func trySandbox(ctx context.Context, dir string) error {
	dir, err := os.MkdirTemp(dir, "doctor-")
	if err != nil {
		return err
	}
	n := &sandbox.Namespaces{Temp: dir}
	defer n.RemoveAll(context.WithoutCancel(ctx), dir)
	layer := filepath.Join(dir, "layer")
	for _, d := range []string{layer, filepath.Join(layer, "old")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(layer, "old", "file"), nil, 0o644); err != nil {
		return err
	}
	var binds []sandbox.Bind
	for _, d := range []string{"/usr", "/bin", "/lib", "/lib64"} {
		if _, err := os.Stat(d); err == nil {
			binds = append(binds, sandbox.Bind{Source: d, Target: d, ReadOnly: true})
		}
	}
	var errs strings.Builder
	_, err = n.Run(ctx, sandbox.Command{
		Args: []string{"mv", "/old/file", "/new"}, Env: []string{"PATH=/usr/bin:/bin"}, Binds: binds, Stderr: &errs,
		Root: sandbox.Root{Lower: []string{layer}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")},
	})
	if errs.Len() > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(errs.String()))
	}
	return err
}

// sandboxMend finds the switch of the kernel that forbids user namespaces. If none of them does, a
// namespace that is not permitted is for whoever runs this container to permit; what is left is the file system.
func sandboxMend(err error) string {
	for _, s := range []struct{ name, off, on string }{
		{"kernel.unprivileged_userns_clone", "0", "1"},
		{"kernel.apparmor_restrict_unprivileged_userns", "1", "0"},
		{"user.max_user_namespaces", "0", "65536"},
	} {
		v, e := os.ReadFile("/proc/sys/" + strings.ReplaceAll(s.name, ".", "/"))
		if e == nil && strings.TrimSpace(string(v)) == s.off {
			return "sudo sysctl " + s.name + "=" + s.on
		}
	}
	if errors.Is(err, unix.EPERM) {
		return ""
	}
	return otherStore
}

// existing is dir, or the folder above it in which it is going to be made.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); !os.IsNotExist(err) || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func diskSpace(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return err
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < minFree {
		return fmt.Errorf("%d GB are free at %s, a build of everything takes %d GB", free>>30, dir, minFree>>30)
	}
	return nil
}

// memoryLimit is how much memory concurrent builds may expect to use together: what is available
// now, less a tenth. 0 if that cannot be told.
func memoryLimit() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kb); n == 1 {
			return kb << 10 / 10 * 9
		}
	}
	return 0
}
