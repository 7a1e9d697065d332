package distro

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mariner/internal/fault"
)

// Package is a folder with a spec: NAME/NAME.spec.
type Package struct {
	Name     string // of the folder, the spec file and the source package
	Dir      string // absolute
	SpecFile string // absolute
}

// Packages are the packages of all spec folders, sorted by name. In each folder, every folder NAME
// must hold NAME.spec and no other spec; files beside them (a README), and names that begin with a
// dot, are passed over. A package that an earlier folder has as well must stand in the later one's
// replaces, and then takes the earlier one's place. All that is wrong is said at once; errors are of
// kind fault.Usage.
func (t *Tree) Packages() ([]Package, error) {
	byName := map[string]Package{}
	var errs []error
	for i, folder := range t.Specs {
		at := item("specs", i)
		found, err := t.scan(t.Path(folder.Path))
		if err != nil {
			errs = append(errs, err)
		}
		replaced := map[string]bool{}
		for _, p := range found {
			earlier, ok := byName[p.Name]
			if ok && !slices.Contains(folder.Replaces, p.Name) {
				errs = append(errs, fmt.Errorf("package %s is defined twice, by %s and by %s: rename one, or let the later folder replace it: in %s: {path: %s, replaces: [%s]}",
					p.Name, t.Rel(earlier.SpecFile), t.Rel(p.SpecFile), t.At(at), folder.Path, p.Name))
			}
			replaced[p.Name] = ok
			byName[p.Name] = p
		}
		for j, name := range folder.Replaces {
			has, ok := replaced[name]
			if ok && has || err != nil {
				continue
			}
			missing := "no earlier folder has it"
			if !ok {
				missing = folder.Path + " does not have it"
			}
			errs = append(errs, fmt.Errorf("%s: replaces %s, but %s: remove it", t.At(item(at+".replaces", j)), name, missing))
		}
	}
	if len(errs) > 0 {
		return nil, fault.As(fault.Usage, errors.Join(errs...))
	}
	packages := make([]Package, 0, len(byName))
	for _, p := range byName {
		packages = append(packages, p)
	}
	slices.SortFunc(packages, func(a, b Package) int { return cmp.Compare(a.Name, b.Name) })
	return packages, nil
}

// scan finds the packages of one spec folder.
func (t *Tree) scan(dir string) ([]Package, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("looking for packages: %w", err)
	}
	var packages []Package
	var errs []error
	for _, e := range entries {
		name, path := e.Name(), filepath.Join(dir, e.Name())
		if strings.HasPrefix(name, ".") {
			continue
		}
		info, err := os.Stat(path) // a symbolic link to a folder is a folder
		if err != nil {
			errs = append(errs, fmt.Errorf("looking for packages: %w", err))
			continue
		}
		if !info.IsDir() {
			if base, ok := strings.CutSuffix(name, ".spec"); ok {
				errs = append(errs, fmt.Errorf("%s: a spec stands in a folder of its name: move it to %s", t.Rel(path), t.Rel(filepath.Join(dir, base, name))))
			}
			continue
		}
		p, err := t.open(name, path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		packages = append(packages, p)
	}
	return packages, errors.Join(errs...)
}

// open looks for NAME.spec, and no other, in the folder of package name.
func (t *Tree) open(name, dir string) (Package, error) {
	p := Package{Name: name, Dir: dir, SpecFile: filepath.Join(dir, name+".spec")}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return p, fmt.Errorf("looking for packages: %w", err)
	}
	var others []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".spec") && !strings.HasPrefix(e.Name(), ".") && e.Name() != name+".spec" {
			others = append(others, e.Name())
		}
	}
	info, err := os.Stat(p.SpecFile)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return p, fmt.Errorf("looking for packages: %w", err)
	case err == nil && !info.Mode().IsRegular():
		return p, fmt.Errorf("%s: expected a spec file, found a folder", t.Rel(p.SpecFile))
	case err == nil && len(others) > 0:
		return p, fmt.Errorf("%s: expected only %s.spec, found %s as well: give each spec a folder of its name", t.Rel(dir), name, strings.Join(others, ", "))
	case err != nil && len(others) > 0:
		return p, fmt.Errorf("%s: expected %s.spec, found %s: rename the folder or the spec", t.Rel(dir), name, strings.Join(others, ", "))
	case err != nil:
		return p, fmt.Errorf("%s: expected %s.spec, found no spec: write one, or remove the folder", t.Rel(dir), name)
	}
	return p, nil
}
