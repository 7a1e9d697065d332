package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"mariner/internal/sandbox"
)

// specCount is the size of the generated tree.
const specCount = 3000

// specs compares a tree of specs to build graph with the bare reading of each spec by rpmspec, which nothing that asks
// rpmspec can beat. The tree is generated: libraries in layers, each built with some of the layer below, a third of
// them with sub-packages, conditions or macros of their own.
func (b *bench) specs() ([]measure, error) {
	tree := filepath.Join(b.work, "specs")
	if err := generate(tree); err != nil {
		return nil, err
	}
	var store string
	n := 0
	graph := func() error {
		_, err := b.output("bin/mariner", "--distro", tree, "--store", store, "--progress", "quiet", "graph")
		return err
	}
	fresh := func() (err error) {
		n++
		store, err = b.store("specs-" + strconv.Itoa(n))
		return err
	}
	floor := func() error {
		_, err := b.runner.Run(b.ctx, sandbox.Command{
			Args: []string{"sh", "-c", fmt.Sprintf("ls /specs/*/*.spec | xargs -P%d -I{} rpmspec -q --srpm --queryformat '%%{name}\\n' {} >/dev/null", runtime.NumCPU())},
			Env:  []string{"PATH=/usr/bin:/usr/sbin", "HOME=/tmp", "LC_ALL=C.UTF-8", "TZ=UTC"}, Root: b.stage0,
			Binds: []sandbox.Bind{
				{Source: filepath.Join(tree, "SPECS"), Target: "/specs", ReadOnly: true},
				{Source: "SPECS/mariner-rpm-macros/macros.mariner", Target: "/etc/rpm/macros.mariner", ReadOnly: true},
			},
		})
		return err
	}
	return []measure{
		{fmt.Sprintf("graph of %d specs, cold", specCount), side{"graph", fresh, graph}, side{"one rpmspec -q a spec", nil, floor}, 1},
		{fmt.Sprintf("graph of %d specs, warm", specCount), side{"graph", nil, graph}, side{}, 5},
	}, nil
}

func generate(tree string) error {
	config, err := os.ReadFile("mariner.yaml")
	if err != nil {
		return err
	}
	macros, err := filepath.Abs("SPECS/mariner-rpm-macros")
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(string(config), "SPECS/mariner-rpm-macros", macros)
	if err := os.MkdirAll(filepath.Join(tree, "images"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tree, "mariner.yaml"), []byte(text), 0o644); err != nil {
		return err
	}
	for i := range specCount {
		name := "lib" + strconv.Itoa(i)
		dir := filepath.Join(tree, "SPECS", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name+".spec"), []byte(specText(name, i)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func specText(name string, i int) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%%bcond extra %d\n%%global series %d\nName: %s\nVersion: %%{series}.%d\nRelease: 1%%{?dist}\nSummary: A generated package\nLicense: MIT\n", i%2, i%7, name, i%10)
	s.WriteString("BuildRequires: gcc\nBuildRequires: make\nBuildRequires: pkgconf-pkg-config\n")
	const layer = 100
	if i >= layer {
		for k := range 1 + i%6 {
			below := (i/layer-1)*layer + (i*7+k*13)%layer
			if k%3 == 1 {
				fmt.Fprintf(&s, "BuildRequires: pkgconfig(lib%d)\n", below)
			} else {
				fmt.Fprintf(&s, "BuildRequires: lib%d-devel >= 0\n", below)
			}
		}
	}
	fmt.Fprintf(&s, "%%description\nText.\n%%package devel\nSummary: For development\nRequires: %%{name}%%{?_isa} = %%{version}-%%{release}\n%%description devel\nText.\n")
	if i%3 == 0 {
		s.WriteString("%if %{with extra}\n%package tools\nSummary: Tools\nRequires: (%{name} and /bin/sh)\n%description tools\nText.\n%files tools\n%{_bindir}/%{name}-tool\n%endif\n")
	}
	s.WriteString("%prep\n%build\n%configure\n%make_build\n%install\n%make_install\n")
	fmt.Fprintf(&s, "%%files\n%%{_libdir}/%s.so.1\n%%files devel\n%%{_libdir}/%s.so\n%%{_libdir}/pkgconfig/%s.pc\n", name, name, name)
	s.WriteString("%changelog\n* Mon Nov 23 2026 Mariner developers <developers@mariner.invalid> - 1-1\n- First package.\n")
	return s.String()
}
