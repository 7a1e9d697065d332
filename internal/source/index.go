package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/xi2/xz"
)

// index is a suite's list of source packages, in a compact form that is searched as it lies:
//
//	= SOURCE DIRECTORY
//	FILE SIZE SHA256
//	…
//
// with a line feed before each line. SOURCE stands there as often as the suite has versions of it.
type index struct {
	base    string // of the archive that it is of
	suite   string
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

// compact turns a Sources file (Debian Policy 5.1, 5.6) into the form of an index. It reads the fields
// Package, Directory and Checksums-Sha256 of each stanza.
func compact(r io.Reader) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, 1<<20))
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 16<<20)
	var source, directory, field string
	var files []byte
	flush := func() {
		if source != "" && directory != "" && len(files) > 0 {
			fmt.Fprintf(out, "\n= %s %s%s", source, directory, files)
		}
		source, directory, field, files = "", "", "", files[:0]
	}
	for number := 1; lines.Scan(); number++ {
		line := lines.Bytes()
		switch {
		case len(bytes.TrimSpace(line)) == 0:
			flush()
		case line[0] != ' ' && line[0] != '\t':
			name, value, _ := bytes.Cut(line, []byte(":"))
			field = ""
			switch string(name) {
			case "Package":
				source = string(bytes.TrimSpace(value))
			case "Directory":
				directory = string(bytes.TrimSpace(value))
			case "Checksums-Sha256":
				field = "files"
			default:
				continue
			}
			if strings.ContainsAny(source+directory, " \t\r") {
				return nil, fmt.Errorf("line %d: expected one word, found %q", number, value)
			}
		case field == "files":
			sum, size, name, err := checksumLine(string(line))
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", number, err)
			}
			files = fmt.Appendf(files, "\n%s %d %s", name, size, sum)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	flush()
	if out.Len() == 0 {
		return nil, errors.New("it lists no source package")
	}
	return out.Bytes(), nil
}
