package ui

import (
	"bytes"
	"io"
)

// Tee gives a writer to w whose lines the sink gets too, as Output events; it is w itself if the sink
// would not show them. flush ends the last line, if it has no end of its own.
func Tee(w io.Writer, s Sink, kind, name string) (tee io.Writer, flush func()) {
	if !verbose(s) {
		return w, func() {}
	}
	o := &output{w: w, emit: func(line []byte) {
		s.Emit(Event{Type: Output, Kind: kind, Name: name, Message: string(line)})
	}}
	return o, o.flush
}

// verbose says whether a Sink of New shows Output events.
func verbose(s Sink) bool {
	switch s := s.(type) {
	case *tty:
		return s.verbose
	case *plain:
		return s.verbose
	case *jsonSink:
		return s.verbose
	}
	return false
}

// maxLine is how much of a line without an end is kept until it is emitted as it is.
const maxLine = 64 << 10

type output struct {
	w    io.Writer
	emit func(line []byte)
	rest []byte // a line that has begun
}

func (o *output) Write(p []byte) (int, error) {
	o.rest = append(o.rest, p...)
	for {
		line, rest, ended := bytes.Cut(o.rest, []byte("\n"))
		if !ended {
			break
		}
		o.emit(line)
		o.rest = rest
	}
	if len(o.rest) > maxLine {
		o.flush()
	}
	return o.w.Write(p)
}

func (o *output) flush() {
	if len(o.rest) > 0 {
		o.emit(o.rest)
	}
	o.rest = nil
}
