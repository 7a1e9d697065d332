package source

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mariner/internal/distro/yamlfile"
	"mariner/internal/fault"
)

// Signatures are the digests of a package's files, as NAME.signatures.json has them:
//
//	{"Signatures": {"zlib-1.3.1.tar.xz": "38ef96b8…"}}
//
// A digest is SHA-256 or SHA-512 in hex; its length tells which.
type Signatures struct {
	file string
	sums map[string]Sum
}

// Sum is one file's digest.
type Sum struct {
	Algorithm string // "sha256" or "sha512"
	Hex       string // lower case
	Line      int    // in the signatures file
}

func (s Sum) String() string { return s.Algorithm + " " + s.Hex }

// parseSum reads a digest in hex.
func parseSum(text string) (Sum, error) {
	s := Sum{Hex: strings.ToLower(text)}
	if _, err := hex.DecodeString(s.Hex); err != nil {
		return s, fmt.Errorf("expected a SHA-256 or SHA-512 in hex, found %q", text)
	}
	switch len(s.Hex) {
	case 64:
		s.Algorithm = "sha256"
	case 128:
		s.Algorithm = "sha512"
	default:
		return s, fmt.Errorf("expected a SHA-256 (64 hex digits) or SHA-512 (128), found %d digits", len(s.Hex))
	}
	return s, nil
}

// SignaturesFile is the path of the signatures of the package whose spec is in specDir.
func SignaturesFile(specDir string) string {
	return filepath.Join(specDir, filepath.Base(specDir)+".signatures.json")
}

// ReadSignatures reads a signatures file; one that does not exist is empty. Errors name file and line
// and are of kind fault.Source.
func ReadSignatures(file string) (Signatures, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Signatures{file: file}, nil
	}
	if err != nil {
		return Signatures{}, fault.Errorf(fault.Source, "reading signatures: %w", err)
	}
	return ParseSignatures(file, data)
}

// ParseSignatures is ReadSignatures for data already read. It is strict: an unknown key, a file named
// twice, anything after the end are errors.
func ParseSignatures(file string, data []byte) (Signatures, error) {
	p := signatureParser{dec: json.NewDecoder(bytes.NewReader(data)), data: data}
	sums, err := p.document()
	if err != nil {
		return Signatures{}, fault.Errorf(fault.Source, "%s:%d: %w", file, p.line(err), err)
	}
	return Signatures{file: file, sums: sums}, nil
}

// Of is the digest of a file.
func (s Signatures) Of(file string) (Sum, bool) {
	sum, ok := s.sums[file]
	return sum, ok
}

// at is where the file's digest stands.
func (s Signatures) at(sum Sum) string { return fmt.Sprintf("%s:%d", s.file, sum.Line) }

type signatureParser struct {
	dec  *json.Decoder
	data []byte
}

// line is where the parser is, or where a syntax error is.
func (p *signatureParser) line(err error) int {
	offset := p.dec.InputOffset()
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		offset = syntax.Offset
	}
	return 1 + bytes.Count(p.data[:min(int(offset), len(p.data))], []byte("\n"))
}

func (p *signatureParser) document() (map[string]Sum, error) {
	var sums map[string]Sum
	err := p.object("the file", func(key string) error {
		if key != "Signatures" {
			return fmt.Errorf("unknown key %q%s", key, yamlfile.Nearest(key, []string{"Signatures"}))
		}
		if sums != nil {
			return errors.New("Signatures is given twice")
		}
		sums = map[string]Sum{}
		return p.object("Signatures", func(name string) error {
			if _, ok := sums[name]; ok {
				return fmt.Errorf("%s is given twice", name)
			}
			token, err := p.dec.Token()
			if err != nil {
				return p.end(err)
			}
			text, ok := token.(string)
			if !ok {
				return fmt.Errorf("%s: expected a digest in quotes, found %v", name, token)
			}
			sum, err := parseSum(text)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			sum.Line = p.line(nil)
			sums[name] = sum
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if token, err := p.dec.Token(); err == nil {
		return nil, fmt.Errorf("expected the end of the file, found %v", token)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if sums == nil {
		return nil, errors.New(`expected the key "Signatures", found none`)
	}
	return sums, nil
}

// object calls value for each key of the object that comes next.
func (p *signatureParser) object(called string, value func(key string) error) error {
	token, err := p.dec.Token()
	if err != nil {
		return p.end(err)
	}
	if token != json.Delim('{') {
		return fmt.Errorf("%s: expected an object in braces, found %v", called, token)
	}
	for p.dec.More() {
		token, err := p.dec.Token()
		if err != nil {
			return p.end(err)
		}
		key, ok := token.(string)
		if !ok {
			return fmt.Errorf("%s: expected a key in quotes, found %v", called, token)
		}
		if err := value(key); err != nil {
			return err
		}
	}
	_, err = p.dec.Token()
	return p.end(err)
}

func (p *signatureParser) end(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends too early")
	}
	return err
}

// write puts sums, sorted by name, at file; if there are none, it removes the file.
func writeSignatures(file string, sums map[string]string) error {
	if len(sums) == 0 {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing signatures that nothing needs: %w", err)
		}
		return nil
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out) // sorts the keys of a map
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct{ Signatures map[string]string }{sums})
	if err == nil {
		if have, readErr := os.ReadFile(file); readErr == nil && bytes.Equal(have, out.Bytes()) {
			return nil
		}
		err = writeAtomic(file, out.Bytes())
	}
	if err != nil {
		return fmt.Errorf("writing signatures: %w", err)
	}
	return nil
}

// writeAtomic puts data at path by renaming a synced file from the same folder.
func writeAtomic(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
