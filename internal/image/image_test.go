package image

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mariner/internal/image/config"
	"mariner/internal/image/tools"
	"mariner/internal/rpm"
	"mariner/internal/rpm/rpmtest"
	"mariner/internal/sandbox"
	"mariner/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

const containerConfig = `
name: base
type: container
description: A test
formats: [oci, tar]
os:
  hostname: box
  packages: {install: [demo]}
  additionalFiles:
    - destination: /lib/extra/file
      content: "extra\n"
      permissions: "600"
container:
  cmd: [/bin/bash]
  env: {LANG: C.UTF-8}
  labels: {org.example: yes please}
`

const machineConfig = `
name: disk
type: machine
formats: [raw, qcow2]
storage:
  disks:
    - partitions:
        - {id: esp, type: esp, label: esp, size: 256M}
        - {id: boot, type: xbootldr, size: 32M}
        - {id: root, type: root, label: root}
  filesystems:
    - {deviceId: esp, type: fat32, mountPoint: /efi}
    - {deviceId: boot, type: ext4, mountPoint: {path: /boot}}
    - {deviceId: root, type: ext4, mountPoint: {path: /, options: "noatime"}}
os:
  hostname: box
  packages: {install: [demo, machine]}
  kernelCommandLine: {extraCommandLine: [console=ttyS0]}
initrd:
  packages: {install: [machine]}
`

func TestContainer(t *testing.T) {
	p := packages(t)
	res := same(t, containerConfig, []string{p["filesystem"], p["demo"]})
	oci := filepath.Join(res.Dir, "base.oci")
	for _, ref := range []string{"oci:" + oci, "oci-archive:" + oci + ".tar"} {
		out := output(t, "skopeo", "skopeo", "inspect", ref)
		for _, want := range []string{`"Architecture": "amd64"`, `"LANG=C.UTF-8"`, `"org.example": "yes please"`, `"Created": "2020-11-23T12:00:00Z"`, `"org.opencontainers.image.version": "1.0"`} {
			if !strings.Contains(out, want) {
				t.Errorf("skopeo does not see %s in\n%s", want, out)
			}
		}
	}
	list := output(t, "tar", "tar", "--numeric-owner", "-tvf", filepath.Join(res.Dir, "base.tar"))
	for _, want := range []string{
		"drwxr-x--- 950/950", "hrwxr-xr-x 0/0", "link to ./usr/bin/demo", "-rw------- 0/0", "./usr/lib/extra/file", "./etc/demo-post",
		"./etc/pki/rpm-gpg",
	} {
		if strings.Contains(list, want) == (want == "./etc/pki/rpm-gpg") {
			t.Errorf("%q in\n%s", want, list)
		}
	}
	for _, no := range []string{".rpm.lock", "-wal", "-shm", "./dev/null", "overlay"} {
		if strings.Contains(list, no) {
			t.Errorf("%s is in the archive", no)
		}
	}
	root := t.TempDir()
	tl := toolsFor(t)
	out, err := tl.Output(t.Context(), tools.Script{
		Name: "verifying", Binds: []sandbox.Bind{{Source: root, Target: "/r"}, {Source: res.Dir, Target: "/in", ReadOnly: true}},
		Text: `tar -C /r --xattrs --xattrs-include='*' -xf /in/base.tar
rpm --root /r --dbpath /usr/lib/sysimage/rpm -Va || true
rpm --root /r --dbpath /usr/lib/sysimage/rpm -qa --qf '%{NAME} %{INSTALLTIME}\n' | sort
cat /r/etc/demo-post; grep demo /r/etc/passwd; getfattr -n security.capability /r/usr/bin/demo >/dev/null 2>&1 || true
find /r -newermt @1606132800
rm -rf /r/*`,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "S.5......  c /etc/group\nS.5......  c /etc/passwd\nS.5......  c /etc/shadow\ndemo 1606132800\nfilesystem 1606132800\ndev proc\ndemo:x:950:950:Demo user:/var/lib/demo:/usr/sbin/nologin\n"
	if out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

func TestMachine(t *testing.T) {
	p := packages(t)
	res := same(t, machineConfig, []string{p["filesystem"], p["demo"], p["machine"]})
	raw := filepath.Join(res.Dir, "disk.raw")
	if out := output(t, "sgdisk", "gdisk", "-v", raw); !strings.Contains(out, "No problems found") {
		t.Error(out)
	}
	t.Log(output(t, "sgdisk", "gdisk", "-p", raw))
	parts := map[string]string{}
	for i, n := range []string{"esp", "boot", "root"} {
		parts[n] = partition(t, raw, i+1)
	}
	// fsck.fat says by a warning that there are too few clusters for FAT32.
	if out := output(t, "fsck.fat", "dosfstools", "-n", parts["esp"]); strings.Contains(out, "arning") {
		t.Error(out)
	}
	for _, n := range []string{"boot", "root"} {
		t.Log(output(t, "e2fsck", "e2fsprogs", "-fn", parts[n]))
	}
	list := output(t, "mdir", "mtools", "-/", "-b", "-i", parts["esp"])
	for _, want := range []string{"::/EFI/BOOT/BOOTX64.EFI", "::/EFI/systemd/systemd-bootx64.efi", "::/loader/loader.conf", "::/loader/entries/mariner-6.12.0.conf", "::/mariner/6.12.0/vmlinuz", "::/mariner/6.12.0/initrd"} {
		if !strings.Contains(list, want) {
			t.Errorf("no %s in\n%s", want, list)
		}
	}
	t.Log(output(t, "mtype", "mtools", "-i", parts["esp"], "::/loader/entries/mariner-6.12.0.conf"))
	t.Log(output(t, "debugfs", "e2fsprogs", "-R", "cat /etc/fstab", parts["root"]))
	if out := output(t, "debugfs", "e2fsprogs", "-R", "stat /var/lib/demo", parts["root"]); !strings.Contains(out, "User:   950   Group:   950") {
		t.Error(out)
	}
	if out := output(t, "debugfs", "e2fsprogs", "-R", "ea_list /usr/bin/demo", parts["root"]); !strings.Contains(out, "security.capability") {
		t.Error(out)
	}
	if out := output(t, "qemu-img", "qemu-utils", "compare", raw, filepath.Join(res.Dir, "disk.qcow2")); !strings.Contains(out, "identical") {
		t.Error(out)
	}
	output(t, "qemu-img", "qemu-utils", "check", filepath.Join(res.Dir, "disk.qcow2"))
	st, err := os.Stat(raw)
	if err != nil {
		t.Fatal(err)
	}
	if used := st.Sys().(*syscall.Stat_t).Blocks * 512; used > st.Size()/2 {
		t.Errorf("the disk of %d bytes takes %d: it is not sparse", st.Size(), used)
	}
	initrd := filepath.Join(t.TempDir(), "initrd")
	output(t, "mcopy", "mtools", "-i", parts["esp"], "::/mariner/6.12.0/initrd", initrd)
	tl := toolsFor(t)
	names, err := tl.Output(t.Context(), tools.Script{
		Name: "listing the initrd", Text: `zstd -dc /initrd | cpio -it --quiet`,
		Binds: []sandbox.Bind{{Source: initrd, Target: "/initrd", ReadOnly: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"init\n", "etc/initrd-release\n", "usr/lib/systemd/systemd\n"} {
		if !strings.Contains(names, want) {
			t.Errorf("no %s in the initrd:\n%s", strings.TrimSpace(want), names)
		}
	}
}

func TestRefused(t *testing.T) {
	p := packages(t)
	broken := filepath.Join(t.TempDir(), "broken.rpm")
	data, err := os.ReadFile(p["demo"])
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Clone(data)
	data[len(data)-100] ^= 1
	if err := os.WriteFile(broken, data, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, text, want string
		pkgs             []string
	}{
		{"payload", containerConfig, "demo", []string{p["filesystem"], broken}},
		{"dependency", containerConfig, "filesystem is needed by demo", []string{p["demo"]}},
		{"service", strings.Replace(containerConfig, "  hostname: box", "  services: {enable: [sshd]}", 1), "test.yaml:7: os.services.enable[0]: no installed package has the unit sshd", []string{p["filesystem"], p["demo"]}},
		{"kernel", machineConfig, "holds no boot loader", []string{p["filesystem"], p["demo"]}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := config.Parse("test.yaml", []byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			out := t.TempDir()
			_, err = Build(context.Background(), Request{
				Config: c, Packages: tc.pkgs, Initrd: []string{p["filesystem"], p["machine"]}, Layers: sandboxtest.Stage0(t), Runner: &sandbox.Namespaces{Temp: t.TempDir()},
				Work: t.TempDir(), Out: out,
			})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			left, err := os.ReadDir(out)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range left {
				if f.Name() != "."+c.Name+".lock" {
					t.Errorf("left behind: %s", f.Name())
				}
			}
		})
	}
}

// TestSigned gives rpm a key: it takes what that key signed and nothing else, and knows the key in
// the image.
func TestSigned(t *testing.T) {
	p := packages(t)
	key := rpmtest.NewKey(t)
	pkgs := []string{p["filesystem"], p["demo"]}
	request := func() Request {
		c, err := config.Parse("test.yaml", []byte(containerConfig))
		if err != nil {
			t.Fatal(err)
		}
		return Request{
			Config: c, Packages: pkgs, Keys: [][]byte{key.Public(t)}, Layers: sandboxtest.Stage0(t), Runner: &sandbox.Namespaces{Temp: t.TempDir()},
			Work: t.TempDir(), Out: t.TempDir(), Log: testLog{t},
		}
	}
	if _, err := Build(t.Context(), request()); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("packages without a signature: %v", err)
	}
	for _, f := range pkgs {
		if err := rpm.SignFile(f, key, time.Unix(1700000000, 0)); err != nil {
			t.Fatal(err)
		}
	}
	var sums []map[string]string
	for range 2 {
		res, err := Build(t.Context(), request())
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, digests(t, res.Dir))
		tl := toolsFor(t)
		out, err := tl.Output(t.Context(), tools.Script{
			Name: "looking for the key", Binds: []sandbox.Bind{{Source: res.Dir, Target: "/in", ReadOnly: true}},
			Text: `mkdir /r && tar -C /r -xf /in/base.tar && rpm --root /r --dbpath /usr/lib/sysimage/rpm -qa --qf '%{NAME} %{INSTALLTIME}\n' | sort
ls /r/etc/pki/rpm-gpg`,
		})
		if err != nil || out != "demo 1606132800\nfilesystem 1606132800\ngpg-pubkey 1606132800\nRPM-GPG-KEY-mariner\n" {
			t.Errorf("%v\n%s", err, out)
		}
	}
	if !maps.Equal(sums[0], sums[1]) {
		t.Errorf("%v\n%v", sums[0], sums[1])
	}
	other := request()
	other.Keys = [][]byte{rpmtest.NewKey(t).Public(t)}
	if _, err := Build(t.Context(), other); err == nil {
		t.Error("another key's packages were installed")
	}
}

// TestReplace builds over an image that is there, and over what a killed build left.
func TestReplace(t *testing.T) {
	p := packages(t)
	out := t.TempDir()
	for _, f := range []string{"base/old.raw", ".base.new/half.tar"} {
		if err := os.MkdirAll(filepath.Join(out, filepath.Dir(f)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(out, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	res := compose(t, containerConfig, []string{p["filesystem"], p["demo"]}, out)
	for f := range digests(t, out) {
		if strings.Contains(f, "old.raw") || strings.Contains(f, "half.tar") {
			t.Errorf("%s is still there", f)
		}
	}
	for _, o := range res.Outputs {
		if _, err := os.Stat(o.Path); err != nil {
			t.Error(err)
		}
	}
}
