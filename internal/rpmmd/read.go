package rpmmd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/sync/errgroup"

	"mariner/internal/fault"
)

// The largest files that Read takes into memory, in bytes.
const (
	maxRepomd   = 16 << 20
	maxDocument = 1 << 30
	maxOpen     = 8 << 30
)

// ErrNoKeys is what Read's error wraps if it is given neither keys nor leave to do without.
var ErrNoKeys = errors.New("no keys to check the repository's signature with")

// ReadOptions say what of a repository is read, and whom it must be signed by.
type ReadOptions struct {
	Keyring    openpgp.EntityList // repomd.xml must be signed by one of these
	Unsigned   bool               // do without a signature; Keyring must then be empty
	Filelists  bool               // read all files of each package, not only those in primary
	Changelogs bool
}

// Repo is what Read found.
type Repo struct {
	Revision string
	Packages []*Package // in the order of primary
}

// Read fetches and checks a repository's metadata: repomd.xml against its signature, every document
// against the size and checksum in repomd.xml. What is not as it should be is an error of kind
// fault.Check, what cannot be fetched one of kind fault.Source. The packages' own files are not
// looked at: their digests are in the packages.
func Read(ctx context.Context, fetch Fetch, o ReadOptions) (*Repo, error) {
	index, err := readIndex(ctx, fetch, o)
	if err != nil {
		return nil, err
	}
	kinds := []string{"primary"}
	if o.Filelists {
		kinds = append(kinds, "filelists")
	}
	if o.Changelogs {
		kinds = append(kinds, "other")
	}
	parts := make([][]*Package, len(kinds))
	g, ctx := errgroup.WithContext(ctx)
	for i, kind := range kinds {
		g.Go(func() error {
			r, err := index.record(kind)
			if err != nil {
				return err
			}
			raw, err := readDocument(ctx, fetch, r)
			if err != nil {
				return err
			}
			if parts[i], err = decodeDocument(kind, raw); err != nil {
				return fault.Errorf(fault.Check, "%s: %w", r.Location.Href, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	repo := &Repo{Revision: index.Revision, Packages: parts[0]}
	for i, kind := range kinds[1:] {
		if err := merge(repo.Packages, kind, parts[i+1]); err != nil {
			return nil, err
		}
	}
	return repo, nil
}

func readIndex(ctx context.Context, fetch Fetch, o ReadOptions) (*repomd, error) {
	switch {
	case len(o.Keyring) == 0 && !o.Unsigned:
		return nil, fault.Errorf(fault.Usage, "reading a repository: %w", ErrNoKeys)
	case len(o.Keyring) != 0 && o.Unsigned:
		return nil, fault.Errorf(fault.Usage, "reading a repository: expected keys or leave to do without a signature, found both")
	}
	raw, err := fetchAll(ctx, fetch, repomdName, maxRepomd)
	if err != nil {
		return nil, err
	}
	if !o.Unsigned {
		sig, err := fetchAll(ctx, fetch, signatureName, maxRepomd)
		if err != nil {
			return nil, err
		}
		_, err = openpgp.CheckArmoredDetachedSignature(o.Keyring, bytes.NewReader(raw), bytes.NewReader(sig), &packet.Config{})
		if err != nil {
			return nil, fault.Errorf(fault.Check, "%s is not signed by a key that is trusted for this repository: %w", repomdName, err)
		}
	}
	return parseRepomd(raw)
}

// fetchAll reads a file of at most limit bytes.
func fetchAll(ctx context.Context, fetch Fetch, name string, limit int64) ([]byte, error) {
	f, err := fetch(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fault.Errorf(fault.Source, "%s: %w", name, err)
	}
	if int64(len(raw)) > limit {
		return nil, fault.Errorf(fault.Check, "%s: expected at most %d bytes, found more", name, limit)
	}
	return raw, nil
}

// readDocument is the document that r describes, checked and unpacked.
func readDocument(ctx context.Context, fetch Fetch, r record) ([]byte, error) {
	limit := int64(maxDocument)
	if r.Size > 0 {
		limit = min(limit, r.Size)
	}
	packed, err := fetchAll(ctx, fetch, r.Location.Href, limit)
	if err != nil {
		return nil, err
	}
	if err := r.Checksum.verify(packed); err != nil {
		return nil, fault.Errorf(fault.Check, "%s: %w: fetch it again; if that does not help, the mirror is out of date or not to be trusted", r.Location.Href, err)
	}
	open, err := unpack(r.Location.Href, packed, r.OpenSize)
	if err != nil {
		return nil, fault.Errorf(fault.Check, "%s: %w", r.Location.Href, err)
	}
	if r.OpenChecksum.Hex != "" {
		if err := r.OpenChecksum.verify(open); err != nil {
			return nil, fault.Errorf(fault.Check, "%s, unpacked: %w", r.Location.Href, err)
		}
	}
	return open, nil
}

func (c checksum) verify(data []byte) error {
	if err := c.check(); err != nil {
		return err
	}
	var h hash.Hash = sha256.New()
	if c.Type == "sha512" {
		h = sha512.New()
	}
	h.Write(data)
	if got := hex.EncodeToString(h.Sum(nil)); got != c.Hex {
		return fmt.Errorf("expected %s %s, found %s", c.Type, c.Hex, got)
	}
	return nil
}

// unpack decompresses data, of the kind that name ends in, to at most size bytes; a size of 0 is
// not known.
func unpack(name string, data []byte, size int64) ([]byte, error) {
	var r io.Reader
	var err error
	switch path.Ext(name) {
	case ".zst":
		var z *zstd.Decoder
		if z, err = zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1)); err == nil {
			defer z.Close()
		}
		r = z
	case ".gz":
		r, err = gzip.NewReader(bytes.NewReader(data))
	case ".xz":
		r, err = xz.NewReader(bytes.NewReader(data))
	case ".xml":
		return data, nil
	default:
		err = errors.New("expected a name ending in .zst, .gz, .xz or .xml")
	}
	if err != nil {
		return nil, err
	}
	limit := int64(maxOpen)
	if size > 0 {
		limit = min(limit, size)
	}
	var buf bytes.Buffer
	buf.Grow(int(min(size, 64<<20)))
	n, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("unpacking: %w", err)
	}
	if n > limit {
		return nil, fmt.Errorf("unpacking: expected %d bytes, found more", limit)
	}
	return buf.Bytes(), nil
}
