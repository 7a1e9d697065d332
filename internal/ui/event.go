// Package ui tells people, and programs, what is going on: it turns events into a live display on a
// terminal, plain lines in a log, or JSON. It decides nothing and logs nothing of its own.
//
// # JSON
//
// The mode "json" writes one object a line for each event. The names are stable; one that would hold
// nothing is left out, except the first two:
//
//	time              RFC 3339 with fractions of a second, UTC
//	type              a Type, as its constant spells it
//	kind, name        what it is about
//	message           text for people; may hold line breaks
//	done, total       of progress; total of a plan
//	duration_seconds  what it took
//	expected_seconds  what it is expected to take
package ui

import "time"

// Type says what happened.
type Type string

// The types of events.
const (
	Plan     Type = "plan"     // Total actions lie ahead, Expected is the time that they take
	Start    Type = "start"    // Name began; Expected is what it took last time
	Progress Type = "progress" // Done of Total, bytes or steps
	Output   Type = "output"   // Message is a line that Name wrote; shown only if verbose
	Done     Type = "done"     // Name ended well after Duration
	Cached   Type = "cached"   // Name was there already
	Failed   Type = "failed"   // Name failed; Message is the whole error
	Note     Type = "note"     // Message is worth reading
	Warning  Type = "warning"  // Message wants attention
)

// Event is one thing that happened. Kind and Name together say what it happened to.
//
// A Plan with a Kind counts the events of that Kind, one without a Kind those of every kind that has
// no Plan of its own. What belongs to no Plan is shown, but not counted. A later Plan of the same Kind
// gives the total anew, and the time left from then on.
type Event struct {
	Time     time.Time // when; a Sink takes the time of Emit if it is zero
	Type     Type
	Kind     string // what sort of thing Name is: fetch, build, sign, image…
	Name     string
	Message  string
	Done     int64 // of Progress: bytes if there are 64 Ki or more of them, else steps
	Total    int64 // of Progress, 0 if unknown; of Plan, how many actions
	Duration time.Duration
	Expected time.Duration // 0 if unknown
}

// Sink takes events; from several goroutines at once.
type Sink interface {
	Emit(Event)
}

// Discard is a Sink that shows nothing.
type Discard struct{}

// Emit implements Sink.
func (Discard) Emit(Event) {}
