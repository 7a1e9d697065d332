package store

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Input is one thing that an action reads: its name for people, such as "spec zlib.spec" or
// "rpm glibc-2.41-1.x86_64.rpm", and the digest of its bytes, which need not be in the store.
type Input struct {
	Name   string `json:"name"`
	Digest Digest `json:"digest"`
}

// Output is one file that an action made. Its bytes are in the store.
type Output struct {
	Name   string `json:"name"`
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"` // bytes
}

// Result is what came of an action once.
type Result struct {
	Action     string            `json:"action"` // for instance "build zlib"
	Key        Digest            `json:"key"`    // Key(Inputs)
	Inputs     []Input           `json:"inputs"`
	Outputs    []Output          `json:"outputs"`
	Started    time.Time         `json:"started"`
	Duration   time.Duration     `json:"duration"`    // nanoseconds
	PeakMemory int64             `json:"peak_memory"` // bytes
	Note       map[string]string `json:"note,omitempty"`
}

// Key is the digest of a canonical form of inputs, in which their order does not count: a first line
// with the form's name, then for each input, sorted, a line of the quoted name and the digest.
func Key(inputs []Input) Digest {
	sorted := slices.SortedFunc(slices.Values(inputs), func(a, b Input) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Digest, b.Digest))
	})
	var form bytes.Buffer
	form.WriteString("mariner action key 1\n")
	for _, in := range sorted {
		fmt.Fprintf(&form, "%q %q\n", in.Name, string(in.Digest))
	}
	return DigestOf(form.Bytes())
}

// Result is the result of the action with that key, if the store or a cache has it and each of its
// outputs. A result that is damaged, or that has a damaged output, counts as absent.
func (s *Store) Result(key Digest) (*Result, bool, error) {
	if !key.Valid() {
		return nil, false, fmt.Errorf("looking up a result: %q is not a digest", key)
	}
	path := entry(s.dir, "results", key)
	info, err := s.touch(path)
	if err == nil {
		r, err := readResult(path)
		switch {
		case err == nil && r.Key == key:
			present, err := s.present(r)
			if present || err != nil {
				return r, present, err
			}
		case errors.Is(err, fs.ErrNotExist):
		default:
			if err := s.setAside(path, info); err != nil {
				return nil, false, fmt.Errorf("looking up a result: %w", err)
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, false, fmt.Errorf("looking up a result: %w", err)
	}
	for _, cache := range s.caches {
		r, err := readResult(entry(cache, "results", key))
		if err != nil || r.Key != key {
			continue
		}
		if present, err := s.present(r); !present || err != nil {
			continue
		}
		if err := s.adopt(r); err != nil {
			return nil, false, err
		}
		return r, true, nil
	}
	return nil, false, nil
}

// present says whether each output is there with the right size. It sets aside one of a wrong size.
func (s *Store) present(r *Result) (bool, error) {
	for _, out := range r.Outputs {
		size, ok := s.size(out.Digest)
		if ok && size != out.Size {
			path := entry(s.dir, "files", out.Digest)
			if info, err := os.Lstat(path); err == nil && info.Size() != out.Size {
				if err := s.setAside(path, info); err != nil {
					return false, fmt.Errorf("setting aside a damaged file: %w", err)
				}
				size, ok = s.size(out.Digest)
			}
		}
		if !ok || size != out.Size {
			return false, nil
		}
	}
	return true, nil
}

// PutResult stores r, also as the newest result of its action. Its outputs must be in the store (or a
// cache), its key must be Key of its inputs.
func (s *Store) PutResult(r *Result) error {
	for _, out := range r.Outputs {
		if size, ok := s.size(out.Digest); !ok || size != out.Size {
			return fmt.Errorf("storing the result of %s: its output %s (%s, %d bytes) is not in the store", r.Action, out.Name, out.Digest, out.Size)
		}
	}
	if err := s.writeResult(r); err != nil {
		return err
	}
	return s.writeLast(r)
}

// adopt stores a result that was found elsewhere; it becomes the newest only if it is.
func (s *Store) adopt(r *Result) error {
	if err := s.writeResult(r); err != nil {
		return err
	}
	if own, err := readResult(lastPath(s.dir, r.Action)); err == nil && own.Started.After(r.Started) {
		return nil
	}
	return s.writeLast(r)
}

func (s *Store) writeResult(r *Result) error {
	data, err := formatResult(r)
	if err == nil {
		err = s.writeAtomic(entry(s.dir, "results", r.Key), data)
	}
	if err != nil {
		return fmt.Errorf("storing the result of %s: %w", r.Action, err)
	}
	return nil
}

func (s *Store) writeLast(r *Result) error {
	data, err := formatResult(r)
	if err == nil {
		err = s.writeAtomic(lastPath(s.dir, r.Action), data)
	}
	if err != nil {
		return fmt.Errorf("storing the result of %s: %w", r.Action, err)
	}
	return nil
}

// Last is the result of the action that was put last, whatever its key; nil if there is none. It is
// there for its times and inputs: its outputs may be gone.
func (s *Store) Last(action string) (*Result, error) {
	r, err := readResult(lastPath(s.dir, action))
	if err == nil && r.Action == action {
		return r, nil
	}
	var damaged *formatError
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.As(err, &damaged) {
		return nil, fmt.Errorf("reading the last result of %s: %w", action, err)
	}
	var newest *Result
	for _, cache := range s.caches {
		r, err := readResult(lastPath(cache, action))
		if err == nil && r.Action == action && (newest == nil || r.Started.After(newest.Started)) {
			newest = r
		}
	}
	return newest, nil
}

func lastPath(dir, action string) string { return filepath.Join(dir, "last", fileName(action)) }

const resultHeader = "mariner result 1 "

// formatError says that a result's file is not whole.
type formatError struct{ message string }

func (e *formatError) Error() string { return e.message }

func formatResult(r *Result) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	body, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, err
	}
	body = append(body, '\n')
	return append([]byte(resultHeader+string(DigestOf(body))+"\n"), body...), nil
}

func readResult(path string) (*Result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r, err := parseResult(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// parseResult reads what formatResult wrote. Its errors are *formatError.
func parseResult(data []byte) (*Result, error) {
	head, body, _ := strings.Cut(string(data), "\n")
	sum, ok := strings.CutPrefix(head, resultHeader)
	if !ok {
		return nil, &formatError{fmt.Sprintf("line 1: expected %q and a digest", resultHeader)}
	}
	if found := DigestOf([]byte(body)); sum != string(found) {
		return nil, &formatError{fmt.Sprintf("damaged: expected %q, found %s", sum, found)}
	}
	var r Result
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		return nil, &formatError{err.Error()}
	}
	if err := r.check(); err != nil {
		return nil, &formatError{err.Error()}
	}
	return &r, nil
}

// check holds for every result that is written or read.
func (r *Result) check() error {
	if r.Action == "" {
		return errors.New("it names no action")
	}
	if key := Key(r.Inputs); r.Key != key {
		return fmt.Errorf("key: expected %s, which is that of its inputs, found %q", key, r.Key)
	}
	for _, out := range r.Outputs {
		if !out.Digest.Valid() || out.Size < 0 {
			return fmt.Errorf("output %q: expected a digest and a size, found %q and %d", out.Name, out.Digest, out.Size)
		}
	}
	return nil
}
