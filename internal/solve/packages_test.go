package solve_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mariner/internal/rpm"
	"mariner/internal/rpmmd"
	"mariner/internal/solve"
)

// packages reads one package a line: `name evr [arch] | kind: dep, dep | kind: dep`. The kinds are
// pro, req, pre, con, obs, rec, sug, sup, enh and file. Lines that begin with # are comments.
func packages(t testing.TB, text string) []*rpmmd.Package {
	t.Helper()
	var pkgs []*rpmmd.Package
	for _, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		parts := strings.Split(line, "|")
		head := strings.Fields(parts[0])
		evr, err := rpm.ParseEVR(head[1])
		if err != nil {
			t.Fatal(err)
		}
		h := &rpm.Header{Name: head[0], EVR: evr, Arch: "noarch", Summary: line, License: "MIT", BuildTime: 1700000000}
		if len(head) > 2 {
			h.Arch = head[2]
		}
		h.Provides = []rpm.Dep{{Name: h.Name, Sense: rpm.Equal, EVR: evr.String()}}
		for _, part := range parts[1:] {
			kind, list, _ := strings.Cut(strings.TrimSpace(part), ":")
			for _, item := range strings.Split(list, ",") {
				add(t, h, kind, strings.TrimSpace(item))
			}
		}
		sum := sha256.Sum256([]byte(line))
		pkgs = append(pkgs, &rpmmd.Package{Header: h, Digest: hex.EncodeToString(sum[:]), Location: h.FileName()})
	}
	return pkgs
}

func add(t testing.TB, h *rpm.Header, kind, item string) {
	t.Helper()
	if kind == "file" {
		h.Files = append(h.Files, rpm.File{Path: item})
		return
	}
	d := rpm.ParseDep(item)
	list := map[string]*[]rpm.Dep{
		"pro": &h.Provides, "req": &h.Requires, "pre": &h.Requires, "con": &h.Conflicts, "obs": &h.Obsoletes,
		"rec": &h.Recommends, "sug": &h.Suggests, "sup": &h.Supplements, "enh": &h.Enhances,
	}[kind]
	if list == nil {
		t.Fatalf("unknown kind %q", kind)
		return
	}
	d.Pre = kind == "pre"
	*list = append(*list, d)
}

// world is a repository in which every kind of dependency plays a part.
const world = `
# plain chains, versions, epochs, ~ and ^
app 1.0-1 | req: libapp >= 1.2, data
libapp 1.1-1
libapp 1.2-1
libapp 1.3~rc1-1
data 1-1 | req: base
base 1-1
needs-pre 1-1 | req: ver >= 2.0~beta
needs-final 1-1 | req: ver >= 2.0
needs-post 1-1 | req: ver > 2.0
ver 1.9-1
ver 2.0~rc1-1
ver-snap 1-1 | req: snap > 1.0
snap 1.0-1
snap 1.0^git5-1
epochal 1-1 | req: ep = 1:1.0
ep 1:1.0-3
ep 2.0-1
ep-low 1-1 | req: ep < 1:0
release-exact 1-1 | req: rel = 1-2
rel 1-1
rel 1-2
rel 1-3
old-capped 1-1 | req: libapp < 1.2
range 1-1 | req: libapp >= 1.1, libapp < 1.3~
capped-with 1-1 | req: (libapp >= 1.1 with libapp < 1.2)

# providers and the choice among them
mta-user 1-1 | req: mta
postfix 3-1 | pro: mta
exim 4-1 | pro: mta
sendmail 8-1 | pro: mta
vprov-user 1-1 | req: iface >= 3
vprov-a 1-1 | pro: iface = 2
vprov-b 1-1 | pro: iface = 3
vprov-c 1-1 | pro: iface = 4, iface = 1
vprov-d 1-1 | pro: iface
shared 1-1 | req: mta, exim
named 1-1 | pro: other-name
other-name-user 1-1 | req: other-name
other-name 1-1
curl-user 1-1 | req: libcurl.so.4()(64bit)
libcurl 8-1 x86_64 | pro: libcurl.so.4()(64bit), libcurl(x86-64) = 8-1
libcurl-minimal 8-1 x86_64 | pro: libcurl.so.4()(64bit) | con: libcurl
pc-user 1-1 | req: pkgconfig(zlib) >= 1.2.11
zlib-devel 1.3-1 x86_64 | pro: pkgconfig(zlib) = 1.3 | req: zlib(x86-64) = 1.3-1
zlib 1.3-1 x86_64 | pro: zlib(x86-64) = 1.3-1, libz.so.1()(64bit)
zlib-ng-compat 2.1-1 x86_64 | pro: pkgconfig(zlib) = 1.2.13, libz.so.1()(64bit) | con: zlib
zlib-old-devel 1-1 | pro: pkgconfig(zlib) = 1.2.5

# architectures
multi 1-1 x86_64
multi 1-1 noarch
multi-user 1-1 | req: multi
foreign 1-1 aarch64
foreign-user 1-1 | req: foreign
onlynew 1-1 x86_64
onlynew 2-1 aarch64

# files
shell-user 1-1 | req: /usr/bin/sh
bash 5.2-1 x86_64 | file: /usr/bin/sh, /usr/bin/bash, /etc/bashrc
dash 0.5-1 x86_64 | file: /usr/bin/dash
share-user 1-1 | req: /usr/share/some/file
share 1-1 | file: /usr/share/some/file
nofile-user 1-1 | req: /usr/bin/nowhere
richfile-user 1-1 | req: (/usr/bin/dash or /usr/bin/ksh)

# rich dependencies
r-or 1-1 | req: (nothere or base)
r-or2 1-1 | req: (postfix or exim)
r-and 1-1 | req: (base and data)
r-and-broken 1-1 | req: (base and nothere)
r-if-yes 1-1 | req: base, (data if base)
r-if-no 1-1 | req: (data if cond)
r-if-else 1-1 | req: (data if cond else base)
r-if-else2 1-1 | req: cond, (data if cond else base)
r-unless 1-1 | con: (data unless base)
r-unless-else 1-1 | req: base | con: (rel unless base else ver)
r-with 1-1 | req: (feat-a with feat-b)
r-with-none 1-1 | req: (feat-a with feat-c)
r-without 1-1 | req: (feat-a without feat-b)
feat-ab 1-1 | pro: feat-a, feat-b
feat-only-a 1-1 | pro: feat-a
feat-only-c 1-1 | pro: feat-c
r-nested 1-1 | req: ((nothere or (base and data)) and (cond or nothere))
r-nested-if 1-1 | req: cond, ((lang-de or lang-fr) if cond)
r-version 1-1 | req: (libapp = 1.1 or libapp = 9)
r-chain 1-1 | req: (a1 or a2), (a2 or a3), (a3 or a4)
a1 1-1 | con: a3
a2 1-1 | con: a4
a3 1-1
a4 1-1
cond 1-1
lang-de 1-1
lang-fr 1-1
r-conflict 1-1 | con: (base and cond)
r-conflict-user 1-1 | req: r-conflict, base, cond

# weak dependencies
w-app 1-1 | rec: w-nice, w-missing, w-version >= 2 | sug: w-suggested
w-nice 1-1 | rec: w-nicer
w-nicer 1-1
w-suggested 1-1
w-version 1-1
w-lang 1-1 | sup: (w-app and lang-de)
w-doc 1-1 | sup: w-nice
w-enh 1-1 | enh: w-app
w-conflicting 1-1 | rec: w-bad | req: base
w-bad 1-1 | con: base
w-rich 1-1 | rec: (w-nicer if base), (base or nothere)
w-rec-provider 1-1 | rec: mta
w-sugg-choice 1-1 | req: mta | sug: sendmail
w-rec-choice 1-1 | req: mta | rec: sendmail
w-rec-broken 1-1 | rec: nofile-user

# obsoletes and conflicts
gone 1-1
gone-user 1-1 | req: gone
successor 2-1 | obs: gone < 2 | pro: gone = 2
renamed-old 1-1
renamed-new 5-1 | obs: renamed-old <= 1 
renamed-user 1-1 | req: renamed-old
splitter 3-1 | req: split-a, split-b
split-a 3-1 | obs: split < 3
split-b 3-1 | obs: split < 3
split 2-1
enemy-a 1-1 | con: enemy-b
enemy-b 1-1
enemy-user 1-1 | req: enemy-a, enemy-b
enemy-low 1-1 | con: libapp >= 1.3~
enemy-low-user 1-1 | req: enemy-low, libapp
fallback-user 1-1 | req: fallback
fallback 1-1
fallback 2-1 | req: nothere
selfconf 1-1 | pro: selfcap | con: selfcap
deep1 1-1 | req: deep2
deep2 1-1 | req: deep3 >= 2
deep3 1-1
cyc-a 1-1 | req: cyc-b
cyc-b 1-1 | req: cyc-c
cyc-c 1-1 | pre: cyc-a
pre-user 1-1 | pre: pre-tool | req: cyc-a
pre-tool 1-1 | req: base
`

func newPool(t testing.TB, pkgs []*rpmmd.Package) *solve.Pool {
	t.Helper()
	p, err := solve.New("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.AddRepo("test", pkgs, 99)
	return p
}

func nevras(pkgs []*solve.Pkg) []string {
	out := make([]string, len(pkgs))
	for i, p := range pkgs {
		out[i] = p.NEVRA()
	}
	return out
}

func sortedNevras(pkgs []*solve.Pkg) string {
	names := nevras(pkgs)
	slices.Sort(names)
	return strings.Join(names, " ")
}

// generated are n packages like those of a distribution: libraries, programs and -devel packages
// that need what comes before them.
func generated(n int) []*rpmmd.Package {
	pkgs := make([]*rpmmd.Package, 0, n)
	for i := 0; len(pkgs) < n; i++ {
		evr := rpm.EVR{Version: fmt.Sprintf("%d.%d", i%9+1, i%17), Release: "1.mar1"}
		base := fmt.Sprintf("pkg%d", i)
		dep := func(k int) string { return fmt.Sprintf("libpkg%d.so.1()(64bit)", (i*7+k*k*131)%max(i, 1)) }
		for _, suffix := range []string{"", "-libs", "-devel"} {
			h := &rpm.Header{Name: base + suffix, EVR: evr, Arch: "x86_64"}
			h.Provides = []rpm.Dep{
				{Name: h.Name, Sense: rpm.Equal, EVR: evr.String()},
				{Name: h.Name + "(x86-64)", Sense: rpm.Equal, EVR: evr.String()},
			}
			switch suffix {
			case "":
				h.Requires = []rpm.Dep{{Name: base + "-libs(x86-64)", Sense: rpm.Equal, EVR: evr.String()}, {Name: "/usr/bin/pkg0", Pre: true}}
				h.Recommends = []rpm.Dep{{Name: "(pkg1 if pkg2)"}}
				h.Files = []rpm.File{{Path: "/usr/bin/" + base}, {Path: "/usr/share/doc/" + base}}
			case "-libs":
				h.Provides = append(h.Provides, rpm.Dep{Name: "lib" + base + ".so.1()(64bit)"})
				for k := 1; i > 0 && k <= 5; k++ {
					h.Requires = append(h.Requires, rpm.Dep{Name: dep(k)})
				}
			case "-devel":
				h.Provides = append(h.Provides, rpm.Dep{Name: "pkgconfig(" + base + ")", Sense: rpm.Equal, EVR: evr.Version})
				h.Requires = []rpm.Dep{{Name: base + "-libs(x86-64)", Sense: rpm.Equal, EVR: evr.String()}}
				if i > 0 {
					h.Requires = append(h.Requires, rpm.Dep{Name: fmt.Sprintf("pkgconfig(pkg%d)", i/2)})
				}
			}
			pkgs = append(pkgs, &rpmmd.Package{Header: h, Location: h.FileName(), Digest: h.Name})
		}
	}
	return pkgs[:n]
}
