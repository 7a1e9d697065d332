package project

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"mariner/internal/fault"
	"mariner/internal/vm"
	"mariner/internal/vm/guest"
)

// RunOptions say what machine an image boots in.
type RunOptions struct {
	Memory  int // MiB
	CPUs    int
	SSHPort int    // on this machine's loopback; 0 for none
	User    string // the account made in the guest; "mariner" for root, nobody, or a $USER that is no such name
	Key     string // its public ssh key's file; "" for the first of ~/.ssh/id_*.pub, if there is one
	Keep    bool   // the guest writes to the image
}

// CheckOptions say what an image is checked with.
type CheckOptions struct {
	Container string // name of the container image that is started inside
}

// Run boots an image with its console on this terminal, until it is switched off.
func (p *Project) Run(ctx context.Context, name string, o RunOptions) error {
	disk, err := p.imageFile(name, "qcow2", "raw")
	if err != nil {
		return err
	}
	user, creds, err := account(o.User, o.Key)
	if err != nil {
		return err
	}
	if o.SSHPort != 0 {
		if err := portFree(o.SSHPort); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "ssh -p %d %s@localhost leads into the guest, so does root@localhost", o.SSHPort, user)
		if creds["ssh.authorized_keys.root"] == nil {
			fmt.Fprint(os.Stderr, " (but no key was found in ~/.ssh: name one with --key)")
		}
		fmt.Fprintln(os.Stderr)
	}
	interactive := term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))
	if interactive {
		fmt.Fprintln(os.Stderr, "ctrl-a x ends the machine")
	}
	return vm.Run(ctx, vm.Options{
		Disk: vm.Disk{Path: disk}, Memory: int64(o.Memory) << 20, CPUs: o.CPUs, ForwardSSH: o.SSHPort,
		Stdin: os.Stdin, Console: os.Stdout, Interactive: interactive, Credentials: creds, Write: o.Keep,
		Cache: p.Store.Dir(), Temp: p.temp, Slow: slow,
	})
}

func slow(why string) { fmt.Fprintf(os.Stderr, "no KVM: %s; the guest runs slowly\n", why) }

// portFree tries whether the guest's ssh can have a port: of QEMU's message nobody can tell what to do.
func portFree(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return fault.Errorf(fault.Environment, "the port that is to lead to the guest's ssh: %w: name another with --ssh-port, or 0 for none", err)
	}
	return l.Close()
}

var accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,30}$`)

// account is a user with a key, as systemd credentials. Root gets the key too: nobody in the image can become root
// by a password, and who starts a machine owns it.
func account(name, keyFile string) (string, map[string][]byte, error) {
	valid := accountName.MatchString(name)
	// $USER is what the command takes if nobody names an account: First.Last is no mistake then.
	if name == "" || name == "root" || !valid && name == os.Getenv("USER") {
		name, valid = "mariner", true
	}
	if !valid {
		return "", nil, fault.Errorf(fault.Usage, "--user %q is no name for an account: expected lower case letters, digits, - and _", name)
	}
	key, err := publicKey(keyFile)
	creds := vm.User(name, key)
	if key != nil {
		creds["ssh.authorized_keys.root"] = key
	}
	return name, creds, err
}

// publicKey reads a public key; nil if none was named and there is none.
func publicKey(file string) ([]byte, error) {
	if file == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, nil
		}
		found, err := filepath.Glob(filepath.Join(home, ".ssh", "id_*.pub"))
		if err != nil || len(found) == 0 {
			return nil, err
		}
		file = found[0]
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.Errorf(fault.Usage, "reading the public key: %w", err)
	}
	if strings.Contains(string(b), "PRIVATE KEY") {
		return nil, fault.Errorf(fault.Usage, "%s is a private key: name the public one, %s.pub", file, file)
	}
	return b, nil
}

// firstBootFiles differ from rpm's database after the first boot: the configuration or systemd writes them.
var firstBootFiles = []string{
	"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/fstab", "/etc/hostname", "/etc/machine-id",
	"/etc/resolv.conf", "/etc/pki/rpm-gpg/RPM-GPG-KEY-mariner", "/etc/ld.so.cache", "/etc/.updated", "/var/.updated",
}

// Check boots an image and runs the standard checks inside, printing each.
func (p *Project) Check(ctx context.Context, w io.Writer, name string, o CheckOptions) error {
	disk, err := p.imageFile(name, "qcow2", "raw")
	if err != nil {
		return err
	}
	archive, err := p.imageFile(o.Container, "oci.tar")
	if err != nil {
		return err
	}
	port, stop, err := guest.Serve()
	if err != nil {
		return err
	}
	defer stop()
	var console strings.Builder
	_, err = guest.Run(ctx, guest.Options{
		VM: vm.Options{
			Disk: vm.Disk{Path: disk}, Cache: p.Store.Dir(), Temp: p.temp, Slow: slow, Console: &console,
			ExtraDisks: []vm.Disk{{Path: archive, Format: "raw", Serial: guest.ArchiveSerial, ReadOnly: true}},
		},
		Checks: guest.Standard(port, firstBootFiles...),
		Each: func(r guest.Result) {
			state := "ok  "
			if !r.Passed() {
				state = "FAIL"
			}
			fmt.Fprintf(w, "%s %s (%s)\n", state, r.Name, r.Duration.Round(100*time.Millisecond))
		},
	})
	log := p.Out("logs", "console-"+filepath.Base(disk)+".log")
	if merr := os.MkdirAll(filepath.Dir(log), 0o755); merr == nil {
		err = errors.Join(err, os.WriteFile(log, []byte(console.String()), 0o644))
	}
	return err
}
