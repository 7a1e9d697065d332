package ui

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// screen is as much of a terminal as frames need. It fails the test at any other sequence.
type screen struct {
	t       *testing.T
	columns int
	rows    [][]rune
	row     int
	column  int
	hidden  bool
}

func (s *screen) Write(p []byte) (int, error) {
	for text := string(p); text != ""; {
		if text[0] == 0x1b {
			n := escapeLength(text)
			s.control(text[2:n-1], text[n-1])
			text = text[n:]
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		s.put(r)
	}
	return len(p), nil
}

func (s *screen) put(r rune) {
	switch r {
	case '\n':
		s.row++
		s.column = 0
	case '\r':
		s.column = 0
	default:
		if s.column == s.columns {
			s.row++
			s.column = 0
		}
		s.at(s.row)
		for len(s.rows[s.row]) <= s.column {
			s.rows[s.row] = append(s.rows[s.row], ' ')
		}
		s.rows[s.row][s.column] = r
		s.column++
	}
	s.at(s.row)
}

func (s *screen) at(row int) {
	for len(s.rows) <= row {
		s.rows = append(s.rows, nil)
	}
}

func (s *screen) control(arg string, final byte) {
	switch {
	case final == 'F':
		n, err := strconv.Atoi(arg)
		if err != nil || n < 1 || n > s.row {
			s.t.Fatalf("up %q from row %d", arg, s.row)
		}
		s.row -= n
		s.column = 0
	case final == 'K' && arg == "":
		s.at(s.row)
		s.rows[s.row] = s.rows[s.row][:min(s.column, len(s.rows[s.row]))]
	case final == 'J' && arg == "":
		s.at(s.row)
		s.rows[s.row] = s.rows[s.row][:min(s.column, len(s.rows[s.row]))]
		s.rows = s.rows[:s.row+1]
	case arg == "?25":
		s.hidden = final == 'l'
	case arg == "?2026", final == 'm':
	default:
		s.t.Fatalf("a sequence that no frame needs: %q %c", arg, final)
	}
}

// resize wraps or unwraps every row, as terminals do. Rows are taken to have been lines.
func (s *screen) resize(columns int) {
	var all [][]rune
	for _, r := range s.rows {
		for len(r) > columns {
			all = append(all, r[:columns:columns])
			r = r[columns:]
		}
		all = append(all, r[:len(r):len(r)])
	}
	s.rows, s.columns, s.row = all, columns, len(all)-1
}

func (s *screen) String() string {
	var b strings.Builder
	for i, r := range s.rows {
		mark := ""
		if i == s.row && s.column == 0 && !s.hidden {
			mark = "<cursor>"
		}
		b.WriteString(strings.TrimRight(string(r), " ") + mark + "\n")
	}
	return b.String()
}

// Plays the story on a terminal and shows it after each event.
func TestTerminal(t *testing.T) {
	s := &screen{t: t, columns: 76}
	c := &clock{}
	tty := newTTY(s, true, c.now, func() (int, int) { return s.columns, 24 }, true)
	var all strings.Builder
	for _, e := range story() {
		c.at = e.Time
		tty.Emit(e)
		tty.draw(true)
		if s.hidden || s.column != 0 {
			t.Fatalf("after %s: the cursor is hidden (%v) or in column %d", e.Type, s.hidden, s.column)
		}
		fmt.Fprintf(&all, "=== %s: %s %s %s\n%s", e.Time.Sub(epoch), e.Type, e.Kind, e.Name, s)
	}
	tty.close()
	fmt.Fprintf(&all, "=== closed\n%s", s)
	golden(t, "tty.golden", all.String())
}

// The bytes themselves, so that a change to them is seen.
func TestFrames(t *testing.T) {
	var out bytes.Buffer
	c := &clock{}
	tty := newTTY(&out, false, c.now, func() (int, int) { return 60, 24 }, true)
	var all strings.Builder
	for _, e := range story()[:8] {
		c.at = e.Time
		tty.Emit(e)
		tty.draw(true)
		fmt.Fprintf(&all, "%q\n", out.String())
		out.Reset()
	}
	golden(t, "frames.golden", all.String())
}

func TestResize(t *testing.T) {
	s := &screen{t: t, columns: 100}
	c := &clock{epoch}
	tty := newTTY(s, false, c.now, func() (int, int) { return s.columns, 24 }, false)
	tty.Emit(Event{Type: Note, Message: "this stays"})
	tty.Emit(Event{Type: Plan, Total: 2, Expected: time.Hour})
	for _, name := range []string{"a-package-with-a-rather-long-name-that-wraps", "b"} {
		tty.Emit(Event{Type: Start, Kind: "build", Name: name, Expected: time.Minute})
	}
	tty.draw(true)
	for _, columns := range []int{40, 17, 90, 60} {
		s.resize(columns)
		c.at = c.at.Add(time.Second)
		tty.draw(true)
		if got := strings.Count(s.String(), "running"); columns > 30 && got != 1 {
			t.Errorf("%d columns: expected one total line:\n%s", columns, s)
		}
		if columns > 20 && !strings.HasPrefix(s.String(), "note: this stays") || len(s.rows) > 6 {
			t.Errorf("%d columns: what stays is damaged:\n%s", columns, s)
		}
	}
	tty.close()
	golden(t, "resize.golden", s.String())
}

// More things run than the terminal has rows.
func TestManyRunning(t *testing.T) {
	s := &screen{t: t, columns: 60}
	c := &clock{epoch}
	tty := newTTY(s, false, c.now, func() (int, int) { return 60, 8 }, false)
	for i := range 20 {
		tty.Emit(Event{Type: Start, Kind: "fetch", Name: fmt.Sprintf("file-%d", i)})
	}
	tty.draw(true)
	if len(s.rows) > 8 {
		t.Errorf("expected at most 8 rows, found %d:\n%s", len(s.rows), s)
	}
	golden(t, "many.golden", s.String())
}

// Whatever comes after the end is still shown, as a line.
func TestAfterClose(t *testing.T) {
	s := &screen{t: t, columns: 60}
	tty := newTTY(s, false, (&clock{epoch}).now, func() (int, int) { return 60, 8 }, false)
	tty.Emit(Event{Type: Start, Kind: "build", Name: "zlib"})
	tty.draw(true)
	tty.close()
	tty.Emit(Event{Type: Warning, Message: "late"})
	if got := s.String(); got != "warning: late\n<cursor>\n" {
		t.Errorf("found %q", got)
	}
}

// Goroutines emit while the display runs: for the race detector.
func TestConcurrent(t *testing.T) {
	var out bytes.Buffer
	sink, stop, err := New(&out, "tty", true)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	for range 4 {
		go func() {
			for _, e := range story() {
				sink.Emit(e)
			}
			done <- struct{}{}
		}()
	}
	for range 4 {
		<-done
	}
	stop()
	stop()
}
