package rpmmd

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"mariner/internal/fault"
	"mariner/internal/rpm"
)

// The elements of the documents. What is in the `rpm:` namespace is matched by its local name.
type (
	xmlPackage struct {
		PkgID    string      `xml:"pkgid,attr"` // in filelists and other
		NameAttr string      `xml:"name,attr"`
		ArchAttr string      `xml:"arch,attr"`
		Name     string      `xml:"name"` // in primary
		Arch     string      `xml:"arch"`
		Version  xmlVersion  `xml:"version"`
		Checksum checksum    `xml:"checksum"`
		Summary  string      `xml:"summary"`
		Descr    string      `xml:"description"`
		Packager string      `xml:"packager"`
		URL      string      `xml:"url"`
		Time     xmlTime     `xml:"time"`
		Size     xmlSize     `xml:"size"`
		Location xmlHref     `xml:"location"`
		Format   xmlFormat   `xml:"format"`
		Files    []xmlFile   `xml:"file"`
		Changes  []xmlChange `xml:"changelog"`
	}
	xmlVersion struct {
		Epoch string `xml:"epoch,attr"`
		Ver   string `xml:"ver,attr"`
		Rel   string `xml:"rel,attr"`
	}
	xmlTime struct {
		File  int64 `xml:"file,attr"`
		Build int64 `xml:"build,attr"`
	}
	xmlSize struct {
		Package   int64  `xml:"package,attr"`
		Installed uint64 `xml:"installed,attr"`
		Archive   uint64 `xml:"archive,attr"`
	}
	xmlHref struct {
		Base string `xml:"base,attr"`
		Href string `xml:"href,attr"`
	}
	xmlFormat struct {
		License     string `xml:"license"`
		Vendor      string `xml:"vendor"`
		Group       string `xml:"group"`
		BuildHost   string `xml:"buildhost"`
		SourceRPM   string `xml:"sourcerpm"`
		HeaderRange struct {
			Start int64 `xml:"start,attr"`
			End   int64 `xml:"end,attr"`
		} `xml:"header-range"`
		Provides    []xmlEntry `xml:"provides>entry"`
		Requires    []xmlEntry `xml:"requires>entry"`
		Conflicts   []xmlEntry `xml:"conflicts>entry"`
		Obsoletes   []xmlEntry `xml:"obsoletes>entry"`
		Suggests    []xmlEntry `xml:"suggests>entry"`
		Enhances    []xmlEntry `xml:"enhances>entry"`
		Recommends  []xmlEntry `xml:"recommends>entry"`
		Supplements []xmlEntry `xml:"supplements>entry"`
		Files       []xmlFile  `xml:"file"`
	}
	xmlEntry struct {
		Name  string `xml:"name,attr"`
		Flags string `xml:"flags,attr"`
		Epoch string `xml:"epoch,attr"`
		Ver   string `xml:"ver,attr"`
		Rel   string `xml:"rel,attr"`
		Pre   string `xml:"pre,attr"`
	}
	xmlFile struct {
		Type string `xml:"type,attr"`
		Path string `xml:",chardata"`
	}
	xmlChange struct {
		Author string `xml:"author,attr"`
		Date   int64  `xml:"date,attr"`
		Text   string `xml:",chardata"`
	}
)

// decodeDocument reads the packages of a document; from filelists and other they have only their
// digest, name, EVR and what the document is for.
func decodeDocument(kind string, raw []byte) ([]*Package, error) {
	d := xml.NewDecoder(bytes.NewReader(raw))
	var pkgs []*Package
	want := -1
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if want < 0 {
			if want, err = packageCount(start); err != nil {
				return nil, err
			}
			continue
		}
		if start.Name.Local != "package" {
			if err := d.Skip(); err != nil {
				return nil, err
			}
			continue
		}
		var x xmlPackage
		if err := d.DecodeElement(&x, &start); err != nil {
			return nil, err
		}
		p, err := x.convert(kind)
		if err != nil {
			line, _ := d.InputPos()
			return nil, fmt.Errorf("package %s%s, before line %d: %w", x.Name, x.NameAttr, line, err)
		}
		pkgs = append(pkgs, p)
	}
	if want != len(pkgs) {
		return nil, fmt.Errorf("expected %d packages, as its first element says, found %d", want, len(pkgs))
	}
	return pkgs, nil
}

func packageCount(root xml.StartElement) (int, error) {
	for _, a := range root.Attr {
		if a.Name.Local == "packages" {
			n, err := strconv.ParseUint(a.Value, 10, 31)
			if err != nil {
				return 0, fmt.Errorf("the number of packages: %w", err)
			}
			return int(n), nil
		}
	}
	return 0, errors.New("expected the number of packages in the first element, found none")
}

func (x *xmlPackage) convert(kind string) (*Package, error) {
	epoch, err := strconv.ParseUint("0"+x.Version.Epoch, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("epoch: %w", err)
	}
	h := &rpm.Header{Name: x.Name, Arch: x.Arch, EVR: rpm.EVR{Epoch: uint32(epoch), Version: x.Version.Ver, Release: x.Version.Rel}}
	p := &Package{Header: h, Digest: x.PkgID}
	switch kind {
	case "filelists":
		h.Name, h.Arch, h.Files = x.NameAttr, x.ArchAttr, convertFiles(x.Files)
		return p, nil
	case "other":
		h.Name, h.Arch = x.NameAttr, x.ArchAttr
		for i := len(x.Changes) - 1; i >= 0; i-- {
			c := x.Changes[i]
			h.Changelog = append(h.Changelog, rpm.Change{Time: c.Date, Author: c.Author, Text: c.Text})
		}
		return p, nil
	}
	switch {
	case h.Name == "" || h.EVR.Version == "" || h.Arch == "":
		return nil, errors.New("expected a name, a version and an architecture, found one of them empty")
	case x.Checksum.Type != "sha256":
		return nil, fmt.Errorf("expected a checksum of type sha256, found %q", x.Checksum.Type)
	case x.Location.Base != "":
		return nil, fmt.Errorf("expected a location in this repository, found the base %q", x.Location.Base)
	}
	if err := x.Checksum.check(); err != nil {
		return nil, err
	}
	if err := checkLocation(x.Location.Href); err != nil {
		return nil, err
	}
	p.Digest, p.Location, p.FileTime = x.Checksum.Hex, x.Location.Href, x.Time.File
	f := &x.Format
	h.Summary, h.Description, h.Packager, h.URL = x.Summary, x.Descr, x.Packager, x.URL
	h.License, h.Vendor, h.Group, h.BuildHost, h.SourceRPM = f.License, f.Vendor, f.Group, f.BuildHost, f.SourceRPM
	h.BuildTime, h.FileSize, h.InstalledSize, h.ArchiveSize = x.Time.Build, x.Size.Package, x.Size.Installed, x.Size.Archive
	h.HeaderStart, h.HeaderEnd = f.HeaderRange.Start, f.HeaderRange.End
	h.Files = convertFiles(f.Files)
	for _, list := range []struct {
		to   *[]rpm.Dep
		from []xmlEntry
	}{
		{&h.Provides, f.Provides},
		{&h.Requires, f.Requires},
		{&h.Conflicts, f.Conflicts},
		{&h.Obsoletes, f.Obsoletes},
		{&h.Suggests, f.Suggests},
		{&h.Enhances, f.Enhances},
		{&h.Recommends, f.Recommends},
		{&h.Supplements, f.Supplements},
	} {
		if *list.to, err = convertDeps(list.from); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func convertDeps(entries []xmlEntry) ([]rpm.Dep, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	deps := make([]rpm.Dep, len(entries))
	for i, e := range entries {
		deps[i] = rpm.Dep{Name: e.Name, Pre: e.Pre == "1"}
		switch e.Flags {
		case "":
			continue
		case "LT":
			deps[i].Sense = rpm.Less
		case "GT":
			deps[i].Sense = rpm.Greater
		case "EQ":
			deps[i].Sense = rpm.Equal
		case "LE":
			deps[i].Sense = rpm.Less | rpm.Equal
		case "GE":
			deps[i].Sense = rpm.Greater | rpm.Equal
		default:
			return nil, fmt.Errorf("dependency %s: expected the flags LT, GT, EQ, LE or GE, found %q", e.Name, e.Flags)
		}
		evr := e.Ver
		if e.Epoch != "" && e.Epoch != "0" {
			evr = e.Epoch + ":" + evr
		}
		if e.Rel != "" {
			evr += "-" + e.Rel
		}
		deps[i].EVR = evr
	}
	return deps, nil
}

func convertFiles(in []xmlFile) []rpm.File {
	if len(in) == 0 {
		return nil
	}
	out := make([]rpm.File, len(in))
	for i, f := range in {
		out[i].Path = strings.Clone(f.Path)
		switch f.Type {
		case "dir":
			out[i].Type = rpm.Directory
		case "ghost":
			out[i].Type = rpm.GhostFile
		}
	}
	return out
}

// merge puts what filelists or other say into the packages of primary, by digest.
func merge(pkgs []*Package, kind string, parts []*Package) error {
	byDigest := make(map[string][]*Package, len(pkgs))
	for _, p := range pkgs {
		byDigest[p.Digest] = append(byDigest[p.Digest], p)
	}
	for _, part := range parts {
		found := byDigest[part.Digest]
		if len(found) == 0 {
			return fault.Errorf(fault.Check, "%s: package %s is not in primary", kind, part.NEVRA())
		}
		for _, p := range found {
			if kind == "filelists" {
				p.Files = part.Files
			} else {
				p.Changelog = part.Changelog
			}
		}
	}
	return nil
}
