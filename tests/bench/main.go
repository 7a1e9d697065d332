// Command bench measures the toolkit beside the tools that one would use instead, on this machine, in one run, and
// prints ratios: absolute times differ from machine to machine. It needs what `make test` needs, and the images built.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mariner/internal/sandbox"
	"mariner/internal/store"
)

// measure is one comparison. Both sides are run in turns, so that a slow minute of the machine hits both.
type measure struct {
	name       string
	ours, peer side
	rounds     int
}

// side is a way to do something.
type side struct {
	name string
	// before, if set, is done before each round and not counted.
	before func() error
	do     func() error
}

// bench is what all measures share.
type bench struct {
	ctx    context.Context
	work   string // an empty folder
	stage0 sandbox.Root
	runner *sandbox.Namespaces
}

func main() {
	sandbox.Init()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	work, err := os.MkdirTemp("/var/tmp", "mariner-bench-")
	if err != nil {
		return err
	}
	b := &bench{ctx: ctx, work: work, runner: &sandbox.Namespaces{Temp: work}}
	// Some of what is made here belongs to the sandbox's users.
	defer b.runner.RemoveAll(context.WithoutCancel(ctx), work)
	base, err := b.output("bin/mariner", "--progress", "quiet", "stage0")
	if err != nil {
		return err
	}
	b.stage0 = sandbox.Root{Lower: []string{strings.TrimSpace(base)}}
	fmt.Printf("%-46s %-26s %-26s %s\n", "what", "mariner", "instead", "ratio")
	for _, prepare := range []func() ([]measure, error){b.specs, b.solving, b.rootfs, b.packages, b.nothing} {
		measures, err := prepare()
		if err != nil {
			return err
		}
		for _, m := range measures {
			if err := m.run(); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	return nil
}

// run prints the medians of a measure and their ratio.
func (m measure) run() error {
	var ours, peer []time.Duration
	for range m.rounds {
		for _, s := range []struct {
			side
			times *[]time.Duration
		}{{m.ours, &ours}, {m.peer, &peer}} {
			if s.do == nil {
				continue
			}
			if s.before != nil {
				if err := s.before(); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
			started := time.Now()
			if err := s.do(); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			*s.times = append(*s.times, time.Since(started))
		}
	}
	told := func(s side, times []time.Duration) string {
		if len(times) == 0 {
			return "-"
		}
		return fmt.Sprintf("%s %s", median(times).Round(100*time.Microsecond), s.name)
	}
	ratio := ""
	if len(peer) > 0 {
		ratio = fmt.Sprintf("%.2g", median(ours).Seconds()/median(peer).Seconds())
	}
	fmt.Printf("%-46s %-26s %-26s %s\n", m.name, told(m.ours, ours), told(m.peer, peer), ratio)
	return nil
}

func median(times []time.Duration) time.Duration {
	times = slices.Sorted(slices.Values(times))
	return times[len(times)/2]
}

// command is a run of a program of this machine.
func (b *bench) command(name string, args ...string) func() error {
	return func() error {
		_, err := b.output(name, args...)
		return err
	}
}

func (b *bench) output(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(b.ctx, name, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, errs.String())
	}
	return string(out), nil
}

// store makes an empty store that has stage0 already.
func (b *bench) store(name string) (string, error) {
	tree := filepath.Dir(filepath.Dir(b.stage0.Lower[0])) // …/trees/NAME/root/base
	dir := filepath.Join(b.work, name)
	s, err := (store.Options{}).Open(dir)
	if err != nil {
		return "", err
	}
	if err := errors.Join(s.Close(), os.MkdirAll(filepath.Join(dir, "trees"), 0o755)); err != nil {
		return "", err
	}
	return dir, os.Symlink(tree, filepath.Join(dir, "trees", filepath.Base(tree)))
}

// tree is a copy of the distribution that may be changed.
func (b *bench) tree(name string) (string, error) {
	dir := filepath.Join(b.work, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	_, err := b.output("cp", "-r", "mariner.yaml", "SPECS", "images", dir)
	return dir, err
}
