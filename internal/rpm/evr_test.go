package rpm_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mariner/internal/rpm"
	"mariner/internal/rpm/rpmtest"
)

func TestParseEVR(t *testing.T) {
	for _, c := range []struct {
		in   string
		want rpm.EVR
	}{
		{"1.0", rpm.EVR{0, "1.0", ""}},
		{"1.0-1", rpm.EVR{0, "1.0", "1"}},
		{"2:1.0-1.mar1", rpm.EVR{2, "1.0", "1.mar1"}},
		{"0:1.0-1", rpm.EVR{0, "1.0", "1"}},
		{":1.0", rpm.EVR{0, "1.0", ""}},
		{"1.0-a-b", rpm.EVR{0, "1.0-a", "b"}},
		{"x:1.0", rpm.EVR{0, "x:1.0", ""}},
		{"1.0~rc1^git2-0.1", rpm.EVR{0, "1.0~rc1^git2", "0.1"}},
		{"", rpm.EVR{}},
	} {
		got, err := rpm.ParseEVR(c.in)
		if err != nil || got != c.want {
			t.Errorf("ParseEVR(%q) = %+v, %v; want %+v", c.in, got, err, c.want)
		}
	}
	for _, bad := range []string{"4294967296:1", "1.0-"} {
		if got, err := rpm.ParseEVR(bad); err == nil {
			t.Errorf("ParseEVR(%q) = %+v, want an error", bad, got)
		}
	}
}

// versions are the parts of the table: every pair of them is compared, which is far more than 200.
func versions() []string {
	return strings.Fields(`
		0 1 01 1.0 1.00 1.0. 1..0 1.0.0 1.1 1.01 1.2 1.10 1.9 2 2.0 2.0.1 2.0.1a 10 10b2 10a1 010
		1a 1b 1.a a a1 1a1 ab Ab alpha beta rc rc1 1.0rc1 1.0a 1.0.a 5.5p1 5.5p2 5.5p10 xyz10 xyz10.1 xyz.4 8 20101121 20101122
		1.0~ 1.0~~ 1.0~rc1 1.0~rc2 1.0~rc1~git1 1.0~~rc1 ~ ~1 ~a 1~ 1.~1 1.0~^ 1.0~1^2
		1.0^ 1.0^^ 1.0^git1 1.0^git2 1.0^git1~pre 1.0^20160101 1.0^20160102 1.0.1^20160101 1.0~rc1^git1 ^ ^1 1^ 1.^1 1.0.1 1.0^1
		1_0 1+0 1.0+ +1 _ . 1.0-1 1.0-2 1.0-1.mar1 1.0-10.mar1 1-1 1-2 0:1 1:1 1:1-1 2:0 2:0-1 10:1 0:1.0-1
		4.999.9 5.0 fc4 FC5 2a 2a0 2.0a 12345678901234567890 12345678901234567891 00012345678901234567890 1.0é 1.0é1
	`)
}

func TestCompareAgainstRPM(t *testing.T) {
	var pairs [][2]string
	all := versions()
	for _, a := range all {
		for _, b := range all {
			pairs = append(pairs, [2]string{a, b})
		}
	}
	differential(t, pairs)
}

func TestCompareRandomAgainstRPM(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const letters = "00112299.-~^aZz_+:"
	word := func() string {
		b := make([]byte, 1+rng.IntN(8))
		for i := range b {
			b[i] = letters[rng.IntN(len(letters))]
		}
		return string(b)
	}
	var pairs [][2]string
	for range 6000 {
		a, b := word(), word()
		if rng.IntN(2) == 0 { // close relatives find more than strangers
			b = a + word()
		}
		pairs = append(pairs, [2]string{a, b})
	}
	differential(t, pairs)
}

// differential compares Compare with rpm's own answer, for all pairs in one rpm process.
func differential(t *testing.T, pairs [][2]string) {
	t.Helper()
	rpmtest.NeedTools(t, "rpm")
	path := filepath.Join(t.TempDir(), "pairs")
	var in strings.Builder
	for _, p := range pairs {
		fmt.Fprintf(&in, "%s %s\n", p[0], p[1])
	}
	if err := os.WriteFile(path, []byte(in.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("rpm", "--eval", `%{lua: for l in io.lines("`+path+`") do local a, b = l:match("^(%S+) (%S+)$"); io.stdout:write(rpm.vercmp(a, b), "\n") end}`).Output()
	if err != nil {
		t.Fatalf("asking rpm: %v", err)
	}
	answers := bufio.NewScanner(strings.NewReader(string(out)))
	wrong := 0
	for _, p := range pairs {
		if !answers.Scan() {
			t.Fatal("rpm gave fewer answers than it was asked")
		}
		a, errA := rpm.ParseEVR(p[0])
		b, errB := rpm.ParseEVR(p[1])
		if errA != nil || errB != nil {
			continue // what no package has: an epoch beyond 32 bits, an empty release
		}
		if got := fmt.Sprint(rpm.Compare(a, b)); got != answers.Text() {
			if wrong++; wrong < 20 {
				t.Errorf("Compare(%q, %q) = %s; rpm says %s", p[0], p[1], got, answers.Text())
			}
		}
	}
	t.Logf("%d pairs, %d differ", len(pairs), wrong)
}

func FuzzCompare(f *testing.F) {
	for _, v := range versions() {
		f.Add(v, "1.0~rc1-1")
	}
	f.Fuzz(func(t *testing.T, s, r string) {
		a, err := rpm.ParseEVR(s)
		if err != nil {
			return
		}
		b, err := rpm.ParseEVR(r)
		if err != nil {
			return
		}
		if rpm.Compare(a, a) != 0 {
			t.Errorf("%q differs from itself", s)
		}
		if ab, ba := rpm.Compare(a, b), rpm.Compare(b, a); ab != -ba {
			t.Errorf("Compare(%q, %q) = %d, the other way round %d", s, r, ab, ba)
		}
		if again, err := rpm.ParseEVR(a.String()); err != nil || rpm.Compare(a, again) != 0 {
			t.Errorf("%q written is %q, which is %+v", s, a.String(), again)
		}
	})
}

func BenchmarkCompare(b *testing.B) {
	x, y := rpm.EVR{0, "6.12.107", "1.mar1"}, rpm.EVR{0, "6.12.108", "1.mar1"}
	for b.Loop() {
		rpm.Compare(x, y)
	}
}
