package store

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"mariner/internal/fault"
)

// An archive is a tar of the entries "version", files/DIGITS, memo/KIND, results/DIGITS and "end", in
// this order and sorted: a result comes after all that it names, and an archive that was cut off, which
// tar itself does not always tell, lacks the end. The same contents give the same bytes.

// Export writes the results with those keys, and every file that they name and the store or a cache
// has. Without keys it writes all results, files and memos of the store itself.
func (s *Store) Export(ctx context.Context, w io.Writer, keys ...Digest) error {
	if err := s.export(ctx, w, keys); err != nil {
		return fmt.Errorf("exporting from the store: %w", err)
	}
	return nil
}

func (s *Store) export(ctx context.Context, w io.Writer, keys []Digest) error {
	results, files, memos, err := s.choose(keys)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	if err := addBytes(t, "version", []byte(version)); err != nil {
		return err
	}
	for _, d := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := s.File(d)
		if err != nil {
			return err
		}
		if err := addFile(t, "files/"+d.Hex(), p); err != nil {
			return err
		}
	}
	for _, p := range memos {
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if err := addBytes(t, "memo/"+filepath.Base(p), data); err != nil {
			return err
		}
	}
	for _, r := range results {
		data, err := formatResult(r)
		if err != nil {
			return err
		}
		if err := addBytes(t, "results/"+r.Key.Hex(), data); err != nil {
			return err
		}
	}
	if err := addBytes(t, "end", nil); err != nil {
		return err
	}
	return t.Close()
}

// choose is what an export of keys holds.
func (s *Store) choose(keys []Digest) (results []*Result, files []Digest, memos []string, err error) {
	all := len(keys) == 0
	if all {
		if keys, err = s.names("results"); err != nil {
			return nil, nil, nil, err
		}
		if files, err = s.names("files"); err != nil {
			return nil, nil, nil, err
		}
		entries, err := list(filepath.Join(s.dir, "memo"))
		if err != nil {
			return nil, nil, nil, err
		}
		for _, e := range entries {
			memos = append(memos, e.path)
		}
	}
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	for _, key := range keys {
		r, ok, err := s.Result(key)
		if err != nil {
			return nil, nil, nil, err
		}
		if !ok {
			if all { // an output is gone: what is left of it is of no use elsewhere
				continue
			}
			return nil, nil, nil, fmt.Errorf("there is no result with the key %s: %w", key, fs.ErrNotExist)
		}
		results = append(results, r)
		for _, d := range r.digests() {
			if s.Has(d) {
				files = append(files, d)
			}
		}
	}
	slices.Sort(files)
	return results, slices.Compact(files), memos, nil
}

// names are the digests that the entries of the folder "files" or "results" are named after.
func (s *Store) names(folder string) ([]Digest, error) {
	entries, err := list(filepath.Join(s.dir, folder))
	var names []Digest
	for _, e := range entries {
		names = append(names, Digest(digestPrefix+filepath.Base(e.path)))
	}
	return names, err
}

func addFile(t *tar.Writer, name, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.WriteHeader(archiveHeader(name, info.Size())); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}

func addBytes(t *tar.Writer, name string, data []byte) error {
	if err := t.WriteHeader(archiveHeader(name, int64(len(data)))); err != nil {
		return err
	}
	_, err := t.Write(data)
	return err
}

func archiveHeader(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
}

// Imported is what Import has stored.
type Imported struct{ Results, Files, Memos int }

// Import stores what Export wrote. Every file is verified. An archive that is damaged or cut off is
// an error of the kind fault.Check; what came before the damage is good and stays.
func (s *Store) Import(ctx context.Context, r io.Reader) (Imported, error) {
	var done Imported
	t := tar.NewReader(r)
	for last := ""; ; {
		if err := ctx.Err(); err != nil {
			return done, fmt.Errorf("importing into the store: %w", err)
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) && last == "end" {
			return done, nil
		}
		switch {
		case errors.Is(err, io.EOF):
			err = fmt.Errorf("it ends after %q: %w", last, io.ErrUnexpectedEOF)
		case err != nil:
		case last == "end":
			err = fmt.Errorf("expected nothing after the entry \"end\", found %q", h.Name)
		case (last == "") != (h.Name == "version"):
			err = fmt.Errorf("expected the entry \"version\" first and only there, found %q", h.Name)
		default:
			last = h.Name
			err = s.importEntry(t, h, &done)
		}
		var own *fs.PathError // what is wrong is here, not in the archive
		if errors.As(err, &own) {
			return done, fault.Errorf(fault.Environment, "importing into the store: %w", err)
		}
		if err != nil {
			return done, fault.Errorf(fault.Check, "importing into the store: the archive is not whole: %w", err)
		}
	}
}

func (s *Store) importEntry(t *tar.Reader, h *tar.Header, done *Imported) error {
	folder, name := path.Split(h.Name)
	// Of extended attributes none is needed, and a sparse file can be longer than any disk.
	if h.Typeflag != tar.TypeReg || len(h.PAXRecords) > 0 {
		return fmt.Errorf("%q: expected an ordinary file without attributes", h.Name)
	}
	d := Digest(digestPrefix + name)
	if folder == "files/" {
		if !d.Valid() {
			return fmt.Errorf("%q: its name is not a digest", h.Name)
		}
		if _, _, err := s.put(t, d); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		done.Files++
		return nil
	}
	const limit = 1 << 30
	if h.Size > limit {
		return fmt.Errorf("%q: expected at most %d bytes, found %d", h.Name, limit, h.Size)
	}
	var data bytes.Buffer
	if _, err := io.Copy(&data, t); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	switch {
	case h.Name == "version":
		if data.String() != version {
			return fmt.Errorf("version: expected %q, found %q", version, data.String())
		}
	case h.Name == "end":
	case folder == "memo/":
		return s.importMemos(name, data.Bytes(), done)
	case folder == "results/":
		r, err := parseResult(data.Bytes())
		if err == nil && r.Key != d {
			err = fmt.Errorf("expected the key %s, found %s", d, r.Key)
		}
		if err == nil {
			err = s.adopt(r)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		done.Results++
	default:
		return fmt.Errorf("%q: no such entry is known", h.Name)
	}
	return nil
}

// importMemos puts those memos of a kind that the store does not have.
func (s *Store) importMemos(kind string, data []byte, done *Imported) error {
	if fileName(kind) != kind {
		return fmt.Errorf("memo/%q: not a kind of memo", kind)
	}
	m := s.memo(s.dir, kind)
	var err error
	scan := scanMemos(data, func(r memoRecord) {
		if _, ok := m.get(r.key); ok || err != nil {
			return
		}
		if err = s.settled(func() error { return m.put(r.key, r.value) }); err == nil {
			done.Memos++
		}
	})
	if err == nil && scan.damaged > 0 {
		err = errors.New("a record is damaged")
	}
	if err != nil {
		return fmt.Errorf("memo/%s: %w", kind, err)
	}
	return nil
}
