// Package sandboxtest finds the root of tools for tests that run something in a sandbox.
package sandboxtest

import (
	"os"
	"path/filepath"
	"testing"
)

// Stage0 are the folders of stage0's root, the uppermost first, which MARINER_STAGE0 names: tests/run makes stage0 and
// sets it. Without it the test is skipped; in CI it fails.
func Stage0(t testing.TB) []string {
	t.Helper()
	dirs := os.Getenv("MARINER_STAGE0")
	if dirs == "" {
		const why = "stage0 is missing: MARINER_STAGE0 does not name its folder. `make test` sets it; `mariner stage0` makes and prints it"
		if os.Getenv("CI") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	return filepath.SplitList(dirs)
}
