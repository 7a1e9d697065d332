package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mariner/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with testdata/name, readable and kept in the repository.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; `go test ./internal/ui -update` makes it", err)
	}
	if got != string(want) {
		t.Errorf("%s:\n--- expected\n%s\n--- found\n%s", path, want, got)
	}
}

// clock is a time that tests set.
type clock struct{ at time.Time }

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (c *clock) now() time.Time { return c.at }

// story is a build as the events tell it, with the seconds at which they come.
func story() []Event {
	after := func(seconds float64, e Event) Event {
		e.Time = epoch.Add(time.Duration(seconds * float64(time.Second)))
		return e
	}
	return []Event{
		after(0, Event{Type: Note, Message: "the store is /var/cache/mariner"}),
		after(0.1, Event{Type: Plan, Kind: "build", Total: 4, Expected: 10 * time.Minute}),
		after(0.2, Event{Type: Start, Kind: "fetch", Name: "linux-6.12.tar.xz"}),
		after(0.3, Event{Type: Cached, Kind: "build", Name: "zlib", Duration: 3 * time.Second}),
		after(0.4, Event{Type: Start, Kind: "build", Name: "glibc", Expected: 5 * time.Minute}),
		after(5, Event{Type: Progress, Kind: "fetch", Name: "linux-6.12.tar.xz", Done: 20e6, Total: 150e6}),
		after(9, Event{Type: Progress, Kind: "fetch", Name: "linux-6.12.tar.xz", Done: 40e6, Total: 150e6}),
		after(11, Event{Type: Progress, Kind: "fetch", Name: "linux-6.12.tar.xz", Done: 50e6, Total: 150e6}),
		after(12, Event{Type: Output, Kind: "build", Name: "glibc", Message: "\x1b[32mchecking\x1b[0m for gcc... yes\r\n"}),
		after(15, Event{Type: Progress, Kind: "fetch", Name: "linux-6.12.tar.xz", Done: 90e6, Total: 150e6}),
		after(22, Event{Type: Done, Kind: "fetch", Name: "linux-6.12.tar.xz", Duration: 21800 * time.Millisecond}),
		after(30, Event{Type: Start, Kind: "build", Name: "bash"}),
		after(61, Event{Type: Failed, Kind: "build", Name: "bash", Duration: 31 * time.Second, Message: "building bash: rpmbuild ended with 1\nmake: *** [Makefile:7: all] Error 2\n"}),
		after(70, Event{Type: Warning, Kind: "disk", Message: "2 GB are left"}),
		after(260, Event{Type: Done, Kind: "build", Name: "glibc", Duration: 259600 * time.Millisecond}),
		after(3700, Event{Type: Note, Message: "two lines\nof a note"}),
	}
}

func TestLinesOfText(t *testing.T) {
	for name, verbose := range map[string]bool{"plain.golden": false, "plain-verbose.golden": true} {
		var out bytes.Buffer
		c := &clock{epoch.Add(3701 * time.Second)}
		p := newPlain(&out, verbose, c.now)
		for _, e := range story() {
			p.Emit(e)
		}
		p.close()
		golden(t, name, out.String())
		for _, r := range out.String() {
			if r < ' ' && r != '\n' || r == 0x7f {
				t.Errorf("%s: control character %q", name, r)
			}
		}
	}
}

func TestJSON(t *testing.T) {
	for name, verbose := range map[string]bool{"json.golden": false, "json-verbose.golden": true} {
		var out bytes.Buffer
		s := newJSON(&out, verbose, (&clock{epoch}).now)
		for _, e := range story() {
			s.Emit(e)
		}
		golden(t, name, out.String())
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("not an object: %s", line)
			}
		}
	}
}

func TestQuiet(t *testing.T) {
	var out bytes.Buffer
	q := newQuiet(&out, (&clock{epoch}).now)
	for _, e := range story() {
		q.Emit(e)
	}
	golden(t, "quiet.golden", out.String())
}

func TestModes(t *testing.T) {
	for _, mode := range []string{"auto", "", "tty", "plain", "json", "quiet"} {
		var out bytes.Buffer
		sink, stop, err := New(&out, mode, false)
		if err != nil {
			t.Fatalf("%q: %v", mode, err)
		}
		sink.Emit(Event{Type: Failed, Kind: "build", Name: "zlib", Message: "no"})
		stop()
		if !strings.Contains(out.String(), "zlib") {
			t.Errorf("%q shows nothing of a failure: %q", mode, out.String())
		}
		if escapes := strings.Contains(out.String(), "\x1b"); escapes != (mode == "tty") {
			t.Errorf("%q: escape sequences: %v", mode, escapes)
		}
	}
	_, _, err := New(&bytes.Buffer{}, "fancy", false)
	if fault.KindOf(err) != fault.Usage {
		t.Errorf("unknown mode: expected a usage error, found %v", err)
	}
}

// A full disk or a closed pipe behind the output must not stop or break the work.
func TestWriterFails(t *testing.T) {
	for _, mode := range []string{"tty", "plain", "json", "quiet"} {
		sink, stop, err := New(brokenPipe{}, mode, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range story() {
			sink.Emit(e)
		}
		stop()
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0s", 449 * time.Millisecond: "0.4s", 59900 * time.Millisecond: "59.9s",
		59960 * time.Millisecond: "1m00s", 250 * time.Second: "4m10s", 59*time.Minute + 59*time.Second: "59m59s",
		59*time.Minute + 59600*time.Millisecond: "1h00m", 62 * time.Minute: "1h02m", 30 * time.Hour: "30h00m",
	} {
		if got := short(d); got != want {
			t.Errorf("%v: expected %s, found %s", d, want, got)
		}
	}
}

func TestAmount(t *testing.T) {
	for _, c := range []struct {
		done, total int64
		want        string
	}{
		{3, 0, "3"},
		{3, 7, "3 of 7"},
		{0, 70000, "0.0 kB of 70.0 kB"},
		{999_960, 0, "1.0 MB"},
		{1_500_000_000, 2_000_000_000, "1.5 GB of 2.0 GB"},
		{3e12, 0, "3.0 TB"},
	} {
		if got := amount(c.done, c.total); got != c.want {
			t.Errorf("%d, %d: expected %s, found %s", c.done, c.total, c.want, got)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "a\tb": "a    b", "10%\r20%\r\n": "20%", "\x1b[1;31mred\x1b[0m": "red",
		"\x1b]0;title\atext": "text", "\x1b]8;;x\x1b\\link": "link", "\x1b": "", "\x1b[": "", "\x1b[12": "", "\x1b(Bx": "Bx",
		"bell\a\b": "bell", "\xff": "\uFFFD", "a\u202eb": "ab", "\x1bé": "é", "\u009b31m": "31m",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: expected %q, found %q", in, want, got)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[1mx\x1b]0;t\a\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		for _, line := range lines(in) {
			for _, r := range line {
				if r < ' ' || r >= 0x7f && r < 0xa0 {
					t.Fatalf("%q: control character %q left in %q", in, r, line)
				}
			}
			if again := clean(line); again != line {
				t.Fatalf("%q: cleaned twice is %q, not %q", in, again, line)
			}
		}
	})
}

func TestTee(t *testing.T) {
	for _, c := range []struct {
		mode    string
		verbose bool
		want    string
	}{
		{"plain", true, "[   0.0s] zlib | one\n[   0.0s] zlib | two\n[   0.0s] zlib | \n[   0.0s] zlib | the end\n"},
		{"plain", false, ""},
		{"quiet", true, ""},
	} {
		var log, shown bytes.Buffer
		sink, stop, err := New(&shown, c.mode, c.verbose)
		if err != nil {
			t.Fatal(err)
		}
		w, flush := Tee(&log, sink, "build", "zlib")
		for _, part := range []string{"one\ntw", "o\n\n", "the end"} {
			if _, err := w.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		flush()
		stop()
		if shown.String() != c.want || log.String() != "one\ntwo\n\nthe end" {
			t.Errorf("%s, %v: found %q, in the log %q", c.mode, c.verbose, &shown, &log)
		}
		if _, same := w.(*bytes.Buffer); same == (c.want != "") {
			t.Errorf("%s, %v: the writer is %T", c.mode, c.verbose, w)
		}
	}
}

func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"http://me:s3cret@m.invalid/debian trixie, https://o.invalid/a@b": "http://xxxxx@m.invalid/debian trixie, https://o.invalid/a@b",
		"https://token@m.invalid":         "https://xxxxx@m.invalid",
		"http://me:p@ss@m.invalid/":       "http://xxxxx@m.invalid/",
		"user@host: see http://m.invalid": "user@host: see http://m.invalid",
	} {
		if got := Redact(text); got != want {
			t.Errorf("%q: found %q, expected %q", text, got, want)
		}
	}
}
