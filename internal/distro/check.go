package distro

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"mariner/internal/distro/yamlfile"
)

// architectures that rpm and this toolkit know.
func architectures() []string { return []string{"x86_64"} }

// checker collects what is wrong with the values of a mariner.yaml.
type checker struct {
	*Tree
	errs []error
}

func (c *checker) errorf(at, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%s: %s: %s", c.At(at), at, fmt.Sprintf(format, args...)))
}

// check looks at what the reader cannot know: what must be there, and what the values mean.
func (t *Tree) check() error {
	c := &checker{Tree: t}
	for _, v := range []struct{ at, value, pattern, example string }{
		{"name", t.Name, `^[^\n"\\$` + "`" + `]+$`, "Mariner Linux"},
		{"version", t.Version, `^[0-9][0-9a-z.~^]*$`, `"1.0"`},
		{"release", t.Release, `^[0-9a-z][0-9a-z._-]*$`, `"1"`},
		{"dist", t.Dist, `^\.[0-9a-zA-Z._]+$`, ".mar1"},
		{"macros", t.Macros, `.`, "SPECS/mariner-rpm-macros/macros.mariner"},
		{"stage0.suite", t.Stage0.Suite, `^[a-z][a-z0-9-]*$`, "trixie"},
		{"signing.key", t.Signing.Key, `^[^.\n]|/`, "development, or ./keys/release.asc"},
	} {
		switch {
		case v.value == "":
			c.errorf(v.at, "expected a value, say %s; found none", v.example)
		case !regexp.MustCompile(v.pattern).MatchString(v.value):
			c.errorf(v.at, "expected something like %s, found %q", v.example, v.value)
		}
	}
	c.architectures()
	c.folders()
	c.files()
	c.stage0()
	c.urls("sources.mirrors", t.Sources.Mirrors)
	c.urls("sources.debian", t.Sources.Debian)
	return errors.Join(c.errs...)
}

func (c *checker) architectures() {
	if len(c.Architectures) == 0 {
		c.errorf("architectures", "expected at least one, say [x86_64]; found none")
	}
	for i, a := range c.Architectures {
		if !slices.Contains(architectures(), a) {
			c.errorf(item("architectures", i), "unknown architecture %q%s", a, yamlfile.Nearest(a, architectures()))
		}
	}
	c.unique("architectures", c.Architectures)
}

func (c *checker) folders() {
	if len(c.Specs) == 0 {
		c.errorf("specs", "expected at least one folder, say [SPECS]; found none")
	}
	var specs []string
	for i, s := range c.Specs {
		at := item("specs", i)
		specs = append(specs, c.Path(s.Path))
		c.folder(at, s.Path)
		if i == 0 && len(s.Replaces) > 0 {
			c.errorf(at, "the first folder has nothing before it to replace: remove replaces")
		}
		c.unique(at+".replaces", s.Replaces)
	}
	c.unique("specs", specs)
	for i, dir := range c.Images {
		c.folder(item("images", i), dir)
	}
	c.unique("images", c.ImageDirs())
}

func (c *checker) folder(at, dir string) {
	if dir == "" {
		c.errorf(at, "expected the path of a folder, found none")
		return
	}
	if info, err := os.Stat(c.Path(dir)); err != nil {
		c.errorf(at, "expected a folder: %v", err)
	} else if !info.IsDir() {
		c.errorf(at, "expected a folder, found a file: %s", c.Path(dir))
	}
}

func (c *checker) files() {
	if c.Macros != "" {
		c.file("macros", c.Macros)
	}
	var targets []string
	for i, f := range c.BuildRoot.Files {
		at := item("buildroot.files", i)
		c.file(at+".source", f.Source)
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path {
			c.errorf(at+".path", "expected an absolute path in the build root, found %q", f.Path)
		}
		targets = append(targets, f.Path)
	}
	c.unique("buildroot.files", targets)
}

func (c *checker) file(at, file string) {
	if file == "" {
		c.errorf(at, "expected the path of a file, found none")
		return
	}
	if info, err := os.Stat(c.Path(file)); err != nil {
		c.errorf(at, "expected a file: %v", err)
	} else if !info.Mode().IsRegular() {
		c.errorf(at, "expected a file, found a folder: %s", c.Path(file))
	}
}

func (c *checker) stage0() {
	s := &c.Stage0
	if s.Epoch < 0 {
		c.errorf("stage0.epoch", "expected 0 or more, found %d", s.Epoch)
	}
	if len(s.Packages) == 0 {
		c.errorf("stage0.packages", "expected the Debian packages of the first build root, found none")
	}
	c.debianNames("stage0.packages", s.Packages)
	c.unique("stage0.provides", s.Provides)
	for i, p := range s.Provides {
		if p == "" || strings.ContainsAny(p, " \t<=>") {
			c.errorf(item("stage0.provides", i), "expected a capability without a version, found %q", p)
		}
		if _, ok := s.Hidden[p]; ok {
			c.errorf(item("stage0.provides", i), "%s is in stage0.hidden: remove it here, or every spec would see it", p)
		}
	}
	for capability, packages := range s.Hidden {
		at := "stage0.hidden." + capability
		if strings.ContainsAny(capability, " \t<=>") {
			c.errorf(at, "expected a capability without a version, say stage0(libc-devel)")
		}
		if len(packages) == 0 {
			c.errorf(at, "expected Debian packages, found none")
		}
		c.debianNames(at, packages)
	}
}

// debianNames checks package names by Debian Policy 5.6.1.
func (c *checker) debianNames(at string, names []string) {
	c.unique(at, names)
	valid := regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]+$`)
	for i, name := range names {
		if !valid.MatchString(name) || strings.HasSuffix(name, "-") {
			c.errorf(item(at, i), "expected the name of a Debian package, found %q", name)
		}
	}
}

func (c *checker) urls(at string, urls []string) {
	c.unique(at, urls)
	for i, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			c.errorf(item(at, i), "expected a URL that begins with https://, found %q", text)
		}
	}
}

// unique reports values that stand twice in a list.
func (c *checker) unique(at string, values []string) {
	seen := map[string]bool{}
	for i, v := range values {
		if seen[v] {
			c.errorf(item(at, i), "%s is given twice", v)
		}
		seen[v] = true
	}
}

// item is the place of the i-th value in the list at.
func item(at string, i int) string { return fmt.Sprintf("%s[%d]", at, i) }
