package source

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"mariner/internal/fault"
	"mariner/internal/ui"
)

// archive is a signed Debian archive of one's own: files by path below its base.
type archive struct {
	*server
	sync.Mutex
	files   map[string][]byte
	asked   []string
	keyring string
	key     *openpgp.Entity
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	a := &archive{files: map[string][]byte{}, keyring: filepath.Join(t.TempDir(), "keyring.gpg")}
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA512, Time: func() time.Time { return time.Unix(1_600_000_000, 0) }}
	var err error
	if a.key, err = openpgp.NewEntity("Test archive", "", "archive@mariner.invalid", config); err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer
	if err := a.key.Serialize(&public); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.keyring, public.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	a.server = serve(t, func(_ *server, _ int, w http.ResponseWriter, r *http.Request) {
		a.Lock()
		defer a.Unlock()
		a.asked = append(a.asked, r.URL.EscapedPath())
		data, ok := a.files[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
	return a
}

// suite adds a suite to the archive below base, with the indices of packages, each written as
// "SOURCE DIRECTORY FILE…"; a file's content is its name. There is no index without a file.
func (a *archive) suite(t *testing.T, base, suite string, packages ...string) {
	t.Helper()
	var sources, debs bytes.Buffer
	for _, p := range packages {
		f := strings.Fields(p)
		var sums string
		for _, name := range f[2:] {
			if binary, _, ok := strings.Cut(name, "_"); ok && strings.HasSuffix(name, ".deb") {
				fmt.Fprintf(&debs, "Package: %s\nSource: %s (2)\nSize: %d\nFilename: %s/%s\nSHA256: %s\nDescription: x\n Filename: y\n\n",
					binary, f[0], len(name), f[1], name, sum256([]byte(name)))
				continue
			}
			sums += fmt.Sprintf(" %s %d %s\n", sum256([]byte(name)), len(name), name)
		}
		if sums != "" {
			fmt.Fprintf(&sources, "Package: %s\nBinary: x,\n y\nDirectory: %s\nFiles:\n 00 1 wrong\nChecksums-Sha256:\n%s\n", f[0], f[1], sums)
		}
	}
	text := "Origin: Test\nAcquire-By-Hash: yes\nMD5Sum:\n 00 1 main/source/Sources.gz\nSHA256:\n"
	dist := base + "/dists/" + suite
	a.Lock()
	defer a.Unlock()
	for folder, list := range map[string]struct {
		name string
		text []byte
	}{"main/source/": {"Sources.gz", sources.Bytes()}, "main/binary-amd64/": {"Packages.gz", debs.Bytes()}} {
		if len(list.text) == 0 {
			continue
		}
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		w.Write(list.text)
		w.Close()
		text += fmt.Sprintf(" %s %d %s\n", sum256(packed.Bytes()), packed.Len(), folder+list.name)
		a.files[dist+"/"+folder+"by-hash/SHA256/"+sum256(packed.Bytes())] = packed.Bytes()
	}
	a.files[dist+"/InRelease"] = a.sign(t, text)
}

func (a *archive) sign(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, a.key.PrivateKey, &packet.Config{DefaultHash: crypto.SHA512})
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(text))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (a *archive) options() Options {
	return Options{Debian: []string{a.URL + "/debian", a.URL + "/debian-security"}, Keyring: a.keyring}
}

func (a *archive) count(part string) int {
	a.Lock()
	defer a.Unlock()
	n := 0
	for _, path := range a.asked {
		if strings.Contains(path, part) {
			n++
		}
	}
	return n
}

const (
	zlibFile = "zlib_1.3+really1~rc1.orig.tar.gz"
	zlibDeb  = "librust-zlib-dev_1.3+really1~rc1-1+b2_amd64.deb"
)

func TestAptWithDigest(t *testing.T) {
	cases := []struct {
		name, at string // where the archive has the file
		url      string
		indices  int // how many were asked for
		wrong    string
	}{
		{"in the pool", "/debian/pool/main/z/zlib/" + zlibFile, "apt:trixie/zlib/" + zlibFile, 0, ""},
		{"in the pool of security", "/debian-security/pool/updates/main/z/zlib/" + zlibFile, "apt:trixie/zlib/" + zlibFile, 0, ""},
		{"elsewhere, by the index", "/debian/pool/other/" + zlibFile, "apt:trixie/zlib/" + zlibFile, 1, ""},
		{"by the index of security", "/debian-security/pool/updates/other/" + zlibFile, "apt:trixie/zlib/" + zlibFile, 2, ""},
		{"listed, but missing", "/none", "apt:trixie/zlib/" + zlibFile, 4, "the archive lists it but does not give it"},
		{"no such file", "/none", "apt:trixie/zlib/zlib_9.orig.tar.gz", 4, "no such file in zlib; it has zlib_1.3+really1~rc1.orig.tar.gz, zlib_2.dsc: take one"},
		{"no such package", "/none", "apt:trixie/zlob/zlob.tar.gz", 4, "Debian trixie has no source package zlob in main"},
		{"no such suite", "/none", "apt:tricky/zlib/zlib.tar.gz", 6, "no Debian archive of this machine has the suite tricky"},
		{"a .deb in the pool", "/debian/pool/main/z/zlib/" + zlibDeb, "apt:trixie/zlib/" + zlibDeb, 0, ""},
		{"a .deb elsewhere, by the index", "/debian/pool/other/" + zlibDeb, "apt:trixie/zlib/" + zlibDeb, 1, ""},
		{"a .deb by the index of security", "/debian-security/pool/updates/other/" + zlibDeb, "apt:trixie/zlib/" + zlibDeb, 2, ""},
		{"a .deb listed, but missing", "/none", "apt:trixie/zlib/" + zlibDeb, 4, "the archive lists it but does not give it"},
		{"no such .deb", "/none", "apt:trixie/zlib/zlib_9_amd64.deb", 4, "no such file in zlib; it has " + zlibDeb + ", zlib1g_2_all.deb: take one"},
		{"no such package of .deb files", "/none", "apt:trixie/zlob/zlob_1_all.deb", 4, "Debian trixie has no source package zlob in main/binary-amd64/Packages: mend"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := newArchive(t)
			a.suite(t, "/debian", "trixie", "zlib pool/other zlib_2.dsc zlib1g_2_all.deb "+zlibFile+" "+zlibDeb, "zlibrary pool/x x.tar x_1_all.deb")
			a.suite(t, "/debian-security", "trixie-security", "zlib pool/updates/other "+zlibFile+" "+zlibDeb)
			name := FileName(c.url)
			a.files[c.at] = []byte(name)
			b := newBench(t, a.options())
			got, err := b.Fetch(t.Context(), b.dir, b.sigs(t, map[string]string{name: sum256([]byte(name))}), []Ref{b.ref(c.url)})
			if n := a.count("InRelease"); n != c.indices {
				t.Errorf("expected %d requests for an InRelease, found %d: %q", c.indices, n, a.asked)
			}
			if c.wrong == "" {
				if err != nil {
					t.Fatal(err)
				}
				b.holds(t, got[name], []byte(name))
			} else if err == nil || !strings.Contains(err.Error(), c.wrong) || !strings.HasPrefix(err.Error(), "SPECS/zlib/zlib.spec:7: "+name) {
				t.Errorf("expected %q, found %v", c.wrong, err)
			}
			other := "binary-amd64"
			if strings.HasSuffix(name, ".deb") {
				other = "main/source"
			}
			if a.count(other) > 0 {
				t.Errorf("expected no request for %s: %q", other, a.asked)
			}
			if a.count("really1~rc1") > 0 && a.count("_1.3%2Breally1~rc1") == 0 {
				t.Errorf("expected an escaped plus: %q", a.asked)
			}
		})
	}
}

func TestAptUpdate(t *testing.T) {
	for name, list := range map[string]string{zlibFile: "main/source", zlibDeb: "main/binary-amd64"} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t)
			const other = " zlib_2.dsc zlib1g_2_all.deb"
			a.suite(t, "/debian", "trixie", "zlib pool/main/z/zlib "+name+other)
			a.files["/debian/pool/main/z/zlib/"+name] = []byte(name)
			b := newBench(t, a.options())
			at := time.Now()
			b.now = func() time.Time { return at }
			refs := []Ref{b.ref("apt:trixie/zlib/" + name)}
			update := func(f *Fetcher) {
				t.Helper()
				if err := f.Update(t.Context(), b.dir, refs); err != nil {
					t.Fatal(err)
				}
				sigs, err := ReadSignatures(SignaturesFile(b.dir))
				if err != nil {
					t.Fatal(err)
				}
				if sum, _ := sigs.Of(name); sum.Hex != sum256([]byte(name)) {
					t.Errorf("found %v", sum)
				}
			}
			check := func(releases, indices int) {
				t.Helper()
				if r, i, all := a.count("InRelease"), a.count(list+"/by-hash"), a.count("by-hash"); r != releases || i != indices || all != i {
					t.Errorf("expected %d InRelease and %d indices, found %d and %d, and %d others", releases, indices, r, i, all-i)
				}
			}
			update(b.Fetcher)
			check(1, 1)
			update(b.Fetcher) // known to this process
			check(1, 1)
			next := New(b.store, a.options())
			next.now = func() time.Time { return at.Add(59 * time.Minute) }
			update(next) // known to the store
			check(1, 1)
			next.now = func() time.Time { return at.Add(61 * time.Minute) }
			update(next) // asked again, unchanged
			check(2, 1)
			a.suite(t, "/debian", "trixie", "zlib pool/main/z/zlib "+name+other, "zlob pool/main/z/zlob zlob_3.dsc zlob_3_all.deb")
			next.now = func() time.Time { return at.Add(3 * time.Hour) }
			update(next) // asked again, changed
			check(3, 2)
		})
	}
}

func TestAptRefuses(t *testing.T) {
	cases := []struct {
		name  string
		spoil func(t *testing.T, a *archive, o *Options)
		want  string
		kind  fault.Kind
	}{
		{"another key", func(t *testing.T, _ *archive, o *Options) { o.Keyring = newArchive(t).keyring }, "not by a key of Debian's keyring", fault.Source},
		{"no keyring", func(t *testing.T, _ *archive, o *Options) { o.Keyring = "/nonexistent/keyring" }, "apt-get install debian-archive-keyring", fault.Environment},
		{"noise for a keyring", func(t *testing.T, _ *archive, o *Options) {
			o.Keyring = filepath.Join(t.TempDir(), "k")
			if err := os.WriteFile(o.Keyring, []byte("noise"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "reinstall debian-archive-keyring", fault.Environment},
		{"changed InRelease", func(_ *testing.T, a *archive, _ *Options) {
			path := "/debian/dists/trixie/InRelease"
			a.files[path] = bytes.Replace(a.files[path], []byte("Origin: Test"), []byte("Origin: Rest"), 1)
		}, "not by a key of Debian's keyring", fault.Source},
		{"unsigned text after it", func(_ *testing.T, a *archive, _ *Options) {
			path := "/debian/dists/trixie/InRelease"
			a.files[path] = append(a.files[path], "\nSHA256:\n"...)
		}, "nothing after it", fault.Source},
		{"no signature", func(_ *testing.T, a *archive, _ *Options) {
			a.files["/debian/dists/trixie/InRelease"] = []byte("Origin: Test\n")
		}, "expected a signed text", fault.Source},
		{"no index listed", func(t *testing.T, a *archive, _ *Options) {
			a.files["/debian/dists/trixie/InRelease"] = a.sign(t, "Origin: Test\n")
		}, "expected LIST in its list", fault.Source},
		{"changed index", func(_ *testing.T, a *archive, _ *Options) {
			for path := range a.files {
				if strings.Contains(path, "by-hash") {
					a.files[path] = []byte("changed")
				}
			}
		}, "(InRelease), found sha256 " + sum256([]byte("changed")), fault.Source},
		{"index missing", func(_ *testing.T, a *archive, _ *Options) {
			for path := range a.files {
				if strings.Contains(path, "by-hash") {
					delete(a.files, path)
				}
			}
		}, "LIST.gz: 404 Not Found", fault.Source},
		{"another file in the pool", func(_ *testing.T, a *archive, _ *Options) {
			for _, name := range []string{zlibFile, zlibDeb} {
				a.files["/debian/pool/main/z/zlib/"+name] = []byte("changed")
			}
		}, "wrong digest", fault.Source},
		{"no archive", func(t *testing.T, _ *archive, o *Options) { o.Debian, o.AptDir = nil, t.TempDir() }, "names no Debian archive: name one in sources.debian", fault.Environment},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for name, list := range map[string]string{zlibFile: "main/source/Sources", zlibDeb: "main/binary-amd64/Packages"} {
				a := newArchive(t)
				a.suite(t, "/debian", "trixie", "zlib pool/main/z/zlib "+zlibFile+" "+zlibDeb)
				a.files["/debian/pool/main/z/zlib/"+name] = []byte(name)
				o := a.options()
				c.spoil(t, a, &o)
				b := newBench(t, o)
				err := b.Update(t.Context(), b.dir, []Ref{b.ref("apt:trixie/zlib/" + name)})
				want := strings.ReplaceAll(c.want, "LIST", list)
				if err == nil || !strings.Contains(err.Error(), want) || fault.KindOf(err) != c.kind {
					t.Errorf("%s: expected %q (%v), found %v (%v)", name, want, c.kind, err, fault.KindOf(err))
				}
			}
		})
	}
}

// Only what Debian signed is taken for Debian's, by whatever name.
func TestArchives(t *testing.T) {
	a, other := newArchive(t), newArchive(t)
	a.suite(t, "/debian", "trixie")
	a.suite(t, "/debian-security", "trixie-security")
	other.suite(t, "/debian", "trixie")
	silent := "http://127.0.0.1:1/debian"
	login := strings.Replace(other.URL, "://", "://me:s3cret@", 1) + "/debian"
	for _, c := range []struct {
		name     string
		archives []string
		want     []string
		message  string
	}{
		{"all sorts", []string{login, silent, a.URL + "/debian-security", a.URL + "/debian"}, []string{a.URL + "/debian"}, ""},
		{"one that apt may reach", []string{silent, login}, []string{silent}, ""},
		{"none", []string{login, a.URL + "/debian-security"}, nil, "name one in sources.debian"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Options{Debian: c.archives, Keyring: a.keyring})
			got, err := b.Archives(t.Context(), "trixie")
			if !slices.Equal(got, c.want) || (err == nil) != (c.message == "") {
				t.Fatalf("expected %v, found %v, %v", c.want, got, err)
			}
			if err != nil && (!strings.Contains(err.Error(), c.message) || strings.Contains(err.Error(), "s3cret") || fault.KindOf(err) != fault.Environment) {
				t.Errorf("found %v", err)
			}
			if !b.events.has(ui.Note, "passed over: http://xxxxx@") || b.events.has(ui.Note, "s3cret") {
				t.Errorf("the other archive is not told of, or its password is: %v", b.events.list)
			}
		})
	}
}

// A password in an archive's URL is in no message and no result.
func TestPasswordIsNotShown(t *testing.T) {
	a := newArchive(t)
	a.suite(t, "/debian", "trixie", "zlib pool/main/z/zlib "+zlibFile)
	o := a.options()
	o.Debian = []string{strings.Replace(a.URL, "://", "://me:s3cret@", 1) + "/debian"}
	b := newBench(t, o)
	err := b.Update(t.Context(), b.dir, []Ref{b.ref("apt:trixie/zlib/" + zlibFile)}) // the pool does not have it
	if err == nil || !strings.Contains(err.Error(), "://xxxxx@") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("found %v", err)
	}
	b.events.Lock()
	defer b.events.Unlock()
	for _, e := range b.events.list {
		if strings.Contains(e.Message, "s3cret") {
			t.Errorf("found %+v", e)
		}
	}
	err = filepath.WalkDir(b.store.Dir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(path+string(data), "s3cret") {
			t.Errorf("it is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestHostArchives(t *testing.T) {
	cases := []struct {
		name  string
		files map[string]string
		want  []Archive
	}{
		{"none", nil, nil},
		{
			"one line",
			map[string]string{"sources.list": "# deb http://no.invalid/debian a main\n" +
				"deb [arch=amd64 signed-by=/x] http://one.invalid/debian/ trixie main contrib # comment\n" +
				"deb-src\thttps://one.invalid/debian trixie main\ndeb http://sec.invalid/debian-security trixie-security main\n"},
			[]Archive{{"http://one.invalid/debian", false}, {"https://one.invalid/debian", false}, {"http://sec.invalid/debian-security", true}},
		},
		{
			"deb822",
			map[string]string{"sources.list.d/debian.sources": "Types: deb deb-src\nURIs: http://one.invalid/debian\n http://two.invalid/debian\n" +
				"Suites: trixie\n trixie-updates\nComponents: main\n# comment\nSigned-By:\n -----BEGIN\n .\n\nTypes: deb\nURIs: http://one.invalid/debian-security\nSuites: trixie-security\nComponents: main\n"},
			[]Archive{{"http://one.invalid/debian", false}, {"http://two.invalid/debian", false}, {"http://one.invalid/debian-security", true}},
		},
		{"switched off", map[string]string{"sources.list.d/a.sources": "Enabled: no\nTypes: deb\nURIs: http://one.invalid/debian\nSuites: x\nComponents: main\n"}, nil},
		{"other software", map[string]string{"sources.list.d/a.list": "deb https://docker.invalid/linux/debian trixie stable\ndeb https://x.invalid/apt trixie main\ndeb cdrom:[x]/debian trixie main\n"}, nil},
		{"other files", map[string]string{"sources.list.d/a.save": "deb http://one.invalid/debian trixie main\n"}, nil},
		{
			"a mirror list",
			map[string]string{"mirrors": "# ours\nhttp://one.invalid/debian priority:1\n", "sources.list": "deb mirror+file:@DIR@/mirrors trixie main\n"},
			[]Archive{{"http://one.invalid/debian", false}},
		},
		{
			"one for both",
			map[string]string{"sources.list": "deb http://one.invalid/debian trixie main\ndeb http://one.invalid/debian trixie-security main\n"},
			[]Archive{{"http://one.invalid/debian", true}},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range c.files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "@DIR@", dir)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := HostArchives(dir)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("expected %v, found %v, %v", c.want, got, err)
			}
		})
	}
}

func TestPool(t *testing.T) {
	for _, c := range []struct {
		source   string
		security bool
		want     string
	}{
		{"zlib", false, "pool/main/z/zlib"},
		{"libcap2", false, "pool/main/libc/libcap2"},
		{"lib", false, "pool/main/l/lib"},
		{"libx", true, "pool/updates/main/libx/libx"},
	} {
		a := aptURL{source: c.source}
		if got := a.pool(c.security); got != c.want {
			t.Errorf("expected %s, found %s", c.want, got)
		}
	}
}

func TestCompact(t *testing.T) {
	const none = "expected the files of source packages, found none"
	sum := sum256(nil)
	for _, c := range []struct{ name, text, want, wrong string }{
		{"empty", "", "", none},
		{"no files", "Package: a\nDirectory: b\n", "", none},
		{"short line", "Package: a\nDirectory: b\nChecksums-Sha256:\n abc 1\n", "", "line 4: expected a digest, a size and a name"},
		{"digest", "Package: a\nChecksums-Sha256:\n abc 1 c\n", "", `line 3: expected a SHA-256, found "abc"`},
		{"size", "Package: a\nChecksums-Sha256:\n " + sum + " x c\n", "", `line 3: expected a size in bytes, found "x"`},
		{"blanks", "Package: a b\n", "", "line 1: expected one word"},
		{
			"two versions",
			"Package: a\nDirectory: d/a\nChecksums-Sha256:\n " + sum + " 1 x\n " + sum + " 2 y\n\nPackage: a\nDirectory: d/b\nChecksums-Sha256:\n " + sum + " 3 z\n",
			"\n= a d/a\nx 1 " + sum + "\ny 2 " + sum + "\n= a d/b\nz 3 " + sum, "",
		},
		{
			"a .deb of a source package of its name, one of another, one of another version",
			"Package: a\nFilename: d/a/a_1_all.deb\nSize: 1\nSHA256: " + sum + "\n\n" +
				"Package: b\nSource: a\nFilename: d/a/b_1_all.deb\nSHA256: " + sum + "\nSize: 2\n\n" +
				"Source: a (1)\nPackage: c\nFilename: d/a/c_1+b1_amd64.deb\nSize: 3\nSHA256: " + sum + "\n",
			"\n= a d/a\na_1_all.deb 1 " + sum + "\n= a d/a\nb_1_all.deb 2 " + sum + "\n= a d/a\nc_1+b1_amd64.deb 3 " + sum, "",
		},
		{"a .deb without a digest", "Package: a\nFilename: d/a_1_all.deb\nSize: 1\n\n", "", "line 4: expected a digest, a size and a name"},
		{"a .deb's digest", "Package: a\nFilename: d/a_1_all.deb\nSize: 1\nSHA256: abc\n", "", `line 4: expected a SHA-256, found "abc"`},
		{"two source packages", "Package: a\nSource: b c (1)\n", "", "line 2: expected one word"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, err := compact(strings.NewReader(c.text))
			if string(text) != c.want || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("expected %q or the error %q, found %q, %v", c.want, c.wrong, text, err)
			}
		})
	}
}

func FuzzCompact(f *testing.F) {
	f.Add([]byte("Package: a\nDirectory: b\nChecksums-Sha256:\n " + sum256(nil) + " 1 c\n\nPackage: d\n"))
	f.Add([]byte("Package: a\nSource: b (1)\nFilename: c/d.deb\nSize: 1\nSHA256: " + sum256(nil) + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := compact(bytes.NewReader(data))
		if err != nil {
			return
		}
		x := index{text: text}
		for line := range strings.Lines(string(text)) {
			if head, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "= "); ok {
				source, _, _ := strings.Cut(head, " ")
				if _, files := x.find(source, ""); len(files) == 0 {
					t.Fatalf("source %q is in the index and not found", source)
				}
			}
		}
	})
}

func FuzzParseRelease(f *testing.F) {
	f.Add([]byte("Acquire-By-Hash: yes\nSHA256:\n " + sum256(nil) + " 1 main/source/Sources.xz\n"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if r, err := parseRelease(data); err == nil {
			r.find(sources)
		}
	})
}

func FuzzSourcesList(f *testing.F) {
	f.Add([]byte("deb [a=b] http://one.invalid/debian trixie main\n"))
	f.Add([]byte("Types: deb\nURIs: http://one.invalid/debian\nSuites: trixie\nComponents: main\n"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		for _, e := range append(parseList(data), parseDeb822(data)...) {
			for i, uri := range e.uris {
				if strings.HasPrefix(uri, "mirror+file:") {
					e.uris[i] = ""
				}
			}
			e.archives()
		}
	})
}

// TestRealArchive asks the archive of this machine's apt.
func TestRealArchive(t *testing.T) {
	if os.Getenv("MARINER_TEST_NETWORK") == "" {
		t.Skip("asks a Debian archive over the network: set MARINER_TEST_NETWORK=1 to run it")
	}
	b := newBench(t, Options{})
	want := map[string]string{
		"zlib_1.3.dfsg+really1.3.1.orig.tar.gz": "60dd315c07f616887caa029408308a018ace66e3d142726a97db164b3b8f69fb",
		"librust-either-dev_1.13.0-1_amd64.deb": "15b20c018b6074c7d8581b470f6ae3f0fa9ab9c2c38da9aaa9337b7fe838548d",
	}
	refs := []Ref{b.ref("apt:trixie/zlib/zlib_1.3.dfsg+really1.3.1.orig.tar.gz"), b.ref("apt:trixie/rust-either/librust-either-dev_1.13.0-1_amd64.deb")}
	if err := b.Update(t.Context(), b.dir, refs); err != nil {
		t.Fatal(err)
	}
	sigs, err := ReadSignatures(SignaturesFile(b.dir))
	if err != nil {
		t.Fatal(err)
	}
	for name, hex := range want {
		if sum, _ := sigs.Of(name); sum.Hex != hex {
			t.Errorf("%s: expected %s, found %s", name, hex, sum)
		}
	}
	fresh := newBench(t, Options{})
	if _, err := fresh.Fetch(t.Context(), b.dir, sigs, refs); err != nil {
		t.Error(err)
	}
}
