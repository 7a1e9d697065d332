package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// statusError is a server's answer that is no file.
type statusError struct {
	url  string
	code int
	wait time.Duration // what the server asks to wait, 0 if it does not
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: %d %s", e.url, e.code, http.StatusText(e.code))
}

// gone says whether the server says that it does not have the file, rather than that it has trouble.
func gone(err error) bool {
	var status *statusError
	return errors.As(err, &status) && (status.code == http.StatusNotFound || status.code == http.StatusGone)
}

// passing says whether trying again may help.
func passing(err error) bool {
	var status *statusError
	if !errors.As(err, &status) {
		var local *os.PathError
		var certificate *tls.CertificateVerificationError
		var name *net.DNSError
		if errors.As(err, &local) || errors.As(err, &certificate) || errors.As(err, &name) && name.IsNotFound {
			return false
		}
		return true // everything else is the network
	}
	switch status.code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status.code >= 500 && status.code != http.StatusNotImplemented && status.code != http.StatusHTTPVersionNotSupported
}

// transfer is one file on its way from a URL to a path. What is at path already is the file's
// beginning; the caller vouches for that, or removes it.
type transfer struct {
	url      string
	path     string
	progress func(done, total int64)
	// validator is the ETag or date of what is at path; used if sure is false.
	validator string
	// sure says that the whole file's digest will be checked, so that a part may be completed from
	// anywhere.
	sure    bool
	resumed bool // something that an earlier request brought is in the file
	total   int64
}

// download runs a transfer until the file is complete, with further attempts after passing troubles.
// One that brings the file forward begins the count anew.
func (f *Fetcher) download(ctx context.Context, t *transfer) error {
	best := t.have()
	for attempt := 1; ; attempt++ {
		err := f.attempt(ctx, t)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if have := t.have(); have > best {
			best, attempt = have, 1
		}
		if !passing(err) {
			return err
		}
		if attempt >= f.attempts {
			return fmt.Errorf("%w (%d attempts; what came is kept, a further run goes on from there)", err, attempt)
		}
		pause := f.pause << (attempt - 1)
		if status := (*statusError)(nil); errors.As(err, &status) && status.wait > pause {
			pause = min(status.wait, time.Minute)
		}
		if err := f.wait(ctx, pause); err != nil {
			return err
		}
	}
}

func (t *transfer) have() int64 {
	info, err := os.Stat(t.path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// attempt makes one request for what is missing, and writes what comes.
func (f *Fetcher) attempt(ctx context.Context, t *transfer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(f.Stall, func() {
		cancel(fmt.Errorf("%s: nothing came for %s", t.url, f.Stall))
	})
	defer silence.Stop()

	have := t.have()
	if have > 0 && !t.sure && t.validator == "" {
		have = 0
	}
	resp, err := f.request(ctx, t, have)
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		have = 0
	case http.StatusPartialContent:
		start, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || start != have {
			return errors.Join(fmt.Errorf("%s: asked for what follows byte %d, got %q", t.url, have, resp.Header.Get("Content-Range")), os.Remove(t.path))
		}
		t.total = total
	case http.StatusRequestedRangeNotSatisfiable:
		if _, total, ok := contentRange(resp.Header.Get("Content-Range")); ok && total == have && have > 0 {
			t.resumed = true
			return nil // the file was complete
		}
		return errors.Join(fmt.Errorf("%s: the file has changed", t.url), os.Remove(t.path))
	default:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return &statusError{url: t.url, code: resp.StatusCode, wait: time.Duration(seconds) * time.Second}
	}
	if have == 0 {
		t.total = resp.ContentLength
		t.validator = validatorOf(resp.Header)
	}
	t.resumed = have > 0
	return t.write(have, &reader{resp.Body, func() { silence.Reset(f.Stall) }}, func(err error) error { return cause(ctx, err) })
}

func (f *Fetcher) request(ctx context.Context, t *transfer, have int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity") // a .gz is to arrive as it is
	req.Header.Set("User-Agent", "mariner")
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		if !t.sure {
			req.Header.Set("If-Range", t.validator)
		}
	}
	return f.client.Do(req)
}

// write appends body to the file, of which the first have bytes are kept.
func (t *transfer) write(have int64, body io.Reader, because func(error) error) error {
	file, err := os.OpenFile(t.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(have); err != nil {
		return err
	}
	if _, err := file.Seek(have, io.SeekStart); err != nil {
		return err
	}
	done := have
	buffer := make([]byte, 128<<10)
	for {
		n, readErr := body.Read(buffer)
		if n > 0 {
			if _, err := file.Write(buffer[:n]); err != nil {
				return err
			}
			done += int64(n)
			t.progress(done, max(t.total, 0))
		}
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			if errors.Is(readErr, io.ErrUnexpectedEOF) && t.total > 0 {
				readErr = fmt.Errorf("truncated: expected %d bytes, found %d: %w", t.total, done, readErr)
			}
			return because(fmt.Errorf("%s: %w", t.url, readErr))
		}
	}
	if t.total > 0 && done != t.total {
		return fmt.Errorf("%s: truncated: expected %d bytes, found %d", t.url, t.total, done)
	}
	return file.Close()
}

// reader tells of each read that brought something.
type reader struct {
	io.Reader
	came func()
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.came()
	}
	return n, err
}

// cause is why ctx ended, if it did, else err.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// validatorOf is what If-Range takes (RFC 9110, 13.1.5): a strong ETag, or a date.
func validatorOf(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return h.Get("Last-Modified")
}

// contentRange reads a Content-Range header (RFC 9110, 14.4): "bytes 5-9/10" or "bytes */10". total is
// -1 if the server does not know it.
func contentRange(text string) (start, total int64, ok bool) {
	part, size, found := strings.Cut(strings.TrimPrefix(text, "bytes "), "/")
	if !found || !strings.HasPrefix(text, "bytes ") {
		return 0, 0, false
	}
	total = -1
	var err error
	if size != "*" {
		if total, err = strconv.ParseInt(size, 10, 64); err != nil || total < 0 {
			return 0, 0, false
		}
	}
	if part == "*" {
		return 0, total, true
	}
	first, _, found := strings.Cut(part, "-")
	start, err = strconv.ParseInt(first, 10, 64)
	return start, total, found && err == nil && start >= 0
}
