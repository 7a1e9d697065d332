package ui

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// jsonSink writes one object a line.
type jsonSink struct {
	mu      sync.Mutex
	encode  *json.Encoder
	verbose bool
	now     func() time.Time
}

// jsonEvent is an Event as programs read it; the package comment documents it.
type jsonEvent struct {
	Time     string  `json:"time"`
	Type     Type    `json:"type"`
	Kind     string  `json:"kind,omitempty"`
	Name     string  `json:"name,omitempty"`
	Message  string  `json:"message,omitempty"`
	Done     int64   `json:"done,omitempty"`
	Total    int64   `json:"total,omitempty"`
	Duration float64 `json:"duration_seconds,omitempty"`
	Expected float64 `json:"expected_seconds,omitempty"`
}

func newJSON(w io.Writer, verbose bool, now func() time.Time) *jsonSink {
	encode := json.NewEncoder(w)
	encode.SetEscapeHTML(false)
	return &jsonSink{encode: encode, verbose: verbose, now: now}
}

func (s *jsonSink) Emit(e Event) {
	if e.Type == Output && !s.verbose {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = s.now()
	}
	_ = s.encode.Encode(jsonEvent{ // who does not read is not told
		Time: e.Time.UTC().Format(time.RFC3339Nano), Type: e.Type,
		Kind: e.Kind, Name: e.Name, Message: e.Message, Done: e.Done, Total: e.Total,
		Duration: e.Duration.Seconds(), Expected: e.Expected.Seconds(),
	})
}
