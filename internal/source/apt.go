package source

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"mariner/internal/fault"
	"mariner/internal/store"
)

// aptURL is a file of a Debian source package: apt:SUITE/SOURCE/FILE. It is looked for in SUITE,
// SUITE-security and SUITE-updates of the archives that the host's apt uses (or mariner.yaml names),
// in any version that their signed indices list. An index is asked for at most once in an hour, and
// not at all for a file whose digest is known and stands in an index that was read before.
type aptURL struct{ suite, source, file string }

func parseApt(text string) (aptURL, error) {
	m := regexp.MustCompile(`^apt:([a-z][a-z0-9.-]*)/([a-z0-9][a-z0-9.+-]+)/([^/#?\s]+)(?:#/.+)?$`).FindStringSubmatch(text)
	if m == nil {
		return aptURL{}, fmt.Errorf("expected apt:SUITE/SOURCE/FILE, say apt:trixie/zlib/zlib_1.3.1.orig.tar.gz, found %q", text)
	}
	return aptURL{m[1], m[2], m[3]}, nil
}

// suites are where to look, the likeliest first.
func (a *aptURL) suites() []string {
	if strings.Contains(a.suite, "-") {
		return []string{a.suite}
	}
	return []string{a.suite, a.suite + "-security", a.suite + "-updates"}
}

// archives are those to ask for a suite, the likeliest first.
func (f *Fetcher) archives(suite string) ([]Archive, error) {
	archives := archivesOf(f.Debian)
	if len(archives) == 0 {
		var err error
		if archives, err = HostArchives(f.AptDir); err != nil {
			return nil, fault.Errorf(fault.Environment, "reading the configuration of this machine's apt: %w", err)
		}
	}
	if len(archives) == 0 {
		return nil, fault.Errorf(fault.Environment, "this machine's apt (%s) names no Debian archive: name one in sources.debian of mariner.yaml", f.AptDir)
	}
	security := strings.HasSuffix(suite, "-security")
	slices.SortStableFunc(archives, func(a, b Archive) int {
		switch {
		case a.Security == b.Security:
			return 0
		case a.Security == security:
			return -1
		}
		return 1
	})
	return archives, nil
}

// search goes through the indices, first those read before, then fresh ones, and tries each place of
// the file until one is taken.
func (f *Fetcher) search(ctx context.Context, r *Ref, try func(x *index, at location) (taken bool, err error)) error {
	a, err := parseApt(r.URL)
	if err != nil {
		return r.errorf("%w", err)
	}
	var errs []error
	var files []string
	seen := map[string]bool{}
	found, indices := false, 0
	for _, fresh := range []bool{false, true} {
		for _, suite := range a.suites() {
			x, err := f.suite(ctx, suite, fresh)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				errs = append(errs, err)
			}
			if x == nil {
				continue
			}
			if fresh {
				indices++
			}
			places, all := x.find(a.source, a.file)
			files = append(files, all...)
			for _, at := range places {
				id := x.base + " " + at.directory + " " + at.sha256
				found = true
				if seen[id] {
					continue
				}
				seen[id] = true
				taken, err := try(x, at)
				if taken || ctx.Err() != nil {
					return err
				}
				errs = append(errs, err)
			}
		}
	}
	return f.notFound(r, &a, found, indices, files, errs)
}

func (f *Fetcher) notFound(r *Ref, a *aptURL, found bool, indices int, files []string, errs []error) error {
	err := errors.Join(errs...)
	switch {
	case found:
		return r.errorf("%w\nthe archive lists it but does not give it: a mirror may lack the newest versions; take another version, or name a mirror that has the file in sources.mirrors of mariner.yaml", err)
	case indices == 0 && err == nil:
		return r.errorf("no Debian archive of this machine has the suite %s: mend it in %s, or name an archive in sources.debian of mariner.yaml", a.suite, r.URL)
	case err != nil:
		return r.errorf("%w", err)
	case len(files) == 0:
		return r.errorf("Debian %s has no source package %s in main: mend %s", a.suite, a.source, r.URL)
	}
	slices.Sort(files)
	return r.errorf("Debian %s has no such file in %s; it has %s: take one of these", a.suite, a.source, strings.Join(slices.Compact(files), ", "))
}

// fromApt fetches a file whose digest is known.
func (f *Fetcher) fromApt(ctx context.Context, r *Ref, want expectation) (store.Digest, error) {
	var d store.Digest
	err := f.search(ctx, r, func(x *index, at location) (bool, error) {
		if want.Algorithm == "sha256" && at.sha256 != want.Hex {
			return false, fmt.Errorf("expected %s %s, found sha256 %s in Debian's index of %s: if that file is right, run %s", want.Sum, want.from, at.sha256, x.suite, r.update())
		}
		archives, err := f.archives(x.suite)
		if err != nil {
			return false, err
		}
		// the archive of the index first; another may still have, or already have, the file
		bases := []string{x.base}
		for _, a := range archives {
			if a.URL != x.base {
				bases = append(bases, a.URL)
			}
		}
		var errs []error
		for _, base := range bases {
			if d, err = f.fromURL(ctx, r, base+"/"+escape(at.directory+"/"+at.file), want); err == nil {
				return true, nil
			}
			errs = append(errs, err)
			if ctx.Err() != nil {
				break
			}
		}
		return false, errors.Join(errs...)
	})
	return d, err
}

// listed is the digest that Debian's index has for the file. Where several versions of the package
// have it, it is one file.
func (f *Fetcher) listed(ctx context.Context, r *Ref) (sum Sum, err error) {
	err = f.search(ctx, r, func(x *index, at location) (bool, error) {
		if f.now().Unix()-x.checked > int64(time.Hour/time.Second) {
			return false, nil // asked again below
		}
		sum = Sum{Algorithm: "sha256", Hex: at.sha256}
		return true, nil
	})
	return sum, err
}

// escape makes a path fit for a URL. A plus is escaped too: some servers take it for a blank.
func escape(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(url.PathEscape(part), "+", "%2B")
	}
	return strings.Join(parts, "/")
}

// small downloads a file that fits in memory and is checked by its content.
func (f *Fetcher) small(ctx context.Context, url string) ([]byte, error) {
	dir, err := f.store.Temp("small-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	t := &transfer{url: url, path: dir + "/file", progress: func(int64, int64) {}}
	if err := f.download(ctx, t); err != nil {
		return nil, err
	}
	return os.ReadFile(t.path)
}
