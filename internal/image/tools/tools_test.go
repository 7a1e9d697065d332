package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"mariner/internal/fault"
	"mariner/internal/sandbox"
)

// fake prints to standard error and fails as told.
type fake struct {
	says string
	err  error
	got  sandbox.Command
}

func (f *fake) Run(_ context.Context, c sandbox.Command) (sandbox.Usage, error) {
	f.got = c
	io.WriteString(c.Stderr, f.says)
	return sandbox.Usage{}, f.err
}

func TestRun(t *testing.T) {
	var long strings.Builder
	for i := range 50 {
		fmt.Fprintf(&long, "line %d\n", i)
	}
	for _, tc := range []struct {
		name string
		f    fake
		want string
		kind fault.Kind
	}{
		{"good", fake{says: "a word\n"}, "", 0},
		{"bad", fake{says: "one\ntwo", err: errors.New("exit status 1")}, "doing: exit status 1\n  one\n  two", fault.Image},
		{"long", fake{says: long.String(), err: errors.New("e")}, "doing: e\n  line 30\n", fault.Image},
		{"refused", fake{says: "x\nwarning: scriptlet failed\n"}, "doing: it printed: warning: scriptlet failed", fault.Image},
		{"environment", fake{err: fault.Errorf(fault.Environment, "no namespaces")}, "doing: no namespaces", fault.Environment},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := Tools{Runner: &tc.f, Layers: []string{"/l"}, Epoch: time.Unix(5, 0)}.Run(t.Context(), Script{
				Name: "doing", Text: "x", Args: []string{"a b"}, Refuse: func(l string) bool { return strings.Contains(l, "failed") },
			})
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
			} else if err == nil || !strings.HasPrefix(err.Error(), tc.want) || fault.KindOf(err) != tc.kind {
				t.Errorf("got %v (%v)", err, fault.KindOf(err))
			}
			if env := strings.Join(tc.f.got.Env, " "); !strings.Contains(env, "SOURCE_DATE_EPOCH=5") || !strings.Contains(env, "TZ=UTC") {
				t.Errorf("environment %s", env)
			}
			if a := tc.f.got.Args; a[len(a)-1] != "a b" {
				t.Errorf("arguments %q", a)
			}
		})
	}
}
