package solve_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"mariner/internal/fault"
	"mariner/internal/rpm"
	"mariner/internal/rpmmd"
	"mariner/internal/solve"
)

func mustSolve(t *testing.T, p *solve.Pool, r solve.Request) string {
	t.Helper()
	got, err := p.Solve(r)
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	return sortedNevras(got)
}

// TestRequestForms covers what dnf's command line has no form for, and what dnf is not asked.
func TestRequestForms(t *testing.T) {
	pool := newPool(t, packages(t, world))
	for _, c := range []struct {
		install string
		want    string
	}{
		{"(nothere or base)", "base-1-1.noarch"},
		{"(base and data)", "base-1-1.noarch data-1-1.noarch"},
		{"(data if cond else base)", "base-1-1.noarch"},
		{"(feat-a with feat-b)", "feat-ab-1-1.noarch"},
		{"(libapp >= 1.1 with libapp < 1.2)", "libapp-1.1-1.noarch"},
		{"(/usr/bin/dash or nothere)", "dash-0.5-1.x86_64"},
		{"(/etc/bashrc and base)", "base-1-1.noarch bash-5.2-1.x86_64"}, // no package needs this file
		{"/etc/bashrc", "bash-5.2-1.x86_64"},
		{"split-*", "split-a-3-1.noarch split-b-3-1.noarch"},
		{" libapp  >=  1.2 ", "libapp-1.3~rc1-1.noarch"},
		{"onlynew", "onlynew-1-1.x86_64"},
	} {
		for range 2 { // once more in a used pool
			if got := mustSolve(t, pool, solve.Request{Install: []string{c.install}}); got != c.want {
				t.Errorf("%s: expected %s, found %s", c.install, c.want, got)
			}
		}
	}
	if got := mustSolve(t, pool, solve.Request{}); got != "" {
		t.Errorf("nothing was asked for, found %s", got)
	}
	for _, bad := range []string{"", "  ", "(a or", "(a or b", "(a nor b)", strings.Repeat("(", 5000) + "a" + strings.Repeat(")", 5000), "a\x00b"} {
		if _, err := pool.Solve(solve.Request{Install: []string{bad}}); fault.KindOf(err) != fault.Usage {
			t.Errorf("%.20q: expected an error of kind usage, found %v", bad, err)
		}
	}
}

func TestErrorsTellWhy(t *testing.T) {
	pool := newPool(t, packages(t, world))
	for _, c := range []struct {
		request solve.Request
		want    string
	}{
		{solve.Request{Install: []string{"nothere"}}, "nothere is wanted, but nothing provides it"},
		{solve.Request{Install: []string{"nothing-*"}}, "nothing-* is wanted, but nothing provides it"},
		{solve.Request{Install: []string{"libapp > 9"}}, `libapp > 9 is wanted, but:
    libapp-1.1-1.noarch provides only libapp = 1.1-1
    libapp-1.2-1.noarch provides only libapp = 1.2-1
    libapp-1.3~rc1-1.noarch provides only libapp = 1.3~rc1-1`},
		{solve.Request{Install: []string{"needs-final"}}, `needs-final is wanted, but:
    needs-final-1-1.noarch needs ver >= 2.0, which nothing provides
      ver-1.9-1.noarch provides only ver = 1.9-1
      ver-2.0~rc1-1.noarch provides only ver = 2.0~rc1-1`},
		{solve.Request{Install: []string{"deep1"}}, `deep1 is wanted, but:
    deep1-1-1.noarch needs deep2, but:
      deep2-1-1.noarch needs deep3 >= 2, which nothing provides
        deep3-1-1.noarch provides only deep3 = 1-1`},
		{solve.Request{Install: []string{"foreign-user"}}, `foreign-user is wanted, but:
    foreign-user-1-1.noarch needs foreign, which nothing provides
      foreign-1-1.aarch64 is of an architecture that cannot be installed here`},
		{solve.Request{Install: []string{"exim"}, Exclude: []string{"ex*"}}, `exim is wanted, but:
    exim-4-1.noarch is excluded by the request`},
		{solve.Request{Install: []string{"mta-user"}, Exclude: []string{"exim", "postfix-3", "sendmail"}}, `mta-user is wanted, but:
    mta-user-1-1.noarch needs mta, but:
      exim-4-1.noarch is excluded by the request
      postfix-3-1.noarch is excluded by the request
      sendmail-8-1.noarch is excluded by the request`},
		{solve.Request{Install: []string{"enemy-a", "enemy-b"}}, `enemy-a is wanted, but:
    enemy-a-1-1.noarch conflicts with enemy-b, which is enemy-b-1-1.noarch
  enemy-b is wanted, but:
    enemy-a-1-1.noarch conflicts with enemy-b, which is enemy-b-1-1.noarch`},
		{solve.Request{Install: []string{"old-capped", "app"}}, "libapp-1.2-1.noarch cannot be installed together with libapp-1.1-1.noarch"},
		{solve.Request{Install: []string{"(base and nothere)"}}, `(base and nothere) is wanted, but:
    nothing provides nothere`},
	} {
		_, err := pool.Solve(c.request)
		var u *solve.Unsolvable
		var p solve.Problem
		if !errors.As(fmt.Errorf("building the root: %w", err), &u) || !errors.As(err, &p) {
			t.Errorf("%v: expected an Unsolvable, found %v", c.request.Install, err)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: expected\n  %s\nfound\n%v", c.request.Install, c.want, err)
		}
	}
}

func TestResultsDoNotDependOnOrder(t *testing.T) {
	pkgs := packages(t, world)
	half := len(pkgs) / 2
	var requests []solve.Request
	for _, p := range pkgs {
		requests = append(requests, solve.Request{Install: []string{p.Name}, WeakDeps: true})
	}
	answers := func(reorder bool) []string {
		rng := rand.New(rand.NewPCG(3, 4))
		a, b := slices.Clone(pkgs[:half]), slices.Clone(pkgs[half:])
		if reorder {
			rng.Shuffle(len(a), func(i, j int) { a[i], a[j] = a[j], a[i] })
			rng.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
		}
		pool, err := solve.New("x86_64")
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if reorder {
			pool.AddVirtual("v2", []string{"y"})
			pool.AddVirtual("v1", []string{"x"})
			pool.AddRepo("b", b, 99)
			pool.AddRepo("a", a, 99)
		} else {
			pool.AddRepo("a", a, 99)
			pool.AddRepo("b", b, 99)
			pool.AddVirtual("v1", []string{"x"})
			pool.AddVirtual("v2", []string{"y"})
		}
		out := make([]string, len(requests))
		for _, i := range rng.Perm(len(requests)) { // nor on what was asked before
			got, err := pool.Solve(requests[i])
			out[i] = fmt.Sprint(nevras(got), err)
		}
		return out
	}
	first, second := answers(false), answers(true)
	for i := range first {
		if first[i] != second[i] {
			t.Errorf("%v:\n%s\n%s", requests[i].Install, first[i], second[i])
		}
	}
}

func TestVirtualAndInstalled(t *testing.T) {
	pkgs := packages(t, world+`
gcc 14-1 | req: nothere
tool-user 1-1 | req: gcc >= 12, /usr/bin/make, base
`)
	pool := newPool(t, pkgs)
	pool.AddVirtual("stage0", []string{"gcc = 14.2", "make", "/usr/bin/make"})
	for _, c := range []struct {
		request solve.Request
		want    string
	}{
		{solve.Request{Install: []string{"gcc", "make", "/usr/bin/make", "gcc > 13"}}, ""},
		{solve.Request{Install: []string{"(gcc and make)"}}, ""},
		{solve.Request{Install: []string{"tool-user"}}, "base-1-1.noarch tool-user-1-1.noarch"},
		{solve.Request{Install: []string{"tool-user"}, Installed: packages(t, "base 1-1")}, "tool-user-1-1.noarch"},
		{solve.Request{Install: []string{"app"}, Installed: packages(t, "libapp 1.2-1\ndata 1-1\nbase 1-1")}, "app-1.0-1.noarch"},
		{solve.Request{Install: []string{"app"}, Installed: packages(t, "libapp 1.0-1")}, "app-1.0-1.noarch base-1-1.noarch data-1-1.noarch libapp-1.3~rc1-1.noarch"},
		{solve.Request{Install: []string{"app"}, Exclude: []string{"stage0"}}, "app-1.0-1.noarch base-1-1.noarch data-1-1.noarch libapp-1.3~rc1-1.noarch"},
	} {
		if got := mustSolve(t, pool, c.request); got != c.want {
			t.Errorf("%+v: expected %q, found %q", c.request, c.want, got)
		}
	}
	if _, err := pool.Solve(solve.Request{Install: []string{"gcc > 14.2"}}); err == nil {
		t.Error("a newer gcc than there is was found")
	}
}

func TestPriority(t *testing.T) {
	pool, err := solve.New("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	pool.AddRepo("upstream", packages(t, "tool 9-1\nextra 1-1 | req: tool"), 99)
	pool.AddRepo("ours", packages(t, "tool 1-1"), 10)
	got, err := pool.Solve(solve.Request{Install: []string{"extra"}})
	if err != nil || sortedNevras(got) != "extra-1-1.noarch tool-1-1.noarch" || got[1].Repo != "ours" {
		t.Errorf("expected our tool, found %s, %v", sortedNevras(got), err)
	}
	if got, err := pool.Solve(solve.Request{Install: []string{"tool > 2"}}); err != nil || got[0].Repo != "upstream" {
		t.Errorf("expected upstream's tool, found %s, %v", sortedNevras(got), err)
	}
}

func TestBadPackagesAndPools(t *testing.T) {
	if _, err := solve.New("noarch"); fault.KindOf(err) != fault.Usage {
		t.Errorf("expected an error of kind usage, found %v", err)
	}
	pool := newPool(t, packages(t, "good 1-1\nbad 1-1 | req: base | con: (a orr b)\nlater 1-1"))
	if _, err := pool.Solve(solve.Request{Install: []string{"good"}}); err == nil || !strings.Contains(err.Error(), "bad-1-1.noarch: expected a rich dependency") {
		t.Errorf("expected an error that names bad, found %v", err)
	}
	pool.Close()
	if _, err := pool.Solve(solve.Request{}); err == nil {
		t.Error("a closed pool solved")
	}
}

// TestEVRCompare has libsolv and rpm's order (package rpm is proven against rpm) answer the same.
func TestEVRCompare(t *testing.T) {
	pool := newPool(t, nil)
	rng := rand.New(rand.NewPCG(5, 6))
	part := func() string {
		b := make([]byte, 1+rng.IntN(6))
		for i := range b {
			b[i] = "0123~^.aZ"[rng.IntN(9)]
		}
		return string(b)
	}
	for range 3000 {
		a := part()
		b := part()
		if rng.IntN(2) == 0 {
			b = a + part()
		}
		a, b = strconv.Itoa(rng.IntN(2))+":"+a+"-"+part(), strconv.Itoa(rng.IntN(2))+":"+b+"-"+part()
		ea, errA := rpm.ParseEVR(a)
		eb, errB := rpm.ParseEVR(b)
		got, err := pool.EVRCompare(a, b)
		if err != nil || errA != nil || errB != nil {
			t.Fatal(err, errA, errB)
		}
		if want := rpm.Compare(ea, eb); got != want {
			t.Errorf("%s and %s: libsolv %d, rpm %d", a, b, got, want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	pkgs := packages(t, world)
	pool := newPool(t, pkgs)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, p := range pkgs[:20] {
				_, err := pool.Solve(solve.Request{Install: []string{p.Name}})
				var u *solve.Unsolvable
				if err != nil && !errors.As(err, &u) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestMemoryIsGivenBack makes, uses and closes many pools, and uses one pool many times.
func TestMemoryIsGivenBack(t *testing.T) {
	pkgs := generated(1500)
	requests := []solve.Request{
		{Install: []string{"pkg9"}, WeakDeps: true},
		{Install: []string{"(pkg3 or pkg4)", "pkg5*"}, Exclude: []string{"pkg7*"}},
		{Install: []string{"pkg1 > 99"}},
		{Install: []string{"pkg9"}, Exclude: []string{"pkg9-libs"}},
		{Install: []string{"pkg2"}, Installed: pkgs[:3]},
	}
	round := func() {
		pool, err := solve.New("x86_64")
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		pool.AddRepo("test", pkgs, 99)
		for i := range 20 {
			_, err := pool.Solve(requests[i%len(requests)])
			var u *solve.Unsolvable
			if err != nil && !errors.As(err, &u) {
				t.Fatal(err)
			}
		}
	}
	for range 5 {
		round()
	}
	before := residentKiB(t)
	for range 40 {
		round()
	}
	// A pool of these packages takes more than 1 MiB: 40 lost ones would be far over the mark.
	if grown := residentKiB(t) - before; grown > 16<<10 {
		t.Errorf("40 rounds took %d KiB that were not given back", grown)
	}
}

func residentKiB(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("/proc/self/status does not tell VmRSS")
	return 0
}

// FuzzSolve hands arbitrary wishes and dependencies to libsolv: it must answer, not crash.
func FuzzSolve(f *testing.F) {
	for _, s := range []string{"bash", "(a or b)", "((a and b) if c else d)", "/usr/bin/sh", "a >= 1", "(a unless (b with c))", "*", "(", "()", "( )", "(a <"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, spec, dep string) {
		h := &rpm.Header{Name: "a", EVR: rpm.EVR{Version: "1", Release: "1"}, Arch: "noarch", Requires: []rpm.Dep{rpm.ParseDep(dep)}}
		pool := newPool(t, []*rpmmd.Package{{Header: h}})
		defer pool.Close()
		got, err := pool.Solve(solve.Request{Install: []string{spec, "a"}, WeakDeps: true})
		if err == nil && len(got) > 1 {
			t.Errorf("%d packages of 1", len(got))
		}
		if err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}
