package project

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mariner/internal/fault"
	"mariner/internal/sandbox"
)

// need is something that a command of ours wants from the machine.
type need struct {
	what    string
	find    func() error
	mend    string
	testing bool // only the tests want it
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

var needs = []need{
	{"stage0: mmdebstrap", command("mmdebstrap"), apt("mmdebstrap"), false},
	{"ids of other users: newuidmap", command("newuidmap"), apt("uidmap"), false},
	{"Debian's signing keys", exists("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"), apt("debian-archive-keyring"), false},
	{"running images: QEMU", command("qemu-system-x86_64"), apt("qemu-system-x86"), false},
	{"running images: UEFI firmware", exists("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_CODE.fd"), apt("ovmf"), false},
	{"tests: createrepo_c", command("createrepo_c"), apt("createrepo-c"), true},
	{"tests: dnf", command("dnf", "dnf5"), apt("dnf"), true},
	{"tests: rpm", command("rpm"), apt("rpm"), true},
	{"tests: skopeo", command("skopeo"), apt("skopeo"), true},
	{"tests: sgdisk", command("sgdisk"), apt("gdisk"), true},
	{"tests: fsck.fat", command("fsck.fat"), apt("dosfstools"), true},
	{"tests: e2fsck", command("e2fsck"), apt("e2fsprogs"), true},
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
	how, err := sandbox.Probe()
	report("user namespace: "+how, err, "", false)
	if err == nil {
		report("a sandbox starts", trySandbox(ctx), "sudo sysctl kernel.unprivileged_userns_clone=1 (and kernel.apparmor_restrict_unprivileged_userns=0 where that exists)", false)
	}
	if dir, err := StoreDir(); err == nil {
		report("disk space for the store", diskSpace(dir), "set MARINER_STORE to a folder on a larger disk", false)
	}
	if missing > 0 {
		return fault.Errorf(fault.Environment, "%d of what this machine needs is missing; `make setup` installs packages", missing)
	}
	return nil
}

// trySandbox starts the smallest sandbox that there is: the host's own true, in an overlay.
func trySandbox(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "mariner-doctor-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	layer := filepath.Join(dir, "layer")
	if err := os.Mkdir(layer, 0o755); err != nil {
		return err
	}
	var binds []sandbox.Bind
	for _, d := range []string{"/usr", "/bin", "/lib", "/lib64"} {
		if _, err := os.Stat(d); err == nil {
			binds = append(binds, sandbox.Bind{Source: d, Target: d, ReadOnly: true})
		}
	}
	var errs strings.Builder
	_, err = (&sandbox.Namespaces{Temp: dir}).Run(ctx, sandbox.Command{
		Args: []string{"true"}, Env: []string{"PATH=/usr/bin:/bin"}, Root: sandbox.Root{Lower: []string{layer}}, Binds: binds, Stderr: &errs,
	})
	return err
}

func diskSpace(dir string) error {
	for {
		var fs unix.Statfs_t
		err := unix.Statfs(dir, &fs)
		if os.IsNotExist(err) && dir != "/" {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return err
		}
		if free := int64(fs.Bavail) * fs.Bsize; free < minFree {
			return fmt.Errorf("%d GB are free at %s, a build of everything takes %d GB", free>>30, dir, minFree>>30)
		}
		return nil
	}
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
