package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mariner/internal/store"
	"mariner/internal/ui"
)

// remote gives a file that is not in the spec's folder: from the store, a mirror, or where the spec
// says.
func (f *Fetcher) remote(ctx context.Context, specDir string, r *Ref, want expectation) (store.Digest, error) {
	if d, ok, err := f.stored(want.Sum); ok || err != nil {
		return d, r.wrap(err)
	}
	if f.Offline && r.scheme() != "file" {
		return "", r.errorf("it is not in the store, and nothing is fetched with --offline: fetch it once without, from %s", r.URL)
	}
	unlock, err := f.store.Lock(ctx, "source-"+want.Hex)
	if err != nil {
		return "", err
	}
	defer unlock()
	if d, ok, err := f.stored(want.Sum); ok || err != nil { // another process has fetched it meanwhile
		return d, r.wrap(err)
	}
	var d store.Digest
	err = f.shown(ctx, r, func() (err error) {
		d, err = f.obtain(ctx, specDir, r, want)
		return err
	})
	return d, err
}

// shown runs do between the events that tell of it.
func (f *Fetcher) shown(ctx context.Context, r *Ref, do func() error) error {
	started := f.now()
	f.emit(ui.Event{Type: ui.Start, Name: r.file()})
	err := do()
	end := ui.Event{Type: ui.Done, Name: r.file(), Duration: f.now().Sub(started)}
	if err != nil {
		end.Type, end.Message = ui.Failed, err.Error()
	}
	f.emit(end)
	return err
}

func (f *Fetcher) emit(e ui.Event) {
	e.Kind, e.Message = "fetch", ui.Redact(e.Message)
	f.Sink.Emit(e)
}

// progress tells of a download, at most five times a second.
func (f *Fetcher) progress(name string) func(done, total int64) {
	var last time.Time
	return func(done, total int64) {
		if now := f.now(); done == total || now.Sub(last) >= 200*time.Millisecond {
			last = now
			f.emit(ui.Event{Type: ui.Progress, Name: name, Done: done, Total: total})
		}
	}
}

// obtain tries the mirrors, then the origin.
func (f *Fetcher) obtain(ctx context.Context, specDir string, r *Ref, want expectation) (store.Digest, error) {
	for _, mirror := range f.Mirrors {
		if f.Offline {
			break
		}
		d, err := f.fromURL(ctx, r, strings.TrimRight(mirror, "/")+"/"+want.Algorithm+"/"+want.Hex, want)
		if err == nil {
			return d, nil
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if !gone(err) {
			f.emit(ui.Event{Type: ui.Warning, Name: r.file(), Message: "mirror passed over: " + err.Error()})
		}
	}
	switch r.scheme() {
	case "apt":
		return f.fromApt(ctx, r, want)
	case "gomod":
		return f.fromModule(ctx, r, want)
	case "file":
		path := filePath(specDir, r.URL)
		if err := check(r, path, path, want); err != nil {
			return "", err
		}
		d, err := f.keep(r, path, want.Sum)
		return d, r.wrap(err)
	}
	d, err := f.fromURL(ctx, r, address(r.URL), want)
	var wrong *digestError
	if gone(err) {
		return "", r.errorf("%w: mend the URL in the spec, or name a mirror that has the file in sources.mirrors of mariner.yaml", err)
	}
	if err != nil && ctx.Err() == nil && !errors.As(err, &wrong) {
		err = r.errorf("%w", err)
	}
	return d, err
}

// fromURL downloads a file whose digest is known. If a part from before turns out not to belong to
// the file, it is fetched once more from the beginning.
func (f *Fetcher) fromURL(ctx context.Context, r *Ref, url string, want expectation) (store.Digest, error) {
	path := f.store.Partial(want.Algorithm + "-" + want.Hex)
	for {
		t := &transfer{url: url, path: path, sure: true, progress: f.progress(r.file())}
		if err := f.download(ctx, t); err != nil {
			return "", err
		}
		wrong := check(r, path, url, want)
		if wrong == nil {
			break
		}
		if err := os.Remove(path); err != nil {
			return "", r.errorf("%w", err)
		}
		if !t.resumed {
			return "", wrong
		}
	}
	d, err := f.keep(r, path, want.Sum)
	if err != nil {
		return "", r.errorf("%w", err)
	}
	_ = os.Remove(path) // else GC does it
	return d, nil
}

// address is a URL without the #/FILE at its end.
func address(url string) string {
	url, _, _ = strings.Cut(url, "#")
	return url
}

// filePath is the path of a file: URL.
func filePath(specDir, url string) string {
	path := strings.TrimPrefix(address(url), "file:")
	if rest, ok := strings.CutPrefix(path, "//"); ok { // file://[localhost]/path
		path = strings.TrimPrefix(rest, "localhost")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(specDir, path)
	}
	return path
}

// inputs are those of the result that ties a digest of any kind to a file of the store, and keeps GC
// from dropping the file.
func inputs(sum Sum) []store.Input {
	return []store.Input{{Name: "source " + sum.String()}}
}

// stored looks for the file of that digest in the store and its caches.
func (f *Fetcher) stored(sum Sum) (store.Digest, bool, error) {
	result, ok, err := f.store.Result(store.Key(inputs(sum)))
	if err != nil {
		return "", false, err
	}
	if ok && len(result.Outputs) == 1 {
		d := result.Outputs[0].Digest
		if sum.Algorithm == "sha256" {
			return d, d.Hex() == sum.Hex, nil
		}
		// the result's word is not enough: only the bytes tell that the two digests are of one file
		path, err := f.store.File(d)
		if err != nil {
			return "", false, nil
		}
		found, err := digestFile(path, sum.Algorithm)
		return d, err == nil && found.Hex == sum.Hex, err
	}
	if d := store.Digest("sha256:" + sum.Hex); sum.Algorithm == "sha256" && f.store.Has(d) {
		path, err := f.store.File(d)
		if err != nil {
			return "", false, nil // damaged, and set aside: fetch it
		}
		return d, true, f.note(sum.Hex[:12], sum, store.Output{Name: "file", Digest: d, Size: size(path)})
	}
	return "", false, nil
}

// keep puts a file whose digest has been checked into the store.
func (f *Fetcher) keep(r *Ref, path string, sum Sum) (store.Digest, error) {
	d, n, err := f.store.PutFile(path)
	if err != nil {
		return "", err
	}
	if sum.Algorithm == "sha256" && d.Hex() != sum.Hex {
		return "", fmt.Errorf("%s changed while it was read: expected %s, found %s: try again", path, sum, d)
	}
	return d, f.note(r.Package+"/"+r.file(), sum, store.Output{Name: r.file(), Digest: d, Size: n})
}

func (f *Fetcher) note(name string, sum Sum, out store.Output) error {
	return f.store.PutResult(&store.Result{
		Action: "source " + name, Key: store.Key(inputs(sum)), Inputs: inputs(sum), Outputs: []store.Output{out}, Started: f.now(),
	})
}
