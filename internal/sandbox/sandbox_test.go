package sandbox

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Init()
	os.Exit(m.Run())
}

// root is a layer made of the host's own programs, so that the tests need nothing prepared.
func root(t *testing.T) Root {
	t.Helper()
	layer := t.TempDir()
	for _, l := range []string{"bin", "sbin", "lib", "lib64"} {
		if target, err := os.Readlink("/" + l); err == nil {
			if err := os.Symlink(target, filepath.Join(layer, l)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(layer, "usr"), 0o755); err != nil {
		t.Fatal(err)
	}
	return Root{Lower: []string{layer}}
}

func run(t *testing.T, c Command) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c.Env = append(c.Env, "PATH=/usr/bin:/usr/sbin")
	if c.Root.Lower == nil {
		c.Root = root(t)
	}
	c.Binds = append(c.Binds, Bind{Source: "/usr", Target: "/usr", ReadOnly: true})
	c.Stdout, c.Stderr = &out, &out
	_, err := (&Namespaces{Temp: t.TempDir()}).Run(context.Background(), c)
	return strings.TrimSpace(out.String()), err
}

func TestIsolation(t *testing.T) {
	for _, tc := range []struct {
		name, script, want string
		uid                uint32
	}{
		{"ids", "id -u; id -g", "0\n0", 0},
		{"build user", "id -u; id -g; id -G", "1000\n1000\n1000", 1000},
		{"process 1", "cat /proc/1/comm | tr -d '\\0' | wc -l", "1", 0},
		{"only loopback, and it is up", "cat /proc/net/dev | grep -c :; ls /proc/sys/net/ipv4/conf | tr '\\n' ' '", "1\nall default lo", 0},
		{"host name", "cat /proc/sys/kernel/hostname", "mariner", 0},
		{"no new privileges", "grep NoNewPrivs /proc/self/status | cut -f2", "1", 1000},
		{"seccomp", "grep Seccomp: /proc/self/status | cut -f2", "2", 0},
		{"no capabilities for the build user", "grep CapEff /proc/self/status | cut -f2", "0000000000000000", 1000},
		{"a clean environment", "env | grep -v -e ^PWD= -e ^_= -e ^SHLVL=", "PATH=/usr/bin:/usr/sbin", 0},
		{"the host's files are not there", "ls /", "bin\ndev\nlib\nlib64\nproc\nsbin\nusr", 0},
		{"read-only binds", "touch /usr/x 2>/dev/null || echo refused", "refused", 0},
		{"owners survive", "touch /f && chown 123:456 /f && stat -c %u:%g /f", "123:456", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := run(t, Command{Args: []string{"sh", "-c", tc.script}, UID: tc.uid, GID: tc.uid})
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if out != tc.want {
				t.Errorf("got %q, want %q", out, tc.want)
			}
		})
	}
}

func TestExitCode(t *testing.T) {
	_, err := run(t, Command{Args: []string{"sh", "-c", "exit 7"}})
	var ee *ExitError
	if !errors.As(err, &ee) || ee.Code != 7 {
		t.Errorf("got %v, want exit status 7", err)
	}
	_, err = run(t, Command{Args: []string{"no-such-program"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-program: not found") {
		t.Errorf("got %v", err)
	}
}

func TestUpperKeepsWhatIsWritten(t *testing.T) {
	dir := t.TempDir()
	r := root(t)
	r.Upper, r.Work = filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	if out, err := run(t, Command{Args: []string{"sh", "-c", "mkdir /build && echo hi > /build/f"}, Root: r}); err != nil {
		t.Fatal(err, out)
	}
	b, err := os.ReadFile(filepath.Join(r.Upper, "build", "f"))
	if err != nil || string(b) != "hi\n" {
		t.Errorf("%q %v", b, err)
	}
	if err := (&Namespaces{Temp: t.TempDir()}).RemoveAll(context.Background(), dir); err != nil {
		t.Error(err)
	}
}

func TestCancelKillsEverything(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	marker := filepath.Join(t.TempDir(), "started")
	go func() {
		for { // bounded by the context of the run below
			if _, err := os.Stat(marker); err == nil || ctx.Err() != nil {
				cancel()
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	_, err := (&Namespaces{Temp: t.TempDir()}).Run(ctx, Command{
		Args: []string{"sh", "-c", "touch /m/started; sleep 1000 & sleep 1000"},
		Env:  []string{"PATH=/usr/bin"}, Root: root(t),
		Binds: []Bind{{Source: "/usr", Target: "/usr", ReadOnly: true}, {Source: filepath.Dir(marker), Target: "/m"}},
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkStart(b *testing.B) {
	layer := b.TempDir()
	for _, l := range []string{"bin", "lib", "lib64"} {
		os.Symlink("usr/"+l, filepath.Join(layer, l))
	}
	n := &Namespaces{Temp: b.TempDir()}
	for b.Loop() {
		if _, err := n.Run(context.Background(), Command{
			Args: []string{"true"}, Env: []string{"PATH=/usr/bin"}, Root: Root{Lower: []string{layer}},
			Binds: []Bind{{Source: "/usr", Target: "/usr", ReadOnly: true}},
		}); err != nil {
			b.Fatal(err)
		}
	}
}
