// Package sandbox runs one command, isolated: its own user, mount, pid, net, ipc, uts and cgroup
// namespaces, an overlay as its root, no new privileges, a seccomp filter, and no network unless it
// is asked for. It works for root and, with ranges in /etc/subuid and /etc/subgid, for everybody.
//
// It is not a container engine: there are no images, no daemons and nothing that outlives a command.
package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mariner/internal/fault"
)

// Bind makes a host path visible inside.
type Bind struct {
	Source   string // on the host
	Target   string // absolute, inside
	ReadOnly bool
}

// Root is the file system that a command sees: an overlay of directories.
type Root struct {
	// Lower are read-only layers, the uppermost first. Empty: the host's own root, which is what
	// removing or unpacking files of other ids needs, and nothing else.
	Lower []string
	// Upper takes what the command writes, Work is overlayfs's own directory beside it (the same
	// file system). Both empty: a tmpfs, gone when the command ends.
	Upper, Work string
}

// Command is one command and what it may see.
type Command struct {
	Args           []string // Args[0] is looked up in the PATH of Env
	Env            []string // the whole environment; nothing is inherited
	Dir            string   // "/" if empty
	Root           Root
	Binds          []Bind
	UID, GID       uint32 // inside; 0 has every capability over what the namespaces own, and nothing else
	Network        bool   // keep the host's network
	Hostname       string // "mariner" if empty
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Usage is what a command and all its descendants used.
type Usage struct {
	Wall, CPU time.Duration
	MaxRSS    int64 // of the largest process, bytes
}

// ExitError says that the command ran and failed; Code is its exit status, 128+n for signal n.
type ExitError struct {
	Args []string
	Code int
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s: exit status %d", filepath.Base(e.Args[0]), e.Code)
}

// Runner runs commands; the namespaces of this machine are one, another could be a remote worker.
type Runner interface {
	Run(ctx context.Context, c Command) (Usage, error)
}

// Namespaces is the Runner of this machine. The zero value works in os.TempDir().
type Namespaces struct {
	// Temp is where mount points are made: a directory that only this user can write.
	Temp string
}

// initArg marks a re-executed process as the sandbox's first one.
const initArg = "mariner-sandbox-init"

// setup is what the parent tells the first process, as JSON over a pipe.
type setup struct {
	Mount    string
	Args     []string
	Env      []string
	Dir      string
	Root     Root
	Binds    []Bind
	UID, GID uint32
	Hostname string
	Network  bool
}

// exit codes of the first process for what is not the command's own failure
const codeSetup = 125

// Run runs c and waits for it. When ctx ends, or this process dies, every process inside is killed.
// The error is an *ExitError if the command itself failed, a fault.Environment if this machine
// does not let it start.
func (n *Namespaces) Run(ctx context.Context, c Command) (Usage, error) {
	if len(c.Args) == 0 {
		return Usage{}, errors.New("sandbox: no command")
	}
	mount, err := os.MkdirTemp(n.Temp, "sandbox-")
	if err != nil {
		return Usage{}, fault.Errorf(fault.Environment, "making a mount point: %w", err)
	}
	defer os.RemoveAll(mount) // only empty directories: what was mounted went with the namespace

	conf := setup{
		Mount: mount, Args: c.Args, Env: c.Env, Dir: c.Dir, Root: c.Root, Binds: c.Binds,
		UID: c.UID, GID: c.GID, Hostname: c.Hostname, Network: c.Network,
	}
	conf.Root.Lower = append([]string(nil), c.Root.Lower...)
	if err := conf.absolute(); err != nil {
		return Usage{}, err
	}
	rd, wr, err := os.Pipe()
	if err != nil {
		return Usage{}, err
	}
	defer wr.Close() // stays open while the command runs: its end tells the first process that we died

	flags := syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP
	if !c.Network {
		flags |= syscall.CLONE_NEWNET
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{initArg}
	cmd.Env = []string{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.ExtraFiles = []*os.File{rd}
	cmd.WaitDelay = 10 * time.Second
	var failure strings.Builder
	failRd, failWr, err := os.Pipe()
	if err != nil {
		rd.Close()
		return Usage{}, err
	}
	defer failRd.Close()
	cmd.ExtraFiles = append(cmd.ExtraFiles, failWr)
	ids, err := idMaps()
	if err != nil {
		rd.Close()
		failWr.Close()
		return Usage{}, err
	}
	// Out of the terminal's session, unless it is at the terminal: Ctrl-C is for us, who end the sandbox
	// as a whole, and what runs inside can ask nobody.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: uintptr(flags), Setsid: c.Stdin != os.Stdin}
	if ids.direct {
		m := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = m, m
		cmd.SysProcAttr.GidMappingsEnableSetgroups = true
	}
	start := time.Now()
	err = cmd.Start()
	rd.Close()
	failWr.Close()
	if err != nil {
		return Usage{}, fault.Errorf(fault.Environment, "starting a process in new namespaces: %w (are user namespaces allowed? `mariner doctor` says)", err)
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer stop()
	if err := ids.write(cmd.Process.Pid); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return Usage{}, err
	}
	if err := json.NewEncoder(wr).Encode(conf); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return Usage{}, fmt.Errorf("telling the sandbox what to run: %w", err)
	}
	failed := make(chan struct{})
	go func() { io.Copy(&failure, failRd); close(failed) }()
	err = cmd.Wait()
	<-failed
	use := Usage{Wall: time.Since(start)}
	if ps := cmd.ProcessState; ps != nil {
		use.CPU = ps.UserTime() + ps.SystemTime()
		if ru, ok := ps.SysUsage().(*syscall.Rusage); ok {
			use.MaxRSS = ru.Maxrss * 1024
		}
	}
	if ctx.Err() != nil {
		return use, ctx.Err()
	}
	if failure.Len() > 0 {
		return use, fault.Errorf(fault.Environment, "setting up the sandbox: %s", strings.TrimSpace(failure.String()))
	}
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		code := ee.ExitCode()
		if ws, ok := ee.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			code = 128 + int(ws.Signal())
		}
		return use, &ExitError{Args: c.Args, Code: code}
	}
	if err != nil {
		return use, fmt.Errorf("running %s: %w", c.Args[0], err)
	}
	return use, nil
}

// RemoveAll removes a tree that may hold files of ids that only a user namespace owns.
func (n *Namespaces) RemoveAll(ctx context.Context, path string) error {
	if err := os.RemoveAll(path); err == nil {
		return nil
	}
	_, err := n.Run(ctx, Command{
		Args: []string{"sh", "-c", `chmod -R u+rwX -- "$1" 2>/dev/null; exec rm -rf -- "$1"`, "sh", path},
		Env:  []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, Stderr: os.Stderr,
	})
	if err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}

func (s *setup) absolute() error {
	paths := []*string{&s.Root.Upper, &s.Root.Work}
	for i := range s.Root.Lower {
		paths = append(paths, &s.Root.Lower[i])
	}
	s.Binds = append([]Bind(nil), s.Binds...)
	for i := range s.Binds {
		paths = append(paths, &s.Binds[i].Source)
	}
	for _, p := range paths {
		if *p == "" {
			continue
		}
		a, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = a
	}
	return nil
}
