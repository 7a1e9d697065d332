package execute

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func cores(t *testing.T, n int) *JobServer {
	t.Helper()
	j, err := NewJobServer(t.TempDir(), n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// order runs tasks on one core and tells in which order they were done.
func order(t *testing.T, tasks []*Task, limits Limits) ([]string, error) {
	t.Helper()
	var mu sync.Mutex
	var done []string
	for _, task := range tasks {
		inner := task.Do
		task.Do = func(ctx context.Context) error {
			mu.Lock()
			done = append(done, task.Name)
			mu.Unlock()
			if inner != nil {
				return inner(ctx)
			}
			return nil
		}
	}
	err := Run(context.Background(), tasks, limits)
	return done, err
}

func TestLongestPathFirst(t *testing.T) {
	libc := &Task{Name: "libc", Expected: 5}
	kernel := &Task{Name: "kernel", Expected: 20}
	small := &Task{Name: "small", Expected: 1}
	app := &Task{Name: "app", Expected: 30, Needs: []*Task{libc}}
	got, err := order(t, []*Task{small, kernel, app, libc}, Limits{Cores: cores(t, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if want := "libc app kernel small"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestFailureStopsOnlyWhatDependsOnIt(t *testing.T) {
	broken := errors.New("zlib.spec:3: no")
	zlib := &Task{Name: "zlib", Do: func(context.Context) error { return broken }}
	rpm := &Task{Name: "rpm", Needs: []*Task{zlib}}
	image := &Task{Name: "image", Needs: []*Task{rpm}}
	bash := &Task{Name: "bash"}
	got, err := order(t, []*Task{zlib, rpm, image, bash}, Limits{Cores: cores(t, 2)})
	var f Failures
	if !errors.As(err, &f) || !errors.Is(err, broken) || len(f) != 3 {
		t.Fatalf("got %v", err)
	}
	if len(got) != 2 {
		t.Errorf("done: %v", got)
	}
	if !strings.Contains(err.Error(), "zlib.spec:3: no") || !strings.Contains(err.Error(), "1 failed, 2 that need what failed were not tried") {
		t.Errorf("message: %v", err)
	}
	if f[2].Because != "zlib" {
		t.Errorf("image failed because of %q", f[2].Because)
	}
}

func TestCircle(t *testing.T) {
	a, b := &Task{Name: "a"}, &Task{Name: "b"}
	a.Needs, b.Needs = []*Task{b}, []*Task{a}
	if err := Run(context.Background(), []*Task{a, b}, Limits{Cores: cores(t, 1)}); err == nil {
		t.Error("a circle was accepted")
	}
}

func TestMemoryIsShared(t *testing.T) {
	var mu sync.Mutex
	var now, peak int64
	big := func(name string) *Task {
		return &Task{Name: name, Memory: 6, Do: func(context.Context) error {
			mu.Lock()
			now += 6
			peak = max(peak, now)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			now -= 6
			mu.Unlock()
			return nil
		}}
	}
	tasks := []*Task{big("a"), big("b"), big("c"), big("d")}
	if err := Run(context.Background(), tasks, Limits{Cores: cores(t, 4), Memory: 12}); err != nil {
		t.Fatal(err)
	}
	if peak > 12 {
		t.Errorf("%d bytes promised at once, 12 allowed", peak)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	first := &Task{Name: "first", Do: func(ctx context.Context) error { cancel(); return ctx.Err() }}
	second := &Task{Name: "second", Needs: []*Task{first}, Do: func(context.Context) error {
		t.Error("started after the cancellation")
		return nil
	}}
	if err := Run(ctx, []*Task{first, second}, Limits{Cores: cores(t, 1)}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestJobServerGetsLostTokensBack(t *testing.T) {
	j := cores(t, 3)
	ctx := context.Background()
	if err := j.Acquire(ctx); err != nil {
		t.Fatal(err)
	}
	// A build inside takes the other two and is killed.
	for range 2 {
		if _, err := j.pipe.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Release(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c, cancel := context.WithTimeout(ctx, time.Second)
		if err := j.Acquire(c); err != nil {
			t.Fatal("a token was lost:", err)
		}
		cancel()
	}
	c, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := j.Acquire(c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a fourth token: %v", err)
	}
}
