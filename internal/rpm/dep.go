package rpm

import "strings"

// Sense is the comparison in a dependency: `<`, `>`, `=` or a union of them; 0 if it has none.
// The bits are rpm's own (RPMSENSE_LESS, _GREATER, _EQUAL).
type Sense uint8

// The bits of a Sense.
const (
	Less    Sense = 1 << 1
	Greater Sense = 1 << 2
	Equal   Sense = 1 << 3
)

// String is the operator as a spec file spells it, "" if there is none.
func (s Sense) String() string {
	switch s {
	case Less:
		return "<"
	case Greater:
		return ">"
	case Equal:
		return "="
	case Less | Equal:
		return "<="
	case Greater | Equal:
		return ">="
	case Less | Greater:
		return "<>"
	}
	return ""
}

// ParseSense reads an operator of a spec file; ok is false if it is none.
func ParseSense(op string) (s Sense, ok bool) {
	switch op {
	case "<":
		return Less, true
	case ">":
		return Greater, true
	case "=", "==":
		return Equal, true
	case "<=", "=<":
		return Less | Equal, true
	case ">=", "=>":
		return Greater | Equal, true
	}
	return 0, false
}

// Dep is one dependency: a package name, a capability such as `pkgconfig(zlib)`, a file path, or a
// rich dependency such as `(a or b)` (then Name is all of it).
type Dep struct {
	Name  string
	Sense Sense
	EVR   string // as written: `[epoch:]version[-release]`, "" if Sense is 0
	Pre   bool   // needed before the package's own scriptlets run; only in Requires
}

// Rich says whether the dependency is a boolean expression.
func (d Dep) Rich() bool { return strings.HasPrefix(d.Name, "(") }

// String is the dependency as a spec file spells it.
func (d Dep) String() string {
	if d.Sense == 0 {
		return d.Name
	}
	return d.Name + " " + d.Sense.String() + " " + d.EVR
}

// ParseDep reads `name`, `name OP evr` or a rich dependency, which is kept whole. It does not fail:
// what is not of the second form is a name.
func ParseDep(s string) Dep {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "(") {
		return Dep{Name: s}
	}
	if f := strings.Fields(s); len(f) == 3 {
		if op, ok := ParseSense(f[1]); ok {
			return Dep{Name: f[0], Sense: op, EVR: f[2]}
		}
	}
	return Dep{Name: s}
}
