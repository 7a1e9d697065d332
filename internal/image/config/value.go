package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
)

// Size is a number of bytes, written as a whole number with the unit K, M, G or T (powers of
// 1024); 0 if it was not given.
type Size int64

// PartitionSize is a Size or "grow", which is Grow.
type PartitionSize int64

// Grow is the size of a partition that takes what is left, or what it needs.
const Grow PartitionSize = -1

// Permissions are the lower 12 bits of a file's mode; 0 if not given.
type Permissions uint32

var sizePattern = regexp.MustCompile(`^([0-9]+)([KMGT])$`)

// ParseSize reads "512M".
func ParseSize(s string) (Size, error) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is no size: expected a whole number and a unit, K, M, G or T, such as 512M", s)
	}
	shift := map[string]uint{"K": 10, "M": 20, "G": 30, "T": 40}[m[2]]
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is too large a size", s)
	}
	return Size(n << shift), nil
}

func (s Size) String() string {
	for _, u := range []struct {
		name  string
		shift uint
	}{{"T", 40}, {"G", 30}, {"M", 20}, {"K", 10}} {
		if s != 0 && s%(1<<u.shift) == 0 {
			return strconv.FormatInt(int64(s>>u.shift), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *PartitionSize) UnmarshalText(text []byte) error {
	if string(text) == "grow" {
		*s = Grow
		return nil
	}
	size, err := ParseSize(string(text))
	if err == nil && size == 0 {
		err = fmt.Errorf("a partition cannot be empty")
	}
	*s = PartitionSize(size)
	return err
}

// UnmarshalText implements encoding.TextUnmarshaler. 644 and "0644" are the same: the digits are octal.
func (p *Permissions) UnmarshalText(text []byte) error {
	v, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || v > 0o7777 {
		return fmt.Errorf("%q are no permissions: expected three or four octal digits, such as \"644\"", text)
	}
	*p = Permissions(v)
	return nil
}

// FromScalar implements yamlfile.Scalar; "/efi" is short for {path: /efi}.
func (m *MountPoint) FromScalar(text string) error {
	m.Path = text
	return nil
}
