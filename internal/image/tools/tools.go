// Package tools runs the programs that shape an image's bytes (rpm, mke2fs, mtools, tar, qemu-img…)
// in a root made for them, so that the same bytes come out on any host.
//
// It knows how a script is run and how its failure is told; what the scripts do stands beside those
// who need them.
package tools

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"mariner/internal/fault"
	"mariner/internal/sandbox"
)

// Tools is a root with the programs in it and somebody who runs them there.
type Tools struct {
	Runner sandbox.Runner
	// Layers are the directories of the root, the uppermost first. They hold bash, coreutils,
	// findutils, tar, cpio, zstd, mount, python3, rpm 4.20, e2fsprogs 1.47.1 or later, dosfstools,
	// mtools and qemu-img.
	Layers []string
	// Epoch is the clock that the programs go by (SOURCE_DATE_EPOCH).
	Epoch time.Time
	// Log, if set, gets what the programs print.
	Log io.Writer
}

// Script is a bash script and what it works on.
type Script struct {
	// Name is what is being done: "installing packages".
	Name string
	// Text is run with errexit, nounset and pipefail.
	Text string
	// Args are $1 and following.
	Args  []string
	Env   map[string]string
	Binds []sandbox.Bind
	Stdin io.Reader
	// Stdout takes the output; without it that goes where the errors go.
	Stdout io.Writer
	// Refuse, if set, looks at every line of the errors; a line that it returns true for makes the
	// script fail although its exit status is 0.
	Refuse func(line string) bool
}

// Run runs a script as root of the tools' namespace, without a network. An error ends with the last
// lines that were printed and is a fault.Image unless it is the environment's.
func (t Tools) Run(ctx context.Context, s Script) error {
	tail := &tailWriter{to: t.Log, refuse: s.Refuse}
	env := []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "TZ=UTC",
		"SOURCE_DATE_EPOCH=" + strconv.FormatInt(t.Epoch.Unix(), 10),
	}
	for k, v := range s.Env {
		env = append(env, k+"="+v)
	}
	stdout := s.Stdout
	if stdout == nil {
		stdout = tail
	}
	_, err := t.Runner.Run(ctx, sandbox.Command{
		Args: append([]string{"bash", "-euo", "pipefail", "-c", s.Text, "bash"}, s.Args...),
		Env:  env, Root: sandbox.Root{Lower: t.Layers}, Binds: s.Binds,
		Stdin: s.Stdin, Stdout: stdout, Stderr: tail,
	})
	tail.flush()
	if err == nil && tail.refused != "" {
		err = fmt.Errorf("it printed: %s", tail.refused)
	}
	if err != nil {
		return fault.As(fault.Image, fmt.Errorf("%s: %w%s", s.Name, err, tail))
	}
	return nil
}

// Output is Run, returning what the script printed.
func (t Tools) Output(ctx context.Context, s Script) (string, error) {
	var out bytes.Buffer
	s.Stdout = &out
	err := t.Run(ctx, s)
	return out.String(), err
}

// tailLines is how many of the last lines an error shows.
const tailLines = 20

// tailWriter keeps the last lines of what is written to it.
type tailWriter struct {
	to      io.Writer
	refuse  func(string) bool
	refused string
	lines   []string
	rest    []byte
}

func (w *tailWriter) Write(p []byte) (int, error) {
	if w.to != nil {
		if _, err := w.to.Write(p); err != nil {
			w.to = nil // a log that cannot be written does not spoil an image
		}
	}
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		w.line(string(w.rest[:i]))
		w.rest = w.rest[i+1:]
	}
}

func (w *tailWriter) line(s string) {
	if w.refuse != nil && w.refused == "" && w.refuse(s) {
		w.refused = s
	}
	w.lines = append(w.lines, s)
	if len(w.lines) > tailLines {
		w.lines = w.lines[1:]
	}
}

func (w *tailWriter) flush() {
	if len(w.rest) > 0 {
		w.line(string(w.rest))
		w.rest = nil
	}
}

func (w *tailWriter) String() string {
	if len(w.lines) == 0 {
		return ""
	}
	return "\n  " + strings.Join(w.lines, "\n  ")
}
