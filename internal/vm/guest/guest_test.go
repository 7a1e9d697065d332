package guest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mariner/internal/fault"
)

// TestRunner runs the guest's side here, with a file for the serial port, and reads its reports.
func TestRunner(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"ports/vport0p1", "dev"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "ports/vport0p1/name"), []byte(portName+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	checks := []Check{
		{Name: "good", Script: "echo fine; echo 'two  lines'"},
		{Name: "silent", Script: "true"},
		{Name: "bad, with a comma", Script: "echo before\nfalse\necho never"},
		{Name: "a pipe", Script: "false | true"},
		{Name: "slow", Script: "echo started; sleep 100", Timeout: time.Second},
	}
	text := strings.NewReplacer("/sys/class/virtio-ports", dir+"/ports", "port=/dev/", "port="+dir+"/dev/").Replace(script(checks))
	if out, err := exec.CommandContext(t.Context(), "bash", "-c", text).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open(filepath.Join(dir, "dev/vport0p1"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &session{checks: checks, events: make(chan event), stop: t.Context().Done()}
	go s.read(f)
	got, err := s.follow(t.Context(), time.Minute, make(chan error))
	if err == nil || !strings.Contains(err.Error(), `the check "bad, with a comma" failed: exit status 1`) || !strings.Contains(err.Error(), "before") || strings.Contains(err.Error(), "never") {
		t.Errorf("got %v", err)
	}
	if fault.KindOf(err) != fault.Check {
		t.Errorf("the kind is %v", fault.KindOf(err))
	}
	want := []Result{{Name: "good", Output: "fine\ntwo  lines"}, {Name: "silent"}, {Name: "bad, with a comma", Code: 1, Output: "before"}, {Name: "a pipe", Code: 1}, {Name: "slow", Code: 124, Output: "started"}}
	if len(got) != len(want) {
		t.Fatalf("got %d results", len(got))
	}
	for i, r := range got {
		r.Duration = 0
		if r != want[i] {
			t.Errorf("got %+v, want %+v", r, want[i])
		}
	}
}

func TestFollow(t *testing.T) {
	for _, tc := range []struct {
		name, reports, want string
		ended               error
		stays               bool // the channel stays open without a word
	}{
		{name: "nothing", stays: true, want: "the system did not come up in time"},
		{name: "switched off", stays: true, ended: errors.New("crash"), want: "the system did not come up: crash"},
		{name: "closed", reports: "ready\nbegin Yw==\n", want: `the check "c" did not end: the channel to the guest was closed`},
		{name: "nonsense", reports: "ready\nhello\n", want: `the guest's report "hello" cannot be understood`},
		{name: "too few", reports: "ready\ndone\n", want: "0 of 1 checks were run"},
		{name: "good", reports: "ready\nbegin Yw==\nend Yw== 0 b2s=\ndone\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, w := io.Pipe()
			defer w.Close()
			go func() {
				io.WriteString(w, tc.reports)
				if !tc.stays {
					w.Close()
				}
			}()
			ended := make(chan error, 1)
			boot := time.Minute
			if tc.ended != nil {
				ended <- tc.ended
			} else if tc.stays {
				boot = time.Millisecond
			}
			s := &session{checks: []Check{{Name: "c"}}, events: make(chan event), stop: t.Context().Done()}
			go s.read(r)
			_, err := s.follow(t.Context(), boot, ended)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestConsoleEnds(t *testing.T) {
	c := &console{dead: make(chan string, 1)}
	io.WriteString(c, "[    1.0] Kernel pan")
	io.WriteString(c, "ic - not syncing: VFS: Unable to mount root fs\nKernel panic - not syncing\n")
	s := &session{dead: c.dead, stop: t.Context().Done(), events: make(chan event)}
	_, err := s.follow(t.Context(), time.Minute, make(chan error))
	if err == nil || err.Error() != "the system did not come up: the kernel panicked" {
		t.Errorf("got %v", err)
	}
}

func TestConsole(t *testing.T) {
	c := &console{}
	for i := range 100 {
		io.WriteString(c, "\x1b[0;32mline\x1b[0m "+strconv.Itoa(i)+"\r\n")
	}
	lines := strings.Split(c.text(), "\n")
	if len(lines) != consoleLines || lines[0] != "  line 40" || lines[len(lines)-1] != "  line 99" {
		t.Errorf("%q", lines)
	}
	if got := stripEscapes("a\x1b]0;title\x07b\x1b]8;;x\x1b\\c\x1b(d\x1b[2Je\x1b"); got != "abcde" && got != "abcde"[:4]+"e" {
		t.Errorf("%q", got)
	}
}

// TestScripts lets bash read every standard check.
func TestScripts(t *testing.T) {
	for _, c := range Standard(8080, "/etc/fstab", "/etc/it's") {
		if out, err := exec.Command("bash", "-n", "-c", c.Script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", c.Name, err, out)
		}
	}
}

func TestServe(t *testing.T) {
	port, stop, err := Serve()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	resp, err := http.Get("http://127.0.0.1:" + strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), answer) {
		t.Errorf("%q %v", body, err)
	}
}

func FuzzParseEvent(f *testing.F) {
	for _, s := range []string{"ready", "begin Yw==", "end Yw== 0 b2s=", "end Yw== 1", "done", "", "end x y z", "begin"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		e, err := parseEvent(line)
		if err == nil && e.kind == "" {
			t.Errorf("%q: an event without a kind", line)
		}
		stripEscapes(line)
	})
}

func TestLongReport(t *testing.T) {
	err := readEvents(bytes.NewReader(bytes.Repeat([]byte("x"), 2*maxLine)), func(event) bool { return true })
	if err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("got %v", err)
	}
}
