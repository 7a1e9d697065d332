package ui

import (
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"mariner/internal/fault"
)

// New makes the Sink of a mode that writes to w:
//
//	auto   tty if w is a terminal that can be drawn on and this is no CI, else plain
//	tty    a live block below the lines that stay
//	plain  a line an event, without control characters
//	json   an object a line, see the package comment
//	quiet  only failures and warnings
//
// verbose shows the Output events too. close shows the end of what there is to show; it is called
// once, after the last event. An unknown mode is an error of the kind fault.Usage.
func New(w io.Writer, mode string, verbose bool) (sink Sink, close func(), err error) {
	if mode == "auto" || mode == "" {
		mode = "plain"
		if drawable(w) {
			mode = "tty"
		}
	}
	switch mode {
	case "tty":
		t := newTTY(w, verbose, time.Now, sizeOf(w), os.Getenv("NO_COLOR") == "")
		stop := t.run()
		return t, stop, nil
	case "plain":
		p := newPlain(w, verbose, time.Now)
		return p, p.close, nil
	case "json":
		return newJSON(w, verbose, time.Now), func() {}, nil
	case "quiet":
		return newQuiet(w, time.Now), func() {}, nil
	}
	return nil, nil, fault.Errorf(fault.Usage, "progress %q: expected auto, tty, plain, json or quiet", mode)
}

// drawable says whether w is a terminal with a cursor that moves, with somebody before it.
func drawable(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" && os.Getenv("CI") == ""
}

// sizeOf gives the columns and rows of the terminal w at the time it is called.
func sizeOf(w io.Writer) func() (columns, rows int) {
	return func() (int, int) {
		if f, ok := w.(*os.File); ok {
			if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && rows > 0 {
				return columns, rows
			}
		}
		return 80, 24
	}
}
