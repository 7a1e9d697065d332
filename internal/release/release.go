// Package release publishes what was built: packages are signed, and laid out as the repository that
// dnf reads. What an image is made of comes from here too, so that nothing unsigned is installed.
package release

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"mariner/internal/execute"
	"mariner/internal/rpm"
	"mariner/internal/rpmmd"
	"mariner/internal/sign"
	"mariner/internal/store"
)

// Publisher signs packages and publishes them.
type Publisher struct {
	Store  *store.Store
	Signer sign.Signer
}

// Signed is a signed RPM in the store.
type Signed struct {
	File     string // the name that rpmbuild gave it
	Digest   store.Digest
	Unsigned store.Digest // of the RPM as it was built
	Header   *rpm.Header  // of the RPM as it was built: the same but for places in the file
}

// signing is the version of how RPMs are signed; part of the key of a signed RPM.
const signing = "1"

// Sign signs packages, each dated with its own build time, or finds them signed.
func (p *Publisher) Sign(ctx context.Context, pkgs []*execute.Package) ([]*Signed, error) {
	out := make([]*Signed, len(pkgs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, pkg := range pkgs {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			d, err := p.sign(pkg)
			if err != nil {
				return fmt.Errorf("signing %s: %w", pkg.File, err)
			}
			out[i] = &Signed{File: pkg.File, Digest: d, Unsigned: pkg.Digest, Header: pkg.Header}
			return nil
		})
	}
	return out, g.Wait()
}

func (p *Publisher) sign(pkg *execute.Package) (store.Digest, error) {
	inputs := []store.Input{
		{Name: "signing " + signing}, {Name: "key " + p.Signer.Fingerprint()}, {Name: "rpm", Digest: pkg.Digest},
	}
	key := store.Key(inputs)
	if r, ok, err := p.Store.Result(key); err != nil {
		return "", err
	} else if ok && len(r.Outputs) == 1 {
		return r.Outputs[0].Digest, nil
	}
	path, err := p.Store.File(pkg.Digest)
	if err != nil {
		return "", err
	}
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	rd, wr := io.Pipe()
	go func() { wr.CloseWithError(rpm.Sign(in, wr, p.Signer, time.Unix(pkg.Header.BuildTime, 0))) }()
	started := time.Now()
	d, size, err := p.Store.Put(rd)
	if err != nil {
		rd.CloseWithError(err)
		return "", err
	}
	return d, p.Store.PutResult(&store.Result{
		Action: "sign " + pkg.File, Key: key, Inputs: inputs, Started: started, Duration: time.Since(started),
		Outputs: []store.Output{{Name: pkg.File, Digest: d, Size: size}},
	})
}

// stampName is a file beside the repository that says what it was made of.
const stampName = ".mariner-repo.json"

// Repository writes the repository in dir: Packages/<letter>/ for binary packages, SRPMS/ for
// sources, repodata/ signed. What is no longer among pkgs is removed after the metadata is replaced.
// Where dir holds just this already, nothing is written; changed says whether something was.
func (p *Publisher) Repository(ctx context.Context, dir string, pkgs []*Signed) (changed bool, err error) {
	locations := map[string]store.Digest{}
	for _, s := range pkgs {
		locations[location(s)] = s.Digest
	}
	stamp, err := json.MarshalIndent(struct {
		Key   string
		Files map[string]store.Digest
	}{p.Signer.Fingerprint(), locations}, "", " ")
	if err != nil {
		return false, err
	}
	if have, err := os.ReadFile(filepath.Join(dir, stampName)); err == nil && string(have) == string(stamp) && complete(dir, locations) {
		return false, nil
	}
	var files []rpmmd.File
	var newest int64
	for _, s := range pkgs {
		path, err := p.Store.File(s.Digest)
		if err != nil {
			return false, fmt.Errorf("%s: %w", s.File, err)
		}
		to := filepath.Join(dir, location(s))
		if err := place(path, to, s.Digest); err != nil {
			return false, fmt.Errorf("publishing %s: %w", s.File, err)
		}
		newest = max(newest, s.Header.BuildTime)
		files = append(files, rpmmd.File{Path: to, Location: location(s), Digest: s.Digest.Hex()})
	}
	loaded, err := rpmmd.Load(ctx, files, nil)
	if err != nil {
		return false, err
	}
	if err := rpmmd.Write(ctx, dir, loaded, rpmmd.Options{Revision: newest, Signer: p.Signer}); err != nil {
		return false, err
	}
	if err := prune(dir, locations); err != nil {
		return false, err
	}
	return true, os.WriteFile(filepath.Join(dir, stampName), stamp, 0o644)
}

// location is a package's path in the repository.
func location(s *Signed) string {
	if s.Header.Source() || strings.HasSuffix(s.File, ".src.rpm") {
		return "SRPMS/" + s.File
	}
	return "Packages/" + strings.ToLower(s.File[:1]) + "/" + s.File
}

// complete says whether all files are there; their content was checked when they were placed.
func complete(dir string, locations map[string]store.Digest) bool {
	for l := range locations {
		if _, err := os.Stat(filepath.Join(dir, l)); err != nil {
			return false
		}
	}
	_, err := os.Stat(filepath.Join(dir, "repodata", "repomd.xml.asc"))
	return err == nil
}

// place copies a file of the store to its place, unless it is there already: byte for byte, not by name.
func place(from, to string, d store.Digest) error {
	if have, err := os.ReadFile(to); err == nil && store.DigestOf(have) == d {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	if _, err = io.Copy(out, in); err == nil {
		err = out.Chmod(0o644)
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}

// prune removes packages, and what killed writers left, that the metadata does not name.
func prune(dir string, locations map[string]store.Digest) error {
	for _, top := range []string{"Packages", "SRPMS"} {
		var gone []string
		err := filepath.WalkDir(filepath.Join(dir, top), func(path string, d os.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			if _, ok := locations[filepath.ToSlash(rel)]; !ok {
				gone = append(gone, path)
			}
			return nil
		})
		if err != nil {
			return err
		}
		sort.Strings(gone)
		for _, g := range gone {
			if err := os.Remove(g); err != nil {
				return err
			}
			os.Remove(filepath.Dir(g)) // if it is empty now
		}
	}
	return nil
}

// Place copies a signed package to a path.
func (p *Publisher) Place(s *Signed, to string) error {
	path, err := p.Store.File(s.Digest)
	if err != nil {
		return err
	}
	return place(path, to, s.Digest)
}
