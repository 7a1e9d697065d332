package format

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// Container is how a container image describes itself and starts.
type Container struct {
	Name         string // the reference in the layout's index: "core-container:1.0"
	Architecture string // as Go spells it: amd64
	Created      time.Time
	Entrypoint   []string
	Cmd          []string
	Env          []string
	WorkingDir   string
	User         string
	Labels       map[string]string
}

// Layer is the one layer of an image: a file made by a LayerWriter. It is a v1.Layer.
type Layer struct {
	path   string
	digest v1.Hash
	diffID v1.Hash
	size   int64
}

// LayerWriter compresses a tar archive into a file and takes the digests of both on the way.
type LayerWriter struct {
	layer    Layer
	file     *os.File
	zip      *gzip.Writer
	in, out  hash.Hash
	outBytes *counter
}

// level is gzip's; higher ones cost several times as long for a few per cent.
const level = 6

// NewLayer makes a layer at path. gzip, not zstd, because every container engine in use reads it.
func NewLayer(path string) (*LayerWriter, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	w := &LayerWriter{layer: Layer{path: path}, file: f, in: sha256.New(), out: sha256.New(), outBytes: &counter{}}
	w.zip, err = gzip.NewWriterLevel(io.MultiWriter(f, w.out, w.outBytes), level)
	return w, err
}

// Write takes the next bytes of the tar archive.
func (w *LayerWriter) Write(p []byte) (int, error) {
	w.in.Write(p)
	return w.zip.Write(p)
}

// Close ends the layer.
func (w *LayerWriter) Close() (*Layer, error) {
	if err := errors.Join(w.zip.Close(), w.file.Close()); err != nil {
		return nil, fmt.Errorf("writing a container's layer: %w", err)
	}
	w.layer.digest, w.layer.diffID, w.layer.size = hashOf(w.out), hashOf(w.in), w.outBytes.n
	return &w.layer, nil
}

func hashOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// Digest implements v1.Layer.
func (l *Layer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID implements v1.Layer.
func (l *Layer) DiffID() (v1.Hash, error) { return l.diffID, nil }

// Size implements v1.Layer.
func (l *Layer) Size() (int64, error) { return l.size, nil }

// MediaType implements v1.Layer.
func (l *Layer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }

// Compressed implements v1.Layer.
func (l *Layer) Compressed() (io.ReadCloser, error) { return os.Open(l.path) }

// Uncompressed implements v1.Layer.
func (l *Layer) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}

// image describes a container of one layer.
func (c Container) image(l *Layer) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(img, mutate.Addendum{
		Layer:   l,
		History: v1.History{Created: v1.Time{Time: c.Created.UTC()}, CreatedBy: "mariner image build"},
	})
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.Architecture, file.OS, file.Created = c.Architecture, "linux", v1.Time{Time: c.Created.UTC()}
	file.Config = v1.Config{
		Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, WorkingDir: c.WorkingDir, User: c.User, Labels: c.Labels,
	}
	return mutate.ConfigFile(img, file)
}

// Layout writes the container as an OCI image layout (image-spec 1.1) into the folder dir, which
// must not exist.
func (c Container) Layout(l *Layer, dir string) error {
	img, err := c.image(l)
	if err != nil {
		return fmt.Errorf("describing a container image: %w", err)
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("writing an OCI layout: %w", err)
	}
	err = path.AppendImage(img,
		layout.WithAnnotations(map[string]string{
			"org.opencontainers.image.ref.name": c.Name,
			"io.containerd.image.name":          "localhost/" + c.Name, // so containerd and Docker call it when they load the archive
		}),
		layout.WithPlatform(v1.Platform{OS: "linux", Architecture: c.Architecture}))
	if err != nil {
		return fmt.Errorf("writing an OCI layout: %w", err)
	}
	return nil
}

// Archive writes the OCI layout in dir as one tar archive at path: sorted, every time stamp the
// given one.
func Archive(dir, path string, epoch time.Time) (err error) {
	var files []string
	err = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if p != dir && err == nil {
			files = append(files, p)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(files)
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := tar.NewWriter(out)
	for _, f := range files {
		if err := add(w, dir, f, epoch); err != nil {
			return fmt.Errorf("archiving an OCI layout: %w", err)
		}
	}
	return w.Close()
}

func add(w *tar.Writer, dir, path string, epoch time.Time) error {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	h := &tar.Header{Name: filepath.ToSlash(rel), Mode: 0o644, Size: st.Size(), ModTime: epoch}
	if st.IsDir() {
		h.Typeflag, h.Name, h.Mode, h.Size = tar.TypeDir, h.Name+"/", 0o755, 0
		return w.WriteHeader(h)
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
