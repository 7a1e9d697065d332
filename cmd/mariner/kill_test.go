package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// kills is how often TestKill kills a running build.
const kills = 20

// A build that is killed at any moment, again and again, ends in the same files as one that nobody
// disturbed in another folder. Every second time only the command itself is killed: what runs in its
// sandboxes must follow it.
func TestKill(t *testing.T) {
	bench := newBench(t)
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("MARINER_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("MARINER_TEST_SEED=%d repeats the moments", seed)
	random := rand.New(rand.NewPCG(seed, seed))

	calm := newKillTree(t, bench, "undisturbed-in-another-folder")
	started := time.Now()
	calm.finish("build")
	took := time.Since(started)
	want := calm.sums()
	t.Logf("undisturbed: %s", took)
	inSandbox := 0

	// 1. Series of kills: each goes on with what the last one left, until the build is through.
	for done, series := 0, 0; done < kills; series++ {
		k := newKillTree(t, bench, strconv.Itoa(series))
		// Four of a series: three spread over what is left to do, and one while the packages are signed
		// and published, which is over so soon that it would hardly be met.
		for i := range 4 {
			after := time.Duration(random.Int64N(int64(took/2))) + took/20
			g := k.start("build")
			if i == 3 {
				after = time.Duration(random.Int64N(int64(100 * time.Millisecond)))
				for !g.ended() && !strings.Contains(k.log(), "(6 of 6)") {
					time.Sleep(time.Millisecond)
				}
			}
			select {
			case <-g.done: // before the kill: it does not count
				if code := g.wait(); code != 0 {
					t.Fatalf("series %d: a build that follows a killed one ended with code %d:\n%s", series, code, k.log())
				}
			case <-time.After(after):
				g.kill(done%2 == 0)
				g.wait()
				if len(g.seen) == 0 { // it has just ended by itself
					break
				}
				k.died(g)
				t.Logf("series %d: killed after %s with %d processes", series, after, len(g.seen))
				if len(g.seen) > 2 {
					inSandbox++
				}
				done++
				continue
			}
			break
		}
		// 2. The next run ends with the same digests, and nothing of the killed ones is left.
		k.finish("build")
		if got := k.sums(); got != want {
			t.Errorf("series %d: the files in out/repo differ:\n%s\nexpected:\n%s", series, got, want)
		}
		k.finish("cache", "verify")
		if left, err := os.ReadDir(filepath.Join(k.work, "store", "tmp")); err != nil || len(left) > 0 {
			t.Errorf("series %d: left in the store's tmp: %v %v", series, left, err)
		}
	}
	if inSandbox < kills/4 {
		t.Errorf("only %d of %d kills met a running build", inSandbox, kills)
	}
}

// When the command dies alone, what it has started in sandboxes dies with it: the build here would go
// on for an hour.
func TestKillAlone(t *testing.T) {
	k := newKillTree(t, newBench(t), "alone")
	k.change("a", "sleep 0.3", "sleep 3600")
	g := k.start("build", "a")
	for log := filepath.Join(k.work, "tree", "out", "logs", "a.log"); ; time.Sleep(5 * time.Millisecond) {
		if data, err := os.ReadFile(log); err == nil && bytes.Contains(data, []byte("sleep 3600")) {
			break
		}
		if g.ended() {
			t.Fatalf("the build has ended: %s", k.log())
		}
	}
	g.kill(false)
	g.wait()
	k.died(g)
	k.change("a", "sleep 3600", "sleep 0.3")
	k.finish("build", "a")
}

// killTree is a tree of six packages, with its store.
type killTree struct {
	t     *testing.T
	bench *bench
	work  string
}

func newKillTree(t *testing.T, b *bench, name string) *killTree {
	t.Helper()
	k := &killTree{t: t, bench: b, work: filepath.Join(t.TempDir(), name)}
	t.Cleanup(func() { b.remove(k.work) })
	tree := filepath.Join(k.work, "tree")
	if err := b.tree(tree); err != nil {
		t.Fatal(err)
	}
	if err := b.store(filepath.Join(k.work, "store")); err != nil {
		t.Fatal(err)
	}
	for _, p := range [][]string{{"a"}, {"b", "a"}, {"c", "a"}, {"d", "b", "c"}, {"e"}, {"f", "e", "a"}} {
		if err := writeSpec(tree, p[0], p[1:]...); err != nil {
			t.Fatal(err)
		}
		// Without a pause most kills would hit the moments between builds.
		k.change(p[0], "%install\n", "%build\nsleep 0.3\n\n%install\n")
	}
	return k
}

// change replaces a text in the spec of a package.
func (k *killTree) change(name, old, text string) {
	k.t.Helper()
	file := filepath.Join(k.work, "tree", "SPECS", name, name+".spec")
	data, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, bytes.Replace(data, []byte(old), []byte(text), 1), 0o644)
	}
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *killTree) start(args ...string) *group {
	k.t.Helper()
	path, err := exec.LookPath("mariner") // testscript.Main has put it into PATH
	if err != nil {
		k.t.Fatal(err)
	}
	c := exec.Command(path, append([]string{"--progress", "plain"}, args...)...)
	c.Dir, c.Env = filepath.Join(k.work, "tree"), k.bench.env(k.work)
	// A file, as a pipe would be waited for until the last process has closed it.
	log, err := os.Create(filepath.Join(k.work, "log"))
	if err != nil {
		k.t.Fatal(err)
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	g, err := startGroup(c)
	if err != nil {
		k.t.Fatal(err)
	}
	return g
}

func (k *killTree) finish(args ...string) {
	k.t.Helper()
	if code := k.start(args...).wait(); code != 0 {
		k.t.Fatalf("mariner %s: code %d:\n%s", strings.Join(args, " "), code, k.log())
	}
}

func (k *killTree) log() string {
	data, err := os.ReadFile(filepath.Join(k.work, "log"))
	if err != nil {
		k.t.Error(err)
	}
	return string(data)
}

// died waits until no process of a killed command is left.
func (k *killTree) died(g *group) {
	k.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		left := g.left()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			g.kill(true)
			k.t.Fatalf("these have survived the kill: %v", left)
		}
	}
}

// sums are the digests of the published repository.
func (k *killTree) sums() string {
	k.t.Helper()
	sums, err := digests(filepath.Join(k.work, "tree", "out", "repo"))
	if err != nil {
		k.t.Fatal(err)
	}
	return sums
}
