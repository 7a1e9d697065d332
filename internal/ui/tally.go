package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// tally keeps what the events so far amount to.
type tally struct {
	begun   time.Time // of the first event
	plans   map[string]*counts
	running []*task   // in the order of their starts
	end     time.Time // when the work should be done; zero if unknown
}

// counts are those of one Plan.
type counts struct{ total, done, cached, failed int64 }

func (c counts) ended() int64 { return c.done + c.cached + c.failed }

// task is something that has begun and not ended.
type task struct {
	kind, name  string
	since       time.Time
	expected    time.Duration
	done, total int64
}

func (t *tally) add(e Event) {
	if t.begun.IsZero() {
		t.begun = e.Time
	}
	switch e.Type {
	case Plan:
		if t.plans == nil {
			t.plans = map[string]*counts{}
		}
		if t.plans[e.Kind] == nil {
			t.plans[e.Kind] = &counts{}
		}
		t.plans[e.Kind].total = e.Total
		t.end = time.Time{}
		if e.Expected > 0 {
			t.end = e.Time.Add(e.Expected)
		}
	case Start:
		t.remove(e)
		t.running = append(t.running, &task{kind: e.Kind, name: e.Name, since: e.Time, expected: e.Expected})
	case Progress:
		if r := t.find(e); r != nil {
			r.done, r.total = e.Done, e.Total
		}
	case Done, Cached, Failed:
		t.remove(e)
		c := t.counts(e.Kind)
		switch {
		case c == nil:
		case e.Type == Done:
			c.done++
		case e.Type == Cached:
			c.cached++
		default:
			c.failed++
		}
	}
}

// counts are those that events of a kind belong to; nil if to none.
func (t *tally) counts(kind string) *counts {
	if c := t.plans[kind]; c != nil {
		return c
	}
	return t.plans[""]
}

func (t *tally) find(e Event) *task {
	for _, r := range t.running {
		if r.kind == e.Kind && r.name == e.Name {
			return r
		}
	}
	return nil
}

func (t *tally) remove(e Event) {
	t.running = slices.DeleteFunc(t.running, func(r *task) bool { return r.kind == e.Kind && r.name == e.Name })
}

// all is the sum over the plans.
func (t *tally) all() (sum counts) {
	for _, c := range t.plans {
		sum.total += c.total
		sum.done += c.done
		sum.cached += c.cached
		sum.failed += c.failed
	}
	return sum
}

// position is "3 of 98" for an event that belongs to a plan, else nothing.
func (t *tally) position(kind string) string {
	c := t.counts(kind)
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%d of %d", c.ended(), max(c.total, c.ended()))
}

// summary is the total line.
func (t *tally) summary(now time.Time, live bool) string {
	sum := t.all()
	var parts []string
	if sum.total > 0 || sum.ended() > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d", sum.ended(), max(sum.total, sum.ended())))
	}
	if sum.cached > 0 {
		parts = append(parts, fmt.Sprintf("%d cached", sum.cached))
	}
	if sum.failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", sum.failed))
	}
	if !live {
		return strings.Join(append(parts, "in "+short(now.Sub(t.begun))), ", ")
	}
	parts = append(parts, fmt.Sprintf("%d running", len(t.running)), whole(now.Sub(t.begun)))
	if left := t.end.Sub(now); !t.end.IsZero() && left > 0 && sum.ended() < sum.total {
		parts = append(parts, "about "+whole(left)+" left")
	}
	return strings.Join(parts, ", ")
}

// title is what an event is about.
func title(kind, name string) string { return strings.TrimSpace(clean(kind) + " " + clean(name)) }
