// Package boot makes what a machine starts from: the initrd, and the files on the partition that the
// firmware reads (systemd-boot and type #1 entries of UAPI.1, the Boot Loader Specification).
//
// It does not write partitions: package disk does.
package boot

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mariner/internal/fault"
	"mariner/internal/image/disk"
	"mariner/internal/image/rootfs"
	"mariner/internal/image/tools"
	"mariner/internal/sandbox"
)

// loaderPath is where the systemd-boot package puts the boot loader.
const loaderPath = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"

//go:embed initrd.sh
var initrdScript string

// Prepare makes an installed tree an initrd: it starts systemd, which sees by /etc/initrd-release
// what it is in, and holds nothing that is needed only after the root file system is there.
func Prepare(ctx context.Context, t *rootfs.Tree) error {
	err := t.Write(ctx, []rootfs.File{
		{Path: "/init", Link: "usr/lib/systemd/systemd"},
		{Path: "/etc/initrd-release", Link: "../usr/lib/os-release"},
		{Path: "/etc/machine-id", Mode: 0o444},
	})
	if err != nil {
		return err
	}
	return t.Tools.Run(ctx, tools.Script{
		Name: "preparing the initrd", Binds: []sandbox.Bind{t.Bind(false)},
		Text: `[ -x /image/usr/lib/systemd/systemd ] || { echo "the initrd holds no systemd: add it to initrd.packages.install" >&2; exit 1; }
cd /image
rm -rf usr/lib/sysimage usr/lib/locale usr/lib64/gconv usr/include usr/lib/rpm \
  usr/share/doc usr/share/licenses usr/share/locale usr/share/man usr/share/info usr/share/zoneinfo usr/share/i18n \
  usr/share/bash-completion usr/share/zsh usr/share/factory usr/lib/systemd/boot usr/lib/systemd/catalog usr/lib/systemd/user \
  usr/lib/udev/hwdb.d usr/lib/udev/hwdb.bin etc/udev/hwdb.bin var/lib/systemd/catalog boot`,
	})
}

// Initrd writes a finished tree to path as a newc cpio archive, compressed by zstd.
func Initrd(ctx context.Context, t *rootfs.Tree, path string) error {
	dir, base := filepath.Split(path)
	return t.Tools.Run(ctx, tools.Script{
		Name: "packing the initrd", Text: initrdScript, Args: []string{"/out/" + base},
		Binds: []sandbox.Bind{t.Bind(true), {Source: dir, Target: "/out"}},
	})
}

// Kernel finds the version of the one kernel in a tree.
func Kernel(ctx context.Context, t *rootfs.Tree) (string, error) {
	out, err := t.Tools.Output(ctx, tools.Script{
		Name: "looking for the kernel", Binds: []sandbox.Bind{t.Bind(true)},
		Text: `for k in /image/usr/lib/modules/*/vmlinuz; do [ ! -e "$k" ] || basename "$(dirname "$k")"; done
[ -e /image` + loaderPath + ` ] || echo ` + loaderPath,
	})
	if err != nil {
		return "", err
	}
	found := strings.Fields(out)
	if i := len(found) - 1; i >= 0 && found[i] == loaderPath {
		return "", fault.Errorf(fault.Usage, "the image holds no boot loader (%s): add the package of systemd-boot to os.packages.install", loaderPath)
	}
	switch len(found) {
	case 0:
		return "", fault.Errorf(fault.Usage, "the image holds no kernel (/usr/lib/modules/VERSION/vmlinuz): add kernel to os.packages.install")
	case 1:
		return found[0], nil
	}
	return "", fault.Errorf(fault.Usage, "the image holds %d kernels, %s: one is expected", len(found), strings.Join(found, ", "))
}

// Entry is what is booted.
type Entry struct {
	ID, Title string // of the operating system, from os-release
	Kernel    string // its version
	Options   []string
	Timeout   int // of the menu, in seconds
}

// Files writes the boot loader's configuration and names every file of the firmware's partition.
// extra is a folder, which Files writes to, that holds the initrd as "initrd".
func (e Entry) Files(extra string) ([]disk.File, error) {
	folder := e.ID + "/" + e.Kernel
	entry := fmt.Sprintf("title %s\nsort-key %s\nversion %s\nlinux /%s/vmlinuz\ninitrd /%s/initrd\noptions %s\n",
		e.Title, e.ID, e.Kernel, folder, folder, strings.Join(e.Options, " "))
	// Without an editor nobody changes the command line at the console.
	loader := fmt.Sprintf("timeout %d\nconsole-mode keep\neditor no\n", e.Timeout)
	for name, text := range map[string]string{"loader.conf": loader, "entry.conf": entry} {
		if err := os.WriteFile(filepath.Join(extra, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return []disk.File{
		{Path: "EFI/BOOT/BOOTX64.EFI", Source: rootfs.Inside + loaderPath},
		{Path: "EFI/systemd/systemd-bootx64.efi", Source: rootfs.Inside + loaderPath},
		{Path: folder + "/vmlinuz", Source: rootfs.Inside + "/usr/lib/modules/" + e.Kernel + "/vmlinuz"},
		{Path: folder + "/initrd", Source: "/files/initrd"},
		{Path: "loader/loader.conf", Source: "/files/loader.conf"},
		{Path: "loader/entries/" + e.ID + "-" + e.Kernel + ".conf", Source: "/files/entry.conf"},
	}, nil
}
