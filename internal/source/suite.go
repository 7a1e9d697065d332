package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"mariner/internal/store"
)

// indexKind is the kind of memo that says which index an archive's suite has.
const indexKind = "apt-index-1"

// indexMemo is such a memo.
type indexMemo struct {
	Checked int64        // Unix seconds
	Sources string       // SHA-256 of the Sources file, as it is compressed
	Index   store.Digest // what became of it, see index
}

// freshFor is how long an archive is not asked again.
const freshFor = time.Hour

// errNoSuite says that an archive does not have a suite.
var errNoSuite = errors.New("the archive does not have it")

// suite gives a suite's index, which was the archive's at most an hour ago. It is nil if no archive has
// the suite.
func (f *Fetcher) suite(ctx context.Context, suite string) (*index, error) {
	archives, err := f.archives(suite)
	if err != nil {
		return nil, err
	}
	f.aptLock.Lock()
	defer f.aptLock.Unlock()
	var errs []error
	for _, a := range archives {
		id := a.URL + " " + suite
		if f.missing[id] {
			continue
		}
		x, err := f.suiteOf(ctx, a.URL, suite)
		if errors.Is(err, errNoSuite) {
			f.missing[id] = true
			continue
		}
		if x != nil {
			return x, nil
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("the index of Debian's %s: %w", suite, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func (f *Fetcher) suiteOf(ctx context.Context, base, suite string) (*index, error) {
	id := base + " " + suite
	if x := f.index[id]; x != nil && f.recent(x.checked) {
		return x, nil
	}
	unlock, err := f.store.Lock(ctx, "apt "+id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	x := f.remembered(base, suite)
	if x == nil {
		x, err = f.refresh(ctx, base, suite)
	}
	if err == nil {
		f.index[id] = x
	}
	return x, err
}

func (f *Fetcher) recent(checked int64) bool {
	age := f.now().Sub(time.Unix(checked, 0))
	return age >= 0 && age < freshFor
}

// memo is what is known of a suite.
func (f *Fetcher) memo(base, suite string) (m indexMemo, ok bool) {
	data, ok := f.store.Memo(indexKind, store.DigestOf([]byte(base+" "+suite)))
	return m, ok && json.Unmarshal(data, &m) == nil
}

// remembered is the recent index of an earlier run; nil if there is none.
func (f *Fetcher) remembered(base, suite string) *index {
	m, ok := f.memo(base, suite)
	if !ok || !f.recent(m.Checked) {
		return nil
	}
	text, err := f.store.Read(m.Index)
	if err != nil {
		return nil
	}
	return &index{base: base, suite: suite, checked: m.Checked, text: text}
}

// refresh asks the archive for its signed InRelease, and for the index if that is not the one we have.
func (f *Fetcher) refresh(ctx context.Context, base, suite string) (*index, error) {
	keys, err := f.keyring()
	if err != nil {
		return nil, err
	}
	dist := base + "/dists/" + suite
	data, err := f.small(ctx, dist+"/InRelease")
	if gone(err) {
		return nil, errNoSuite
	}
	if err != nil {
		return nil, err
	}
	rel, err := verifyRelease(data, keys, f.now())
	if err != nil {
		return nil, fmt.Errorf("%s/InRelease: %w", dist, err)
	}
	path, entry, ok := rel.sources()
	if !ok {
		return nil, fmt.Errorf("%s/InRelease: expected main/source/Sources in its list, found none", dist)
	}
	m := indexMemo{Checked: f.now().Unix(), Sources: entry.sha256}
	var text []byte
	if before, ok := f.memo(base, suite); ok && before.Sources == m.Sources {
		if text, err = f.store.Read(before.Index); err == nil {
			m.Index = before.Index
		}
	}
	if m.Index == "" {
		err := error(&statusError{code: http.StatusNotFound})
		if rel.byHash { // does not change while the archive is being updated
			text, err = f.sources(ctx, suite, dist+"/main/source/by-hash/SHA256/"+entry.sha256, path, entry)
		}
		if gone(err) {
			text, err = f.sources(ctx, suite, dist+"/"+path, path, entry)
		}
		if err != nil {
			return nil, err
		}
		if m.Index, err = f.keepIndex(base, suite, entry, text); err != nil {
			return nil, err
		}
	}
	memo, err := json.Marshal(m)
	if err == nil {
		err = f.store.PutMemo(indexKind, store.DigestOf([]byte(base+" "+suite)), memo)
	}
	return &index{base: base, suite: suite, checked: m.Checked, text: text}, err
}

// sources downloads a Sources file, checks it and makes it compact.
func (f *Fetcher) sources(ctx context.Context, suite, url, path string, entry listed) ([]byte, error) {
	r := &Ref{Package: "Debian", File: "Sources of " + suite}
	partial := f.store.Partial("apt-" + entry.sha256)
	var text []byte
	err := f.shown(ctx, r, func() error {
		for {
			t := &transfer{url: url, path: partial, sure: true, progress: f.progress(r.File)}
			if err := f.download(ctx, t); err != nil {
				return err
			}
			found, err := digestFile(partial, "sha256")
			if err != nil {
				return err
			}
			if found.Hex == entry.sha256 {
				break
			}
			if err := os.Remove(partial); err != nil || !t.resumed {
				return errors.Join(err, fmt.Errorf("%s: expected sha256 %s (InRelease), found %s: the archive may be in the middle of an update, try again later", url, entry.sha256, found))
			}
		}
		defer os.Remove(partial)
		file, err := os.Open(partial)
		if err != nil {
			return err
		}
		defer file.Close()
		plain, err := decompress(path, file)
		if err == nil {
			text, err = compact(plain)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", url, err)
		}
		return nil
	})
	return text, err
}

// keepIndex stores an index so that GC leaves it alone.
func (f *Fetcher) keepIndex(base, suite string, entry listed, text []byte) (store.Digest, error) {
	d, n, err := f.store.Put(bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	in := []store.Input{{Name: "Sources", Digest: store.Digest("sha256:" + entry.sha256)}, {Name: indexKind}}
	return d, f.store.PutResult(&store.Result{
		Action: "apt index " + base + " " + suite, Key: store.Key(in), Inputs: in, Started: f.now(),
		Outputs: []store.Output{{Name: "index", Digest: d, Size: n}},
	})
}
