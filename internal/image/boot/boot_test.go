package boot

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	files, err := Entry{ID: "mariner", Title: "Mariner Linux 1.0", Kernel: "6.12.1", Options: []string{"root=PARTUUID=x", "rw"}, Timeout: 3}.Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"loader.conf": "timeout 3\nconsole-mode keep\neditor no\n",
		"entry.conf":  "title Mariner Linux 1.0\nsort-key mariner\nversion 6.12.1\nlinux /mariner/6.12.1/vmlinuz\ninitrd /mariner/6.12.1/initrd\noptions root=PARTUUID=x rw\n",
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	paths := map[string]bool{}
	for _, f := range files {
		paths[f.Path] = true
	}
	for _, want := range []string{"EFI/BOOT/BOOTX64.EFI", "mariner/6.12.1/vmlinuz", "mariner/6.12.1/initrd", "loader/entries/mariner-6.12.1.conf"} {
		if !paths[want] {
			t.Errorf("no %s among %v", want, paths)
		}
	}
}
