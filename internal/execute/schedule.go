package execute

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"
)

// Task is one thing to do: what it waits for, what it costs, and how it is done.
type Task struct {
	Name     string
	Needs    []*Task
	Expected time.Duration // what it took last time; what such a task usually takes if unknown
	Memory   int64         // bytes that it is expected to need at its peak
	// Do does it. It is told once all of Needs have succeeded; it may be nil for a mere meeting point.
	Do func(context.Context) error
	// Free says that the task takes no core while it runs (it waits for the network).
	Free bool
	// For is the task that this one only prepares, if there is one: its failure is that task's.
	For *Task

	rest time.Duration // from its start to the end of the longest chain that begins with it
}

// Limits are what tasks share.
type Limits struct {
	Cores  *JobServer
	Memory int64 // bytes, 0 for no limit
}

// Failure is a task that failed, or was not tried because of one that did.
type Failure struct {
	Task    string
	Err     error
	Because string // the failed task that this one waits for, "" if it failed itself
}

// Failures is the error of a run in which at least one task failed.
type Failures []Failure

func (f Failures) Error() string {
	var failed, skipped int
	msg := ""
	for _, x := range f {
		if x.Because != "" {
			skipped++
			continue
		}
		failed++
		if msg != "" {
			msg += "\n"
		}
		msg += x.Err.Error()
	}
	if skipped > 0 {
		msg += fmt.Sprintf("\n%d failed, %d that need what failed were not tried", failed, skipped)
	}
	return msg
}

// Unwrap gives the errors of the tasks that failed themselves.
func (f Failures) Unwrap() []error {
	var out []error
	for _, x := range f {
		if x.Because == "" {
			out = append(out, x.Err)
		}
	}
	return out
}

// Run does all tasks, each after those it needs, the one with the longest chain behind it first.
// A failed task stops only what needs it. When ctx ends, nothing new starts, what runs is waited
// for (it sees the same ctx), and ctx's error is returned.
func Run(ctx context.Context, tasks []*Task, limits Limits) error {
	s, err := newSchedule(tasks, limits)
	if err != nil {
		return err
	}
	return s.run(ctx)
}

type schedule struct {
	limits  Limits
	tasks   []*Task
	waits   map[*Task]int     // needs that are not done yet
	behind  map[*Task][]*Task // who needs it
	failed  map[*Task]*Failure
	ready   []*Task // sorted, the most urgent first
	running int
	onCores int   // of those, the ones that take a core
	memory  int64 // promised to running tasks

	mu   sync.Mutex
	wake chan struct{}
}

func newSchedule(tasks []*Task, limits Limits) (*schedule, error) {
	s := &schedule{
		limits: limits, tasks: tasks, waits: map[*Task]int{}, behind: map[*Task][]*Task{},
		failed: map[*Task]*Failure{}, wake: make(chan struct{}, 1),
	}
	for _, t := range tasks {
		s.waits[t] = len(t.Needs)
		for _, n := range t.Needs {
			s.behind[n] = append(s.behind[n], t)
		}
	}
	// Longest path: from the ends back, in reverse topological order.
	left := map[*Task]int{}
	var stack []*Task
	for _, t := range tasks {
		t.rest = t.Expected
		if left[t] = len(s.behind[t]); left[t] == 0 {
			stack = append(stack, t)
		}
	}
	seen := 0
	for len(stack) > 0 {
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		seen++
		for _, n := range t.Needs {
			if _, ok := s.waits[n]; !ok {
				return nil, fmt.Errorf("task %s needs %s, which is not among the tasks", t.Name, n.Name)
			}
			n.rest = max(n.rest, n.Expected+t.rest)
			if left[n]--; left[n] == 0 {
				stack = append(stack, n)
			}
		}
	}
	if seen != len(tasks) {
		return nil, errors.New("the tasks wait for each other in a circle")
	}
	for _, t := range tasks {
		if s.waits[t] == 0 {
			s.ready = append(s.ready, t)
		}
	}
	s.sort()
	return s, nil
}

func (s *schedule) sort() {
	sort.SliceStable(s.ready, func(i, j int) bool {
		a, b := s.ready[i], s.ready[j]
		if a.rest != b.rest {
			return a.rest > b.rest
		}
		return a.Name < b.Name
	})
}

func (s *schedule) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	cancelled := ctx.Done()
	for {
		s.mu.Lock()
		if s.running == 0 && (len(s.ready) == 0 || ctx.Err() != nil) {
			err := s.result(ctx)
			s.mu.Unlock()
			return err
		}
		var t *Task
		if ctx.Err() == nil {
			t = s.next()
		}
		s.mu.Unlock()
		if t != nil {
			wg.Add(1)
			go func() {
				defer wg.Done()
				s.do(ctx, t)
			}()
			continue
		}
		select {
		case <-s.wake:
		case <-cancelled:
			cancelled = nil // from now on only what runs can wake us
		}
	}
}

// next takes the most urgent task that may start now; the caller holds s.mu. At most as many tasks
// wait for a core as there are cores, so that the order stays the order of urgency.
func (s *schedule) next() *Task {
	for i, t := range s.ready {
		if !t.Free {
			if s.onCores >= s.limits.Cores.cores {
				continue
			}
			if s.limits.Memory > 0 && s.memory > 0 && s.memory+t.Memory > s.limits.Memory {
				continue
			}
			s.onCores++
			s.memory += t.Memory
		}
		s.running++
		s.ready = append(s.ready[:i:i], s.ready[i+1:]...)
		return t
	}
	return nil
}

func (s *schedule) do(ctx context.Context, t *Task) {
	err := s.hold(ctx, t)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if !t.Free {
		s.onCores--
		s.memory -= t.Memory
	}
	s.done(t, err)
	s.sort()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// hold does the task with a core of its own.
func (s *schedule) hold(ctx context.Context, t *Task) (err error) {
	if t.Do == nil {
		return nil
	}
	if !t.Free {
		if err := s.limits.Cores.Acquire(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.limits.Cores.Release()) }()
	}
	return t.Do(ctx)
}

// done notes how t ended and makes ready, or gives up, what waited for it.
func (s *schedule) done(t *Task, err error) {
	if err != nil {
		if t.For != nil {
			t = t.For
		}
		s.giveUp(t, &Failure{Task: t.Name, Err: err})
		return
	}
	for _, b := range s.behind[t] {
		if s.waits[b]--; s.waits[b] == 0 && s.failed[b] == nil {
			s.ready = append(s.ready, b)
		}
	}
}

func (s *schedule) giveUp(t *Task, f *Failure) {
	if s.failed[t] != nil {
		return
	}
	s.failed[t] = f
	first := f.Because
	if first == "" {
		first = t.Name
	}
	for _, b := range s.behind[t] {
		s.giveUp(b, &Failure{Task: b.Name, Err: fmt.Errorf("%s was not tried: it needs %s, which failed", b.Name, first), Because: first})
	}
}

func (s *schedule) result(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var out Failures
	for _, t := range s.tasks {
		// What only prepares another task is not told of as well.
		if f := s.failed[t]; f != nil && t.For == nil {
			out = append(out, *f)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// Remaining is how long the tasks take at least: their longest chain, or all of them shared among
// the cores, whichever is longer.
func Remaining(tasks []*Task, cores int) time.Duration {
	var sum, longest time.Duration
	ends := map[*Task]time.Duration{}
	for _, t := range tasks { // needs come first
		var start time.Duration
		for _, n := range t.Needs {
			start = max(start, ends[n])
		}
		ends[t] = start + t.Expected
		longest = max(longest, ends[t])
		sum += t.Expected
	}
	return max(longest, sum/time.Duration(max(cores, 1)))
}
