package rpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
)

// The types of a header's values (RPM file format 4, "Header Index").
const (
	typeNull       = 0
	typeChar       = 1
	typeInt8       = 2
	typeInt16      = 3
	typeInt32      = 4
	typeInt64      = 5
	typeString     = 6
	typeBin        = 7
	typeStringList = 8
	typeI18n       = 9
)

// The limits that rpm sets to a header, by which it tells one from garbage.
const (
	maxEntries = 0xffff
	maxStore   = 0x0fffffff
)

const introSize = 16

func headerMagic() []byte { return []byte{0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0} }

// value is the content of one tag: count values of one type, as they stand in the store.
type value struct {
	kind  uint32
	count uint32
	data  []byte
}

// blob is a header structure: the signature header or the main header. raw is all of it as it
// stands in the file, without the padding that follows a signature header.
type blob struct {
	raw  []byte
	tags map[uint32]value
}

// readBlob reads one header structure from r. Sizes are not trusted: memory grows with what r gives.
func readBlob(r io.Reader) (*blob, error) {
	var intro [introSize]byte
	if _, err := io.ReadFull(r, intro[:]); err != nil {
		return nil, fmt.Errorf("truncated before its index: %w", unexpected(err))
	}
	if !bytes.Equal(intro[:8], headerMagic()) {
		return nil, fmt.Errorf("expected the magic %x, found %x", headerMagic(), intro[:8])
	}
	entries := binary.BigEndian.Uint32(intro[8:])
	store := binary.BigEndian.Uint32(intro[12:])
	if entries == 0 || entries > maxEntries || store > maxStore {
		return nil, fmt.Errorf("expected 1 to %d entries and at most %d bytes, found %d and %d", maxEntries, maxStore, entries, store)
	}
	size := int64(entries)*16 + int64(store)
	var buf bytes.Buffer
	if size < 1<<20 {
		buf.Grow(introSize + int(size))
	}
	buf.Write(intro[:])
	if n, err := io.CopyN(&buf, r, size); err != nil {
		return nil, fmt.Errorf("truncated: expected %d bytes, found %d: %w", size, n, unexpected(err))
	}
	return parseBlob(buf.Bytes(), int(entries))
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func parseBlob(raw []byte, entries int) (*blob, error) {
	b := &blob{raw: raw, tags: make(map[uint32]value, entries)}
	index, store := raw[introSize:introSize+entries*16], raw[introSize+entries*16:]
	room := len(store)
	for ; len(index) > 0; index = index[16:] {
		tag := binary.BigEndian.Uint32(index)
		v := value{kind: binary.BigEndian.Uint32(index[4:]), count: binary.BigEndian.Uint32(index[12:])}
		offset := binary.BigEndian.Uint32(index[8:])
		if uint64(offset) > uint64(len(store)) {
			return nil, fmt.Errorf("tag %d: its offset %d is outside the %d bytes of data", tag, offset, len(store))
		}
		n, err := v.size(store[offset:])
		if err != nil {
			return nil, fmt.Errorf("tag %d: %w", tag, err)
		}
		// Values do not overlap; were they allowed to, a small file could make much work.
		if room -= n; room < 0 {
			return nil, fmt.Errorf("tag %d: its value overlaps others", tag)
		}
		v.data = store[offset : int(offset)+n]
		b.tags[tag] = v
	}
	return b, nil
}

// size is the number of bytes that v takes at the start of data.
func (v value) size(data []byte) (int, error) {
	var width uint64
	switch v.kind {
	case typeNull:
		return 0, nil
	case typeChar, typeInt8, typeBin:
		width = 1
	case typeInt16:
		width = 2
	case typeInt32:
		width = 4
	case typeInt64:
		width = 8
	case typeString, typeStringList, typeI18n:
		n := 0
		for range v.count {
			i := bytes.IndexByte(data[n:], 0)
			if i < 0 {
				return 0, errors.New("its text does not end")
			}
			n += i + 1
		}
		return n, nil
	default:
		return 0, fmt.Errorf("its type %d is unknown", v.kind)
	}
	if n := width * uint64(v.count); n <= uint64(len(data)) {
		return int(n), nil
	}
	return 0, fmt.Errorf("its %d values are truncated", v.count)
}

func (b *blob) has(tag uint32) bool { _, ok := b.tags[tag]; return ok }

// text is the first string of a tag, "" if there is none.
func (b *blob) text(tag uint32) string {
	v := b.tags[tag]
	switch v.kind {
	case typeString, typeStringList, typeI18n:
		if i := bytes.IndexByte(v.data, 0); i >= 0 {
			return string(v.data[:i])
		}
	}
	return ""
}

// texts are all strings of a tag.
func (b *blob) texts(tag uint32) []string {
	v := b.tags[tag]
	switch v.kind {
	case typeString, typeStringList, typeI18n:
	default:
		return nil
	}
	all := string(v.data) // one allocation; the strings share it
	out := make([]string, 0, v.count)
	for start, i := 0, 0; i < len(all); i++ {
		if all[i] == 0 {
			out = append(out, all[start:i])
			start = i + 1
		}
	}
	return out
}

// numbers are all values of a tag of any integer type.
func (b *blob) numbers(tag uint32) []uint64 {
	v := b.tags[tag]
	if v.kind < typeChar || v.kind > typeInt64 {
		return nil
	}
	out := make([]uint64, 0, v.count)
	for d := v.data; len(d) > 0; {
		switch v.kind {
		case typeChar, typeInt8:
			out, d = append(out, uint64(d[0])), d[1:]
		case typeInt16:
			out, d = append(out, uint64(binary.BigEndian.Uint16(d))), d[2:]
		case typeInt32:
			out, d = append(out, uint64(binary.BigEndian.Uint32(d))), d[4:]
		default:
			out, d = append(out, binary.BigEndian.Uint64(d)), d[8:]
		}
	}
	return out
}

// number is the first value of the first of the tags that is there, 0 if none is.
func (b *blob) number(tags ...uint32) uint64 {
	for _, tag := range tags {
		if n := b.numbers(tag); len(n) > 0 {
			return n[0]
		}
	}
	return 0
}

// bytesOf is the content of a binary tag.
func (b *blob) bytesOf(tag uint32) []byte {
	if v := b.tags[tag]; v.kind == typeBin {
		return v.data
	}
	return nil
}

// encodeBlob writes tags as one header structure whose region tag covers all of them, in the order
// of their numbers and with each value aligned to its type: the layout that rpm itself writes.
func encodeBlob(region uint32, tags map[uint32]value) []byte {
	order := make([]uint32, 0, len(tags))
	for tag := range tags {
		if tag != region {
			order = append(order, tag)
		}
	}
	sort.Slice(order, func(i, j int) bool { return order[i] < order[j] })

	var index, store []byte
	for _, tag := range order {
		v := tags[tag]
		for align := alignment(v.kind); len(store)%align != 0; {
			store = append(store, 0)
		}
		index = appendEntry(index, tag, v.kind, uint32(len(store)), v.count)
		store = append(store, v.data...)
	}
	entries := uint32(len(order) + 1)
	first := appendEntry(nil, region, typeBin, uint32(len(store)), 16)
	store = appendEntry(store, region, typeBin, -(entries * 16), 16)

	out := headerMagic()
	out = binary.BigEndian.AppendUint32(out, entries)
	out = binary.BigEndian.AppendUint32(out, uint32(len(store)))
	out = append(out, first...)
	out = append(out, index...)
	return append(out, store...)
}

func appendEntry(b []byte, tag, kind, offset, count uint32) []byte {
	for _, n := range []uint32{tag, kind, offset, count} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

func alignment(kind uint32) int {
	switch kind {
	case typeInt16:
		return 2
	case typeInt32:
		return 4
	case typeInt64:
		return 8
	}
	return 1
}
