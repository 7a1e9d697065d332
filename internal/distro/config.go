package distro

import (
	"fmt"
	"io/fs"
	"strconv"
)

// Config is the content of mariner.yaml. All paths are relative to the tree's folder unless absolute.
type Config struct {
	Name          string       `yaml:"name"`          // of the distribution, as os-release shows it
	Version       string       `yaml:"version"`       // of the distribution, say "1.0"
	Release       string       `yaml:"release"`       // what repositories are addressed by ($releasever), say "1"
	Dist          string       `yaml:"dist"`          // the end of every package's release, say ".mar1"
	Architectures []string     `yaml:"architectures"` // as rpm names them
	Specs         []SpecFolder `yaml:"specs"`         // where the packages are; a later one may replace what an earlier one has
	Macros        string       `yaml:"macros"`        // the RPM macros that every spec is read and built with
	BuildRoot     BuildRoot    `yaml:"buildroot"`
	Images        []string     `yaml:"images"` // folders of image configurations
	Stage0        Stage0       `yaml:"stage0"`
	Signing       Signing      `yaml:"signing"`
	Sources       Sources      `yaml:"sources"`
}

// SpecFolder is a folder of packages. In mariner.yaml it is a path, or a mapping that also says which
// packages of earlier folders it replaces.
type SpecFolder struct {
	Path     string   `yaml:"path"`
	Replaces []string `yaml:"replaces"`
}

// FromScalar is the short form: only a path.
func (s *SpecFolder) FromScalar(text string) error {
	s.Path = text
	return nil
}

// BuildRoot is what every build root holds beside packages.
type BuildRoot struct {
	Files []File `yaml:"files"`
}

// File is a file of the tree that is placed into build roots.
type File struct {
	Source string `yaml:"source"` // in the tree
	Path   string `yaml:"path"`   // in the build root, absolute
	Mode   Mode   `yaml:"mode"`   // 0644 if it is not given
}

// Mode is a file's permissions, written in octal as chmod takes them.
type Mode fs.FileMode

// UnmarshalText reads up to four octal digits.
func (m *Mode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 12)
	if err != nil || n > 0o777 {
		return fmt.Errorf("expected permissions in octal, say 0755, found %q", text)
	}
	*m = Mode(n)
	return nil
}

// Stage0 defines the Debian root whose tools build the first packages. Nothing of it is shipped.
type Stage0 struct {
	Suite      string              `yaml:"suite"`
	Components []string            `yaml:"components"` // [main] if none is given
	Epoch      int                 `yaml:"epoch"`      // raised to take the suite's newer packages
	Packages   []string            `yaml:"packages"`   // Debian's names
	Hidden     map[string][]string `yaml:"hidden"`     // a capability: Debian packages that only a spec sees which asks for it
	Provides   []string            `yaml:"provides"`   // RPM capabilities that BuildRequires may name and stage0 has
}

// Signing says what RPMs, repositories and images are signed with.
type Signing struct {
	// Key is the path of an ASCII-armored private key, if it holds a slash; else the name of a
	// development key, which is made on first use outside the tree.
	Key string `yaml:"key"`
}

// Sources says where the files that specs name are found, beside where the specs say.
type Sources struct {
	Mirrors []string `yaml:"mirrors"` // base URLs under which a file is at sha256/HEX
	Debian  []string `yaml:"debian"`  // base URLs of Debian archives; the host's apt's if there are none
}
