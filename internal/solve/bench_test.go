package solve_test

import (
	"fmt"
	"testing"

	"mariner/internal/solve"
)

// BenchmarkSolve solves a build root of 13 packages out of 8,304, in a pool that is ready.
func BenchmarkSolve(b *testing.B) {
	pool := newPool(b, generated(8304))
	r := buildRoot()
	if _, err := pool.Solve(r); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := pool.Solve(r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSolveCold includes handing the 8,304 packages to libsolv.
func BenchmarkSolveCold(b *testing.B) {
	pkgs := generated(8304)
	for b.Loop() {
		pool, err := solve.New("x86_64")
		if err != nil {
			b.Fatal(err)
		}
		pool.AddRepo("test", pkgs, 99)
		if _, err := pool.Solve(buildRoot()); err != nil {
			b.Fatal(err)
		}
		pool.Close()
	}
}

func buildRoot() solve.Request {
	var r solve.Request
	for i := range 13 {
		r.Install = append(r.Install, fmt.Sprintf("pkgconfig(pkg%d) >= 0.1", 17+i*i))
	}
	return r
}
