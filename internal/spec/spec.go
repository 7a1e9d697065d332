// Package spec reads SPEC files as typed values. The reading itself is done by RPM's own parser,
// inside the sandbox with the target's macros: this package asks it, caches the answers by content,
// and knows nothing of graphs, sources or builds.
package spec

import (
	"path"
	"strings"
	"time"

	"mariner/internal/store"
)

// Spec is one SPEC file as RPM reads it.
type Spec struct {
	Name     string       // the source package's
	File     string       // path of the SPEC file on this machine
	Dir      string       // its folder
	Content  store.Digest // of the folder: every file's name, mode and bytes
	Source   Package      // the source package; Requires are the BuildRequires
	Sources  []Source
	Packages []Package // the packages that a build makes, in the order of the spec
	Check    bool      // has a %check
	Changed  time.Time // of the newest changelog entry: the build's clock
}

// Package is a source or binary package as the spec declares it: what rpmbuild finds out from the
// files (sonames, scripts' interpreters) is not there yet.
type Package struct {
	Name, Version, Release string
	Epoch                  int `json:"epochnum"`
	Arch                   string
	License, Summary, URL  string
	ExclusiveArch          []string `json:"exclusivearch,omitempty"`
	ExcludeArch            []string `json:"excludearch,omitempty"`
	// Dependencies as RPM writes them: `name`, `name >= 1:2-3`, `(a or b)`.
	Provides, Requires, Recommends, Supplements, Conflicts, Obsoletes []string
	Files                                                             []string // the lines of %files, expanded, directives included
}

// EVR is the package's version as RPM prints it: [epoch:]version-release.
func (p *Package) EVR() string {
	evr := p.Version + "-" + p.Release
	if p.Epoch > 0 {
		return itoa(p.Epoch) + ":" + evr
	}
	return evr
}

// Source is a Source or Patch of a spec.
type Source struct {
	URL    string // as the spec has it, macros expanded
	Number int
	Patch  bool
	Line   int // in the SPEC file, 0 if it could not be told (made by a macro)
}

// File is the name under which the build finds the source: what follows the last slash.
func (s *Source) File() string { return path.Base(s.URL) }

// Paths are the paths that a package's %files lists, without directives; globs are left as they are.
func (p *Package) Paths() []string {
	var out []string
	for _, line := range p.Files {
		for f := range strings.FieldsSeq(dropDirectives(line)) {
			if strings.HasPrefix(f, "/") {
				out = append(out, f)
			}
		}
	}
	return out
}

// dropDirectives removes %attr(…), %config, %dir and their like from a line of %files; a licence or
// document without a leading slash is no path of the package's own and goes with its directive.
func dropDirectives(line string) string {
	var keep []string
	for f := range strings.FieldsSeq(strings.ReplaceAll(joinParens(line), `"`, "")) {
		if !strings.HasPrefix(f, "%") {
			keep = append(keep, f)
		}
	}
	return strings.Join(keep, " ")
}

// joinParens removes blanks within parentheses, so that %attr(0755, root, root) is one word.
func joinParens(s string) string {
	var b strings.Builder
	depth := 0
	for _, r := range s {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		case ' ', '\t':
			if depth > 0 {
				continue
			}
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Implied are the capabilities that rpmbuild will find in the package's files and that a spec may
// already ask for: pkgconfig(NAME) for every NAME.pc, and the paths themselves.
func (p *Package) Implied() []string {
	var out []string
	for _, f := range p.Paths() {
		out = append(out, f)
		if name, ok := strings.CutSuffix(path.Base(f), ".pc"); ok && strings.Contains(f, "/pkgconfig/") {
			out = append(out, "pkgconfig("+name+")")
		}
	}
	return out
}
