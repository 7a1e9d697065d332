package spec

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"mariner/internal/fault"
	"mariner/internal/sandbox"
	"mariner/internal/store"
)

//go:embed reader.py
var readerScript []byte

// memoKind names the cache of parsed specs; it changes when the format of an entry does.
const memoKind = "spec-1"

// Memory remembers small values by content, for several goroutines at once; internal/store is one.
type Memory interface {
	Memo(kind string, key store.Digest) ([]byte, bool)
	PutMemo(kind string, key store.Digest, value []byte) error
}

// Reader reads specs with the RPM of a root (stage0) and the macros of a distribution.
type Reader struct {
	Runner sandbox.Runner
	Root   func(context.Context) (sandbox.Root, error) // made only when something must be read
	RootID store.Digest                                // identifies Root's content
	Macros string                                      // the macro file of the distribution
	Memory Memory
	Temp   string // an existing directory for small files
	Jobs   int    // parsers at once; the machine's cores if 0
}

// Folder names a package and where its spec is.
type Folder struct{ Name, File string }

// Read reads the specs of all folders: from the cache where nothing changed, else with RPM. The
// result is in the order of folders. Every spec that is wrong is reported, not only the first.
func (r *Reader) Read(ctx context.Context, folders []Folder) ([]*Spec, error) {
	macros, err := os.ReadFile(r.Macros)
	if err != nil {
		return nil, fault.Errorf(fault.Usage, "reading the macros: %w", err)
	}
	base := []store.Input{
		{Name: "macros", Digest: store.DigestOf(macros)},
		{Name: "reader", Digest: store.DigestOf(readerScript)},
		{Name: "root", Digest: r.RootID},
	}
	specs := make([]*Spec, len(folders))
	keys := make([]store.Digest, len(folders))
	jobs := r.jobs()
	known, errs := make([]bool, len(folders)), make([]error, jobs)
	var group sync.WaitGroup
	for job := range jobs { // hashing thousands of folders is worth every core
		group.Go(func() {
			for i := job; i < len(folders); i += jobs {
				s := &Spec{Name: folders[i].Name, File: folders[i].File, Dir: filepath.Dir(folders[i].File)}
				var err error
				if s.Content, err = Content(s.Dir); err != nil {
					errs[job] = errors.Join(errs[job], err)
					continue
				}
				specs[i] = s
				keys[i] = store.Key(append(base[:3:3], store.Input{Name: "spec " + s.Name, Digest: s.Content}))
				b, ok := r.Memory.Memo(memoKind, keys[i])
				known[i] = ok && json.Unmarshal(b, &answer{into: s}) == nil
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fault.As(fault.Usage, err)
	}
	var stale []int
	for i := range folders {
		if !known[i] {
			stale = append(stale, i)
		}
	}
	if len(stale) > 0 {
		if err := r.parse(ctx, specs, keys, stale); err != nil {
			return nil, err
		}
	}
	for _, s := range specs {
		if s.Source.Name != s.Name {
			return nil, fault.Errorf(fault.Usage, "%s: Name is %q; it must be the folder's name, %q", s.File, s.Source.Name, s.Name)
		}
		if err := s.checkSources(); err != nil {
			return nil, err
		}
	}
	return specs, nil
}

// checkSources refuses sources that could change without the folder's content.
func (s *Spec) checkSources() error {
	for i, src := range s.Sources {
		if ignored(src.File()) {
			s.LocateSources()
			return fault.Errorf(fault.Usage, "%s:%d: %s: hidden files and editors' backups (*~) are no part of a package: rename it", s.File, s.Sources[i].Line, src.File())
		}
	}
	return nil
}

func (r *Reader) jobs() int {
	if r.Jobs > 0 {
		return r.Jobs
	}
	return runtime.NumCPU()
}

// answer is one line of reader.py, decoded into a Spec.
type answer struct{ into *Spec }

func (a *answer) UnmarshalJSON(b []byte) error {
	var v struct {
		Path     string
		Error    string
		Source   Package
		Packages []Package
		Sources  []Source
		Check    bool
		Changed  int64
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	if v.Error != "" {
		return fmt.Errorf("%s", v.Error)
	}
	s := a.into
	s.Source, s.Packages, s.Sources, s.Check = v.Source, v.Packages, v.Sources, v.Check
	s.Changed = time.Unix(v.Changed, 0).UTC()
	sort.SliceStable(s.Sources, func(i, j int) bool {
		if s.Sources[i].Patch != s.Sources[j].Patch {
			return !s.Sources[i].Patch
		}
		return s.Sources[i].Number < s.Sources[j].Number
	})
	return nil
}

// asUser runs what follows as the build user, for specs run shell commands, with the one right that the
// user lacks where a tree was cloned under umask 077: to read what only its owner may.
var asUser = []string{
	"setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--bounding-set=-all,+dac_read_search",
	"--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
}

// parse runs reader.py over the stale specs. Each spec folder is bound at a fixed place inside, so
// that an answer does not depend on where the tree is.
func (r *Reader) parse(ctx context.Context, specs []*Spec, keys []store.Digest, stale []int) error {
	root, err := r.Root(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(r.Temp, "specs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	script := filepath.Join(dir, "reader.py")
	if err := os.WriteFile(script, readerScript, 0o644); err != nil {
		return err
	}
	binds := []sandbox.Bind{
		{Source: script, Target: "/mariner/reader.py", ReadOnly: true},
		{Source: r.Macros, Target: "/etc/rpm/macros.mariner", ReadOnly: true},
	}
	// One bind a folder of folders: 3,000 binds would cost more than the parsing.
	at := map[string]string{}
	byPath := map[string]int{}
	var list bytes.Buffer
	for _, i := range stale {
		parent := filepath.Dir(specs[i].Dir)
		if at[parent] == "" {
			at[parent] = "/specs/" + strconv.Itoa(len(at))
			binds = append(binds, sandbox.Bind{Source: parent, Target: at[parent], ReadOnly: true})
		}
		p := filepath.Join(at[parent], filepath.Base(specs[i].Dir), filepath.Base(specs[i].File))
		byPath[p] = i
		fmt.Fprintln(&list, p)
	}
	jobs := r.jobs()
	var out, errs bytes.Buffer
	_, err = r.Runner.Run(ctx, sandbox.Command{
		Args: append(slices.Clone(asUser), "python3", "/mariner/reader.py", strconv.Itoa(jobs)),
		Env:  []string{"PATH=/usr/bin:/usr/sbin", "HOME=/tmp", "LC_ALL=C.UTF-8", "TZ=UTC"},
		Root: root, Binds: binds, Stdin: &list, Stdout: &out, Stderr: &errs,
	})
	if err != nil {
		return fmt.Errorf("reading specs with RPM: %w: %s", err, strings.TrimSpace(errs.String()))
	}
	var problems []string
	sc := bufio.NewScanner(&out)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var head struct{ Path, Error string }
		if err := json.Unmarshal(sc.Bytes(), &head); err != nil {
			return fmt.Errorf("reading specs with RPM: %w in %.80q", err, sc.Text())
		}
		i, ok := byPath[head.Path]
		if !ok {
			return fmt.Errorf("reading specs with RPM: an answer for %q, which nobody asked for", head.Path)
		}
		delete(byPath, head.Path)
		if head.Error != "" {
			problems = append(problems, explain(specs[i].File, head.Path, head.Error))
			continue
		}
		if err := json.Unmarshal(sc.Bytes(), &answer{into: specs[i]}); err != nil {
			return fmt.Errorf("%s: %w", specs[i].File, err)
		}
		if err := r.Memory.PutMemo(memoKind, keys[i], bytes.Clone(sc.Bytes())); err != nil {
			return fmt.Errorf("remembering a parsed spec: %w", err)
		}
	}
	for _, i := range byPath {
		problems = append(problems, specs[i].File+": RPM's parser gave no answer")
	}
	if len(problems) > 0 {
		sort.Strings(problems)
		return fault.Errorf(fault.Usage, "%s", strings.Join(problems, "\n"))
	}
	return nil
}

// explain turns RPM's message into ours: the path on this machine, and the line first where RPM
// says one ("error: line 7: …", "error: PATH:7: …").
func explain(file, inside, msg string) string {
	msg = strings.ReplaceAll(msg, inside, filepath.Base(file))
	var out []string
	for line := range strings.SplitSeq(msg, "\n") {
		line = strings.TrimPrefix(line, "error: ")
		if strings.TrimSpace(line) == "^" { // points into the line above, which is no longer as it was
			continue
		}
		if m := rpmLine.FindStringSubmatch(line); m != nil {
			line = file + ":" + m[1] + ": " + m[2]
		} else if line != "" {
			line = file + ": " + line
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

var rpmLine = regexp.MustCompile(`^(?:line |[^/ ]+\.spec:)(\d+): (.*)$`)

var sourceLine = regexp.MustCompile(`(?i)^\s*(source|patch)(\d*)\s*:`)

// LocateSources sets the Line of each source by looking for its tag in the SPEC file, for messages.
func (s *Spec) LocateSources() {
	f, err := os.Open(s.File)
	if err != nil {
		return
	}
	defer f.Close()
	lines := map[string]int{}
	next := map[string]int{}
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		m := sourceLine.FindStringSubmatch(sc.Text())
		if m == nil {
			continue
		}
		kind := strings.ToLower(m[1])
		num, err := strconv.Atoi(m[2])
		if err != nil {
			num = next[kind]
		}
		next[kind] = num + 1
		lines[kind+strconv.Itoa(num)] = n
	}
	for i := range s.Sources {
		kind := "source"
		if s.Sources[i].Patch {
			kind = "patch"
		}
		s.Sources[i].Line = lines[kind+strconv.Itoa(s.Sources[i].Number)]
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
