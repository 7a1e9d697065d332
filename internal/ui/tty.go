package ui

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// tty keeps a block at the bottom of a terminal: a line for each thing that runs, and a total. Lines
// that stay scroll by above it.
//
// A frame is one write: it goes up to the first line of the last frame's block and writes over it. It
// hides the cursor while it does so and shows it at its end, on the empty line below the block: at
// whatever moment the process ends, by Ctrl-C or otherwise, the terminal is as it should be.
type tty struct {
	mu      sync.Mutex
	w       io.Writer
	verbose bool
	now     func() time.Time
	size    func() (columns, rows int)
	colour  bool

	tally  tally
	stay   []string // lines to be written above the block by the next frame
	block  []int    // the lengths of the lines of the block on the screen
	dirty  bool
	closed bool
}

// The control sequences that frames are made of (ECMA-48, and the DEC private modes 25 and 2026).
const (
	beginFrame = "\x1b[?2026h\x1b[?25l"
	endFrame   = "\x1b[?25h\x1b[?2026l"
	clearLine  = "\x1b[K"
	clearBelow = "\x1b[J"
	bold       = "\x1b[1m"
	dim        = "\x1b[2m"
	red        = "\x1b[31m"
	green      = "\x1b[32m"
	yellow     = "\x1b[33m"
	plainText  = "\x1b[0m"
)

func newTTY(w io.Writer, verbose bool, now func() time.Time, size func() (int, int), colour bool) *tty {
	return &tty{w: w, verbose: verbose, now: now, size: size, colour: colour}
}

// run draws ten times a second at most, once a second at least, and when the terminal's size changes.
func (t *tty) run() (stop func()) {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for ticks := 0; ; ticks++ {
			select {
			case <-end:
				return
			case <-resized:
				t.draw(true)
			case <-ticker.C:
				t.draw(ticks%10 == 0)
			}
		}
	}()
	var once sync.Once
	return func() {
		once.Do(func() {
			signal.Stop(resized)
			close(end)
			<-ended
			t.close()
		})
	}
}

// draw writes a frame if something has happened, or if the times that run have to be shown anew.
func (t *tty) draw(always bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dirty || always && len(t.tally.running) > 0 {
		t.frame(t.view())
	}
}

func (t *tty) Emit(e Event) {
	if e.Type == Output && !t.verbose {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = t.now()
	}
	t.tally.add(e)
	t.dirty = true
	switch e.Type {
	case Output:
		t.keep(describe(e, &t.tally), dim)
	case Done:
		t.keep(describe(e, &tally{}), green)
	case Failed:
		t.keep(describe(e, &tally{}), red)
	case Warning:
		t.keep(describe(e, &tally{}), yellow)
	case Note:
		t.keep(describe(e, &tally{}), "")
	}
	if t.closed { // nobody draws any more
		t.frame(nil)
	}
}

// keep has lines written above the block, the first in that colour, what follows it indented.
func (t *tty) keep(text []string, colour string) {
	for i, line := range text {
		if i > 0 {
			t.stay = append(t.stay, "  | "+line)
			continue
		}
		t.stay = append(t.stay, t.paint(line, colour))
	}
}

func (t *tty) paint(text, colour string) string {
	if !t.colour || colour == "" {
		return text
	}
	return colour + text + plainText
}

// close takes the block away and writes what it all came to, if there was a plan.
func (t *tty) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.tally.plans) > 0 {
		t.stay = append(t.stay, t.paint(t.tally.summary(t.now(), false), bold))
	}
	t.closed = true
	t.frame(nil)
}

// frame writes the lines that stay, then the block.
func (t *tty) frame(block []string) {
	t.dirty = false
	if len(t.stay) == 0 && len(block) == 0 && len(t.block) == 0 {
		return
	}
	columns, _ := t.size()
	var b strings.Builder
	b.WriteString(beginFrame)
	if up := rows(t.block, columns); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dF", up)
	} else {
		b.WriteString("\r")
	}
	if len(t.stay) > 0 {
		b.WriteString(clearBelow) // such a line may be wider than the terminal and wrap
	}
	for _, line := range t.stay {
		b.WriteString(line + "\n")
	}
	t.stay, t.block = nil, nil
	for i, line := range block {
		line = fit(line, columns-1)
		t.block = append(t.block, utf8.RuneCountInString(line))
		if i == len(block)-1 {
			line = t.paint(line, bold)
		}
		b.WriteString(line + clearLine + "\n")
	}
	b.WriteString(clearBelow + endFrame)
	io.WriteString(t.w, b.String())
}

// rows is how many rows lines of these lengths take: a terminal that has become narrower since they
// were written has wrapped them.
func rows(lengths []int, columns int) (n int) {
	for _, l := range lengths {
		n += max(1, (l+columns-1)/max(columns, 1))
	}
	return n
}

// view is the block as it should look now.
func (t *tty) view() []string {
	if len(t.tally.running) == 0 && len(t.tally.plans) == 0 {
		return nil
	}
	columns, height := t.size()
	running := t.tally.running
	room := max(1, min(height-3, 16)) // for what runs
	more := len(running) - room
	if more > 0 {
		running = running[:room-1]
		more++
	}
	var wide int
	for _, r := range running {
		wide = max(wide, utf8.RuneCountInString(title(r.kind, r.name)))
	}
	wide = min(wide, max(columns/2, 12))
	var block []string
	now := t.now()
	for _, r := range running {
		block = append(block, fmt.Sprintf("  %-*s %7s%s", wide, fit(title(r.kind, r.name), wide), whole(now.Sub(r.since)), r.detail(now, columns)))
	}
	if more > 0 {
		block = append(block, fmt.Sprintf("  and %d more", more))
	}
	return append(block, t.tally.summary(now, true))
}

// detail says how far something is, by what it reports or by what it took last time.
func (r *task) detail(now time.Time, columns int) string {
	switch {
	case r.total > 0:
		return bar(float64(r.done)/float64(r.total), columns) + "  " + amount(r.done, r.total)
	case r.done > 0:
		return "  " + amount(r.done, 0)
	case r.expected > 0:
		return bar(float64(now.Sub(r.since))/float64(r.expected), columns) + "  of about " + whole(r.expected)
	}
	return ""
}

// bar is a fraction as a picture that suits so many columns. More than the whole, which an expected
// time can turn out to be, is shown as nearly there.
func bar(fraction float64, columns int) string {
	width := 20
	switch {
	case columns < 64:
		return ""
	case columns < 100:
		width = 10
	}
	full := int(max(0, min(fraction, 1)) * float64(width))
	if fraction > 1 {
		full = width - 1
	}
	head := ""
	if full < width {
		head = ">"
	}
	return "  [" + strings.Repeat("=", full) + head + strings.Repeat(" ", width-full-len(head)) + "]"
}
