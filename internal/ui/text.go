package ui

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
)

var userinfo = regexp.MustCompile(`://[^/\s]+@`)

// Redact hides who URLs in a text log in as, and with what password: others may read messages and
// results.
func Redact(text string) string { return userinfo.ReplaceAllString(text, "://xxxxx@") }

// clean is one line of text as it can be shown anywhere: without escape sequences, control
// characters and marks that change the direction of writing. Of a line that overwrites itself with
// carriage returns only the last state is kept.
func clean(line string) string {
	line = strings.TrimRight(line, "\r\n")
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	var b strings.Builder
	for rest := strings.ToValidUTF8(line, "\uFFFD"); rest != ""; {
		if rest[0] == '\x1b' {
			rest = rest[escapeLength(rest):]
			continue
		}
		var r rune
		for _, r = range rest {
			break
		}
		rest = rest[len(string(r)):]
		switch {
		case r == '\t':
			b.WriteString("    ")
		case r == '\u2028' || r == '\u2029' || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// escapeLength is the length of the escape sequence that s begins with (ECMA-48: CSI to its final
// byte, OSC and the other strings to their terminator, else ESC and one more).
func escapeLength(s string) int {
	if len(s) < 2 {
		return len(s)
	}
	switch s[1] {
	case '[':
		for i := 2; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
		}
		return len(s)
	case ']', 'P', 'X', '^', '_':
		for i := 2; i < len(s); i++ {
			if s[i] == '\a' {
				return i + 1
			}
			if s[i] == '\x1b' {
				return min(i+2, len(s))
			}
		}
		return len(s)
	}
	if s[1] >= 0x80 {
		return 1
	}
	return 2
}

// lines are the clean lines of a message, without empty ones at its end.
func lines(message string) []string {
	all := strings.Split(strings.TrimRight(message, "\r\n"), "\n")
	for i := range all {
		all[i] = clean(all[i])
	}
	return all
}

// short is a duration for people: 0.4s, 12.3s, 4m10s, 1h02m.
func short(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute-50*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour-500*time.Millisecond:
		s := int(d.Round(time.Second) / time.Second)
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	m := int(d.Round(time.Minute) / time.Minute)
	return fmt.Sprintf("%dh%02dm", m/60, m%60)
}

// whole is short without fractions of a second, for times that run.
func whole(d time.Duration) string {
	if d = max(d, 0).Truncate(time.Second); d < time.Minute {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return short(d)
}

// amount is how far something is: bytes, in decimal units, or steps.
func amount(done, total int64) string {
	if max(done, total) < 64<<10 {
		if total > 0 {
			return fmt.Sprintf("%d of %d", done, total)
		}
		return fmt.Sprint(done)
	}
	if total > 0 {
		return size(done) + " of " + size(total)
	}
	return size(done)
}

func size(n int64) string {
	v := float64(n) / 1e3
	for _, unit := range []string{"kB", "MB", "GB"} {
		if v < 999.95 {
			return fmt.Sprintf("%.1f %s", v, unit)
		}
		v /= 1e3
	}
	return fmt.Sprintf("%.1f TB", v)
}

// fit cuts text to so many columns; every character is taken to be one wide.
func fit(text string, columns int) string {
	r := []rune(text)
	if len(r) <= columns {
		return text
	}
	if columns < 3 {
		return string(r[:max(columns, 0)])
	}
	return string(r[:columns-2]) + ".."
}
