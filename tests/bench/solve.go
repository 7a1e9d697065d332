package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mariner/internal/rpm"
	"mariner/internal/rpmmd"
	"mariner/internal/solve"
)

// solving compares the solver with dnf on a repository of 8,304 packages, whose metadata dnf has in its cache and we, as
// in every build, in memory.
func (b *bench) solving() ([]measure, error) {
	repo, cache := filepath.Join(b.work, "repo"), filepath.Join(b.work, "dnf-cache")
	var pkgs []*rpmmd.Package
	const count = 8304
	for i := range count {
		evr, err := rpm.ParseEVR("1." + fmt.Sprint(i%9) + "-1")
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("pkg%d", i)
		h := &rpm.Header{Name: name, EVR: evr, Arch: "x86_64", Summary: name, License: "MIT", BuildTime: 1700000000}
		h.Provides = []rpm.Dep{{Name: name, Sense: rpm.Equal, EVR: evr.String()}, {Name: "pkgconfig(" + name + ")", Sense: rpm.Equal, EVR: "1." + fmt.Sprint(i%9)}}
		for k := range min(i, i%5) {
			h.Requires = append(h.Requires, rpm.Dep{Name: fmt.Sprintf("pkg%d", (i*31+k*17)%i)})
		}
		pkgs = append(pkgs, &rpmmd.Package{Header: h, Digest: fmt.Sprintf("%064x", i), Location: h.FileName()})
	}
	if err := os.MkdirAll(repo, 0o755); err != nil {
		return nil, err
	}
	if err := rpmmd.Write(b.ctx, repo, pkgs, rpmmd.Options{Revision: 1700000000}); err != nil {
		return nil, err
	}
	var want []string
	for i := range 13 {
		want = append(want, fmt.Sprintf("pkgconfig(pkg%d)", 17+i*i))
	}
	solveIn := func(pool *solve.Pool) error {
		_, err := pool.Solve(solve.Request{Install: want})
		return err
	}
	ready, err := solve.New("x86_64")
	if err != nil {
		return nil, err
	}
	ready.AddRepo("bench", pkgs, 99)
	if err := solveIn(ready); err != nil {
		return nil, err
	}
	cold := func() error {
		pool, err := solve.New("x86_64")
		if err != nil {
			return err
		}
		defer pool.Close()
		pool.AddRepo("bench", pkgs, 99)
		return solveIn(pool)
	}
	dnf := func() error {
		args := append([]string{
			"-q", "-y", "--disableplugin=*", "--installroot=" + filepath.Join(b.work, "root"), "--releasever=1", "--setopt=reposdir=/nonexistent",
			"--setopt=cachedir=" + cache, "--setopt=metadata_expire=-1", "--setopt=gpgcheck=0", "--repofrompath=bench,file://" + repo, "--assumeno", "install",
		}, want...)
		// It is told no: the exit status is 1 when the solution was shown.
		_, err := b.output("dnf", args...)
		if err != nil && !strings.Contains(err.Error(), "exit status 1") {
			return err
		}
		return nil
	}
	if err := dnf(); err != nil { // fills the cache
		return nil, err
	}
	peer := side{"dnf, metadata cached", nil, dnf}
	return []measure{
		{"solve 13 packages of 8,304", side{"fill a pool, solve", nil, cold}, peer, 5},
		{"the same, pool filled", side{"solve", nil, func() error { return solveIn(ready) }}, peer, 5},
	}, nil
}
