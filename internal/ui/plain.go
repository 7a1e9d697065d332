package ui

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progressEvery is how often plain writes a line of progress at most.
const progressEvery = 10 * time.Second

// plain writes a line an event; a failure's whole message, and a note of several lines, follow
// their line, indented.
type plain struct {
	mu       sync.Mutex
	w        io.Writer
	verbose  bool
	now      func() time.Time
	tally    tally
	progress time.Time // of the last line of progress
}

func newPlain(w io.Writer, verbose bool, now func() time.Time) *plain {
	return &plain{w: w, verbose: verbose, now: now}
}

func (p *plain) Emit(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = p.now()
	}
	p.tally.add(e)
	if e.Type == Output && !p.verbose || e.Type == Progress && !p.due(e) {
		return
	}
	p.write(e.Time, describe(e, &p.tally))
}

// due says whether a line of progress may be written: not within ten seconds of the last, nor of the
// beginning of what it is about.
func (p *plain) due(e Event) bool {
	last := p.progress
	if r := p.tally.find(e); r != nil && r.since.After(last) {
		last = r.since
	}
	if e.Time.Sub(last) < progressEvery {
		return false
	}
	p.progress = e.Time
	return true
}

func (p *plain) write(at time.Time, text []string) {
	var b strings.Builder
	for i, line := range text {
		if i == 0 {
			fmt.Fprintf(&b, "[%7s] %s\n", short(at.Sub(p.tally.begun)), line)
		} else {
			fmt.Fprintf(&b, "          | %s\n", line)
		}
	}
	io.WriteString(p.w, b.String())
}

// close writes what it all came to, if there was a plan.
func (p *plain) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tally.plans) > 0 {
		now := p.now()
		p.write(now, []string{p.tally.summary(now, false)})
	}
}

// describe is an event in words: a line, and those that belong to it.
func describe(e Event, t *tally) []string {
	what, text := title(e.Kind, e.Name), lines(e.Message)
	says := func(parts ...string) string {
		var kept []string
		for _, p := range parts {
			if p != "" {
				kept = append(kept, p)
			}
		}
		return what + ": " + strings.Join(kept, ", ")
	}
	position := t.position(e.Kind)
	if position != "" {
		position = " (" + position + ")"
	}
	took, expected := "", ""
	if e.Duration > 0 {
		took = " in " + short(e.Duration)
	}
	switch e.Type {
	case Plan:
		if e.Expected > 0 {
			expected = "about " + whole(e.Expected)
		}
		what = strings.TrimSpace("plan " + what)
		return []string{says(fmt.Sprintf("%d actions", e.Total), expected, text[0])}
	case Start:
		if e.Expected > 0 {
			expected = short(e.Expected) + " last time"
		}
		return []string{says("started", text[0], expected)}
	case Progress:
		return []string{says(amount(e.Done, e.Total), text[0])}
	case Done:
		return []string{says("done"+took+position, text[0])}
	case Cached:
		return []string{says("cached"+position, text[0])}
	case Failed:
		return append([]string{says("FAILED" + took + position)}, text...)
	case Output:
		return []string{clean(e.Name) + " | " + text[0]}
	}
	what = strings.TrimSpace(string(e.Type) + " " + what)
	return append([]string{says(text[0])}, text[1:]...)
}

// quiet writes failures and warnings, without times.
type quiet struct {
	mu  sync.Mutex
	w   io.Writer
	now func() time.Time
}

func newQuiet(w io.Writer, now func() time.Time) *quiet { return &quiet{w: w, now: now} }

func (q *quiet) Emit(e Event) {
	if e.Type != Failed && e.Type != Warning {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, line := range describe(e, &tally{}) {
		if i > 0 {
			line = "  | " + line
		}
		io.WriteString(q.w, line+"\n")
	}
}
