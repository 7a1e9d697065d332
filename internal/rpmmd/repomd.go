package rpmmd

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"fmt"
	"io/fs"
	"regexp"

	"mariner/internal/fault"
)

// The two files with fixed names.
const (
	repomdName    = "repodata/repomd.xml"
	signatureName = "repodata/repomd.xml.asc"
)

// record is one document as repomd.xml describes it.
type record struct {
	Type         string   `xml:"type,attr"`
	Checksum     checksum `xml:"checksum"`
	OpenChecksum checksum `xml:"open-checksum"`
	Location     struct {
		Href string `xml:"href,attr"`
	} `xml:"location"`
	Timestamp int64 `xml:"timestamp"`
	Size      int64 `xml:"size"`
	OpenSize  int64 `xml:"open-size"`
}

type checksum struct {
	Type string `xml:"type,attr"`
	Hex  string `xml:",chardata"`
}

// repomd is the content of repomd.xml.
type repomd struct {
	XMLName  xml.Name `xml:"repomd"`
	Revision string   `xml:"revision"`
	Records  []record `xml:"data"`
}

func (r repomd) encode() []byte {
	var buf bytes.Buffer
	x := xmlWriter{bufio.NewWriter(&buf)}
	x.raw(`<?xml version="1.0" encoding="UTF-8"?>`, "\n")
	x.open("repomd", "xmlns", nsRepo, "xmlns:rpm", nsRPM)
	x.raw("\n  ")
	x.text("revision", r.Revision)
	for _, d := range r.Records {
		x.raw("\n  ")
		x.open("data", "type", d.Type)
		for _, field := range []func(){
			func() { x.text("checksum", d.Checksum.Hex, "type", d.Checksum.Type) },
			func() { x.text("open-checksum", d.OpenChecksum.Hex, "type", d.OpenChecksum.Type) },
			func() { x.empty("location", "href", d.Location.Href) },
			func() { x.text("timestamp", itoa(d.Timestamp)) },
			func() { x.text("size", itoa(d.Size)) },
			func() { x.text("open-size", itoa(d.OpenSize)) },
		} {
			x.raw("\n    ")
			field()
		}
		x.raw("\n  ")
		x.close("data")
	}
	x.raw("\n")
	x.close("repomd")
	x.raw("\n")
	x.w.Flush() // to memory: it does not fail
	return buf.Bytes()
}

// parseRepomd reads repomd.xml and refuses what the rest of this package would not be safe with: a
// name that leads out of the repository, a digest weaker than SHA-256, a document named twice.
func parseRepomd(raw []byte) (*repomd, error) {
	var r repomd
	if err := xml.Unmarshal(raw, &r); err != nil {
		return nil, fault.Errorf(fault.Check, "%s: %w", repomdName, err)
	}
	seen := make(map[string]bool)
	for _, d := range r.Records {
		if seen[d.Type] {
			return nil, fault.Errorf(fault.Check, "%s: expected one %s, found two", repomdName, d.Type)
		}
		seen[d.Type] = true
		if err := checkLocation(d.Location.Href); err != nil {
			return nil, fault.Errorf(fault.Check, "%s: %s: %w", repomdName, d.Type, err)
		}
		if err := d.Checksum.check(); err != nil {
			return nil, fault.Errorf(fault.Check, "%s: %s: %w", repomdName, d.Type, err)
		}
		if d.Size < 0 || d.OpenSize < 0 {
			return nil, fault.Errorf(fault.Check, "%s: %s: a size is negative", repomdName, d.Type)
		}
	}
	return &r, nil
}

func (r *repomd) record(kind string) (record, error) {
	for _, d := range r.Records {
		if d.Type == kind {
			return d, nil
		}
	}
	return record{}, fault.Errorf(fault.Check, "%s: expected it to list %s, found none", repomdName, kind)
}

func (c checksum) check() error {
	length, ok := map[string]int{"sha256": 64, "sha512": 128}[c.Type]
	if !ok {
		return fmt.Errorf("expected a checksum of type sha256 or sha512, found %q", c.Type)
	}
	if len(c.Hex) != length || !regexp.MustCompile(`^[0-9a-f]+$`).MatchString(c.Hex) {
		return fmt.Errorf("expected a %s checksum of %d hexadecimal digits, found %q", c.Type, length, c.Hex)
	}
	return nil
}

// checkLocation refuses a path that does not stay below the repository.
func checkLocation(href string) error {
	if href == "." || !fs.ValidPath(href) {
		return fmt.Errorf("expected a location below the repository, without `..`, found %q", href)
	}
	return nil
}
