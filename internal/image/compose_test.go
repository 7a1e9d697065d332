package image

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mariner/internal/image/config"
	"mariner/internal/image/tools"
	"mariner/internal/sandbox"
	"mariner/internal/sandbox/sandboxtest"
)

// program is a tool to compare with, of the host.
func program(t testing.TB, name, pkg string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if p := filepath.Join(dir, name); exec.Command("test", "-x", p).Run() == nil {
			return p
		}
	}
	t.Fatalf("%s is missing; install it: sudo apt-get install %s", name, pkg)
	return ""
}

func output(t testing.TB, name, pkg string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program(t, name, pkg), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// packages builds the test packages and returns their files by name.
func packages(t testing.TB) map[string]string {
	t.Helper()
	out, specs := t.TempDir(), "testdata"
	tl := toolsFor(t)
	err := tl.Run(t.Context(), tools.Script{
		Name: "building test packages",
		Binds: []sandbox.Bind{
			{Source: specs, Target: "/specs", ReadOnly: true}, {Source: out, Target: "/out"},
		},
		Text: `for s in /specs/*.spec; do
  rpmbuild -bb --quiet --define "_topdir /tmp/rpm" --define "_rpmdir /out" --define "_build_name_fmt %%{NAME}.rpm" --define "_buildhost test" \
    --define "source_date_epoch_from_changelog 1" --define "use_source_date_epoch_as_buildtime 1" --define "build_mtime_policy clamp_to_source_date_epoch" "$s"
done`,
	})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, n := range []string{"filesystem", "demo", "machine"} {
		files[n] = filepath.Join(out, n+".rpm")
	}
	return files
}

func toolsFor(t testing.TB) tools.Tools {
	return tools.Tools{
		Runner: &sandbox.Namespaces{Temp: t.TempDir()}, Layers: sandboxtest.Stage0(t),
		Epoch: time.Unix(1606132800, 0), Log: testLog{t},
	}
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// compose builds the image of a configuration.
func compose(t testing.TB, text string, pkgs []string, out string) *Result {
	t.Helper()
	c, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r := Request{
		Config: c, Packages: pkgs, Layers: sandboxtest.Stage0(t), Runner: &sandbox.Namespaces{Temp: t.TempDir()},
		Work: t.TempDir(), Out: out, Log: testLog{t},
	}
	if c.Type == config.Machine {
		r.Initrd = pkgs
	}
	res, err := Build(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(r.Work); len(left) > 2 {
		t.Errorf("left in the work folder: %v", left)
	}
	return res
}

// digests are of all files below dir, by their relative paths.
func digests(t testing.TB, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		sums[rel] = hex.EncodeToString(h.Sum(nil))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// same builds the image twice, in two folders, at two times and with files whose order on disk and
// whose names differ, and compares everything.
func same(t *testing.T, text string, pkgs []string) *Result {
	t.Helper()
	first := compose(t, text, pkgs, filepath.Join(t.TempDir(), "a"))
	other := t.TempDir()
	var renamed []string
	for i, p := range pkgs {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(other, strings.Repeat("x", i+1))
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
		renamed = append(renamed, to)
	}
	second := compose(t, text, renamed, filepath.Join(t.TempDir(), "some", "other", "folder"))
	a, b := digests(t, first.Dir), digests(t, second.Dir)
	if len(a) != len(b) || len(a) == 0 {
		t.Errorf("%d and %d files", len(a), len(b))
	}
	for name, sum := range a {
		if b[name] != sum {
			t.Errorf("%s: %s and %s", name, sum, b[name])
		}
	}
	return first
}

// partition copies a partition out of a disk.
func partition(t *testing.T, raw string, n int) string {
	t.Helper()
	info := output(t, "sgdisk", "gdisk", "-i", string(rune('0'+n)), raw)
	var first, last int64
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "First sector: "); ok {
			first = number(v)
		}
		if v, ok := strings.CutPrefix(line, "Last sector: "); ok {
			last = number(v)
		}
	}
	f, err := os.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := filepath.Join(t.TempDir(), "part")
	to, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := io.Copy(to, io.NewSectionReader(f, first*512, (last-first+1)*512)); err != nil {
		t.Fatal(err)
	}
	return path
}

func number(s string) (n int64) {
	for _, c := range s {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n
}
