// Package fault gives an error a kind, so that a command's exit code says what sort of thing went
// wrong. It does not format errors: messages are wrapped with fmt.Errorf as everywhere.
package fault

import (
	"errors"
	"fmt"
)

// Kind is the sort of an error; its value is the exit code of the mariner command.
type Kind int

// The kinds, by exit code. 1 is left to errors that carry no kind.
const (
	Unknown     Kind = 1
	Usage       Kind = 2 // a flag, an argument, a file of the tree is wrong
	Source      Kind = 3 // a source is missing, truncated, or not what its digest says
	Build       Kind = 4 // a package did not build
	Image       Kind = 5 // an image could not be composed
	Environment Kind = 6 // this machine lacks something: a tool, a namespace, disk
	Check       Kind = 7 // something was checked and is not right
)

// String is the kind's name, as --progress json and the documentation spell it.
func (k Kind) String() string {
	switch k {
	case Usage:
		return "usage"
	case Source:
		return "source"
	case Build:
		return "build"
	case Image:
		return "image"
	case Environment:
		return "environment"
	case Check:
		return "check"
	}
	return "unknown"
}

type fault struct {
	kind Kind
	err  error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// Errorf is fmt.Errorf with a kind.
func Errorf(kind Kind, format string, args ...any) error {
	return &fault{kind, fmt.Errorf(format, args...)}
}

// As gives err a kind unless it already carries one; nil stays nil.
func As(kind Kind, err error) error {
	var f *fault
	if err == nil || errors.As(err, &f) {
		return err
	}
	return &fault{kind, err}
}

// KindOf is the kind of the outermost fault in err's chain, Unknown if there is none.
func KindOf(err error) Kind {
	var f *fault
	if errors.As(err, &f) {
		return f.kind
	}
	return Unknown
}
