package rpmmd

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"mariner/internal/rpm"
)

// document is one of the files that repomd.xml lists.
type document struct {
	kind   string // its type in repomd.xml
	encode func(w io.Writer, pkgs []*Package, o Options) error
}

func documents() []document {
	return []document{{"primary", encodePrimary}, {"filelists", encodeFilelists}, {"other", encodeOther}}
}

func encodeDocument(w io.Writer, pkgs []*Package, root, ns string, each func(xmlWriter, *Package) error) error {
	x := xmlWriter{bufio.NewWriterSize(w, 64<<10)}
	x.raw(`<?xml version="1.0" encoding="UTF-8"?>`, "\n")
	attrs := []string{"xmlns", ns}
	if ns == nsCommon {
		attrs = append(attrs, "xmlns:rpm", nsRPM)
	}
	x.open(root, append(attrs, "packages", itoa(len(pkgs)))...)
	x.raw("\n")
	for _, p := range pkgs {
		if err := each(x, p); err != nil {
			return fmt.Errorf("%s: %w", p.NEVRA(), err)
		}
		x.raw("\n")
	}
	x.close(root)
	x.raw("\n")
	return x.w.Flush()
}

func encodePrimary(w io.Writer, pkgs []*Package, _ Options) error {
	return encodeDocument(w, pkgs, "metadata", nsCommon, encodePackage)
}

func encodePackage(x xmlWriter, p *Package) error {
	fileTime := p.FileTime
	if fileTime == 0 {
		fileTime = p.BuildTime
	}
	x.open("package", "type", "rpm")
	x.text("name", p.Name)
	x.text("arch", p.Arch)
	encodeVersion(x, p.EVR)
	x.text("checksum", p.Digest, "type", "sha256", "pkgid", "YES")
	x.text("summary", p.Summary)
	x.text("description", p.Description)
	x.text("packager", p.Packager)
	x.text("url", p.URL)
	x.empty("time", "file", itoa(fileTime), "build", itoa(p.BuildTime))
	x.empty("size", "package", itoa(p.FileSize), "installed", itoa(p.InstalledSize), "archive", itoa(p.ArchiveSize))
	x.empty("location", "href", p.Location)
	x.open("format")
	x.text("rpm:license", p.License)
	x.text("rpm:vendor", p.Vendor)
	x.text("rpm:group", p.Group)
	x.text("rpm:buildhost", p.BuildHost)
	x.text("rpm:sourcerpm", p.SourceRPM)
	x.empty("rpm:header-range", "start", itoa(p.HeaderStart), "end", itoa(p.HeaderEnd))
	for _, list := range []struct {
		name string
		deps []rpm.Dep
	}{
		{"rpm:provides", p.Provides},
		{"rpm:requires", publishedRequires(p.Header)},
		{"rpm:conflicts", p.Conflicts},
		{"rpm:obsoletes", p.Obsoletes},
		{"rpm:suggests", p.Suggests},
		{"rpm:enhances", p.Enhances},
		{"rpm:recommends", p.Recommends},
		{"rpm:supplements", p.Supplements},
	} {
		if err := encodeDeps(x, list.name, list.deps); err != nil {
			return err
		}
	}
	for _, f := range p.Files {
		if inPrimary(f.Path) {
			encodeFile(x, f)
		}
	}
	x.close("format")
	x.close("package")
	return nil
}

func encodeVersion(x xmlWriter, e rpm.EVR) {
	x.empty("version", "epoch", strconv.FormatUint(uint64(e.Epoch), 10), "ver", e.Version, "rel", e.Release)
}

func encodeDeps(x xmlWriter, element string, deps []rpm.Dep) error {
	if len(deps) == 0 {
		return nil
	}
	x.open(element)
	for _, d := range deps {
		attrs := []string{"name", d.Name}
		if flags := senseFlags(d.Sense); flags != "" {
			evr, err := rpm.ParseEVR(d.EVR)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", element, d, err)
			}
			attrs = append(attrs, "flags", flags, "epoch", strconv.FormatUint(uint64(evr.Epoch), 10), "ver", evr.Version)
			if evr.Release != "" {
				attrs = append(attrs, "rel", evr.Release)
			}
		}
		if d.Pre {
			attrs = append(attrs, "pre", "1")
		}
		x.empty("rpm:entry", attrs...)
	}
	x.close(element)
	return nil
}

func senseFlags(s rpm.Sense) string {
	switch s {
	case rpm.Less:
		return "LT"
	case rpm.Greater:
		return "GT"
	case rpm.Equal:
		return "EQ"
	case rpm.Less | rpm.Equal:
		return "LE"
	case rpm.Greater | rpm.Equal:
		return "GE"
	}
	return ""
}

func encodeFile(x xmlWriter, f rpm.File) {
	if f.Type == rpm.Regular {
		x.text("file", f.Path)
		return
	}
	x.text("file", f.Path, "type", f.Type.String())
}

// inPrimary says whether a file is listed in primary, so that a dependency on it can be resolved
// without the list of all files.
func inPrimary(path string) bool {
	return strings.HasPrefix(path, "/etc/") || path == "/usr/lib/sendmail" || strings.Contains(path, "bin/")
}

// publishedRequires are a package's requirements as createrepo_c publishes them: without those that
// rpm or the package itself answers, without repetitions, and with only the newest of the symbol
// versions of glibc, which stands last.
func publishedRequires(h *rpm.Header) []rpm.Dep {
	type key struct {
		name, evr string
		sense     rpm.Sense
	}
	keyOf := func(d rpm.Dep) key { return key{d.Name, d.EVR, d.Sense} }
	provided := make(map[key]bool, len(h.Provides))
	for _, d := range h.Provides {
		provided[keyOf(d)] = true
	}
	files := make(map[string]bool)
	for _, f := range h.Files {
		if inPrimary(f.Path) {
			files[f.Path] = true
		}
	}
	last := make(map[string]rpm.Dep) // of each name: what was written last
	var out []rpm.Dep
	var libc *rpm.Dep
	for _, d := range h.Requires {
		if strings.HasPrefix(d.Name, "rpmlib(") || files[d.Name] || provided[keyOf(d)] {
			continue
		}
		if before, ok := last[d.Name]; ok && before == d {
			continue
		}
		if strings.HasPrefix(d.Name, "libc.so.6") {
			if libc == nil || newerSymbols(d.Name, libc.Name) {
				libc = &d
			}
			continue
		}
		last[d.Name] = d
		out = append(out, d)
	}
	if libc != nil {
		out = append(out, *libc)
	}
	return out
}

// newerSymbols compares `libc.so.6(GLIBC_2.38)(64bit)` and its like by the version in the first
// parentheses; empty ones are the oldest.
func newerSymbols(a, b string) bool {
	va, vb := symbolVersion(a), symbolVersion(b)
	return va != "" && (vb == "" || rpm.Compare(rpm.EVR{Version: va}, rpm.EVR{Version: vb}) > 0)
}

func symbolVersion(name string) string {
	_, rest, _ := strings.Cut(name, "(")
	version, _, _ := strings.Cut(rest, ")")
	if i := strings.IndexAny(version, "0123456789"); i >= 0 {
		return version[i:]
	}
	return ""
}

func encodeFilelists(w io.Writer, pkgs []*Package, _ Options) error {
	return encodeDocument(w, pkgs, "filelists", nsFilelists, func(x xmlWriter, p *Package) error {
		x.open("package", "pkgid", p.Digest, "name", p.Name, "arch", p.Arch)
		encodeVersion(x, p.EVR)
		for _, f := range p.Files {
			encodeFile(x, f)
		}
		x.close("package")
		return nil
	})
}

func encodeOther(w io.Writer, pkgs []*Package, o Options) error {
	return encodeDocument(w, pkgs, "otherdata", nsOther, func(x xmlWriter, p *Package) error {
		x.open("package", "pkgid", p.Digest, "name", p.Name, "arch", p.Arch)
		encodeVersion(x, p.EVR)
		for _, c := range publishedChanges(p.Changelog, o.changelogs()) {
			x.text("changelog", c.Text, "author", c.Author, "date", itoa(c.Time))
		}
		x.close("package")
		return nil
	})
}

// publishedChanges are the latest n entries, oldest first. Entries of one time are told apart by a
// second each, because readers order entries by time alone.
func publishedChanges(log []rpm.Change, n int) []rpm.Change {
	log = log[:min(n, len(log))]
	out := make([]rpm.Change, len(log))
	for i, c := range log {
		c.Author = strings.TrimRight(c.Author, " ")
		out[len(log)-1-i] = c
	}
	for start := 0; start < len(out); {
		end := start + 1
		for end < len(out) && out[end].Time == out[start].Time {
			end++
		}
		for i := start; i < end; i++ {
			out[i].Time += int64(i - start)
		}
		start = end
	}
	return out
}
