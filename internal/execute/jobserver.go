package execute

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// JobServer is one GNU make job server for all builds at once: a named pipe that holds a byte for
// every core that nobody uses ("POSIX Jobserver Interaction", GNU make manual). A build starts with
// the one job that Acquire took for it; make, cargo and mariner-jobs inside take more from the pipe.
type JobServer struct {
	path  string
	pipe  *os.File
	cores int

	mu      sync.Mutex
	holders int // builds that run, and those that wait for a token
}

// NewJobServer makes the pipe in dir with a token for each of cores.
func NewJobServer(dir string, cores int) (*JobServer, error) {
	if cores < 1 {
		return nil, fmt.Errorf("a job server needs at least one core, not %d", cores)
	}
	p := filepath.Join(dir, "jobserver")
	if err := unix.Mkfifo(p, 0o600); err != nil {
		return nil, fmt.Errorf("making the job server's pipe: %w", err)
	}
	// Builds run as another user; they reach the pipe only through the bind that they are given.
	if err := os.Chmod(p, 0o666); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the job server's pipe: %w", err)
	}
	j := &JobServer{path: p, pipe: f, cores: cores}
	return j, j.give(cores)
}

// Path is the named pipe, to be bound into a build's root.
func (j *JobServer) Path() string { return j.path }

// MakeFlags is the value of MAKEFLAGS for a build that finds the pipe at path.
func (j *JobServer) MakeFlags(path string) string {
	return fmt.Sprintf(" -j%d --jobserver-auth=fifo:%s", j.cores, path)
}

func (j *JobServer) give(n int) error {
	b := make([]byte, n)
	for i := range b {
		b[i] = '+'
	}
	_, err := j.pipe.Write(b)
	return err
}

// Acquire waits for a token: the right to keep one core busy.
func (j *JobServer) Acquire(ctx context.Context) error {
	j.count(1)
	stop := context.AfterFunc(ctx, func() { j.pipe.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			j.pipe.SetReadDeadline(time.Time{})
		}
	}()
	if _, err := j.pipe.Read(make([]byte, 1)); err != nil {
		j.count(-1)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("waiting for a free core: %w", err)
	}
	return nil
}

func (j *JobServer) count(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.holders += n
}

// drain empties the pipe without waiting.
func (j *JobServer) drain() error {
	raw, err := j.pipe.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 64)
	return raw.Control(func(fd uintptr) {
		for {
			if n, err := unix.Read(int(fd), buf); n <= 0 || err != nil {
				return
			}
		}
	})
}

// Release gives back what Acquire took. A build that was killed may have kept tokens that it took
// itself; when nobody runs any more, the pipe is filled up again.
func (j *JobServer) Release() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.holders--
	if j.holders > 0 {
		return j.give(1)
	}
	if err := j.drain(); err != nil {
		return err
	}
	return j.give(j.cores)
}

// Close removes the pipe.
func (j *JobServer) Close() error {
	return errors.Join(j.pipe.Close(), os.Remove(j.path))
}
