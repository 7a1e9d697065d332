package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// checker collects what is wrong with a configuration whose form is right.
type checker struct {
	*Config
	errs []error
}

func (c *checker) errorf(path, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%s:%d: %s: %s", c.file, c.Line(path), path, fmt.Sprintf(format, args...)))
}

// oneOf complains unless value is one of the choices; an empty one passes if optional.
func (c *checker) oneOf(path, value string, optional bool, choices ...string) bool {
	if value == "" && optional || slices.Contains(choices, value) {
		return true
	}
	if value == "" {
		c.errorf(path, "is missing: expected %s", strings.Join(choices, ", "))
	} else {
		c.errorf(path, "%q is none of %s", value, strings.Join(choices, ", "))
	}
	return false
}

// check is everything that can be known before any work is done.
func (c *Config) check() []error {
	k := &checker{Config: c}
	if ok, _ := regexp.MatchString(`^[a-z0-9][a-z0-9._-]{0,63}$`, c.Name); !ok {
		k.errorf("name", "%q cannot name files and container images: expected lower case letters, digits, dots, hyphens and underscores", c.Name)
	}
	if k.oneOf("type", string(c.Type), false, string(Machine), string(Containers)) {
		choices := map[Type][]string{Machine: {"raw", "qcow2"}, Containers: {"oci", "tar"}}[c.Type]
		for i, f := range c.Formats {
			k.oneOf(fmt.Sprintf("formats[%d]", i), string(f), false, choices...)
		}
		if f := c.Output.Image.Format; f != "" {
			k.oneOf("output.image.format", string(f), false, choices...)
			if !c.Has(f) {
				k.errorf("output.image.format", "%s is not among formats", f)
			}
		}
	}
	if len(c.OS.Packages.Install) == 0 {
		k.errorf("os.packages.install", "an image needs packages")
	}
	k.os()
	if c.Type == Machine {
		k.machine()
	} else {
		k.container()
	}
	return k.errs
}

func (c *checker) os() {
	for _, l := range []struct {
		path string
		list []string
	}{{"os.packages.install", c.OS.Packages.Install}, {"initrd.packages.install", c.Initrd.Packages.Install}, {"os.services.enable", c.OS.Services.Enable}, {"os.services.disable", c.OS.Services.Disable}} {
		for i, p := range l.list {
			at := fmt.Sprintf("%s[%d]", l.path, i)
			if strings.TrimSpace(p) == "" {
				c.errorf(at, "is empty")
			} else if slices.Index(l.list, p) < i {
				c.errorf(at, "%s is given twice", p)
			}
		}
	}
	for i, s := range c.OS.Services.Disable {
		if slices.Contains(c.OS.Services.Enable, s) {
			c.errorf(fmt.Sprintf("os.services.disable[%d]", i), "%s is enabled as well", s)
		}
	}
	if h := c.OS.Hostname; h != "" {
		if ok, _ := regexp.MatchString(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,62}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,62}[a-zA-Z0-9])?)*$`, h); !ok || len(h) > 64 {
			c.errorf("os.hostname", "%q is no host name (hostname(5))", h)
		}
	}
	for i, a := range c.OS.KernelCommandLine.ExtraCommandLine {
		if strings.ContainsAny(a, "\n\x00") {
			c.errorf(fmt.Sprintf("os.kernelCommandLine.extraCommandLine[%d]", i), "a line break cannot stand in a command line")
		}
	}
	seen := map[string]bool{}
	for i, f := range c.OS.AdditionalFiles {
		at := fmt.Sprintf("os.additionalFiles[%d]", i)
		if !path.IsAbs(f.Destination) || path.Clean(f.Destination) != f.Destination || f.Destination == "/" {
			c.errorf(at+".destination", "%q is no clean absolute path of a file", f.Destination)
		}
		if seen[f.Destination] {
			c.errorf(at+".destination", "%s is written twice", f.Destination)
		}
		seen[f.Destination] = true
		c.source(at, f)
	}
}

func (c *checker) source(at string, f AdditionalFile) {
	if (f.Source == "") == (f.Content == nil) {
		c.errorf(at, "needs either source or content")
		return
	}
	if f.Content == nil {
		if st, err := os.Stat(c.Path(f.Source)); err != nil {
			c.errorf(at+".source", "%v", err)
			return
		} else if !st.Mode().IsRegular() {
			c.errorf(at+".source", "%s is not a file", f.Source)
			return
		}
	}
	if f.SHA256Hash == "" {
		return
	}
	data, err := c.Read(f)
	if err != nil {
		c.errorf(at+".source", "%v", err)
		return
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != f.SHA256Hash {
		c.errorf(at+".sha256hash", "expected %s, found %s", f.SHA256Hash, hex.EncodeToString(sum[:]))
	}
}

func (c *checker) container() {
	for _, only := range []struct {
		path  string
		given int
	}{
		{"storage.disks", len(c.Storage.Disks)},
		{"storage.filesystems", len(c.Storage.Filesystems)},
		{"initrd.packages.install", len(c.Initrd.Packages.Install)},
		{"os.kernelCommandLine.extraCommandLine", len(c.OS.KernelCommandLine.ExtraCommandLine)},
	} {
		if only.given > 0 {
			c.errorf(only.path, "a container has none: remove it, or make the type machine")
		}
	}
}
