package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mariner/internal/fault"
	"mariner/internal/ui"
)

// Archive is a Debian archive or a mirror of one.
type Archive struct {
	URL      string // base: dists and pool are below it
	Security bool   // has the suites NAME-security
}

// askFor is how long an archive may take to show that it is Debian's.
const askFor = 30 * time.Second

// Archives are the base URLs of the archives whose suite is signed by Debian: another project's archive
// may end in debian too, and apt would refuse it. Archives that do not answer are given only if no other
// is there: apt may know a way to them that we do not, say a proxy.
func (f *Fetcher) Archives(ctx context.Context, suite string) ([]string, error) {
	candidates, err := f.archives(suite)
	if err != nil {
		return nil, err
	}
	keys, err := f.keyring()
	if err != nil {
		return nil, err
	}
	answered, errs := make([]bool, len(candidates)), make([]error, len(candidates))
	var group sync.WaitGroup
	for i, a := range candidates {
		group.Go(func() {
			ctx, cancel := context.WithTimeoutCause(ctx, askFor, fmt.Errorf("nothing came within %s", askFor))
			defer cancel()
			release := a.URL + "/dists/" + suite + "/InRelease"
			data, err := f.small(ctx, release)
			answered[i] = err == nil || gone(err)
			if err == nil {
				_, err = verifyRelease(data, keys, f.now())
			}
			if err != nil {
				errs[i] = discreet{fmt.Errorf("%s: %w", release, err)}
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var good, silent []string
	for i, a := range candidates {
		switch {
		case errs[i] == nil:
			good = append(good, a.URL)
			continue
		case !answered[i]:
			silent = append(silent, a.URL)
		}
		if !gone(errs[i]) {
			f.emit(ui.Event{Type: ui.Note, Name: "archive", Message: "passed over: " + errs[i].Error()})
		}
	}
	if len(good) == 0 {
		good = silent
	}
	if len(good) == 0 {
		return nil, fault.Errorf(fault.Environment, "no archive of this machine has Debian's %s: name one in sources.debian of mariner.yaml\n%w", suite, errors.Join(errs...))
	}
	return good, nil
}

// HostArchives are the Debian archives that the host's apt uses, in its order: the URIs of deb and
// deb-src entries that name a path ending in debian or debian-security and the component main, in
// sources.list, sources.list.d/*.list (sources.list(5)) and sources.list.d/*.sources (deb822) below
// etcApt. A mirror+file: URI stands for the http URLs in that file. A host without such entries has none.
func HostArchives(etcApt string) ([]Archive, error) {
	var archives []Archive
	files := []string{filepath.Join(etcApt, "sources.list")}
	entries, err := os.ReadDir(filepath.Join(etcApt, "sources.list.d"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		files = append(files, filepath.Join(etcApt, "sources.list.d", e.Name()))
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var found []aptEntry
		switch filepath.Ext(file) {
		case ".list":
			found = parseList(data)
		case ".sources":
			found = parseDeb822(data)
		}
		for _, e := range found {
			archives = append(archives, e.archives()...)
		}
	}
	return unique(archives), nil
}

// archivesOf gives URLs from mariner.yaml the form of those of the host.
func archivesOf(urls []string) []Archive {
	var archives []Archive
	for _, u := range urls {
		u = strings.TrimRight(u, "/")
		archives = append(archives, Archive{URL: u, Security: strings.Contains(path.Base(u), "security")})
	}
	return unique(archives)
}

func unique(archives []Archive) []Archive {
	var out []Archive
	for _, a := range archives {
		if i := slices.IndexFunc(out, func(b Archive) bool { return a.URL == b.URL }); i >= 0 {
			out[i].Security = out[i].Security || a.Security
			continue
		}
		out = append(out, a)
	}
	return out
}

// aptEntry is what we need of an entry of apt's sources.
type aptEntry struct{ uris, suites, components []string }

func (e *aptEntry) archives() []Archive {
	if !slices.Contains(e.components, "main") {
		return nil
	}
	security := slices.ContainsFunc(e.suites, func(s string) bool { return strings.HasSuffix(s, "-security") })
	var out []Archive
	for _, uri := range e.uris {
		for _, u := range expandMirrors(uri) {
			base := strings.TrimRight(u, "/")
			parsed, err := url.Parse(base)
			if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" {
				continue
			}
			if last := path.Base(parsed.Path); last != "debian" && last != "debian-security" {
				continue
			}
			out = append(out, Archive{URL: base, Security: security || path.Base(parsed.Path) == "debian-security"})
		}
	}
	return out
}

// expandMirrors gives the URLs that a mirror+file: URI stands for (apt-transport-mirror(1)).
func expandMirrors(uri string) []string {
	file, ok := strings.CutPrefix(uri, "mirror+file:")
	if !ok {
		return []string{uri}
	}
	if rest, ok := strings.CutPrefix(file, "//"); ok {
		file = rest
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var urls []string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 0 && !strings.HasPrefix(fields[0], "#") {
			urls = append(urls, fields[0])
		}
	}
	return urls
}

// parseList reads the one-line format: deb [options] URI suite component…
func parseList(data []byte) []aptEntry {
	var out []aptEntry
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")), " ")
		if kind != "deb" && kind != "deb-src" {
			continue
		}
		if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "[") {
			_, rest, _ = strings.Cut(rest, "]")
		}
		if f := strings.Fields(rest); len(f) >= 3 {
			out = append(out, aptEntry{uris: f[:1], suites: f[1:2], components: f[2:]})
		}
	}
	return out
}

// parseDeb822 reads stanzas of Types, URIs, Suites and Components.
func parseDeb822(data []byte) []aptEntry {
	var out []aptEntry
	fields := map[string][]string{}
	flush := func() {
		types := fields["types"]
		if (slices.Contains(types, "deb") || slices.Contains(types, "deb-src")) && !slices.Contains(fields["enabled"], "no") {
			out = append(out, aptEntry{uris: fields["uris"], suites: fields["suites"], components: fields["components"]})
		}
		fields = map[string][]string{}
	}
	name := ""
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			flush()
		case line[0] == ' ' || line[0] == '\t':
			fields[name] = append(fields[name], strings.Fields(line)...)
		default:
			key, value, _ := strings.Cut(line, ":")
			name = strings.ToLower(key)
			fields[name] = strings.Fields(value)
		}
	}
	flush()
	return out
}
