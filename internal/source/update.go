package source

import (
	"context"
	"fmt"
	"os"

	"mariner/internal/store"
	"mariner/internal/ui"
)

// Update fetches what refs name without knowing the digests, and writes NAME.signatures.json in
// specDir: sorted, only the files that refs name and that are not in the folder itself. It is how a
// packager takes a new version, and the one place where a file is believed at first sight: for https:
// the server is, for apt: Debian's signed index, for gomod: the Go checksum database. A file whose
// digest differs from the one that stands there is a warning.
//
// If anything cannot be fetched, nothing is written.
func (f *Fetcher) Update(ctx context.Context, specDir string, refs []Ref) error {
	refs, err := once(refs)
	if err != nil {
		return err
	}
	var remote []Ref
	for _, r := range refs {
		here, err := isLocal(specDir, &r)
		if err == nil && !here && r.scheme() == "" {
			err = r.errorf("there is no such file in %s: add it, or give a URL", specDir)
		}
		if err != nil {
			return err
		}
		if !here {
			remote = append(remote, r)
		}
	}
	if f.Offline && len(remote) > 0 {
		return remote[0].errorf("digests cannot be updated with --offline")
	}
	found, err := f.each(ctx, remote, func(ctx context.Context, r *Ref) (store.Digest, error) { return f.trust(ctx, specDir, r) })
	if err != nil {
		return err
	}
	file := SignaturesFile(specDir)
	old, err := ReadSignatures(file)
	if err != nil {
		f.emit(ui.Event{Type: ui.Warning, Name: file, Message: "written anew, as it could not be read: " + err.Error()})
	}
	sums := map[string]string{}
	for name, d := range found {
		before, ok := old.Of(name)
		if ok && !f.same(before, d) {
			f.emit(ui.Event{Type: ui.Warning, Name: name, Message: fmt.Sprintf(
				"%s: another file than before under the same name: had %s, found sha256 %s", name, before, d.Hex())})
		}
		sums[name] = d.Hex()
	}
	return writeSignatures(file, sums)
}

// same says whether the stored file d has the digest sum.
func (f *Fetcher) same(sum Sum, d store.Digest) bool {
	if sum.Algorithm == "sha256" {
		return sum.Hex == d.Hex()
	}
	path, err := f.store.File(d)
	if err != nil {
		return false
	}
	found, err := digestFile(path, sum.Algorithm)
	return err == nil && found.Hex == sum.Hex
}

// trust fetches a file from its origin, whatever it is now.
func (f *Fetcher) trust(ctx context.Context, specDir string, r *Ref) (store.Digest, error) {
	switch r.scheme() {
	case "apt":
		sum, err := f.listed(ctx, r)
		if err != nil {
			return "", err
		}
		return f.remote(ctx, specDir, r, expectation{sum, "(Debian's index)"})
	case "gomod":
		return f.takeModule(ctx, r)
	case "file":
		return f.take(r, filePath(specDir, r.URL))
	}
	url := address(r.URL)
	name := "url-" + store.DigestOf([]byte(url)).Hex()
	unlock, err := f.store.Lock(ctx, name)
	if err != nil {
		return "", err
	}
	defer unlock()
	path := f.store.Partial(name)
	if err := os.RemoveAll(path); err != nil { // of an earlier run: it cannot be told what it belongs to
		return "", r.errorf("%w", err)
	}
	var d store.Digest
	err = f.shown(ctx, r, func() error {
		err := f.download(ctx, &transfer{url: url, path: path, progress: f.progress(r.file())})
		if err != nil {
			return r.errorf("%w", err)
		}
		defer os.Remove(path)
		d, err = f.take(r, path)
		return err
	})
	return d, err
}

// take puts a file into the store as it is.
func (f *Fetcher) take(r *Ref, path string) (store.Digest, error) {
	sum, err := digestFile(path, "sha256")
	if err != nil {
		return "", r.errorf("%w", err)
	}
	d, err := f.keep(r, path, sum)
	return d, r.wrap(err)
}
