package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"

	"mariner/internal/fault"
)

// Digest is the SHA-256 of some bytes, written "sha256:" and 64 lower-case hexadecimal digits.
type Digest string

const digestPrefix = "sha256:"

// DigestOf is the digest of data.
func DigestOf(data []byte) Digest {
	sum := sha256.Sum256(data)
	return Digest(digestPrefix + hex.EncodeToString(sum[:]))
}

// Valid says whether d has the form of a Digest. The empty Digest has not.
func (d Digest) Valid() bool {
	digits, ok := strings.CutPrefix(string(d), digestPrefix)
	if !ok || len(digits) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(digits) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Hex is the digest's 64 digits, without the prefix.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), digestPrefix) }

// CorruptError says that stored bytes are not what their name says. File has set the bytes aside
// already, so that the next run makes them anew.
type CorruptError struct {
	Path     string // where the bytes were found
	Expected Digest
	Found    Digest
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: damaged: expected %s, found %s; it has been set aside, run the command again to make it anew",
		e.Path, e.Expected, e.Found)
}

func corrupt(path string, expected, found Digest) error {
	return fault.As(fault.Check, &CorruptError{Path: path, Expected: expected, Found: found})
}

// hashOf is the digest that a hash of this package has come to.
func hashOf(h hash.Hash) Digest { return Digest(digestPrefix + hex.EncodeToString(h.Sum(nil))) }

// copyHashed copies r to w and returns the digest and the number of the bytes.
func copyHashed(w io.Writer, r io.Reader) (Digest, int64, error) {
	h := sha256.New()
	// The wrapping hides ReadFrom and WriteTo, which would copy in pieces of 32 kB.
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(w, h)}, struct{ io.Reader }{r}, make([]byte, 256<<10))
	return hashOf(h), n, err
}

// hashFile reads the file at path and returns its digest, and what it was when it was opened.
func hashFile(path string) (d Digest, info os.FileInfo, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err = f.Stat(); err != nil {
		return "", nil, err
	}
	d, _, err = copyHashed(io.Discard, f)
	return d, info, err
}
