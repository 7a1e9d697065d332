package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mariner/internal/fault"
	"mariner/internal/store"
	"mariner/internal/ui"
)

// content is the file that the tests' server has; long enough to be cut.
func content() []byte { return bytes.Repeat([]byte("mariner sails far and wide\n"), 40_000) }

func sum256(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

func sum512(data []byte) string {
	h := sha512.Sum512(data)
	return hex.EncodeToString(h[:])
}

// bench is a store, a spec folder and a fetcher that does not wait between attempts.
type bench struct {
	*Fetcher
	dir    string
	events *events
	waits  atomic.Int32
}

type events struct {
	sync.Mutex
	list []ui.Event
}

func (e *events) Emit(event ui.Event) {
	e.Lock()
	defer e.Unlock()
	e.list = append(e.list, event)
}

func (e *events) has(kind ui.Type, text string) bool {
	e.Lock()
	defer e.Unlock()
	for _, event := range e.list {
		if event.Type == kind && strings.Contains(event.Message, text) {
			return true
		}
	}
	return false
}

func newBench(t *testing.T, o Options) *bench {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{dir: filepath.Join(t.TempDir(), "zlib"), events: &events{}}
	if err := os.Mkdir(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	o.Sink = b.events
	b.Fetcher = New(s, o)
	b.wait = func(ctx context.Context, _ time.Duration) error {
		b.waits.Add(1)
		return ctx.Err()
	}
	t.Cleanup(b.client.CloseIdleConnections)
	return b
}

func (b *bench) ref(url string) Ref {
	return Ref{Package: "zlib", SpecFile: "SPECS/zlib/zlib.spec", Line: 7, URL: url}
}

func (b *bench) sigs(t *testing.T, sums map[string]string) Signatures {
	t.Helper()
	if err := writeSignatures(SignaturesFile(b.dir), sums); err != nil {
		t.Fatal(err)
	}
	s, err := ReadSignatures(SignaturesFile(b.dir))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// holds checks that the store has data under the digest that a fetch gave, and nothing unfinished.
func (b *bench) holds(t *testing.T, d store.Digest, data []byte) {
	t.Helper()
	have, err := b.store.Read(d)
	if err != nil || !bytes.Equal(have, data) {
		t.Errorf("expected the file in the store, found %d bytes, %v", len(have), err)
	}
	if left, _ := os.ReadDir(filepath.Join(b.store.Dir(), "partial")); len(left) > 0 {
		t.Errorf("an unfinished file was left: %s", left[0].Name())
	}
}

// server serves content at /zlib.tar.gz in several ways, and counts requests.
type server struct {
	*httptest.Server
	requests atomic.Int32
	ranges   atomic.Int32
}

func serve(t *testing.T, handle func(s *server, n int, w http.ResponseWriter, r *http.Request)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(s.requests.Add(1))
		if r.Header.Get("Range") != "" {
			s.ranges.Add(1)
		}
		handle(s, n, w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func whole(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"v1"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content()))
}

// cut promises the whole file and breaks off after n bytes.
func cut(w http.ResponseWriter, n int) {
	w.Header().Set("ETag", `"v1"`)
	w.Header().Set("Content-Length", fmt.Sprint(len(content())))
	w.Write(content()[:n])
	panic(http.ErrAbortHandler) // how net/http is told to break the connection
}

func TestDownloads(t *testing.T) {
	cases := []struct {
		name     string
		handle   func(s *server, n int, w http.ResponseWriter, r *http.Request)
		wrong    string // in the error
		requests int32
		ranges   int32
	}{
		{"at once", func(_ *server, _ int, w http.ResponseWriter, r *http.Request) { whole(w, r) }, "", 1, 0},
		{"resumed", func(_ *server, n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				cut(w, 300_000)
			}
			whole(w, r)
		}, "", 2, 1},
		{"no ranges", func(_ *server, n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				cut(w, 300_000)
			}
			r.Header.Del("Range")
			whole(w, r)
		}, "", 2, 1},
		{"busy, then well", func(_ *server, n int, w http.ResponseWriter, r *http.Request) {
			if n < 4 {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader([]int{503, 429, 500}[n-1])
				return
			}
			whole(w, r)
		}, "", 4, 0},
		{
			"always busy", func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
			"zlib.tar.gz: 503 Service Unavailable (5 attempts", 5, 0,
		},
		{
			"not found", func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
			"404 Not Found: mend the URL in the spec, or name a mirror", 1, 0,
		},
		{"forbidden", func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, "403 Forbidden", 1, 0},
		{
			"always truncated", func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) { cut(w, 300_000) },
			fmt.Sprintf("truncated: expected %d bytes, found 300000", len(content())), 5, 4,
		},
		{
			"another file", func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>moved</html>")) },
			"wrong digest: expected sha256 " + sum256(content()), 1, 0,
		},
		{"another file's end", func(_ *server, n int, w http.ResponseWriter, r *http.Request) {
			switch n {
			case 1:
				w.Header().Set("Content-Length", fmt.Sprint(len(content())))
				w.Write(bytes.Repeat([]byte("x"), 5000)) // does not belong to the file
				panic(http.ErrAbortHandler)
			default:
				whole(w, r)
			}
		}, "", 3, 1},
		{"nonsense for a range", func(_ *server, n int, w http.ResponseWriter, r *http.Request) {
			switch n {
			case 1:
				cut(w, 300_000)
			case 2:
				w.Header().Set("Content-Range", "bytes 5-9/10")
				w.WriteHeader(206)
			default:
				whole(w, r)
			}
		}, "", 3, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.handle)
			b := newBench(t, Options{})
			sigs := b.sigs(t, map[string]string{"zlib.tar.gz": sum256(content())})
			got, err := b.Fetch(t.Context(), b.dir, sigs, []Ref{b.ref(s.URL + "/zlib.tar.gz")})
			if s.requests.Load() != c.requests || s.ranges.Load() != c.ranges {
				t.Errorf("expected %d requests, %d for a range, found %d and %d", c.requests, c.ranges, s.requests.Load(), s.ranges.Load())
			}
			if c.wrong == "" {
				if err != nil {
					t.Fatal(err)
				}
				b.holds(t, got["zlib.tar.gz"], content())
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.wrong) || !strings.HasPrefix(err.Error(), "SPECS/zlib/zlib.spec:7: zlib.tar.gz: ") {
				t.Errorf("expected %q with place and file, found %v", c.wrong, err)
			}
			if fault.KindOf(err) != fault.Source {
				t.Errorf("expected a source error, found %v", fault.KindOf(err))
			}
			if b.store.Has(store.Digest("sha256:" + sum256(content()))) {
				t.Error("the file is in the store although the fetch failed")
			}
			if !b.events.has(ui.Failed, c.wrong) {
				t.Error("expected an event of the failure")
			}
		})
	}
}

func TestErrorNamesExpectedAndFound(t *testing.T) {
	s := serve(t, func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) { w.Write([]byte("other")) })
	b := newBench(t, Options{})
	sigs := b.sigs(t, map[string]string{"zlib.tar.gz": sum512(content())})
	_, err := b.Fetch(t.Context(), b.dir, sigs, []Ref{b.ref(s.URL + "/zlib.tar.gz")})
	for _, want := range []string{
		"SPECS/zlib/zlib.spec:7: zlib.tar.gz: wrong digest", sum512(content()), sum512([]byte("other")), "zlib.signatures.json:3", "(5 bytes)", s.URL + "/zlib.tar.gz",
		"`mariner source update zlib`",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("expected %q in the error, found %v", want, err)
		}
	}
}

func TestResumeInTheNextRun(t *testing.T) {
	good := false
	s := serve(t, func(_ *server, _ int, w http.ResponseWriter, r *http.Request) {
		if !good {
			cut(w, 300_000)
		}
		if want := "bytes=300000-"; r.Header.Get("Range") != want {
			t.Errorf("expected %s, found %s", want, r.Header.Get("Range"))
		}
		whole(w, r)
	})
	b := newBench(t, Options{})
	sigs := b.sigs(t, map[string]string{"zlib.tar.gz": sum256(content())})
	refs := []Ref{b.ref(s.URL + "/zlib.tar.gz")}
	if _, err := b.Fetch(t.Context(), b.dir, sigs, refs); err == nil || !strings.Contains(err.Error(), "what came is kept") {
		t.Fatalf("expected a truncated download, found %v", err)
	}
	good = true
	got, err := New(b.store, Options{}).Fetch(t.Context(), b.dir, sigs, refs)
	if err != nil {
		t.Fatal(err)
	}
	b.holds(t, got["zlib.tar.gz"], content())
}

// A process can be killed between the last byte and the renaming.
func TestCompletePartIsTaken(t *testing.T) {
	s := serve(t, func(_ *server, _ int, w http.ResponseWriter, r *http.Request) { whole(w, r) })
	b := newBench(t, Options{})
	if err := os.WriteFile(b.store.Partial("sha256-"+sum256(content())), content(), 0o600); err != nil {
		t.Fatal(err)
	}
	sigs := b.sigs(t, map[string]string{"zlib.tar.gz": sum256(content())})
	got, err := b.Fetch(t.Context(), b.dir, sigs, []Ref{b.ref(s.URL + "/zlib.tar.gz")})
	if err != nil {
		t.Fatal(err)
	}
	b.holds(t, got["zlib.tar.gz"], content())
	if s.requests.Load() != 1 || s.ranges.Load() != 1 {
		t.Errorf("expected one request for what follows the end, found %d", s.requests.Load())
	}
}

func TestStall(t *testing.T) {
	s := serve(t, func(_ *server, n int, w http.ResponseWriter, r *http.Request) {
		if n > 1 {
			whole(w, r)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content())))
		w.Write(content()[:1000])
		w.(http.Flusher).Flush()
		<-r.Context().Done() // says nothing more until the client leaves
	})
	b := newBench(t, Options{Stall: 50 * time.Millisecond})
	sigs := b.sigs(t, map[string]string{"zlib.tar.gz": sum256(content())})
	got, err := b.Fetch(t.Context(), b.dir, sigs, []Ref{b.ref(s.URL + "/zlib.tar.gz")})
	if err != nil {
		t.Fatal(err)
	}
	b.holds(t, got["zlib.tar.gz"], content())
	if b.waits.Load() != 1 {
		t.Errorf("expected one pause, found %d", b.waits.Load())
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, func(_ *server, _ int, w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	b := newBench(t, Options{})
	sigs := b.sigs(t, map[string]string{"zlib.tar.gz": sum256(content())})
	if _, err := b.Fetch(ctx, b.dir, sigs, []Ref{b.ref(s.URL + "/zlib.tar.gz")}); !errors.Is(err, context.Canceled) {
		t.Errorf("expected that it was cancelled, found %v", err)
	}
}

func TestMirrors(t *testing.T) {
	want := "/by-digest/sha256/" + sum256(content())
	mirror := serve(t, func(_ *server, _ int, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != want {
			t.Errorf("expected %s, found %s", want, r.URL.Path)
		}
		whole(w, r)
	})
	empty := serve(t, func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	bad := serve(t, func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) { w.Write([]byte("bad")) })
	origin := serve(t, func(_ *server, _ int, w http.ResponseWriter, r *http.Request) { whole(w, r) })
	cases := []struct {
		name    string
		mirrors []string
		origin  int32
		warning string
	}{
		{"the mirror has it", []string{mirror.URL + "/by-digest/"}, 0, ""},
		{"the second has it", []string{empty.URL, mirror.URL + "/by-digest"}, 0, ""},
		{"none has it", []string{empty.URL}, 1, ""},
		{"a bad one", []string{bad.URL}, 1, "mirror passed over"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			origin.requests.Store(0)
			b := newBench(t, Options{Mirrors: c.mirrors})
			sigs := b.sigs(t, map[string]string{"zlib.tar.gz": sum256(content())})
			got, err := b.Fetch(t.Context(), b.dir, sigs, []Ref{b.ref(origin.URL + "/zlib.tar.gz")})
			if err != nil {
				t.Fatal(err)
			}
			b.holds(t, got["zlib.tar.gz"], content())
			if origin.requests.Load() != c.origin {
				t.Errorf("expected %d requests at the origin, found %d", c.origin, origin.requests.Load())
			}
			if b.events.has(ui.Warning, "mirror passed over") != (c.warning != "") {
				t.Errorf("expected a warning: %v", c.warning != "")
			}
		})
	}
}

func TestStoreAndOffline(t *testing.T) {
	s := serve(t, func(_ *server, _ int, w http.ResponseWriter, r *http.Request) { whole(w, r) })
	for name, sum := range map[string]string{"sha256": sum256(content()), "sha512": sum512(content())} {
		t.Run(name, func(t *testing.T) {
			s.requests.Store(0)
			b := newBench(t, Options{})
			sigs := b.sigs(t, map[string]string{"zlib.tar.gz": sum})
			refs := []Ref{b.ref(s.URL + "/zlib.tar.gz")}
			b.Offline = true
			if _, err := b.Fetch(t.Context(), b.dir, sigs, refs); err == nil || !strings.Contains(err.Error(), "--offline") {
				t.Errorf("expected an error that names --offline, found %v", err)
			}
			b.Offline = false
			if _, err := b.Fetch(t.Context(), b.dir, sigs, refs); err != nil {
				t.Fatal(err)
			}
			b.Offline = true
			got, err := b.Fetch(t.Context(), b.dir, sigs, refs)
			if err != nil {
				t.Fatal(err)
			}
			b.holds(t, got["zlib.tar.gz"], content())
			if s.requests.Load() != 1 {
				t.Errorf("expected one request, found %d", s.requests.Load())
			}
		})
	}
}

func TestDamagedFileIsFetchedAgain(t *testing.T) {
	s := serve(t, func(_ *server, _ int, w http.ResponseWriter, r *http.Request) { whole(w, r) })
	b := newBench(t, Options{})
	sigs := b.sigs(t, map[string]string{"zlib.tar.gz": sum256(content())})
	refs := []Ref{b.ref(s.URL + "/zlib.tar.gz")}
	got, err := b.Fetch(t.Context(), b.dir, sigs, refs)
	if err != nil {
		t.Fatal(err)
	}
	path, err := b.store.File(got["zlib.tar.gz"])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Fetch(t.Context(), b.dir, sigs, refs); err != nil {
		t.Fatal(err)
	}
	b.holds(t, got["zlib.tar.gz"], content())
}

func TestLocalAndFile(t *testing.T) {
	b := newBench(t, Options{})
	outside := filepath.Join(t.TempDir(), "outside.tar")
	for path, data := range map[string]string{filepath.Join(b.dir, "LICENSE"): "free", filepath.Join(b.dir, "own.tar"): "own", outside: "outside"} {
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sum := func(text string) string { return sum256([]byte(text)) }
	cases := []struct {
		name, url string
		sums      map[string]string
		want      string // the content, or part of the error
	}{
		{"local", "LICENSE", nil, "free"},
		{"local, with digest", "LICENSE", map[string]string{"LICENSE": sum("free")}, "free"},
		{"local, wrong digest", "LICENSE", map[string]string{"LICENSE": sum("else")}, "wrong digest: expected sha256 " + sum("else")},
		{"local before a URL", "https://host.invalid/x/own.tar", nil, "own"},
		{"not there", "NOTICE", nil, "there is no such file in"},
		{"file", "file:" + outside, map[string]string{"outside.tar": sum("outside")}, "outside"},
		{"file URL", "file://" + outside, map[string]string{"outside.tar": sum("outside")}, "outside"},
		{"file, relative", "file:../zlib/own.tar#/other.tar", map[string]string{"other.tar": sum("own")}, "own"},
		{"file, no digest", "file:" + outside, nil, "zlib.signatures.json has no digest for it: run `mariner source update zlib`"},
		{"file, wrong digest", "file:" + outside, map[string]string{"outside.tar": sum("else")}, "wrong digest"},
		{"unknown scheme", "ftp://host.invalid/a.tar", nil, "cannot fetch ftp://host.invalid/a.tar: known are"},
		{"no name", "https://host.invalid/..", nil, "expected a URL that ends in a file's name"},
		{"bad apt", "apt:trixie/a.tar", nil, "expected apt:SUITE/SOURCE/FILE"},
		{"bad gomod", "gomod:example.com/a@v1#/a.tar", nil, "expected a whole version"},
		{"gomod without name", "gomod:example.com/a@v1.0.0", nil, "expected gomod:MODULE@VERSION#/NAME-VERSION.tar"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := b.ref(c.url)
			got, err := b.Fetch(t.Context(), b.dir, b.sigs(t, c.sums), []Ref{r})
			if err != nil {
				if !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != fault.Source {
					t.Errorf("expected %q, found %v", c.want, err)
				}
				return
			}
			b.holds(t, got[FileName(c.url)], []byte(c.want))
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	b := newBench(t, Options{})
	_, err := b.Fetch(t.Context(), b.dir, Signatures{file: "zlib.signatures.json"},
		[]Ref{b.ref("https://host.invalid/a.tar"), b.ref("https://host.invalid/b.tar"), b.ref("https://host.invalid/a.tar")})
	if err == nil || strings.Count(err.Error(), "a.tar: ") != 1 || strings.Count(err.Error(), "b.tar: ") != 1 {
		t.Errorf("expected each file once, found %v", err)
	}
	_, err = b.Fetch(t.Context(), b.dir, Signatures{}, []Ref{b.ref("https://host.invalid/a.tar"), b.ref("https://other.invalid/a.tar")})
	if err == nil || !strings.Contains(err.Error(), "gives another file that name") {
		t.Errorf("expected an error about the name, found %v", err)
	}
	s := serve(t, func(_ *server, _ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	sum := sum256(content())
	other := sum256([]byte("other"))
	_, err = b.Fetch(t.Context(), b.dir, b.sigs(t, map[string]string{"a.tar": sum, "b.tar": other}), []Ref{b.ref(s.URL + "/a.tar"), b.ref(s.URL + "/b.tar")})
	if err == nil || !strings.Contains(err.Error(), "/a.tar: 404") || !strings.Contains(err.Error(), "/b.tar: 404") {
		t.Errorf("expected both failures, found %v", err)
	}
}

func TestUpdate(t *testing.T) {
	text := "first"
	s := serve(t, func(_ *server, n int, w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "broken.tar") {
			w.WriteHeader(404)
			return
		}
		io.WriteString(w, text)
	})
	b := newBench(t, Options{})
	if err := os.WriteFile(filepath.Join(b.dir, "LICENSE"), []byte("free"), 0o644); err != nil {
		t.Fatal(err)
	}
	refs := []Ref{b.ref(s.URL + "/z.tar"), b.ref(s.URL + "/a.tar"), b.ref("LICENSE")}
	file := SignaturesFile(b.dir)
	want := func(sum string) {
		t.Helper()
		data, err := os.ReadFile(file)
		expected := "{\n  \"Signatures\": {\n    \"a.tar\": \"" + sum + "\",\n    \"z.tar\": \"" + sum + "\"\n  }\n}\n"
		if err != nil || string(data) != expected {
			t.Errorf("expected %s, found %s, %v", expected, data, err)
		}
	}
	if err := b.Update(t.Context(), b.dir, refs); err != nil {
		t.Fatal(err)
	}
	want(sum256([]byte("first")))
	text = "second"
	if err := b.Update(t.Context(), b.dir, append(refs, b.ref(s.URL+"/broken.tar"))); err == nil {
		t.Error("expected an error of the broken file")
	}
	want(sum256([]byte("first"))) // nothing is written after a failure
	if err := b.Update(t.Context(), b.dir, refs); err != nil {
		t.Fatal(err)
	}
	want(sum256([]byte("second")))
	if !b.events.has(ui.Warning, "another file than before under the same name") {
		t.Error("expected a warning that the file has changed")
	}
	sigs, err := ReadSignatures(file)
	if err != nil {
		t.Fatal(err)
	}
	b.Offline = true // all is in the store
	if _, err := b.Fetch(t.Context(), b.dir, sigs, refs); err != nil {
		t.Error(err)
	}
	if err := b.Update(t.Context(), b.dir, refs); err == nil || !strings.Contains(err.Error(), "--offline") {
		t.Errorf("expected an error that names --offline, found %v", err)
	}
	if err := b.Update(t.Context(), b.dir, refs[2:]); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("expected that the file is gone when nothing needs it, found %v", err)
	}
}

// Without a digest to check, a download goes on only if the server says that it is the same file.
func TestUpdateResumesTheSameFileOnly(t *testing.T) {
	s := serve(t, func(_ *server, n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			cut(w, 300_000)
		}
		if r.Header.Get("If-Range") != `"v1"` {
			t.Errorf("expected If-Range, found %q", r.Header.Get("If-Range"))
		}
		w.Header().Set("ETag", `"v2"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("another file"))
	})
	b := newBench(t, Options{})
	if err := b.Update(t.Context(), b.dir, []Ref{b.ref(s.URL + "/z.tar")}); err != nil {
		t.Fatal(err)
	}
	sigs, _ := ReadSignatures(SignaturesFile(b.dir))
	if sum, _ := sigs.Of("z.tar"); sum.Hex != sum256([]byte("another file")) {
		t.Errorf("found %v", sum)
	}
}

func TestTwoProcessesFetchOnce(t *testing.T) {
	s := serve(t, func(_ *server, _ int, w http.ResponseWriter, r *http.Request) { whole(w, r) })
	b := newBench(t, Options{})
	sigs := b.sigs(t, map[string]string{"zlib.tar.gz": sum256(content())})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if _, err := New(b.store, Options{}).Fetch(t.Context(), b.dir, sigs, []Ref{b.ref(s.URL + "/zlib.tar.gz")}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if s.requests.Load() != 1 {
		t.Errorf("expected one request, found %d", s.requests.Load())
	}
}
