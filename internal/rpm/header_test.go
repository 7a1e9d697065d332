package rpm_test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"mariner/internal/rpm"
	"mariner/internal/rpm/rpmtest"
)

// TestReadHeaderAgainstRPM compares every field with what rpm -qp says.
func TestReadHeaderAgainstRPM(t *testing.T) {
	rpmtest.NeedTools(t, "rpm")
	for _, path := range append(rpmtest.Build(t, rpmtest.Everything), rpmtest.BuildSource(t, rpmtest.Everything)...) {
		h, err := rpm.ReadHeader(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(h.NEVRA(), func(t *testing.T) { compareHeader(t, path, h) })
	}
}

func compareHeader(t *testing.T, path string, h *rpm.Header) {
	epoch := "(none)"
	if h.EVR.Epoch != 0 {
		epoch = fmt.Sprint(h.EVR.Epoch)
	}
	arch := h.Arch
	if h.Source() {
		arch = "noarch" // rpm tells what it was built for
	}
	none := func(s string) string {
		if s == "" {
			return "(none)"
		}
		return s
	}
	check := func(query, want string) {
		t.Helper()
		out, err := exec.Command("rpm", "-qp", "--nosignature", "--qf", query, path).Output()
		if err != nil {
			t.Fatalf("rpm -qp --qf %q: %v", query, err)
		}
		if string(out) != want {
			t.Errorf("rpm -qp --qf %q says\n%s\nwe say\n%s", query, out, want)
		}
	}
	check("%{NAME}|%{EPOCH}|%{VERSION}|%{RELEASE}|%{ARCH}", strings.Join([]string{h.Name, epoch, h.EVR.Version, h.EVR.Release, arch}, "|"))
	check("%{SUMMARY}|%{DESCRIPTION}|%{LICENSE}", h.Summary+"|"+h.Description+"|"+h.License)
	check("%{VENDOR}|%{URL}|%{GROUP}|%{PACKAGER}|%{BUILDHOST}|%{SOURCERPM}|%{BUILDTIME}",
		strings.Join([]string{h.Vendor, h.URL, h.Group, h.Packager, h.BuildHost, none(h.SourceRPM), fmt.Sprint(h.BuildTime)}, "|"))
	check("%{LONGSIZE} %{LONGARCHIVESIZE}", fmt.Sprintf("%d %d", h.InstalledSize, h.ArchiveSize))
	check("%{PAYLOADDIGEST} %{SHA256HEADER}", h.PayloadDigest+" "+h.HeaderSHA256)

	for _, c := range []struct {
		tag  string
		deps []rpm.Dep
	}{
		{"PROVIDE", h.Provides},
		{"REQUIRE", h.Requires},
		{"CONFLICT", h.Conflicts},
		{"OBSOLETE", h.Obsoletes},
		{"RECOMMEND", h.Recommends},
		{"SUGGEST", h.Suggests},
		{"SUPPLEMENT", h.Supplements},
		{"ENHANCE", h.Enhances},
	} {
		if len(c.deps) == 0 {
			check("[%{"+c.tag+"NAME}]", "")
			continue
		}
		want := ""
		for _, d := range c.deps {
			want += d.String() + "\n"
		}
		check("[%{"+c.tag+"NEVRS}\n]", want)
	}
	pre := ""
	for _, d := range h.Requires {
		if d.Pre {
			pre += d.String() + "\n"
		}
	}
	out, err := exec.Command("rpm", "-qp", "--nosignature", "--qf", "[%{REQUIRENEVRS} %{REQUIREFLAGS}\n]", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := preLines(string(out)); got != pre {
		t.Errorf("pre-requirements: rpm says\n%s\nwe say\n%s", got, pre)
	}

	if len(h.Files) > 0 {
		paths, meta, kinds := "", "", ""
		noCaps := "(none)" // what rpm says where no file of the package has any
		for _, f := range h.Files {
			if f.Caps != "" {
				noCaps = ""
			}
		}
		for _, f := range h.Files {
			paths += f.Path + "\n"
			meta += fmt.Sprintf("%o %s %s %d %d %s %d %s %s\n", f.Mode, f.User, f.Group, f.Size, f.Mtime, f.Digest, f.Flags, f.Link, cmp.Or(f.Caps, noCaps))
			kinds += f.Type.String() + "\n"
		}
		if h.Source() {
			check("[%{BASENAMES}\n]", paths)
		} else {
			check("[%{FILENAMES}\n]", paths)
		}
		check("[%{FILEMODES:octal} %{FILEUSERNAME} %{FILEGROUPNAME} %{LONGFILESIZES} %{FILEMTIMES} %{FILEDIGESTS} %{FILEFLAGS} %{FILELINKTOS} %{FILECAPS}\n]", meta)
		if h.Name == "everything" && !h.Source() && (strings.Count(kinds, "dir") != 5 || strings.Count(kinds, "ghost") != 1) {
			t.Errorf("expected 5 directories and 1 ghost, found\n%s", kinds)
		}
	}
	log := ""
	for _, c := range h.Changelog {
		log += fmt.Sprintf("%d %s\n%s\n", c.Time, c.Author, c.Text)
	}
	if log == "" {
		check("[%{CHANGELOGTIME}]", "")
	} else {
		check("[%{CHANGELOGTIME} %{CHANGELOGNAME}\n%{CHANGELOGTEXT}\n]", log)
	}

	info, err := os.Stat(path)
	if err != nil || h.FileSize != info.Size() {
		t.Errorf("file size: expected %d, found %d (%v)", info.Size(), h.FileSize, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if start := int64(bytes.LastIndex(raw, []byte{0x8e, 0xad, 0xe8, 1})); start != h.HeaderStart {
		t.Errorf("the main header starts at %d, we say %d", start, h.HeaderStart)
	}
}

// preLines keeps the lines whose flags have one of PREREQ, SCRIPT_PRE, SCRIPT_POST, PRETRANS, POSTTRANS.
func preLines(s string) string {
	out := ""
	for _, line := range strings.Split(strings.TrimSpace(s), "\n") {
		i := strings.LastIndexByte(line, ' ')
		var flags uint32
		if _, err := fmt.Sscan(line[i+1:], &flags); err == nil && flags&(1<<5|1<<6|1<<7|1<<9|1<<10) != 0 {
			out += line[:i] + "\n"
		}
	}
	return out
}

func TestReadHeaderRefuses(t *testing.T) {
	good, err := os.ReadFile(rpmtest.Build(t, rpmtest.Simple("small", "1"))[0])
	if err != nil {
		t.Fatal(err)
	}
	h, err := rpm.DecodeHeader(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	damaged := func(at int64) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "shorter than its lead"},
		{"text", bytes.Repeat([]byte("text"), 100), "expected it to start with edabeedb"},
		{"no header", good[:h.HeaderStart], "main header: truncated"},
		{"half a header", good[:h.HeaderEnd-1], "main header: truncated"},
		{"a flipped bit", damaged(h.HeaderEnd - 40), "main header: expected sha256"},
		{"a broken magic", damaged(h.HeaderStart), "main header: expected the magic"},
	} {
		if _, err := rpm.DecodeHeader(bytes.NewReader(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: expected an error with %q, found %v", c.name, c.want, err)
		}
	}
}

func FuzzDecodeHeader(f *testing.F) {
	for _, path := range rpmtest.Build(f, rpmtest.Everything) {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := rpm.DecodeHeader(bytes.NewReader(raw))
		if err == nil && h.Name == "" {
			t.Error("a header without a name was accepted")
		}
	})
}

func TestParseDep(t *testing.T) {
	for in, want := range map[string]rpm.Dep{
		"bash":                      {Name: "bash"},
		"bash >= 5":                 {Name: "bash", Sense: rpm.Greater | rpm.Equal, EVR: "5"},
		"  lib(x)(64bit)  =  1:2-3": {Name: "lib(x)(64bit)", Sense: rpm.Equal, EVR: "1:2-3"},
		"(a or b >= 2)":             {Name: "(a or b >= 2)"},
		"/usr/bin/with space":       {Name: "/usr/bin/with space"},
		"a ?? b":                    {Name: "a ?? b"},
	} {
		if got := rpm.ParseDep(in); got != want {
			t.Errorf("ParseDep(%q) = %+v, want %+v", in, got, want)
		}
		if again := rpm.ParseDep(want.String()); again != want {
			t.Errorf("%q written and read is %+v", in, again)
		}
	}
}
