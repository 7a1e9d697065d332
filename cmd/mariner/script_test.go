package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/rogpeppe/go-internal/testscript"
	"gopkg.in/yaml.v3"

	"mariner/internal/distro"
	"mariner/internal/sandbox"
	"mariner/internal/sandbox/sandboxtest"
	"mariner/internal/store"
)

// The command is this test binary under another name; the sandboxes that it starts run it too.
func TestMain(m *testing.M) {
	sandbox.Init()
	testscript.Main(m, map[string]func(){"mariner": main})
}

// Each script works in a tree and a store of its own, in which only stage0 is there already.
func TestScript(t *testing.T) {
	bench := newBench(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, bench.env(e.WorkDir)...)
			e.Values["env"] = e.Vars
			e.Cd = filepath.Join(e.WorkDir, "tree")
			e.Defer(func() { bench.remove(e.WorkDir) })
			return errors.Join(bench.tree(e.Cd), bench.store(filepath.Join(e.WorkDir, "store")))
		},
		Condition: func(c string) (bool, error) {
			switch c {
			case "root":
				return os.Geteuid() == 0, nil
			case "full": // `make test-full`: what takes minutes too
				return os.Getenv("MARINER_TEST_FULL") != "", nil
			}
			return false, fmt.Errorf("unknown condition %q", c)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"pkg": cmdPkg, "exits": cmdExits, "interrupt": cmdInterrupt, "jsonlines": cmdJSONLines,
			"digests": cmdDigests, "lock": cmdLock, "user": cmdUser, "serve": cmdServe, "damage": cmdDamage,
			"store": func(ts *testscript.TestScript, _ bool, args []string) { ts.Check(bench.store(ts.MkAbs(args[0]))) },
		},
	})
}

// bench is what tests of the command share: stage0 and a signing key.
type bench struct {
	stage0 string // the folder of its tree in the store that has it
	yaml   []byte // its definition
	shared string // a folder: keys, and a mmdebstrap that refuses
}

func newBench(t *testing.T) *bench {
	t.Helper()
	base := sandboxtest.Stage0(t)[0]
	b := &bench{stage0: filepath.Dir(filepath.Dir(filepath.Clean(base))), shared: t.TempDir()}
	own, err := distro.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if b.yaml, err = yaml.Marshal(struct{ Stage0 distro.Stage0 }{own.Stage0}); err != nil {
		t.Fatal(err)
	}
	// A private store without a link to stage0 must not go and make one.
	refuse := "#!/bin/sh\necho 'a test wanted to make stage0 anew: does MARINER_STAGE0 belong to mariner.yaml as it is now?' >&2\nexit 1\n"
	if err := os.Mkdir(filepath.Join(b.shared, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.shared, "bin", "mmdebstrap"), []byte(refuse), 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}

// env is the environment of a command that works in the folder work.
func (b *bench) env(work string) []string {
	bin, _, _ := strings.Cut(os.Getenv("PATH"), ":") // where testscript.Main has put mariner, and nothing else
	return []string{
		"PATH=" + filepath.Join(b.shared, "bin") + ":" + os.Getenv("PATH"), "BIN=" + bin, "REFUSE=" + filepath.Join(b.shared, "bin"), "HOME=" + filepath.Join(work, "home"),
		"XDG_DATA_HOME=" + filepath.Join(b.shared, "data"), "MARINER_STORE=" + filepath.Join(work, "store"),
	}
}

// tree completes a distribution tree from testdata/tree and Mariner's stage0.
func (b *bench) tree(dir string) error {
	for _, d := range []string{"SPECS", "images"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"mariner.yaml", "macros"} {
		data, err := os.ReadFile(filepath.Join("testdata/tree", name))
		if err != nil {
			return err
		}
		if name == "mariner.yaml" {
			data = append(data, b.yaml...)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// store makes a store whose stage0 is a link to the real one.
func (b *bench) store(dir string) error {
	s, err := store.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(os.Symlink(b.stage0, filepath.Join(dir, "trees", filepath.Base(b.stage0))), s.Close())
}

// remove empties a work folder, in which roots of failed builds may belong to other users.
func (b *bench) remove(work string) {
	links, _ := filepath.Glob(filepath.Join(work, "*", "trees", "*"))
	for _, l := range links {
		_ = os.Remove(l) // first, so that nothing can go wrong with stage0 itself
	}
	_ = (&sandbox.Namespaces{}).RemoveAll(context.Background(), work)
}

const specTemplate = `Name:           %[1]s
Version:        1
Release:        1%%{?dist}
Summary:        A package of a test
License:        MIT
BuildArch:      noarch
%[2]s
%%description
For a test.

%%install
install -d %%{buildroot}/usr/share/t
echo "%[1]s" | cat -%[3]s > %%{buildroot}/usr/share/t/%[1]s

%%files
/usr/share/t/%[1]s

%%changelog
* Mon Nov 23 2026 T <t@test.invalid> - 1-1
- First.
`

// writeSpec writes the spec of a package whose one file holds its name and the files of what it needs.
func writeSpec(tree, name string, needs ...string) error {
	var requires, files string
	for _, n := range needs {
		requires += "BuildRequires:  " + n + "\n"
		files += " /usr/share/t/" + n
	}
	dir := filepath.Join(tree, "SPECS", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".spec"), fmt.Appendf(nil, specTemplate, name, requires, files), 0o644)
}

// pkg NAME [NEEDS...] writes the spec of a tiny package into the tree.
func cmdPkg(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(writeSpec(ts.MkAbs("."), args[0], args[1:]...))
}

// exits CODE COMMAND [ARGS...] runs a command that must end with that code.
func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if want := args[0]; strconv.Itoa(code) != want {
		ts.Fatalf("%s ended with code %d, expected %s", strings.Join(args[1:], " "), code, want)
	}
}

// interrupt FILE TEXT COMMAND [ARGS...] presses Ctrl-C once FILE has TEXT: the command's process group
// gets a SIGINT. It must end with code 130 and leave no process behind.
func cmdInterrupt(ts *testscript.TestScript, _ bool, args []string) {
	name := args[2]
	c := exec.Command(name, args[3:]...)
	c.Path = lookPath(ts, name)
	c.Dir = ts.MkAbs(".")
	for _, v := range ts.Value("env").([]string) {
		name, _, _ := strings.Cut(v, "=")
		c.Env = append(c.Env, name+"="+ts.Getenv(name))
	}
	c.Stdout, c.Stderr = ts.Stdout(), ts.Stderr()
	g, err := startGroup(c)
	ts.Check(err)
	for file := ts.MkAbs(args[0]); ; time.Sleep(5 * time.Millisecond) {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), args[1]) {
			break
		}
		if g.ended() {
			ts.Fatalf("%s ended before %s had %q", name, args[0], args[1])
		}
	}
	g.interrupt()
	if code := g.wait(); code != 130 {
		ts.Fatalf("%s ended with code %d, expected 130", name, code)
	}
	if len(g.seen) < 3 {
		ts.Fatalf("expected a sandbox with a build in it, found only %v", g.seen)
	}
	if left := g.left(); len(left) > 0 {
		g.kill(true)
		ts.Fatalf("processes are left: %v", left)
	}
}

func lookPath(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode()&0o111 != 0 {
			return filepath.Join(dir, name)
		}
	}
	ts.Fatalf("%s: not found in PATH", name)
	return ""
}

// jsonlines FILE checks that every line is an event with a time and a type.
func cmdJSONLines(ts *testscript.TestScript, _ bool, args []string) {
	n := 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var event struct {
			Time time.Time
			Type string
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Type == "" || event.Time.IsZero() {
			ts.Fatalf("not an event: %s (%v)", line, err)
		}
		n++
	}
	if n == 0 {
		ts.Fatalf("%s has no events", args[0])
	}
}

// digests FOLDER FILE writes the digest of each file of a folder to a file.
func cmdDigests(ts *testscript.TestScript, _ bool, args []string) {
	sums, err := digests(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(sums), 0o644))
}

// digests lists all files below dir with the digests of their bytes.
func digests(dir string) (string, error) {
	var out bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() { // a store's stage0 is a link
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		fmt.Fprintf(&out, "%x %s\n", sha256.Sum256(data), rel)
		return err
	})
	return out.String(), err
}

// lock FILE WORDS locks a private key with a passphrase.
func cmdLock(ts *testscript.TestScript, _ bool, args []string) {
	ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(ts.ReadFile(args[0])))
	ts.Check(err)
	ts.Check(ring[0].EncryptPrivateKeys([]byte(args[1]), nil))
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.PrivateKeyType, nil)
	ts.Check(err)
	ts.Check(ring[0].SerializePrivateWithoutSigning(w, nil))
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out.Bytes(), 0o600))
}

// damage GLOB changes a byte in the middle of each file.
func cmdDamage(ts *testscript.TestScript, _ bool, args []string) {
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("%s: there is no such file", args[0])
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		ts.Check(err)
		data[len(data)/2] ^= 1
		ts.Check(os.Chmod(file, 0o644))
		ts.Check(os.WriteFile(file, data, 0o644))
	}
}

// serve FOLDER serves files over HTTP; $SERVER is the address. Every answer below /broken/ is cut off
// in its middle, the first one below /once/ too.
func cmdServe(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	var mu sync.Mutex
	asked := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		mu.Lock()
		first := !asked[r.URL.Path]
		asked[r.URL.Path] = true
		mu.Unlock()
		file := filepath.Join(dir, filepath.Base(name))
		if kind != "broken" && !(kind == "once" && first) {
			http.ServeFile(w, r, file)
			return
		}
		data, err := os.ReadFile(file)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:len(data)/2]) // the server closes the connection, as the rest is missing
	}))
	ts.Defer(server.Close)
	ts.Setenv("SERVER", server.URL)
}

// user makes an account with ranges of subordinate ids that is removed when the script ends, with a
// home that holds a copy of the tree, the command and the signing key. $USER_NAME and $USER_HOME say
// what it came to.
func cmdUser(ts *testscript.TestScript, _ bool, _ []string) {
	home, err := os.MkdirTemp("/var/tmp", "mariner-user-")
	ts.Check(err)
	ts.Defer(func() { _ = os.RemoveAll(home) })
	name := strings.ToLower(filepath.Base(home))
	if out, err := exec.Command("useradd", "--no-create-home", "--home-dir", home, "--shell", "/bin/sh", name).CombinedOutput(); err != nil {
		ts.Fatalf("this machine lets no test user be made: useradd: %v: %s", err, out)
	}
	ts.Defer(func() { _ = exec.Command("userdel", name).Run() })
	keys := filepath.Join(home, ".local/share/mariner")
	ts.Check(os.MkdirAll(keys, 0o755))
	ts.Check(ts.Exec("cp", "-a", ts.MkAbs("."), filepath.Join(home, "tree")))
	ts.Check(ts.Exec("cp", lookPath(ts, "mariner"), home))
	ts.Check(ts.Exec("cp", "-a", filepath.Join(ts.Getenv("XDG_DATA_HOME"), "mariner/keys"), keys))
	ts.Check(ts.Exec("chown", "-R", name+":", home))
	ts.Setenv("USER_NAME", name)
	ts.Setenv("USER_HOME", home)
}
