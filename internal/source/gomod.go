package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"

	"mariner/internal/fault"
	"mariner/internal/store"
)

// moduleURL is a Go module with everything that it needs: gomod:MODULE@VERSION#/NAME.tar. The archive
// holds the module's content below NAME/, and in NAME/vendor what `go mod vendor` puts there. It is
// made by the host's go, from the module proxy that its environment names; both the module and its
// dependencies are checked against the Go checksum database and the module's own go.sum.
//
// The bytes depend on the module's version alone (see writeTar), so that its digest can stand in the
// signatures. Two things could change them: a Go release that writes vendor/modules.txt otherwise or
// picks other files to vendor (the go line in go.mod chooses the rules, so a newer Go keeps to the old
// ones), and a change of this code. A module whose go.sum is incomplete is refused by go.
type moduleURL struct{ path, version, prefix string }

func parseModule(text string) (moduleURL, error) {
	address, name, _ := strings.Cut(strings.TrimPrefix(text, "gomod:"), "#/")
	path, version, _ := strings.Cut(address, "@")
	m := moduleURL{path: path, version: version, prefix: strings.TrimSuffix(name, ".tar")}
	if version == "" || m.prefix == name || m.prefix == "" || strings.Contains(m.prefix, "/") {
		return m, fmt.Errorf("expected gomod:MODULE@VERSION#/NAME-VERSION.tar, found %q", text)
	}
	if err := module.Check(path, version); err != nil {
		return m, fmt.Errorf("%s: %w", text, err)
	}
	if whole := module.CanonicalVersion(version); whole != version {
		return m, fmt.Errorf("%s: expected a whole version, say v1.2.3, found %q", text, version)
	}
	return m, nil
}

// fromModule makes the archive and compares it with the digest that is expected.
func (f *Fetcher) fromModule(ctx context.Context, r *Ref, want expectation) (store.Digest, error) {
	return f.withModule(ctx, r, func(path string) (store.Digest, error) {
		if err := check(r, path, r.URL, want); err != nil {
			return "", err
		}
		d, err := f.keep(r, path, want.Sum)
		return d, r.wrap(err)
	})
}

// takeModule makes the archive, whatever its digest.
func (f *Fetcher) takeModule(ctx context.Context, r *Ref) (d store.Digest, err error) {
	err = f.shown(ctx, r, func() error {
		d, err = f.withModule(ctx, r, func(path string) (store.Digest, error) { return f.take(r, path) })
		return err
	})
	return d, err
}

// withModule makes the archive for as long as use runs.
func (f *Fetcher) withModule(ctx context.Context, r *Ref, use func(path string) (store.Digest, error)) (store.Digest, error) {
	m, err := parseModule(r.URL)
	if err != nil {
		return "", r.errorf("%w", err)
	}
	if _, err := exec.LookPath("go"); err != nil {
		return "", r.errorf("%w", fault.Errorf(fault.Environment, "the go command is missing, which fetches Go modules: install Go"))
	}
	dir, err := f.store.Temp("gomod-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "archive")
	if err := m.make(ctx, dir, path); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", r.errorf("%w", err)
	}
	return use(path)
}

// make writes the archive to path, by way of folders in dir.
func (m *moduleURL) make(ctx context.Context, dir, path string) error {
	// a main module of its own, lest go find one above the store and note the download in its go.sum
	main := filepath.Join(dir, "main")
	if err := os.Mkdir(main, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(main, "go.mod"), []byte("module mariner.invalid/fetch\n"), 0o600); err != nil {
		return err
	}
	out, err := runGo(ctx, main, "mod", "download", "-json", m.path+"@"+m.version)
	var info struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &info); jsonErr == nil && info.Error != "" {
		return errors.New(info.Error)
	}
	if err != nil {
		return err
	}
	if info.Dir == "" {
		return fmt.Errorf("go mod download: expected the module's folder, found %q", out)
	}
	tree := filepath.Join(dir, "tree")
	if err := copyPlain(tree, info.Dir); err != nil {
		return fmt.Errorf("copying the module: %w", err)
	}
	if _, err := os.Stat(filepath.Join(tree, "go.mod")); err != nil {
		return errors.New("the module has no go.mod, so nobody knows what it needs: take another version")
	}
	if _, err := runGo(ctx, tree, "mod", "vendor"); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := writeTar(file, tree, m.prefix); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	return file.Close()
}

// copyPlain copies a folder of the module cache, which is read-only, to one that can be changed.
func copyPlain(to, from string) error { return os.CopyFS(to, os.DirFS(from)) }

// runGo runs the host's go in dir. Its environment is the host's, but for what would change the result.
func runGo(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOTOOLCHAIN=auto", "GOWORK=off", "GO111MODULE=on", "PWD="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		var lines []string
		for line := range strings.Lines(stderr.String()) {
			if !strings.HasPrefix(line, "go: downloading ") {
				lines = append(lines, line)
			}
		}
		text := strings.TrimSpace(strings.Join(lines[max(0, len(lines)-20):], ""))
		return out, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, text)
	}
	return out, nil
}
