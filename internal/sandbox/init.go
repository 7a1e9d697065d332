package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Init must be the first thing in main (and in TestMain of tests that run sandboxes): in a process
// that Run started it sets the sandbox up, runs the command and never returns; in any other it does
// nothing.
func Init() {
	if len(os.Args) == 0 || os.Args[0] != initArg {
		return
	}
	runtime.LockOSThread()
	control, failures := os.NewFile(3, "control"), os.NewFile(4, "failures")
	code, err := first(control, failures)
	if err != nil {
		fmt.Fprintln(failures, err)
		code = codeSetup
	}
	os.Exit(code)
}

// first is the life of process 1 of the sandbox.
func first(control, failures *os.File) (int, error) {
	// Whoever was started without a map has lost every capability by exec; it has them again after
	// another one, now that it is root. The environment tells the two lives apart.
	one := make([]byte, 1)
	if os.Getenv("MAPPED") == "" {
		// The first byte of the JSON comes after the maps were written.
		if _, err := io.ReadFull(control, one); err != nil {
			return 0, nil // the parent gave up
		}
		unix.FcntlInt(3, unix.F_SETFD, 0)
		unix.FcntlInt(4, unix.F_SETFD, 0)
		return 0, syscall.Exec("/proc/self/exe", []string{initArg}, []string{"MAPPED=1"})
	}
	var s setup
	if err := json.NewDecoder(io.MultiReader(strings.NewReader("{"), control)).Decode(&s); err != nil {
		return 0, fmt.Errorf("reading what to run: %w", err)
	}
	unix.CloseOnExec(3)
	unix.CloseOnExec(4)
	if err := s.build(); err != nil {
		return 0, err
	}
	if err := restrict(len(s.Root.Lower) > 0); err != nil {
		return 0, err
	}
	cmd := &exec.Cmd{
		Args: s.Args, Env: s.Env, Dir: s.Dir,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	var err error
	if cmd.Path, err = lookPath(s.Args[0], s.Env); err != nil {
		return 0, err
	}
	if s.UID != 0 || s.GID != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.UID, Gid: s.GID}}
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting %s: %w", s.Args[0], err)
	}
	failures.Close()
	go func() { // the parent's death closes the pipe; leaving as process 1 kills everything inside
		io.Copy(io.Discard, control)
		os.Exit(128 + int(syscall.SIGKILL))
	}()
	signal.Ignore(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGPIPE)
	for { // process 1 reaps what nobody else waits for
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("waiting for %s: %w", s.Args[0], err)
		case pid == cmd.Process.Pid && ws.Exited():
			return ws.ExitStatus(), nil
		case pid == cmd.Process.Pid && ws.Signaled():
			return 128 + int(ws.Signal()), nil
		}
	}
}

func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := "/usr/sbin:/usr/bin:/sbin:/bin"
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v
		}
	}
	for _, d := range filepath.SplitList(path) {
		p := filepath.Join(d, name)
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s: not found in %s", name, path)
}

// build mounts the root and makes it this process's own.
func (s *setup) build() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	host := s.Hostname
	if host == "" {
		host = "mariner"
	}
	if err := unix.Sethostname([]byte(host)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if !s.Network {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("bringing up the loopback interface: %w", err)
		}
	}
	unix.Umask(0o022)
	if len(s.Root.Lower) == 0 {
		return unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	root, err := s.overlay()
	if err != nil {
		return err
	}
	for _, step := range []func(string) error{mountDev, mountProc, s.bind} {
		if err := step(root); err != nil {
			return err
		}
	}
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detaching the host's root: %w", err)
	}
	return unix.Chdir("/")
}

func (s *setup) overlay() (string, error) {
	scratch := s.Mount
	root, upper, work := filepath.Join(scratch, "root"), s.Root.Upper, s.Root.Work
	if upper == "" {
		if err := unix.Mount("tmpfs", scratch, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
			return "", fmt.Errorf("mounting a tmpfs: %w", err)
		}
		upper, work = filepath.Join(scratch, "upper"), filepath.Join(scratch, "work")
	}
	for _, d := range []string{root, upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return "", err
		}
	}
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`)
	var lower []string
	for _, l := range s.Root.Lower {
		lower = append(lower, escape.Replace(l))
	}
	opts := fmt.Sprintf("userxattr,lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(lower, ":"), escape.Replace(upper), escape.Replace(work))
	if len(opts) >= os.Getpagesize() {
		return "", fmt.Errorf("overlay options of %d bytes do not fit into a page: use fewer layers or shorter paths", len(opts))
	}
	if err := unix.Mount("overlay", root, "overlay", unix.MS_NODEV, opts); err != nil {
		return "", fmt.Errorf("mounting an overlay of %s: %w", strings.Join(s.Root.Lower, ", "), err)
	}
	return root, nil
}

// mountDev gives the few devices that every program expects, bound from the host: nobody may make
// device nodes in a user namespace.
func mountDev(root string) error {
	dev := filepath.Join(root, "dev")
	if err := os.MkdirAll(dev, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dev, "tmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
		return fmt.Errorf("mounting /dev: %w", err)
	}
	for _, n := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := bindPath("/dev/"+n, filepath.Join(dev, n), false); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
	} {
		if err := os.Symlink(target, filepath.Join(dev, link)); err != nil {
			return err
		}
	}
	for name, fs := range map[string]string{"pts": "devpts", "shm": "tmpfs"} {
		p := filepath.Join(dev, name)
		if err := os.Mkdir(p, 0o755); err != nil {
			return err
		}
		opts := "mode=1777"
		if fs == "devpts" {
			opts = "newinstance,ptmxmode=0666,mode=0620"
		}
		if err := unix.Mount(fs, p, fs, unix.MS_NOSUID|unix.MS_NOEXEC, opts); err != nil {
			return fmt.Errorf("mounting /dev/%s: %w", name, err)
		}
	}
	return nil
}

func mountProc(root string) error {
	p := filepath.Join(root, "proc")
	if err := os.MkdirAll(p, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("proc", p, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return nil
}

func (s *setup) bind(root string) error {
	for _, b := range s.Binds {
		if err := bindPath(b.Source, filepath.Join(root, b.Target), b.ReadOnly); err != nil {
			return err
		}
	}
	return nil
}

// bindPath binds a file or a directory, making the mount point.
func bindPath(source, target string, readOnly bool) error {
	st, err := os.Stat(source)
	if err != nil {
		return err
	}
	if st.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		var f *os.File
		if f, err = os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
			f.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("making the mount point %s: %w", target, err)
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("binding %s: %w", source, err)
	}
	if !readOnly {
		return nil
	}
	// Flags that the host set (nosuid, nodev…) are locked in a user namespace and must be kept.
	var fs unix.Statfs_t
	if err := unix.Statfs(target, &fs); err != nil {
		return err
	}
	keep := uintptr(fs.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME)
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|keep, ""); err != nil {
		return fmt.Errorf("making %s read-only: %w", target, err)
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
