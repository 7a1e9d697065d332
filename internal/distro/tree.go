// Package distro reads the distribution tree: mariner.yaml, and where packages, images and keys are.
// Everything that makes one distribution different from another is data in the tree; the toolkit
// takes it from here.
//
// It reads no spec and no image configuration, and starts nothing: internal/spec, internal/image/config
// and the rest are told by it where to look.
package distro

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mariner/internal/distro/yamlfile"
	"mariner/internal/fault"
)

// FileName is the file that makes a folder a distribution tree.
const FileName = "mariner.yaml"

// Tree is a distribution tree whose mariner.yaml has been read and checked.
type Tree struct {
	Config
	dir   string
	lines *yamlfile.Lines
}

// Find is the nearest folder with a mariner.yaml, from start upwards.
func Find(start string) (dir string, err error) {
	start, err = filepath.Abs(start)
	if err != nil {
		return "", fmt.Errorf("looking for %s: %w", FileName, err)
	}
	for dir = start; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(filepath.Join(dir, FileName))
		if err == nil && info.Mode().IsRegular() {
			return dir, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return "", fmt.Errorf("looking for %s: %w", FileName, err)
		}
		if dir == filepath.Dir(dir) {
			return "", fault.Errorf(fault.Usage, "no %s in %s or above it: go into a distribution tree, or name one with --distro DIR", FileName, start)
		}
	}
}

// Load reads dir/mariner.yaml and checks it. Everything that is wrong is said at once, with file and
// line; errors are of kind fault.Usage.
func Load(dir string) (*Tree, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the distribution tree: %w", err)
	}
	file := filepath.Join(dir, FileName)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Errorf(fault.Usage, "%s is no distribution tree: it has no %s", dir, FileName)
	}
	if err != nil {
		return nil, fault.Errorf(fault.Usage, "reading the distribution tree: %w", err)
	}
	t := &Tree{dir: dir}
	if t.lines, err = yamlfile.Decode(file, data, &t.Config); err != nil {
		return nil, fault.As(fault.Usage, err)
	}
	t.complete()
	if err := t.check(); err != nil {
		return nil, fault.As(fault.Usage, err)
	}
	return t, nil
}

// complete fills in what may be left out.
func (t *Tree) complete() {
	if len(t.Stage0.Components) == 0 {
		t.Stage0.Components = []string{"main"}
	}
	for i := range t.BuildRoot.Files {
		if f := &t.BuildRoot.Files[i]; f.Mode == 0 {
			f.Mode = 0o644
		}
	}
	if t.Signing.Key == "" {
		t.Signing.Key = "development"
	}
}

// Dir is the tree's folder, absolute.
func (t *Tree) Dir() string { return t.dir }

// Path is a path of mariner.yaml, absolute.
func (t *Tree) Path(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(t.dir, path)
}

// Rel is path as messages show it: relative to the tree if it lies in it.
func (t *Tree) Rel(path string) string {
	if rel, err := filepath.Rel(t.dir, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

// At is "FILE:LINE" of a value of mariner.yaml, say of "stage0.suite".
func (t *Tree) At(path string) string { return t.lines.At(path) }

// MacrosFile is the file of RPM macros, absolute.
func (t *Tree) MacrosFile() string { return t.Path(t.Macros) }

// ImageDirs are the folders of image configurations, absolute.
func (t *Tree) ImageDirs() []string {
	dirs := make([]string, len(t.Images))
	for i, dir := range t.Images {
		dirs[i] = t.Path(dir)
	}
	return dirs
}

// SigningKeyFile is the private key that mariner.yaml names by its path; "" if it names a development
// key, which is then Signing.Key.
func (t *Tree) SigningKeyFile() string {
	if !strings.Contains(t.Signing.Key, "/") {
		return ""
	}
	return t.Path(t.Signing.Key)
}

// Out is the folder of results.
func (t *Tree) Out() string { return filepath.Join(t.dir, "out") }
