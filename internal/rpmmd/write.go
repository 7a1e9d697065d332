package rpmmd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"mariner/internal/rpm"
)

// Compression is how the documents are compressed.
type Compression string

// The compressions that Write knows.
const (
	Zstd Compression = "zst" // the default
	Gzip Compression = "gz"  // for readers that do not know zstd
)

// Options say how a repository is written.
type Options struct {
	Revision    int64       // seconds since 1970: the revision, every timestamp, the signature's date
	Compression Compression // "" is Zstd
	Signer      rpm.Signer  // signs repomd.xml; nil leaves the repository unsigned
	Changelogs  int         // entries of a package's changelog to publish; 0 is 10, below 0 none
}

func (o Options) changelogs() int {
	switch {
	case o.Changelogs == 0:
		return 10
	case o.Changelogs < 0:
		return 0
	}
	return o.Changelogs
}

// Write puts metadata for pkgs into dir/repodata, in place of what is there. The same packages and
// options give the same bytes, whatever the order. The new metadata is complete on disk before one
// exchange of directories publishes it, signature included: whoever reads, and whenever this
// process is killed, there is the old repository or the new one. Two writers take turns.
func Write(ctx context.Context, dir string, pkgs []*Package, o Options) error {
	if err := write(ctx, dir, pkgs, o); err != nil {
		return fmt.Errorf("writing the repository %s: %w", dir, err)
	}
	return nil
}

func write(ctx context.Context, dir string, pkgs []*Package, o Options) error {
	pkgs = slices.SortedStableFunc(slices.Values(pkgs), Compare)
	at := make(map[string]*Package, len(pkgs))
	for _, p := range pkgs {
		if err := checkLocation(p.Location); err != nil {
			return fmt.Errorf("%s: %w", p.NEVRA(), err)
		}
		if other := at[p.Location]; other != nil {
			return fmt.Errorf("%s and %s have the same location %s", other.NEVRA(), p.NEVRA(), p.Location)
		}
		at[p.Location] = p
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := removeStale(dir); err != nil {
		return err
	}
	stage, err := os.MkdirTemp(dir, stagePrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	if err := writeDocuments(ctx, stage, pkgs, o); err != nil {
		return err
	}
	if err := os.Chmod(stage, 0o755); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return publish(dir, stage)
}

func writeDocuments(ctx context.Context, stage string, pkgs []*Package, o Options) error {
	docs := documents()
	index := repomd{Revision: strconv.FormatInt(o.Revision, 10), Records: make([]record, len(docs))}
	g, ctx := errgroup.WithContext(ctx)
	for i, doc := range docs {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			index.Records[i], err = writeDocument(stage, doc, pkgs, o)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	raw := index.encode()
	if err := writeFile(filepath.Join(stage, filepath.Base(repomdName)), raw); err != nil {
		return err
	}
	if o.Signer == nil {
		return nil
	}
	sig, err := o.Signer.SignDetached(bytes.NewReader(raw), time.Unix(o.Revision, 0))
	if err != nil {
		return fmt.Errorf("signing repomd.xml: %w", err)
	}
	return writeFile(filepath.Join(stage, filepath.Base(signatureName)), sig)
}

// counter digests and counts what goes through it to w.
type counter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func newCounter(w io.Writer) *counter { return &counter{w: w, hash: sha256.New()} }

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	return n, err
}

func (c *counter) checksum() checksum { return checksum{"sha256", hex.EncodeToString(c.hash.Sum(nil))} }

func writeDocument(stage string, doc document, pkgs []*Package, o Options) (record, error) {
	f, err := os.CreateTemp(stage, "doc-*")
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	packed := newCounter(f)
	z, suffix, err := compressor(packed, o.Compression)
	if err != nil {
		return record{}, err
	}
	open := newCounter(z)
	if err := doc.encode(open, pkgs, o); err != nil {
		return record{}, fmt.Errorf("%s: %w", doc.kind, err)
	}
	if err := z.Close(); err != nil {
		return record{}, fmt.Errorf("%s: %w", doc.kind, err)
	}
	if err := finish(f); err != nil {
		return record{}, fmt.Errorf("%s: %w", doc.kind, err)
	}
	r := record{
		Type: doc.kind, Timestamp: o.Revision,
		Checksum: packed.checksum(), Size: packed.n,
		OpenChecksum: open.checksum(), OpenSize: open.n,
	}
	name := r.Checksum.Hex + "-" + doc.kind + ".xml." + suffix
	r.Location.Href = "repodata/" + name
	return r, os.Rename(f.Name(), filepath.Join(stage, name))
}

// compressor compresses with one thread and no time in its header, so that the bytes are the same
// on every machine.
func compressor(w io.Writer, c Compression) (io.WriteCloser, string, error) {
	switch c {
	case Zstd, "":
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
		return z, string(Zstd), err
	case Gzip:
		z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
		return z, string(Gzip), err
	}
	return nil, "", fmt.Errorf("compression: expected %q or %q, found %q", Zstd, Gzip, c)
}

func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return finish(f)
}

func finish(f *os.File) error {
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}
