package rpmmd

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"mariner/internal/rpm"
)

// Package is a package of a repository: its header and what the repository adds to it.
type Package struct {
	*rpm.Header
	Digest   string // hexadecimal SHA-256 of the RPM file
	Location string // its path below the repository, with slashes
	FileTime int64  // seconds since 1970; 0 stands for the build time, which is reproducible
}

// File is an RPM file to be read by Load.
type File struct {
	Path     string // where it is now
	Location string // see Package
	Digest   string // hexadecimal SHA-256 if it is known already, else "" and Load reads it all
}

// Headers keeps headers by the digest of the RPM file they are of, so that a file that stands in
// several repositories, or is published again, is read once. It may be used from several
// goroutines. Headers are shared: they must not be changed.
type Headers struct{ m sync.Map }

// Load reads the headers of files, as many at a time as there are processors, and keeps their
// order. A cache may be nil. A digest that is given is believed: checking content is for the store.
func Load(ctx context.Context, files []File, cache *Headers) ([]*Package, error) {
	pkgs := make([]*Package, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, f := range files {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			p, err := load(f, cache)
			pkgs[i] = p
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return pkgs, nil
}

func load(f File, cache *Headers) (*Package, error) {
	p := &Package{Digest: f.Digest, Location: f.Location}
	if p.Digest == "" {
		var err error
		if p.Digest, err = digestFile(f.Path); err != nil {
			return nil, err
		}
	}
	if cache != nil {
		if h, ok := cache.m.Load(p.Digest); ok {
			p.Header = h.(*rpm.Header)
			return p, nil
		}
	}
	h, err := rpm.ReadHeader(f.Path)
	if err != nil {
		return nil, err
	}
	if cache != nil {
		cache.m.Store(p.Digest, h)
	}
	p.Header = h
	return p, nil
}

func digestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("digesting an RPM: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("digesting %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Compare orders packages by name, EVR, architecture, location and digest: the order of every
// document, in which equals are also offered to the solver.
func Compare(a, b *Package) int {
	if c := cmp.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	if c := rpm.Compare(a.EVR, b.EVR); c != 0 {
		return c
	}
	return cmp.Or(
		cmp.Compare(a.Arch, b.Arch),
		cmp.Compare(a.Location, b.Location),
		cmp.Compare(a.Digest, b.Digest),
	)
}
