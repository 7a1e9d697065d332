package store

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A memo file is a sequence of records: a header of 56 bytes, then the value. All numbers are
// little-endian; the checksums are CRC-32C.
//
//	 0  4  "MEM1"
//	 4  4  length of the value, bytes
//	 8  8  when it was written, Unix seconds
//	16 32  key
//	48  4  checksum of the value
//	52  4  checksum of the 52 bytes before
//
// A later record of a key replaces an earlier one. Records are appended under the file's lock. A
// record that ends beyond the end of the file was torn by a kill: the next append cuts it off.
const (
	memoMagic  = "MEM1"
	memoHeader = 56
	memoLimit  = 256 << 20 // bytes of a value
)

// memo is one memo file, once it has been loaded.
type memo struct {
	sync.Mutex
	path   string
	loaded os.FileInfo // the file that values come from; nil before the first load, and without a file
	size   int64       // up to where it has been read, all of it good
	values map[memoKey][]byte
	tried  bool
}

type memoKey [32]byte

// Memo is the value of that kind that was last put under key, in the store or in a cache. The caller
// must not change it. All values of a kind are read on the first call: a kind is for small values of
// which a run needs most.
func (s *Store) Memo(kind string, key Digest) ([]byte, bool) {
	k, err := memoKeyOf(key)
	if err != nil {
		return nil, false
	}
	for _, dir := range append([]string{s.dir}, s.caches...) {
		if value, ok := s.memo(dir, kind).get(k); ok {
			return value, true
		}
	}
	return nil, false
}

// PutMemo stores a small value under the digest of what it was computed from. kind is a short word:
// say "spec", and with a new meaning of the value, "spec-2".
func (s *Store) PutMemo(kind string, key Digest, value []byte) error {
	k, err := memoKeyOf(key)
	if err == nil && fileName(kind) != kind {
		err = errors.New("expected a short word for the kind")
	}
	if err == nil && len(value) > memoLimit {
		err = fmt.Errorf("expected at most %d bytes, found %d", memoLimit, len(value))
	}
	if err == nil {
		m := s.memo(s.dir, kind)
		err = s.settled(func() error { return m.put(k, value) })
	}
	if err != nil {
		return fmt.Errorf("storing a memo of kind %s: %w", kind, err)
	}
	return nil
}

func (s *Store) memo(dir, kind string) *memo {
	path := filepath.Join(dir, "memo", filepath.Base(kind))
	s.memosLock.Lock()
	defer s.memosLock.Unlock()
	m := s.memos[path]
	if m == nil {
		m = &memo{path: path, values: map[memoKey][]byte{}}
		s.memos[path] = m
	}
	return m
}

func memoKeyOf(d Digest) (k memoKey, err error) {
	if !d.Valid() {
		return k, fmt.Errorf("key %q is not a digest", d)
	}
	_, err = hex.Decode(k[:], []byte(d.Hex()))
	return k, err
}

func (m *memo) get(k memoKey) ([]byte, bool) {
	m.Lock()
	defer m.Unlock()
	if !m.tried {
		m.tried = true
		if f, err := os.Open(m.path); err == nil {
			_ = m.catchUp(f) // what cannot be read is absent
			f.Close()
		}
	}
	value, ok := m.values[k]
	return value, ok
}

func (m *memo) put(k memoKey, value []byte) (err error) {
	m.Lock()
	defer m.Unlock()
	f, err := os.OpenFile(m.path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := flock(f, unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", m.path, err)
	}
	m.tried = true
	if err := m.catchUp(f); err != nil {
		return err
	}
	if err := f.Truncate(m.size); err != nil {
		return err
	}
	record := appendMemo(nil, k, time.Now(), value)
	if _, err := f.WriteAt(record, m.size); err != nil {
		return err
	}
	m.size += int64(len(record))
	m.values[k] = record[memoHeader:]
	return nil
}

// catchUp reads what the file holds beyond what has been read, or all if it is another file now.
func (m *memo) catchUp(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if m.loaded == nil || !os.SameFile(m.loaded, info) || info.Size() < m.size {
		m.size = 0
	}
	m.loaded = info
	if info.Size() == m.size {
		return nil
	}
	data := make([]byte, info.Size()-m.size)
	n, err := f.ReadAt(data, m.size)
	if err != nil && err != io.EOF {
		return err
	}
	scan := scanMemos(data[:n], func(r memoRecord) { m.values[r.key] = r.value })
	m.size += int64(scan.end)
	return nil
}

type memoRecord struct {
	key   memoKey
	at    time.Time
	value []byte
}

// memoScan is what scanMemos came upon.
type memoScan struct {
	end     int // where the last record ends that could be told
	records int // good ones
	damaged int // whole ones with a wrong checksum
}

// scanMemos calls add for each good record, in order. It passes over a record with a damaged value,
// and ends at a damaged header or a torn record.
func scanMemos(data []byte, add func(memoRecord)) (s memoScan) {
	for len(data)-s.end >= memoHeader {
		head := data[s.end : s.end+memoHeader]
		length := int64(binary.LittleEndian.Uint32(head[4:]))
		if string(head[:4]) != memoMagic || checksum(head[:52]) != binary.LittleEndian.Uint32(head[52:]) || length > memoLimit {
			s.damaged++
			return s
		}
		next := int64(s.end) + memoHeader + length
		if next > int64(len(data)) {
			return s
		}
		value := data[s.end+memoHeader : next : next]
		s.end = int(next)
		if checksum(value) != binary.LittleEndian.Uint32(head[48:]) {
			s.damaged++
			continue
		}
		s.records++
		add(memoRecord{memoKey(head[16:48]), time.Unix(int64(binary.LittleEndian.Uint64(head[8:])), 0), value})
	}
	return s
}

func appendMemo(to []byte, k memoKey, at time.Time, value []byte) []byte {
	start := len(to)
	to = append(to, memoMagic...)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(value)))
	to = binary.LittleEndian.AppendUint64(to, uint64(at.Unix()))
	to = append(to, k[:]...)
	to = binary.LittleEndian.AppendUint32(to, checksum(value))
	to = binary.LittleEndian.AppendUint32(to, checksum(to[start:]))
	return append(to, value...)
}

func checksum(data []byte) uint32 {
	return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
}
