package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mariner/internal/store"
)

// Content is the digest of a spec's folder: each file's path, whether it is executable, and bytes,
// in the order of paths. Editors' backups and hidden files do not count: Read refuses them as sources.
func Content(dir string) (store.Digest, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p != dir && ignored(d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s: neither a file nor a folder; a spec's folder holds only those", p)
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		fmt.Fprintf(h, "%q %t %x\n", rel, st.Mode()&0o100 != 0, sum)
		return nil
	})
	if err != nil {
		return "", err
	}
	return store.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), nil
}

// ignored says whether a file of that name does not count for a folder's content.
func ignored(name string) bool { return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") }
