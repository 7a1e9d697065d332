package source

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"mariner/internal/store"
	"mariner/internal/ui"
)

// Options say how files are fetched. The zero value is good.
type Options struct {
	Offline bool          // only what is in the spec's folder and the store
	Mirrors []string      // base URLs, see the package comment
	Debian  []string      // base URLs of Debian archives; what the host's apt uses if there are none
	AptDir  string        // the configuration of the host's apt; /etc/apt if empty
	Keyring string        // Debian's archive keys; where its package puts them if empty
	Jobs    int           // files at a time; 4 if 0
	Stall   time.Duration // of silence after which a connection is given up; a minute if 0
	Sink    ui.Sink       // is told of downloads, events of kind "fetch"; may be nil
}

// Fetcher fetches sources into a store. It may be used from several goroutines.
type Fetcher struct {
	Options
	store    *store.Store
	client   *http.Client
	slots    chan struct{}
	now      func() time.Time
	wait     func(context.Context, time.Duration) error
	pause    time.Duration // before the second attempt; it doubles with each
	attempts int
	aptLock  sync.Mutex
	missing  map[string]bool // suites of archives that do not exist, by their URL
	index    map[origin]*index
}

// New makes a Fetcher.
func New(s *store.Store, o Options) *Fetcher {
	if o.AptDir == "" {
		o.AptDir = "/etc/apt"
	}
	if o.Jobs <= 0 {
		o.Jobs = 4
	}
	if o.Stall <= 0 {
		o.Stall = time.Minute
	}
	if o.Sink == nil {
		o.Sink = ui.Discard{}
	}
	return &Fetcher{
		Options: o, store: s, slots: make(chan struct{}, o.Jobs), now: time.Now, wait: sleep,
		client: &http.Client{Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DisableCompression:  true,
			ForceAttemptHTTP2:   true,
			TLSHandshakeTimeout: o.Stall,
			MaxIdleConnsPerHost: o.Jobs,
			IdleConnTimeout:     30 * time.Second,
		}},
		pause: 500 * time.Millisecond, attempts: 5,
		missing: map[string]bool{}, index: map[origin]*index{},
	}
}

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// Fetch brings all files of refs into the store, several at a time, and gives their digests by file
// name. specDir is the spec's folder, sigs what ReadSignatures found there. A file of that folder needs
// no entry in sigs; if it has one, it must agree. No byte of another file counts before its digest has
// been checked.
//
// All files without an entry are reported before anything is fetched; after that one failure stops no
// other file, and all are reported. Errors name the spec's line, the file and the remedy; they are of
// kind fault.Source.
func (f *Fetcher) Fetch(ctx context.Context, specDir string, sigs Signatures, refs []Ref) (map[string]store.Digest, error) {
	refs, err := once(refs)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i := range refs {
		if err := f.needsEntry(specDir, sigs, &refs[i]); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return f.each(ctx, refs, func(ctx context.Context, r *Ref) (store.Digest, error) {
		if here, err := isLocal(specDir, r); err != nil {
			return "", err
		} else if here {
			return f.local(r, r.local(specDir), sigs)
		}
		sum, _ := sigs.Of(r.file())
		return f.remote(ctx, specDir, r, expectation{sum, "(" + sigs.at(sum) + ")"})
	})
}

// needsEntry reports a file that is neither in the spec's folder nor in sigs.
func (f *Fetcher) needsEntry(specDir string, sigs Signatures, r *Ref) error {
	here, err := isLocal(specDir, r)
	if err != nil || here {
		return err
	}
	if r.scheme() == "" {
		return r.errorf("there is no such file in %s: add it, or give a URL", specDir)
	}
	if _, ok := sigs.Of(r.file()); !ok {
		return r.errorf("%s has no digest for it: run %s, and look at what it writes", sigs.file, r.update())
	}
	return nil
}

func isLocal(specDir string, r *Ref) (bool, error) {
	info, err := os.Stat(r.local(specDir))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, r.errorf("%w", err)
	case !info.Mode().IsRegular():
		return false, r.errorf("expected a file, found something else: %s", r.local(specDir))
	}
	return true, nil
}

// each runs do for all refs and collects digests and errors, the latter in the order of refs.
func (f *Fetcher) each(ctx context.Context, refs []Ref, do func(context.Context, *Ref) (store.Digest, error)) (map[string]store.Digest, error) {
	digests, errs := make([]store.Digest, len(refs)), make([]error, len(refs))
	var group sync.WaitGroup
	for i := range refs {
		group.Go(func() {
			select {
			case f.slots <- struct{}{}:
				defer func() { <-f.slots }()
				digests[i], errs[i] = do(ctx, &refs[i])
			case <-ctx.Done():
				errs[i] = context.Cause(ctx)
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	out := make(map[string]store.Digest, len(refs))
	for i := range refs {
		out[refs[i].file()] = digests[i]
	}
	return out, nil
}

// local checks a file of this machine against its entry, if it has one, and puts it into the store.
func (f *Fetcher) local(r *Ref, path string, sigs Signatures) (store.Digest, error) {
	if sum, ok := sigs.Of(r.file()); ok {
		if err := check(r, path, path, expectation{sum, "(" + sigs.at(sum) + ")"}); err != nil {
			return "", err
		}
	}
	found, err := digestFile(path, "sha256")
	if err != nil {
		return "", r.errorf("%w", err)
	}
	if d := store.Digest("sha256:" + found.Hex); f.store.Has(d) {
		return d, nil
	}
	d, _, err := f.store.PutFile(path)
	return d, r.wrap(err)
}

// expectation is a digest and where it comes from.
type expectation struct {
	Sum
	from string
}

// check compares a file's bytes with what is expected; origin is what messages call it.
func check(r *Ref, path, origin string, want expectation) error {
	found, err := digestFile(path, want.Algorithm)
	if err != nil {
		return r.errorf("%w", err)
	}
	if found.Hex == want.Hex {
		return nil
	}
	return r.wrap(&digestError{want: want, found: found, size: size(path), origin: origin, remedy: r.update()})
}

// digestError says that bytes are not the expected ones.
type digestError struct {
	want   expectation
	found  Sum
	size   int64
	origin string
	remedy string
}

func (e *digestError) Error() string {
	return fmt.Sprintf("wrong digest: expected %s %s, found %s (%d bytes) at %s: if the new file is right, run %s",
		e.want.Sum, e.want.from, e.found, e.size, e.origin, e.remedy)
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}

// digestFile is the digest of a file's bytes.
func digestFile(path, algorithm string) (Sum, error) {
	file, err := os.Open(path)
	if err != nil {
		return Sum{}, err
	}
	defer file.Close()
	var h hash.Hash = sha256.New()
	if algorithm == "sha512" {
		h = sha512.New()
	}
	if _, err := io.Copy(h, file); err != nil {
		return Sum{}, err
	}
	return Sum{Algorithm: algorithm, Hex: hex.EncodeToString(h.Sum(nil))}, nil
}
