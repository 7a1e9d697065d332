package rpmmd

import (
	"bufio"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The namespaces of rpm-md.
const (
	nsCommon    = "http://linux.duke.edu/metadata/common"
	nsFilelists = "http://linux.duke.edu/metadata/filelists"
	nsOther     = "http://linux.duke.edu/metadata/other"
	nsRepo      = "http://linux.duke.edu/metadata/repo"
	nsRPM       = "http://linux.duke.edu/metadata/rpm"
)

// xmlWriter writes XML. Errors stay in the bufio.Writer until it is flushed.
type xmlWriter struct {
	w *bufio.Writer
}

func (x xmlWriter) raw(parts ...string) {
	for _, s := range parts {
		x.w.WriteString(s)
	}
}

// open starts an element with attributes given as name, value, name, value…
func (x xmlWriter) open(name string, attrs ...string) {
	x.raw("<", name)
	x.attrs(attrs)
	x.raw(">")
}

func (x xmlWriter) close(name string) { x.raw("</", name, ">") }

// empty writes an element without content.
func (x xmlWriter) empty(name string, attrs ...string) {
	x.raw("<", name)
	x.attrs(attrs)
	x.raw("/>")
}

// text writes an element that holds only text.
func (x xmlWriter) text(name, content string, attrs ...string) {
	if content == "" {
		x.empty(name, attrs...)
		return
	}
	x.open(name, attrs...)
	x.escape(content, false)
	x.close(name)
}

func (x xmlWriter) attrs(attrs []string) {
	for i := 0; i+1 < len(attrs); i += 2 {
		x.raw(" ", attrs[i], `="`)
		x.escape(attrs[i+1], true)
		x.raw(`"`)
	}
}

// escape writes s so that a reader of XML gets it back. What XML 1.0 cannot hold is left out, and
// text that is not UTF-8 is taken for Latin-1, as createrepo_c does.
func (x xmlWriter) escape(s string, attr bool) {
	if !utf8.ValidString(s) {
		s = fromLatin1(s)
	}
	start := 0
	for i, r := range s {
		var with string
		switch {
		case r == '&':
			with = "&amp;"
		case r == '<':
			with = "&lt;"
		case r == '>':
			with = "&gt;"
		case r == '"' && attr:
			with = "&quot;"
		case r == '\r':
			with = "&#13;"
		case r == '\n' && attr:
			with = "&#10;"
		case r == '\t' && attr:
			with = "&#9;"
		case r < ' ' && r != '\n' && r != '\t', r == 0xfffe, r == 0xffff:
		default:
			continue
		}
		x.raw(s[start:i], with)
		start = i + utf8.RuneLen(r)
	}
	x.raw(s[start:])
}

func fromLatin1(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < 0x80 || c >= 0xc0 { // what is between are control characters
			b.WriteRune(rune(c))
		}
	}
	return b.String()
}

func itoa[T int | int64 | uint64](n T) string {
	if n >= 0 {
		return strconv.FormatUint(uint64(n), 10)
	}
	return strconv.FormatInt(int64(n), 10)
}
