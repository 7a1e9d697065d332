package source

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	tarBlock  = 512
	tarRecord = 20 * tarBlock // what GNU tar pads an archive to
)

// writeTar writes dir's content as an archive whose names begin with prefix, in the GNU format and with
// the very bytes of
//
//	tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u+rwX,go=rX --mtime=@0 -c PREFIX
//
// where all files are plain: names and contents alone decide what comes out. Folders have mode 0755,
// files 0644. Anything but a file or a folder is an error.
//
// archive/tar cannot be told to leave the device fields empty as GNU tar does.
func writeTar(w io.Writer, dir, prefix string) error {
	out := &counter{w: bufio.NewWriterSize(w, 1<<20)}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(filepath.Join(prefix, rel))
		switch {
		case e.IsDir():
			return tarHeader(out, name+"/", '5', 0o755, 0)
		case e.Type().IsRegular():
			return tarFile(out, path, name)
		}
		return fmt.Errorf("%s: expected a file or a folder, found %s", path, e.Type())
	})
	if err != nil {
		return err
	}
	if err := zeros(out, 2*tarBlock); err != nil {
		return err
	}
	if err := zeros(out, (tarRecord-out.n%tarRecord)%tarRecord); err != nil {
		return err
	}
	return out.w.Flush()
}

// counter counts what is written.
type counter struct {
	w *bufio.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func zeros(w io.Writer, n int64) error {
	_, err := w.Write(make([]byte, n))
	return err
}

func tarFile(w io.Writer, path, name string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := tarHeader(w, name, '0', 0o644, info.Size()); err != nil {
		return err
	}
	n, err := io.Copy(w, file)
	if err == nil && n != info.Size() {
		err = fmt.Errorf("%s: its size changed while it was read", path)
	}
	if err != nil {
		return err
	}
	return zeros(w, (tarBlock-n%tarBlock)%tarBlock)
}

// tarHeader writes the header of a member, after an @LongLink member if the name does not fit.
func tarHeader(w io.Writer, name string, kind byte, mode, size int64) error {
	if len(name) > 100 {
		long := name + "\x00"
		if err := tarHeader(w, "././@LongLink", 'L', 0o644, int64(len(long))); err != nil {
			return err
		}
		if _, err := io.WriteString(w, long+strings.Repeat("\x00", (tarBlock-len(long)%tarBlock)%tarBlock)); err != nil {
			return err
		}
		name = name[:100]
	}
	if size >= 1<<33 {
		return fmt.Errorf("%s: expected less than 8 GiB, found %d bytes", name, size)
	}
	var h [tarBlock]byte
	copy(h[0:], name)
	copy(h[100:], fmt.Sprintf("%07o", mode))
	copy(h[108:], "0000000")
	copy(h[116:], "0000000")
	copy(h[124:], fmt.Sprintf("%011o", size))
	copy(h[136:], "00000000000")
	copy(h[148:], "        ")
	h[156] = kind
	copy(h[257:], "ustar  ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	_, err := w.Write(h[:])
	return err
}
