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

	"mariner/internal/fault"
	"mariner/internal/store"
)

// aptURL is a file of a Debian source package: apt:SUITE/SOURCE/FILE, of the component main. A FILE that
// ends in .deb is one that Debian built of the package, for amd64 or for all. The archives are those that
// the host's apt uses, or that mariner.yaml names.
//
// A file whose digest is known is asked for where Debian's pool has a package's files (pool/main/z/zlib/FILE);
// as the digest decides, no index is needed. Only if it is not there, and to learn a digest, it is looked
// for in the signed indices of SUITE, SUITE-security and SUITE-updates, in any version that they list.
// An archive is asked for an index at most once in an hour.
type aptURL struct{ suite, source, file string }

func parseApt(text string) (aptURL, error) {
	m := regexp.MustCompile(`^apt:([a-z][a-z0-9.-]*)/([a-z0-9][a-z0-9.+-]+)/([^/#?\s]+)(?:#/.+)?$`).FindStringSubmatch(text)
	if m == nil {
		return aptURL{}, fmt.Errorf("expected apt:SUITE/SOURCE/FILE, say apt:trixie/zlib/zlib_1.3.1.orig.tar.gz, found %q", text)
	}
	return aptURL{m[1], m[2], m[3]}, nil
}

// list is the index that has the file.
func (a *aptURL) list() list {
	if strings.HasSuffix(a.file, ".deb") {
		return packages
	}
	return sources
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

// search goes through the indices and tries each place of the file until one is taken.
func (f *Fetcher) search(ctx context.Context, r *Ref, a aptURL, try func(x *index, at location) (taken bool, err error)) error {
	var errs []error
	var files []string
	found, indices := false, 0
	for _, suite := range a.suites() {
		x, err := f.suite(ctx, suite, a.list())
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if x == nil {
			continue
		}
		indices++
		places, all := x.find(a.source, a.file)
		files = append(files, all...)
		for _, at := range places {
			found = true
			taken, err := try(x, at)
			if taken || ctx.Err() != nil {
				return err
			}
			errs = append(errs, err)
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
		return r.errorf("Debian %s has no source package %s in %s: mend %s", a.suite, a.source, a.list(), r.URL)
	}
	slices.Sort(files)
	return r.errorf("Debian %s has no such file in %s; it has %s: take one of these", a.suite, a.source, strings.Join(slices.Compact(files), ", "))
}

// fromApt fetches a file whose digest is known.
func (f *Fetcher) fromApt(ctx context.Context, r *Ref, want expectation) (d store.Digest, err error) {
	a, err := parseApt(r.URL)
	if err != nil {
		return "", r.errorf("%w", err)
	}
	archives, err := f.archives(a.suite)
	if err != nil {
		return "", r.errorf("%w", err)
	}
	tried := map[string]error{}
	get := func(url string) (taken bool, err error) {
		if err := tried[url]; err != nil {
			return false, err
		}
		d, err = f.fromURL(ctx, r, url, want)
		tried[url] = err
		return err == nil, err
	}
	for _, archive := range archives {
		taken, err := get(archive.URL + "/" + escape(a.pool(archive.Security)+"/"+a.file))
		if taken {
			return d, nil
		}
		var wrong *digestError
		if ctx.Err() != nil || errors.As(err, &wrong) {
			return "", err // no two files of the pool have one name
		}
	}
	err = f.search(ctx, r, a, func(x *index, at location) (bool, error) {
		if want.Algorithm == "sha256" && at.sha256 != want.Hex {
			return false, fmt.Errorf("expected %s %s, found sha256 %s in Debian's index of %s: if that file is right, run %s", want.Sum, want.from, at.sha256, x.suite, r.update())
		}
		// the archive of the index first; another may still have, or already have, the file
		path := "/" + escape(at.directory+"/"+at.file)
		taken, err := get(x.base + path)
		for _, archive := range archives {
			if taken || ctx.Err() != nil {
				break
			}
			if archive.URL == x.base {
				continue
			}
			var again error
			if taken, again = get(archive.URL + path); taken {
				return true, nil
			}
			err = errors.Join(err, again)
		}
		return taken, err
	})
	return d, err
}

// pool is where an archive has the package's files.
func (a *aptURL) pool(security bool) string {
	letters := 1
	if strings.HasPrefix(a.source, "lib") && len(a.source) > 3 {
		letters = 4
	}
	top := "pool/main/"
	if security {
		top = "pool/updates/main/"
	}
	return top + a.source[:letters] + "/" + a.source
}

// listed is the digest that Debian's signed index has for the file. Where several versions of the
// package have it, it is one file.
func (f *Fetcher) listed(ctx context.Context, r *Ref) (sum Sum, err error) {
	a, err := parseApt(r.URL)
	if err != nil {
		return sum, r.errorf("%w", err)
	}
	err = f.search(ctx, r, a, func(_ *index, at location) (bool, error) {
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
