package guest

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The guest reports in lines of words; names and output are base64:
//
//	ready
//	begin NAME
//	end NAME CODE OUTPUT
//	done
//
// The console is someone else's: nothing but reports comes over this port.

// event is one report.
type event struct {
	kind string // ready, begin, end, done; error if the channel failed
	name string
	code int
	text string
}

// maxLine is longer than any report that the runner makes.
const maxLine = 1 << 17

// readEvents calls do for every report until it returns false or the input ends.
func readEvents(r io.Reader, do func(event) bool) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxLine)
	for sc.Scan() {
		e, err := parseEvent(sc.Text())
		if err != nil {
			return err
		}
		if !do(e) {
			return nil
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("reading the guest's reports: %w", err)
	}
	return nil
}

func parseEvent(line string) (event, error) {
	words := strings.Fields(line)
	bad := func() (event, error) {
		return event{}, fmt.Errorf("the guest's report %q cannot be understood", line[:min(len(line), 80)])
	}
	if len(words) == 0 {
		return bad()
	}
	e := event{kind: words[0]}
	n := map[string]int{"ready": 1, "begin": 2, "end": 4, "done": 1}[e.kind]
	if len(words) != n && !(e.kind == "end" && len(words) == 3) { // a check may print nothing
		return bad()
	}
	if n == 1 {
		return e, nil
	}
	name, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		return bad()
	}
	e.name = string(name)
	if n == 2 {
		return e, nil
	}
	if e.code, err = strconv.Atoi(words[2]); err != nil {
		return bad()
	}
	if len(words) == 4 {
		text, err := base64.StdEncoding.DecodeString(words[3])
		if err != nil {
			return bad()
		}
		e.text = string(text)
	}
	return e, nil
}

// stripEscapes removes terminal control sequences (ECMA-48 CSI, OSC and two-byte escapes).
func stripEscapes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != 0x1b {
			b.WriteByte(s[i])
			continue
		}
		if i++; i >= len(s) {
			break
		}
		switch s[i] {
		case '[':
			for i++; i < len(s) && (s[i] < 0x40 || s[i] > 0x7e); i++ {
			}
		case ']', 'P', '_', '^': // up to BEL or ESC \
			for i++; i < len(s) && s[i] != 0x07 && s[i] != 0x1b; i++ {
			}
			if i+1 < len(s) && s[i] == 0x1b && s[i+1] == '\\' {
				i++
			}
		}
	}
	return b.String()
}
