// Package guest boots an image and runs named checks inside it. The image needs nothing prepared:
// systemd (256 or later) gets a unit and a script as credentials, and the script reports over a
// virtio serial port. A check that fails comes with what it printed and the end of the console.
package guest

import (
	"context"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mariner/internal/fault"
	"mariner/internal/vm"
)

// Check is a bash script that succeeds if something is as it should be (errexit and pipefail are on).
type Check struct {
	Name    string
	Script  string
	Timeout time.Duration // default one minute
}

// Result is how a check went.
type Result struct {
	Name     string
	Code     int    // the script's exit status; 124 after its time was over
	Output   string // the last 48 KiB at most
	Duration time.Duration
}

// Passed says whether the check was successful.
func (r Result) Passed() bool { return r.Code == 0 }

// Options are a machine and what is to be checked in it.
type Options struct {
	VM     vm.Options // Console gets a copy of the console if it is set
	Checks []Check
	// Boot is how long the system may take until the first check; default 5 minutes.
	Boot time.Duration
	// Each, if set, is told every result at once.
	Each func(Result)
}

// portName is the serial port's.
const portName = "org.mariner.check"

//go:embed runner.sh
var runner string

// unit starts the runner when the system is up. It is of type exec, so that its own start does not
// keep the system from being "running".
const unit = `[Unit]
Description=In-guest checks
After=basic.target
[Service]
Type=exec
ExecStart=/bin/bash %d/mariner.check
ImportCredential=mariner.check
StandardOutput=journal+console
KillMode=process
`

const want = "[Unit]\nWants=mariner-check.service\n"

// grace is added to a check's time before the guest is taken for dead.
const grace = 30 * time.Second

// Run boots the image, runs the checks one after the other, and switches the machine off. The error
// tells of the first failed check (a fault.Check), or why not all were run; results are of those that
// were.
func Run(ctx context.Context, o Options) ([]Result, error) {
	if o.Boot == 0 {
		o.Boot = 5 * time.Minute
	}
	host, inside, err := pair()
	if err != nil {
		return nil, fault.Errorf(fault.Environment, "making a channel to the guest: %w", err)
	}
	defer host.Close()
	defer inside.Close()
	console := &console{to: o.VM.Console, dead: make(chan string, 1)}
	o.VM.Console = console
	o.VM.NoReboot = true
	o.VM.Channels = append(o.VM.Channels, vm.Channel{Name: portName, Socket: inside})
	creds := maps.Clone(o.VM.Credentials)
	if creds == nil {
		creds = map[string][]byte{}
	}
	creds["mariner.check"] = []byte(script(o.Checks))
	creds["systemd.extra-unit.mariner-check.service"] = []byte(unit)
	creds["systemd.unit-dropin.multi-user.target"] = []byte(want)
	o.VM.Credentials = creds

	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- vm.Run(ctx, o.VM) }()
	defer func() { cancel(); <-ended }()

	s := &session{checks: o.Checks, each: o.Each, events: make(chan event), stop: ctx.Done(), dead: console.dead}
	go s.read(host)
	results, err := s.follow(ctx, o.Boot, ended)
	if err != nil {
		return results, fmt.Errorf("%w\nthe end of the console:\n%s", err, console.text())
	}
	return results, nil
}

// script is the runner and a line for every check.
func script(checks []Check) string {
	var b strings.Builder
	b.WriteString(runner)
	for _, c := range checks {
		fmt.Fprintf(&b, "check %s %d %s\n", encode(c.Name), int(c.timeout().Seconds()), encode(c.Script))
	}
	b.WriteString("report done\n")
	return b.String()
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func (c Check) timeout() time.Duration {
	if c.Timeout == 0 {
		return time.Minute
	}
	return c.Timeout
}

// pair are two connected sockets: ours and QEMU's.
func pair() (host, inside *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "checks"), os.NewFile(uintptr(fds[1]), "guest"), nil
}

// session follows the reports of one guest.
type session struct {
	checks []Check
	each   func(Result)
	events chan event
	stop   <-chan struct{}
	dead   <-chan string // why nothing is to be expected any more
}

// read turns what the guest writes into events until it ends.
func (s *session) read(r io.Reader) {
	defer close(s.events)
	err := readEvents(r, func(e event) bool {
		select {
		case s.events <- e:
			return true
		case <-s.stop:
			return false
		}
	})
	if err != nil {
		select {
		case s.events <- event{kind: "error", text: err.Error()}:
		case <-s.stop:
		}
	}
}

// follow waits for each report in its time.
func (s *session) follow(ctx context.Context, boot time.Duration, ended chan error) ([]Result, error) {
	var results []Result
	var failed error
	timer := time.NewTimer(boot)
	defer timer.Stop()
	waiting := "the system did not come up"
	var begun time.Time
	for {
		select {
		case <-ctx.Done():
			return results, ctx.Err()
		case err := <-ended:
			ended <- err
			if err == nil {
				err = errors.New("the guest switched itself off")
			}
			return results, fault.As(fault.Check, fmt.Errorf("%s: %w", waiting, err))
		case why := <-s.dead:
			return results, fault.Errorf(fault.Check, "%s: %s", waiting, why)
		case <-timer.C:
			return results, fault.Errorf(fault.Check, "%s in time", waiting)
		case e, ok := <-s.events:
			if !ok {
				e = event{kind: "error", text: "the channel to the guest was closed"}
			}
			switch e.kind {
			case "error":
				return results, fault.Errorf(fault.Check, "%s: %s", waiting, e.text)
			case "begin":
				begun = time.Now()
				waiting = fmt.Sprintf("the check %q did not end", e.name)
				timer.Reset(s.limit(e.name) + grace)
			case "end":
				r := Result{Name: e.name, Code: e.code, Output: e.text, Duration: time.Since(begun)}
				results = append(results, r)
				if s.each != nil {
					s.each(r)
				}
				if !r.Passed() && failed == nil {
					failed = failure(r, s.limit(r.Name))
				}
				waiting = "the next check did not begin"
				timer.Reset(grace)
			case "ready":
				timer.Reset(grace)
			case "done":
				if len(results) != len(s.checks) && failed == nil {
					failed = fault.Errorf(fault.Check, "%d of %d checks were run", len(results), len(s.checks))
				}
				return results, failed
			}
		}
	}
}

func (s *session) limit(name string) time.Duration {
	for _, c := range s.checks {
		if c.Name == name {
			return c.timeout()
		}
	}
	return 0
}

func failure(r Result, limit time.Duration) error {
	how := fmt.Sprintf("exit status %d", r.Code)
	if r.Code == 124 || r.Code == 137 {
		how = fmt.Sprintf("not done after %s", limit)
	}
	return fault.Errorf(fault.Check, "the check %q failed: %s\n%s", r.Name, how, strings.TrimRight(r.Output, "\n"))
}
