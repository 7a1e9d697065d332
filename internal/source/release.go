package source

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"mariner/internal/fault"
)

// release is what we need of a suite's InRelease.
type release struct {
	byHash bool              // files can be asked for by their digest
	files  map[string]listed // by path below the suite
}

type listed struct {
	sha256 string
	size   int64
}

// find gives a list in the form that is read fastest, of those there are.
func (r *release) find(l list) (path string, entry listed, ok bool) {
	for _, form := range []string{".gz", ".xz", ""} {
		path := string(l) + form
		if entry, ok := r.files[path]; ok {
			return path, entry, true
		}
	}
	return "", listed{}, false
}

// verifyRelease checks the signature of an InRelease file (RFC 9580, 7: cleartext signature) and reads
// what is signed, nothing else. One signature by a key of the keyring is enough. Valid-Until is not
// looked at: an old index can only withhold files, as no two files of Debian's pool have one name.
func verifyRelease(data []byte, keyring openpgp.EntityList, now time.Time) (*release, error) {
	block, rest := clearsign.Decode(data)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("expected a signed text and nothing after it")
	}
	if _, err := block.VerifySignature(keyring, &packet.Config{Time: func() time.Time { return now }}); err != nil {
		return nil, fmt.Errorf("its signature is not by a key of Debian's keyring: %w", err)
	}
	return parseRelease(block.Plaintext)
}

// parseRelease reads the fields SHA256 and Acquire-By-Hash.
func parseRelease(text []byte) (*release, error) {
	r := &release{files: map[string]listed{}}
	field, number := "", 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimRight(line, " \r\n")
		if line == "" {
			continue
		}
		if line[0] != ' ' {
			name, value, _ := strings.Cut(line, ":")
			field = name
			if name == "Acquire-By-Hash" {
				r.byHash = strings.TrimSpace(value) == "yes"
			}
			continue
		}
		if field != "SHA256" {
			continue
		}
		sum, size, path, err := checksumLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		r.files[path] = listed{sum, size}
	}
	return r, nil
}

// checksumLine reads " DIGEST SIZE NAME", as Release and Sources have them.
func checksumLine(line string) (sha256 string, size int64, name string, err error) {
	f := strings.Fields(line)
	if len(f) != 3 {
		return "", 0, "", fmt.Errorf("expected a digest, a size and a name, found %q", line)
	}
	if raw, err := hex.DecodeString(f[0]); err != nil || len(raw) != 32 {
		return "", 0, "", fmt.Errorf("expected a SHA-256, found %q", f[0])
	}
	if size, err = strconv.ParseInt(f[1], 10, 64); err != nil || size < 0 {
		return "", 0, "", fmt.Errorf("expected a size in bytes, found %q", f[1])
	}
	return strings.ToLower(f[0]), size, f[2], nil
}

// keyring reads Debian's archive keys.
func (f *Fetcher) keyring() (openpgp.EntityList, error) {
	paths := []string{f.Keyring}
	if f.Keyring == "" {
		const name = "/usr/share/keyrings/debian-archive-keyring"
		paths = []string{name + ".pgp", name + ".gpg", name + ".asc"}
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fault.Errorf(fault.Environment, "Debian's archive keys: %w", err)
		}
		read := openpgp.ReadKeyRing
		if bytes.HasPrefix(data, []byte("-----BEGIN")) {
			read = openpgp.ReadArmoredKeyRing
		}
		keys, err := read(bytes.NewReader(data))
		if err != nil {
			return nil, fault.Errorf(fault.Environment, "Debian's archive keys: %s: %w: reinstall debian-archive-keyring", path, err)
		}
		return keys, nil
	}
	return nil, fault.Errorf(fault.Environment, "Debian's archive keys are missing (%s): apt-get install debian-archive-keyring", paths[0])
}
