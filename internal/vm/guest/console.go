package guest

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// consoleLines is how much of the console an error shows.
const consoleLines = 60

// ends are what the console says when no check will ever begin, and what that means.
func ends() [][2]string {
	return [][2]string{
		{"starting Boot0001 \"EFI Internal Shell\"", "the firmware found nothing to boot"},
		{"starting Boot0002 \"EFI Internal Shell\"", "the firmware found nothing to boot"},
		{"Kernel panic - not syncing", "the kernel panicked"},
		{"Entering emergency mode", "the system went into emergency mode"},
		{"You are in emergency mode", "the system went into emergency mode"},
	}
}

// console keeps the end of the console and looks for what ends everything.
type console struct {
	to   io.Writer
	dead chan string // gets one reason; has room for it
	mu   sync.Mutex
	buf  []byte
	told bool
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := max(0, len(c.buf)-100) // a message may come in two pieces
	c.buf = append(c.buf, p...)
	for _, e := range ends() {
		if !c.told && c.dead != nil && bytes.Contains(c.buf[from:], []byte(e[0])) {
			c.told = true
			c.dead <- e[1]
		}
	}
	if len(c.buf) > 1<<17 {
		c.buf = bytes.Clone(c.buf[len(c.buf)-1<<16:])
	}
	if c.to != nil {
		return c.to.Write(p)
	}
	return len(p), nil
}

// text is the end of the console without what moves cursors and sets colours.
func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	plain := strings.ReplaceAll(stripEscapes(string(c.buf)), "\r", "")
	lines := strings.Split(strings.TrimRight(plain, "\n"), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-consoleLines):], "\n  ")
}
