package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// childEnv names the store that a child of TestKill writes to until it is killed.
const childEnv = "MARINER_TEST_STORE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := writeForEver(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeForEver does everything that writes, in two goroutines, and prints the key of each result
// once it is stored.
func writeForEver(dir string) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	failed := make(chan error)
	var mu sync.Mutex
	for worker := range 2 {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, i)
				key, err := writeOnce(s, name, i)
				if err != nil {
					failed <- err
					return
				}
				mu.Lock()
				fmt.Println(key)
				mu.Unlock()
			}
		}()
	}
	return <-failed
}

func writeOnce(s *Store, name string, i int) (Digest, error) {
	d, n, err := s.Put(strings.NewReader(strings.Repeat(name, 1+rand.IntN(50000))))
	if err != nil {
		return "", err
	}
	r := &Result{Action: "build " + name, Inputs: []Input{{name, d}}, Outputs: []Output{{name, d, n}}, Started: time.Now()}
	r.Key = Key(r.Inputs)
	if err := s.PutResult(r); err != nil {
		return "", err
	}
	if err := s.PutMemo("spec", r.Key, []byte(strings.Repeat(name, rand.IntN(10000)))); err != nil {
		return "", err
	}
	if i%4 == 1 {
		if _, err := s.MakeTree(context.Background(), fmt.Sprint("tree ", i), func(tmp string) error {
			return os.WriteFile(filepath.Join(tmp, "whole"), []byte(name), 0o644)
		}); err != nil {
			return "", err
		}
	}
	if i%8 == 7 {
		if _, err := s.GC(context.Background(), Policy{}); err != nil {
			return "", err
		}
	}
	return r.Key, nil
}

// A process that is killed at any moment leaves a store in which all that it has reported is there
// and nothing is damaged; the next process removes what it had not finished.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	for round := range 12 {
		reported := killAfter(t, dir, 1+rand.IntN(20))
		s := open(t, dir)
		if names := s.sessions(); len(names) != 1 {
			t.Errorf("round %d: expected only our session in tmp, found %v", round, names)
		}
		clean(t, s)
		for _, key := range reported {
			r, ok, err := s.Result(key)
			if !ok || err != nil {
				t.Fatalf("round %d: %s was reported and is not there: %v", round, key, err)
			}
			if _, err := s.File(r.Outputs[0].Digest); err != nil {
				t.Error(err)
			}
			if last, err := s.Last(r.Action); err != nil || last == nil {
				t.Errorf("Last: %v, %v", last, err)
			}
		}
		trees, err := os.ReadDir(filepath.Join(dir, "trees"))
		if err != nil {
			t.Fatal(err)
		}
		for _, tree := range trees {
			if _, err := os.Stat(filepath.Join(dir, "trees", tree.Name(), "root", "whole")); err != nil {
				t.Errorf("round %d: half a tree: %v", round, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// killAfter starts a child and kills it when it has reported n results; it returns those that came.
func killAfter(t *testing.T, dir string, n int) (reported []Digest) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		d := Digest(lines.Text())
		if !d.Valid() && !strings.HasPrefix(lines.Text(), "error") {
			continue // cut off by the kill
		}
		if !d.Valid() {
			t.Error(lines.Text())
		}
		if reported = append(reported, d); len(reported) == n {
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := child.Wait(); err == nil {
		t.Error("the child has ended by itself")
	}
	return reported
}
