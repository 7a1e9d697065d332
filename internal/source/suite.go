package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"time"

	"mariner/internal/store"
)

// indexKind is the kind of memo that says which index an archive's suite has.
const indexKind = "apt-index-2"

// indexMemo is such a memo.
type indexMemo struct {
	Checked int64        // Unix seconds
	List    string       // SHA-256 of the list, as it is compressed
	Index   store.Digest // what became of it, see index
}

// freshFor is how long an archive is not asked again.
const freshFor = time.Hour

// errNoSuite says that an archive does not have a suite.
var errNoSuite = errors.New("the archive does not have it")

// suite gives a suite's index, which was the archive's at most an hour ago. It is nil if no archive has
// the suite.
func (f *Fetcher) suite(ctx context.Context, suite string, l list) (*index, error) {
	archives, err := f.archives(suite)
	if err != nil {
		return nil, err
	}
	f.aptLock.Lock()
	defer f.aptLock.Unlock()
	var errs []error
	for _, a := range archives {
		dist := a.URL + "/dists/" + suite
		if f.missing[dist] {
			continue
		}
		x, err := f.suiteOf(ctx, origin{a.URL, suite, l})
		if errors.Is(err, errNoSuite) {
			f.missing[dist] = true
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

func (f *Fetcher) suiteOf(ctx context.Context, o origin) (*index, error) {
	if x := f.index[o]; x != nil && f.recent(x.checked) {
		return x, nil
	}
	unlock, err := f.store.Lock(ctx, "apt "+o.String())
	if err != nil {
		return nil, err
	}
	defer unlock()
	x := f.remembered(o)
	if x == nil {
		x, err = f.refresh(ctx, o)
	}
	if err == nil {
		f.index[o] = x
	}
	return x, err
}

func (f *Fetcher) recent(checked int64) bool {
	age := f.now().Sub(time.Unix(checked, 0))
	return age >= 0 && age < freshFor
}

// memo is what is known of an index.
func (f *Fetcher) memo(o origin) (m indexMemo, ok bool) {
	data, ok := f.store.Memo(indexKind, store.DigestOf([]byte(o.String())))
	return m, ok && json.Unmarshal(data, &m) == nil
}

// remembered is the recent index of an earlier run; nil if there is none.
func (f *Fetcher) remembered(o origin) *index {
	m, ok := f.memo(o)
	if !ok || !f.recent(m.Checked) {
		return nil
	}
	text, err := f.store.Read(m.Index)
	if err != nil {
		return nil
	}
	return &index{origin: o, checked: m.Checked, text: text}
}

// refresh asks the archive for its signed InRelease, and for the index if that is not the one we have.
func (f *Fetcher) refresh(ctx context.Context, o origin) (*index, error) {
	keys, err := f.keyring()
	if err != nil {
		return nil, err
	}
	dist := o.base + "/dists/" + o.suite
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
	file, entry, ok := rel.find(o.list)
	if !ok {
		return nil, fmt.Errorf("%s/InRelease: expected %s in its list, found none", dist, o.list)
	}
	m := indexMemo{Checked: f.now().Unix(), List: entry.sha256}
	var text []byte
	if before, ok := f.memo(o); ok && before.List == m.List {
		if text, err = f.store.Read(before.Index); err == nil {
			m.Index = before.Index
		}
	}
	if m.Index == "" {
		err := error(&statusError{code: http.StatusNotFound})
		if rel.byHash { // does not change while the archive is being updated
			text, err = f.downloadList(ctx, o, dist+"/"+path.Dir(file)+"/by-hash/SHA256/"+entry.sha256, file, entry)
		}
		if gone(err) {
			text, err = f.downloadList(ctx, o, dist+"/"+file, file, entry)
		}
		if err != nil {
			return nil, err
		}
		if m.Index, err = f.keepIndex(o, entry, text); err != nil {
			return nil, err
		}
	}
	memo, err := json.Marshal(m)
	if err == nil {
		err = f.store.PutMemo(indexKind, store.DigestOf([]byte(o.String())), memo)
	}
	return &index{origin: o, checked: m.Checked, text: text}, err
}

// downloadList downloads a list, checks it and makes it compact.
func (f *Fetcher) downloadList(ctx context.Context, o origin, url, file string, entry listed) ([]byte, error) {
	r := &Ref{Package: "Debian", File: path.Base(string(o.list)) + " of " + o.suite}
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
		packed, err := os.Open(partial)
		if err != nil {
			return err
		}
		defer packed.Close()
		plain, err := decompress(file, packed)
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
func (f *Fetcher) keepIndex(o origin, entry listed, text []byte) (store.Digest, error) {
	d, n, err := f.store.Put(bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	in := []store.Input{{Name: "list", Digest: store.Digest("sha256:" + entry.sha256)}, {Name: indexKind}}
	return d, f.store.PutResult(&store.Result{
		Action: "apt index " + o.String(), Key: store.Key(in), Inputs: in, Started: f.now(),
		Outputs: []store.Output{{Name: "index", Digest: d, Size: n}},
	})
}
