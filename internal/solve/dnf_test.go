package solve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mariner/internal/rpm/rpmtest"
	"mariner/internal/rpmmd"
	"mariner/internal/solve"
)

// oracle answers requests, one JSON object a line, with dnf's own Python API, in one process. Weak
// dependencies and exclusions are as in the request, everything else is dnf's default.
const oracle = `
import json, os, sys, dnf
repo, work = sys.argv[1:3]
os.mkdir(work + "/log")
def answer(r):
    base = dnf.Base()
    c = base.conf
    c.installroot, c.cachedir, c.persistdir, c.logdir = work + "/root", work + "/cache", work + "/persist", work + "/log"
    c.reposdir, c.plugins, c.gpgcheck = [work + "/none"], False, False
    c.substitutions["releasever"] = "1"
    c.install_weak_deps = r["weak"]
    c.excludepkgs = r["exclude"] or []
    if hasattr(c, "optional_metadata_types"): # newer ones leave out the lists of files unless they are asked for
        c.optional_metadata_types = ["filelists"]
    base.repos.add_new_repo("test", c, baseurl=["file://" + repo])
    base.fill_sack(load_system_repo=False)
    try:
        for spec in r["install"]:
            base.install(spec)
        base.resolve()
        out = sorted(p.name + "-" + (str(p.epoch) + ":" if p.epoch else "") + p.v + "-" + p.r + "." + p.a for p in base.transaction.install_set)
        return {"set": " ".join(out), "error": ""}
    except (dnf.exceptions.MarkingError, dnf.exceptions.DepsolveError) as e:
        return {"set": "", "error": str(e)}
# A process for each question: some versions of libdnf abort while they tell why a request is impossible.
for line in sys.stdin:
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        with os.fdopen(w, "w") as f:
            json.dump(answer(json.loads(line)), f)
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as f:
        text = f.read()
    _, status = os.waitpid(pid, 0)
    print(text if status == 0 else json.dumps({"set": "", "error": "", "crashed": True}))
`

type question struct {
	Install []string `json:"install"`
	Exclude []string `json:"exclude"`
	Weak    bool     `json:"weak"`
}

type answer struct {
	Set     string `json:"set"`
	Error   string `json:"error"`
	Crashed bool   `json:"crashed"`
}

// literal says whether this dnf installs a package by name although an older version of it is obsoleted by another, as
// 4.23 does; 4.14, and we with it, take the other one.
func literal(t *testing.T) bool {
	t.Helper()
	a := askDnf(t, packages(t, "old 1-1\nold 3-1\nnew 1-1 | obs: old < 2"), []question{{Install: []string{"old"}}})[0]
	if a.Set != "old-3-1.noarch" && a.Set != "new-1-1.noarch" {
		t.Fatalf("dnf answers %+v", a)
	}
	return strings.HasPrefix(a.Set, "old")
}

// obsolete are the names that some package obsoletes.
func obsolete(pkgs []*rpmmd.Package) map[string]bool {
	out := map[string]bool{}
	for _, p := range pkgs {
		for _, d := range p.Header.Obsoletes {
			out[d.Name] = true
		}
	}
	return out
}

// askDnf gives dnf's answers to questions about a repository of pkgs.
func askDnf(t *testing.T, pkgs []*rpmmd.Package, questions []question) []answer {
	t.Helper()
	rpmtest.NeedTools(t, "dnf")
	repo, work := t.TempDir(), t.TempDir()
	if err := rpmmd.Write(context.Background(), repo, pkgs, rpmmd.Options{Revision: 1700000000}); err != nil {
		t.Fatal(err)
	}
	var in strings.Builder
	for _, q := range questions {
		line, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&in, "%s\n", line)
	}
	cmd := exec.Command(pythonOfDnf(t), "-c", oracle, repo, work)
	cmd.Stdin = strings.NewReader(in.String())
	cmd.Env = append(os.Environ(), "HOME="+work, "LC_ALL=C.UTF-8")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("dnf: %v\n%s", err, stderr.String())
	}
	var answers []answer
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		var a answer
		if json.Unmarshal([]byte(line), &a) == nil {
			answers = append(answers, a)
		}
	}
	if len(answers) != len(questions) {
		t.Fatalf("dnf was asked %d times and answered %d times\n%s%s", len(questions), len(answers), out, stderr.String())
	}
	return answers
}

// pythonOfDnf is the interpreter that dnf itself runs under.
func pythonOfDnf(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("dnf")
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	line, _, _ := strings.Cut(string(raw), "\n")
	if err != nil || !strings.HasPrefix(line, "#!") {
		t.Fatalf("%s: expected a Python script, found %q (%v)", path, line, err)
	}
	return strings.Fields(strings.TrimPrefix(line, "#!"))[0]
}

func compareWithDnf(t *testing.T, pkgs []*rpmmd.Package, questions []question) {
	t.Helper()
	old := map[string]bool{}
	if literal(t) {
		old = obsolete(pkgs)
	}
	answers := askDnf(t, pkgs, questions)
	pool := newPool(t, pkgs)
	refused, left := 0, 0
	for i, q := range questions {
		if answers[i].Crashed || slices.ContainsFunc(q.Install, func(s string) bool { return old[strings.Fields(s)[0]] }) {
			left++
			continue
		}
		got, err := pool.Solve(solve.Request{Install: q.Install, Exclude: q.Exclude, WeakDeps: q.Weak})
		var u *solve.Unsolvable
		switch {
		case err != nil && !errors.As(err, &u):
			t.Errorf("%+v: %v", q, err)
		case (err != nil) != (answers[i].Error != ""):
			t.Errorf("%+v: dnf: %q %s\nwe: %s %v", q, answers[i].Set, answers[i].Error, sortedNevras(got), err)
		case err != nil:
			refused++
		case sortedNevras(got) != answers[i].Set:
			t.Errorf("%+v:\ndnf: %s\nwe:  %s", q, answers[i].Set, sortedNevras(got))
		}
	}
	t.Logf("%d requests, %d of them impossible; %d not compared, as this dnf crashes or takes obsolete names literally", len(questions), refused, left)
	if compared := len(questions) - left; compared < len(questions)/3 {
		t.Errorf("only %d requests were compared", compared)
	}
}

// TestWorldAgainstDnf asks for every package of the world, with and without weak dependencies, and
// for what else can be asked for.
func TestWorldAgainstDnf(t *testing.T) {
	pkgs := packages(t, world)
	var questions []question
	seen := map[string]bool{}
	for _, p := range pkgs {
		if !seen[p.Name] {
			seen[p.Name] = true
			questions = append(questions, question{Install: []string{p.Name}}, question{Install: []string{p.Name}, Weak: true})
		}
	}
	for _, list := range [][]string{
		{"mta"},
		{"iface"},
		{"iface >= 3"},
		{"iface = 4"},
		{"libapp < 1.3~"},
		{"libapp = 1.1"},
		{"libapp > 9"},
		{"pkgconfig(zlib)"},
		{"libz.so.1()(64bit)"},
		{"/usr/bin/sh"},
		{"/etc/bashrc"},
		{"/usr/share/some/file"},
		{"/usr/bin/nowhere"},
		{"libapp-1.1"},
		{"libapp-1.1-1"},
		{"libapp-1.2-1.noarch"},
		{"ep-2.0-1"},
		{"ep-1:1.0-3"},
		{"multi.x86_64"},
		{"multi.noarch"},
		{"enemy-*"},
		{"lang-*", "w-app"},
		{"feat-?b"},
		{"nothing-*"},
		{"nothere"},
		{"w-app", "lang-de"},
		{"w-app", "w-bad"},
		{"enemy-a", "enemy-b"},
		{"libcurl-minimal", "curl-user"},
		{"curl-user", "libcurl"},
		{"zlib-ng-compat", "pc-user"},
		{"mta-user", "sendmail"},
		{"r-or2", "exim"},
		{"r-if-no", "cond"},
		{"r-unless", "data"},
		{"r-unless", "data", "base"},
		{"gone", "successor"},
		{"split", "splitter"},
		{"libapp = 1.1", "app"},
		{"old-capped", "app"},
	} {
		questions = append(questions, question{Install: list}, question{Install: list, Weak: true})
	}
	questions = append(questions, []question{
		{Install: []string{"mta-user"}, Exclude: []string{"exim"}},
		{Install: []string{"mta-user"}, Exclude: []string{"exim", "postfix", "sendmail"}},
		{Install: []string{"libapp"}, Exclude: []string{"libapp-1.3~rc1-1"}},
		{Install: []string{"app"}, Exclude: []string{"lib*"}},
		{Install: []string{"w-app"}, Exclude: []string{"w-nice"}, Weak: true},
		{Install: []string{"exim"}, Exclude: []string{"exim"}},
	}...)
	compareWithDnf(t, pkgs, questions)
}

// TestRandomAgainstDnf makes repositories by chance (always the same ones) and asks for all in them.
func TestRandomAgainstDnf(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var text strings.Builder
		const names = 40
		name := func() string { return fmt.Sprintf("p%d", rng.IntN(names)) }
		var term func(depth int) string
		term = func(depth int) string {
			if depth == 0 || rng.IntN(3) == 0 {
				switch rng.IntN(4) {
				case 0:
					return fmt.Sprintf("cap%d", rng.IntN(12))
				case 1:
					return fmt.Sprintf("%s %s %d", name(), []string{"<", "<=", "=", ">=", ">"}[rng.IntN(5)], 1+rng.IntN(3))
				}
				return name()
			}
			op := []string{"and", "or", "or", "if", "or"}[rng.IntN(5)]
			s := "(" + term(depth-1) + " " + op + " " + term(depth-1)
			if op == "if" && rng.IntN(2) == 0 {
				s += " else " + term(depth-1)
			}
			return s + ")"
		}
		for i := range names {
			for v := range 1 + rng.IntN(3) {
				fmt.Fprintf(&text, "p%d %d%s-1 | pro: cap%d, cap%d = %d", i, v+1, []string{"", "~a", "^b"}[rng.IntN(3)], rng.IntN(12), rng.IntN(12), 1+rng.IntN(3))
				for _, kind := range []string{"req", "req", "rec", "sup", "con", "obs"} {
					switch {
					case kind == "obs" && rng.IntN(10) == 0:
						fmt.Fprintf(&text, " | obs: %s < 2", name())
					case kind == "con" && rng.IntN(3) == 0:
						fmt.Fprintf(&text, " | con: %s", term(rng.IntN(2)))
					case kind != "obs" && kind != "con" && rng.IntN(2) == 0:
						fmt.Fprintf(&text, " | %s: %s", kind, term(2))
					}
				}
				text.WriteString("\n")
			}
		}
		pkgs := packages(t, text.String())
		var questions []question
		for i := range names {
			questions = append(questions, question{Install: []string{fmt.Sprintf("p%d", i)}, Weak: i%2 == 0})
			questions = append(questions, question{Install: []string{name(), name()}, Weak: i%2 == 1})
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) { compareWithDnf(t, slices.Clip(pkgs), questions) })
	}
}
