package solve

// #include "glue.h"
import "C"

import (
	"fmt"
	"strings"
	"unsafe"

	"mariner/internal/rpm"
)

// encoder writes packages and dependencies in the form that glue.c reads, so that a repository
// crosses into C in one call.
type encoder struct {
	buf []byte
}

// pointer is the content for C, to be used for one call.
func (e *encoder) pointer() *C.char {
	if len(e.buf) == 0 {
		return nil
	}
	return (*C.char)(unsafe.Pointer(&e.buf[0]))
}

// The bits of libsolv's relations.
const (
	relGreater = 1
	relEqual   = 2
	relLess    = 4
	relRich    = 0xff
)

func (e *encoder) text(s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return fmt.Errorf("%q contains a NUL", s)
	}
	e.buf = append(append(e.buf, s...), 0)
	return nil
}

func (e *encoder) dep(d rpm.Dep) error {
	if err := e.text(d.Name); err != nil {
		return err
	}
	var flags byte
	evr := d.EVR
	switch {
	case d.Rich():
		if depth(d.Name) > maxDepth {
			return fmt.Errorf("a rich dependency: expected at most %d parentheses in each other, found more", maxDepth)
		}
		flags, evr = relRich, ""
	case d.Sense == 0:
		evr = ""
	default:
		if d.Sense&rpm.Greater != 0 {
			flags |= relGreater
		}
		if d.Sense&rpm.Equal != 0 {
			flags |= relEqual
		}
		if d.Sense&rpm.Less != 0 {
			flags |= relLess
		}
	}
	e.buf = append(e.buf, flags)
	return e.text(strings.TrimPrefix(evr, "0:"))
}

// maxDepth keeps libsolv's parser, which is recursive, from running out of stack.
const maxDepth = 100

func depth(s string) int {
	deepest, at := 0, 0
	for _, c := range s {
		switch c {
		case '(':
			at++
		case ')':
			at--
		}
		deepest = max(deepest, at)
	}
	return deepest
}

func (e *encoder) deps(letter byte, deps []rpm.Dep) error {
	for _, d := range deps {
		l := letter
		if letter == 'r' {
			if strings.HasPrefix(d.Name, "rpmlib(") {
				continue // answered by rpm itself
			}
			if d.Pre {
				l = 'R'
			}
		}
		e.buf = append(e.buf, l)
		if err := e.dep(d); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) pkg(p *Pkg, files map[string]bool) error {
	e.buf = append(e.buf, 'P')
	for _, s := range []string{p.Name, p.EVR.String(), p.Arch} {
		if err := e.text(s); err != nil {
			return err
		}
	}
	self := rpm.Dep{Name: p.Name, Sense: rpm.Equal, EVR: p.EVR.String()}
	provides := p.Provides
	if !providesItself(provides, self) {
		provides = append([]rpm.Dep{self}, provides...)
	}
	for _, f := range p.Files {
		if files[f.Path] {
			provides = append(provides[:len(provides):len(provides)], rpm.Dep{Name: f.Path})
		}
	}
	for _, list := range []struct {
		letter byte
		deps   []rpm.Dep
	}{
		{'p', provides},
		{'r', p.Requires},
		{'c', p.Conflicts},
		{'o', p.Obsoletes},
		{'e', p.Recommends},
		{'s', p.Suggests},
		{'u', p.Supplements},
		{'n', p.Enhances},
	} {
		if err := e.deps(list.letter, list.deps); err != nil {
			return err
		}
	}
	return nil
}

func providesItself(provides []rpm.Dep, self rpm.Dep) bool {
	for _, d := range provides {
		if d.Name == self.Name && d.Sense == self.Sense && strings.TrimPrefix(d.EVR, "0:") == self.EVR {
			return true
		}
	}
	return false
}

// collectFiles notes which files dependencies name: only these need to be known to libsolv.
func (n *native) collectFiles(pkgs []*Pkg) {
	for _, p := range pkgs {
		for _, list := range [][]rpm.Dep{p.Requires, p.Conflicts, p.Recommends, p.Suggests, p.Supplements, p.Enhances} {
			for _, d := range list {
				switch {
				case strings.HasPrefix(d.Name, "/"):
					n.files[d.Name] = true
				case d.Rich():
					for _, path := range filesInRich(d.Name) {
						n.files[path] = true
					}
				}
			}
		}
	}
}

// filesInRich are the file paths that a rich dependency names.
func filesInRich(s string) []string {
	var paths []string
	for _, d := range atoms(s) {
		if strings.HasPrefix(d.Name, "/") {
			paths = append(paths, d.Name)
		}
	}
	return paths
}

// atoms are the plain dependencies in a rich one.
func atoms(s string) []rpm.Dep {
	var found []rpm.Dep
	for i, words := 0, strings.Fields(s); i < len(words); i++ {
		word := trimGroup(words[i])
		switch word {
		case "", "and", "or", "if", "else", "unless", "with", "without":
			continue
		}
		d := rpm.Dep{Name: word}
		if i+2 < len(words) {
			if op, ok := rpm.ParseSense(words[i+1]); ok {
				d.Sense, d.EVR = op, strings.TrimRight(words[i+2], ")")
				i += 2
			}
		}
		found = append(found, d)
	}
	return found
}

// trimGroup takes off the parentheses that group, and leaves those of a name such as `lib(x)`.
func trimGroup(word string) string {
	word = strings.TrimLeft(word, "(")
	for strings.HasSuffix(word, ")") && strings.Count(word, ")") > strings.Count(word, "(") {
		word = strings.TrimSuffix(word, ")")
	}
	return word
}
