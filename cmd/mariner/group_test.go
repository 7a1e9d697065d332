package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// group is a command in a process group of its own, with all that it starts.
type group struct {
	cmd  *exec.Cmd
	done chan struct{}
	seen []process // that lived when the command was interrupted or killed
}

// process is known by its number and when it started: numbers are used again.
type process struct {
	pid, parent int
	name, start string
}

func startGroup(c *exec.Cmd) (*group, error) {
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.WaitDelay = 10 * time.Second // who is left behind may hold its output open
	if err := c.Start(); err != nil {
		return nil, err
	}
	g := &group{cmd: c, done: make(chan struct{})}
	go func() {
		_ = c.Wait() // its code is looked at below
		close(g.done)
	}()
	return g, nil
}

func (g *group) ended() bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

func (g *group) wait() (code int) {
	<-g.done
	return g.cmd.ProcessState.ExitCode()
}

// interrupt is what a terminal does on Ctrl-C.
func (g *group) interrupt() {
	g.look()
	_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGINT)
}

// kill sends SIGKILL to the command and to every process below it, the sandboxed ones too; or to the
// command alone.
func (g *group) kill(all bool) {
	g.look()
	_ = g.cmd.Process.Kill()
	if !all {
		return
	}
	for _, p := range g.seen {
		if p.pid != g.cmd.Process.Pid {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}

// look notes the command and all processes below it.
func (g *group) look() {
	below := map[int]bool{g.cmd.Process.Pid: true}
	all := processes()
	for n := 0; n != len(below); {
		n = len(below)
		for _, p := range all {
			if below[p.parent] {
				below[p.pid] = true
			}
		}
	}
	for _, p := range all {
		if below[p.pid] {
			g.seen = append(g.seen, p)
		}
	}
}

// left are those of the processes noted that live still.
func (g *group) left() (out []process) {
	for _, p := range g.seen {
		if now, ok := readProcess(filepath.Join("/proc", strconv.Itoa(p.pid), "stat")); ok && now.start == p.start {
			out = append(out, p)
		}
	}
	return out
}

func processes() (out []process) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		if p, ok := readProcess(file); ok {
			out = append(out, p)
		}
	}
	return out
}

// readProcess reads a stat file of proc(5): PID (NAME) STATE PPID …; NAME may hold anything, and
// the time of start is field 22.
func readProcess(file string) (p process, ok bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return p, false
	}
	text := string(data)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return p, false
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return p, false
	}
	p.name, p.start = text[open+1:end], fields[19]
	p.pid, _ = strconv.Atoi(strings.TrimSpace(text[:open]))
	p.parent, _ = strconv.Atoi(fields[1])
	return p, true
}
