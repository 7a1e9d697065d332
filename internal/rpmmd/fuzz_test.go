package rpmmd

import (
	"bytes"
	"testing"

	"mariner/internal/rpm"
)

func seedPackages() []*Package {
	return []*Package{{
		Header: &rpm.Header{
			Name: "a", EVR: rpm.EVR{Epoch: 1, Version: "2", Release: "3"}, Arch: "noarch", Summary: "x & y",
			Provides:  []rpm.Dep{{Name: "a", Sense: rpm.Equal, EVR: "1:2-3"}},
			Requires:  []rpm.Dep{{Name: "(b or c)"}, {Name: "/bin/sh", Pre: true}},
			Files:     []rpm.File{{Path: "/usr/bin/a"}, {Path: "/etc/a", Type: rpm.Directory}, {Path: "/var/a", Type: rpm.GhostFile}},
			Changelog: []rpm.Change{{Time: 1, Author: "x", Text: "- y"}},
		},
		Digest:   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		Location: "a.rpm",
	}}
}

// FuzzDecodeDocument reads arbitrary bytes; what is accepted must survive being written and read.
func FuzzDecodeDocument(f *testing.F) {
	for _, d := range documents() {
		var buf bytes.Buffer
		if err := d.encode(&buf, seedPackages(), Options{}); err != nil {
			f.Fatal(err)
		}
		f.Add(d.kind, buf.Bytes())
	}
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		pkgs, err := decodeDocument(kind, raw)
		if err != nil || kind == "filelists" || kind == "other" {
			return
		}
		var buf bytes.Buffer
		if err := encodePrimary(&buf, pkgs, Options{}); err != nil {
			return // a dependency on a version that is none
		}
		again, err := decodeDocument(kind, buf.Bytes())
		if err != nil {
			t.Fatalf("what was written is not read: %v\n%s", err, buf.Bytes())
		}
		if len(again) != len(pkgs) {
			t.Errorf("%d packages became %d", len(pkgs), len(again))
		}
	})
}

func FuzzParseRepomd(f *testing.F) {
	sum := checksum{"sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
	r := record{Type: "primary", Checksum: sum, OpenChecksum: sum, Timestamp: 1, Size: 2, OpenSize: 3}
	r.Location.Href = "repodata/primary.xml.zst"
	f.Add(repomd{Revision: "1", Records: []record{r}}.encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parseRepomd(raw)
		if err != nil {
			return
		}
		again, err := parseRepomd(r.encode())
		if err != nil || len(again.Records) != len(r.Records) {
			t.Errorf("%+v written and read: %+v, %v", r, again, err)
		}
	})
}
