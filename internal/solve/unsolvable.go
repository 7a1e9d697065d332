package solve

import (
	"fmt"
	"strings"
)

// Unsolvable is the error of Solve if what is asked for cannot be had: each problem on its own would
// be enough. errors.As finds it, and each Problem, in a chain of errors.
type Unsolvable struct {
	Problems []Problem
}

// Error tells every problem, indented by what needs what.
func (u *Unsolvable) Error() string {
	var b strings.Builder
	b.WriteString("no set of packages gives all that is asked for:")
	for _, p := range u.Problems {
		p.write(&b)
	}
	return b.String()
}

// Unwrap gives the problems.
func (u *Unsolvable) Unwrap() []error {
	errs := make([]error, len(u.Problems))
	for i, p := range u.Problems {
		errs[i] = p
	}
	return errs
}

// Problem is a set of wishes that cannot be met together (or one that cannot be met at all), each
// with what stands in its way.
type Problem struct {
	Wants []Cause // of kind Wanted
}

// Error tells the problem, indented by what needs what.
func (p Problem) Error() string {
	var b strings.Builder
	p.write(&b)
	return strings.TrimPrefix(b.String(), "\n  ")
}

func (p Problem) write(b *strings.Builder) {
	for _, c := range p.Wants {
		c.write(b, 1)
	}
}

// Kind is the sort of a Cause.
type Kind int

// The kinds of causes; each says which fields of the Cause it uses besides Package.
const (
	Wanted      Kind = iota // Dep is wanted, by the request itself; Because: what is wrong with each candidate
	Needs                   // needs Dep; Because: what is wrong with each candidate
	Missing                 // needs Dep, and nothing provides it; Because: what comes near
	Conflicts               // conflicts with Dep, which Other is or provides
	Obsoletes               // obsoletes Dep, which is Other
	SameName                // cannot stand beside Other, another version of it
	Excluded                // is excluded by the request
	WrongArch               // is of an architecture that is not installable here
	WrongEVR                // provides only Dep
	Nothing                 // no package: nothing provides Dep, a part of a rich dependency
	BrokenAbove             // cannot be installed, as is told elsewhere in this error
	Otherwise               // could be installed, but not together with the rest
)

// Cause is one reason why a package, or none of several, can be installed.
type Cause struct {
	Kind    Kind
	Package string // as NEVRA
	Dep     string
	Other   string // as NEVRA
	Because []Cause
}

func (c Cause) String() string {
	switch c.Kind {
	case Wanted:
		if len(c.Because) == 0 {
			return fmt.Sprintf("%s is wanted, but nothing provides it", c.Dep)
		}
		return fmt.Sprintf("%s is wanted, but:", c.Dep)
	case Needs:
		return fmt.Sprintf("%s needs %s, but:", c.Package, c.Dep)
	case Missing:
		return fmt.Sprintf("%s needs %s, which nothing provides", c.Package, c.Dep)
	case Conflicts:
		if c.Other == "" {
			return fmt.Sprintf("%s conflicts with %s", c.Package, c.Dep)
		}
		if c.Other == c.Package {
			return fmt.Sprintf("%s conflicts with %s, which it provides itself", c.Package, c.Dep)
		}
		return fmt.Sprintf("%s conflicts with %s, which is %s", c.Package, c.Dep, c.Other)
	case Obsoletes:
		return fmt.Sprintf("%s obsoletes %s, which is %s", c.Package, c.Dep, c.Other)
	case SameName:
		return fmt.Sprintf("%s cannot be installed together with %s", c.Package, c.Other)
	case Excluded:
		return fmt.Sprintf("%s is excluded by the request", c.Package)
	case WrongArch:
		return fmt.Sprintf("%s is of an architecture that cannot be installed here", c.Package)
	case WrongEVR:
		return fmt.Sprintf("%s provides only %s", c.Package, c.Dep)
	case Nothing:
		return fmt.Sprintf("nothing provides %s", c.Dep)
	case BrokenAbove:
		return fmt.Sprintf("%s cannot be installed, as told elsewhere", c.Package)
	}
	return fmt.Sprintf("%s cannot be installed together with the rest", c.Package)
}

func (c Cause) write(b *strings.Builder, depth int) {
	b.WriteString("\n" + strings.Repeat("  ", depth) + c.String())
	for _, below := range c.Because {
		below.write(b, depth+1)
	}
}
