package source

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"mariner/internal/fault"
	"mariner/internal/ui"
)

// Ref is a Source or Patch of a spec.
type Ref struct {
	Package  string // whose it is
	SpecFile string // as messages are to show it
	Line     int    // in SpecFile; 0 if it is not known
	URL      string // as the spec has it, macros expanded
	File     string // the name under which the build finds it; FileName(URL) if empty
}

// FileName is the name of a source's file: what follows the URL's last slash, as for rpmbuild.
func FileName(url string) string { return path.Base(url) }

func (r *Ref) file() string {
	if r.File != "" {
		return r.File
	}
	return FileName(r.URL)
}

// at is where the spec names the file: FILE:LINE.
func (r *Ref) at() string {
	if r.Line > 0 {
		return r.SpecFile + ":" + strconv.Itoa(r.Line)
	}
	return r.SpecFile
}

// update is the command that mends a digest.
func (r *Ref) update() string { return "`mariner source update " + r.Package + "`" }

// errorf is an error about the file: where the spec names it, which it is, what is wrong.
func (r *Ref) errorf(format string, args ...any) error {
	return fault.As(fault.Source, discreet{fmt.Errorf("%s: %s: %w", r.at(), r.file(), fmt.Errorf(format, args...))})
}

// discreet is an error whose text shows no password of the URLs in it.
type discreet struct{ error }

func (e discreet) Error() string { return ui.Redact(e.error.Error()) }
func (e discreet) Unwrap() error { return e.error }

// scheme is the part of the URL before the colon; "" for a plain file name.
func (r *Ref) scheme() string {
	return regexp.MustCompile(`^(?:([a-zA-Z][a-zA-Z0-9.-]*):)?`).FindStringSubmatch(r.URL)[1]
}

// check finds what is wrong with the URL before anything is fetched.
func (r *Ref) check() error {
	name := r.file()
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00\n") {
		return r.errorf("expected a URL that ends in a file's name, found %q", r.URL)
	}
	switch r.scheme() {
	case "", "http", "https", "file":
		return nil
	case "apt":
		_, err := parseApt(r.URL)
		return r.wrap(err)
	case "gomod":
		_, err := parseModule(r.URL)
		return r.wrap(err)
	}
	return r.errorf("cannot fetch %s: known are https:, http:, file:, apt:, gomod: and files in the spec's folder", r.URL)
}

// wrap gives err the place of the file; nil stays nil.
func (r *Ref) wrap(err error) error {
	if err == nil {
		return nil
	}
	return r.errorf("%w", err)
}

// once drops refs that come twice. Two URLs for one file name are an error.
func once(refs []Ref) ([]Ref, error) {
	first := map[string]*Ref{}
	var out []Ref
	var errs []error
	for i := range refs {
		r := &refs[i]
		if err := r.check(); err != nil {
			errs = append(errs, err)
			continue
		}
		if before := first[r.file()]; before != nil {
			if before.URL != r.URL {
				errs = append(errs, r.errorf("%s gives another file that name: %s: rename one by ending its URL in #/NAME", before.at(), before.URL))
			}
			continue
		}
		first[r.file()] = r
		out = append(out, *r)
	}
	return out, errors.Join(errs...)
}

// local is where the file is if it lies in the spec's folder.
func (r *Ref) local(specDir string) string { return filepath.Join(specDir, r.file()) }
