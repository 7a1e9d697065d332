package source

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/xi2/xz"

	"mariner/internal/ui"
)

// list is a list of the files in a suite's component main, as a path below the suite without the end
// that tells how it is compressed.
type list string

const (
	sources  list = "main/source/Sources"
	packages list = "main/binary-amd64/Packages" // has the packages for all architectures too
)

// origin says which list an index was made of.
type origin struct {
	base  string // of the archive
	suite string
	list  list
}

// String is the origin's name in results, which everybody may read.
func (o origin) String() string { return ui.Redact(o.base) + " " + o.suite + " " + string(o.list) }

// index is a list of the files of source packages, in a compact form that is searched as it lies:
//
//	= SOURCE DIRECTORY
//	FILE SIZE SHA256
//	…
//
// with a line feed before each line. SOURCE stands there as often as the list has stanzas of it: one a
// version in Sources, one a .deb in Packages.
type index struct {
	origin
	checked int64 // when the archive was last asked whether it is still so, Unix seconds
	text    []byte
}

// location is where an archive has a file.
type location struct {
	directory, file, sha256 string
	size                    int64
}

// find gives the places of a source package's file, and the names of all of the package's files.
func (x *index) find(source, file string) (places []location, files []string) {
	rest := x.text
	head := []byte("\n= " + source + " ")
	for {
		i := bytes.Index(rest, head)
		if i < 0 {
			return places, files
		}
		rest = rest[i+1:]
		group := rest
		if end := bytes.Index(group, []byte("\n= ")); end >= 0 {
			group = group[:end]
		}
		lines := strings.Split(string(group), "\n")
		directory := strings.TrimPrefix(lines[0], "= "+source+" ")
		for _, line := range lines[1:] {
			f := strings.Fields(line)
			if len(f) != 3 {
				continue
			}
			files = append(files, f[0])
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil && f[0] == file {
				places = append(places, location{directory: directory, file: file, size: n, sha256: f[2]})
			}
		}
	}
}

// decompress reads what was stored under a name that ends in .gz, .xz or neither.
func decompress(name string, r io.Reader) (io.Reader, error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewReader(r)
	case strings.HasSuffix(name, ".xz"):
		return xz.NewReader(r, 0)
	}
	return r, nil
}

// compact turns a list (https://wiki.debian.org/DebianRepository/Format; Debian Policy 5.1, 5.6) into the
// form of an index. A stanza of Sources is a source package: Package, Directory and, with a line for each
// file, Checksums-Sha256. One of Packages is a .deb: Filename, Size and SHA256; its source package is in
// Source, with the version in brackets if that differs, or, if both have one name, only in Package.
func compact(r io.Reader) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, 1<<20))
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 16<<20)
	var field string
	var files []byte
	number, words := 0, map[string]string{}
	file := func(line string) error {
		sum, size, name, err := checksumLine(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		files = fmt.Appendf(files, "\n%s %d %s", name, size, sum)
		return nil
	}
	flush := func() (err error) {
		source, directory := cmp.Or(words["Source"], words["Package"]), words["Directory"]
		if deb := words["Filename"]; deb != "" {
			directory = path.Dir(deb)
			err = file(words["SHA256"] + " " + words["Size"] + " " + path.Base(deb))
		}
		if source != "" && directory != "" && len(files) > 0 {
			fmt.Fprintf(out, "\n= %s %s%s", source, directory, files)
		}
		clear(words)
		field, files = "", files[:0]
		return err
	}
	for lines.Scan() {
		number++
		line := lines.Bytes()
		switch {
		case len(bytes.TrimSpace(line)) == 0:
			if err := flush(); err != nil {
				return nil, err
			}
		case line[0] != ' ' && line[0] != '\t':
			name, value, _ := bytes.Cut(line, []byte(":"))
			switch field = string(name); field {
			case "Source":
				value, _, _ = bytes.Cut(value, []byte("("))
			case "Package", "Directory", "Filename", "Size", "SHA256":
			default:
				continue
			}
			value = bytes.TrimSpace(value)
			if len(bytes.Fields(value)) > 1 {
				return nil, fmt.Errorf("line %d: expected one word, found %q", number, value)
			}
			words[field] = string(value)
		case field == "Checksums-Sha256":
			if err := file(string(line)); err != nil {
				return nil, err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if err := flush(); err != nil {
		return nil, err
	}
	if out.Len() == 0 {
		return nil, errors.New("expected the files of source packages, found none")
	}
	return out.Bytes(), nil
}
