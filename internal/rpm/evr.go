package rpm

import (
	"fmt"
	"strconv"
	"strings"

	knqyf "github.com/knqyf263/go-rpm-version"
)

// EVR is an epoch, a version and a release. A missing epoch is 0; a missing release is "", which
// only happens in dependencies (`foo >= 1.2`).
type EVR struct {
	Epoch   uint32
	Version string
	Release string
}

// ParseEVR reads `[epoch:]version[-release]` where rpm itself divides it: the epoch is the leading
// run of digits if a colon follows it, the release is what follows the last hyphen. Errors: an epoch
// that does not fit 32 bits, a hyphen with nothing after it.
func ParseEVR(s string) (EVR, error) {
	var e EVR
	rest := s
	digits := 0
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	if digits < len(s) && s[digits] == ':' {
		if digits > 0 {
			n, err := strconv.ParseUint(s[:digits], 10, 32)
			if err != nil {
				return EVR{}, fmt.Errorf("epoch of version %q: expected at most %d, found %s", s, uint32(1<<32-1), s[:digits])
			}
			e.Epoch = uint32(n)
		}
		rest = s[digits+1:]
	}
	e.Version = rest
	if i := strings.LastIndexByte(rest, '-'); i >= 0 {
		if e.Version, e.Release = rest[:i], rest[i+1:]; e.Release == "" {
			return EVR{}, fmt.Errorf("version %q: expected a release after the hyphen, found none", s)
		}
	}
	return e, nil
}

// String is `[epoch:]version[-release]`; an epoch of 0 is left out.
func (e EVR) String() string {
	s := e.Version
	if e.Epoch != 0 {
		s = strconv.FormatUint(uint64(e.Epoch), 10) + ":" + s
	}
	if e.Release != "" {
		s += "-" + e.Release
	}
	return s
}

// Compare orders two EVRs as rpm does (rpmvercmp on each part, `~` and `^` included): it is
// negative if a is older than b, 0 if they are equal in order, positive if a is newer. An EVR with
// a release is newer than the same one without.
func Compare(a, b EVR) int {
	if a.Epoch != b.Epoch {
		if a.Epoch < b.Epoch {
			return -1
		}
		return 1
	}
	if c := compareSegments(a.Version, b.Version); c != 0 {
		return c
	}
	switch {
	case a.Release == b.Release:
		return 0
	case a.Release == "":
		return -1
	case b.Release == "":
		return 1
	}
	return compareSegments(a.Release, b.Release)
}

// compareSegments is rpmvercmp of one part. The library takes whole EVRs only: an explicit epoch
// keeps it from looking for one, and a hyphen is a separator to rpmvercmp just as a dot is.
func compareSegments(a, b string) int {
	if a == b {
		return 0
	}
	whole := func(s string) knqyf.Version {
		return knqyf.NewVersion("0:" + strings.ReplaceAll(s, "-", "."))
	}
	return whole(a).Compare(whole(b))
}
