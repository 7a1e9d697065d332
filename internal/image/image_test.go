package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mariner/internal/image/config"
	"mariner/internal/image/tools"
	"mariner/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

// layers are the tools' root, which `make test` names.
func layers(t testing.TB) []string {
	t.Helper()
	l := os.Getenv("MARINER_STAGE0")
	if l == "" {
		const why = "MARINER_STAGE0 does not name the folders of a stage0 root (separated by colons); `make test` sets it"
		if os.Getenv("CI") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	return filepath.SplitList(l)
}

// program is a tool to compare with, of the host.
func program(t testing.TB, name, pkg string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if p := filepath.Join(dir, name); exec.Command("test", "-x", p).Run() == nil {
			return p
		}
	}
	t.Fatalf("%s is missing; install it: sudo apt-get install %s", name, pkg)
	return ""
}

func output(t testing.TB, name, pkg string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program(t, name, pkg), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// packages builds the test packages and returns their files by name.
func packages(t testing.TB) map[string]string {
	t.Helper()
	out, specs := t.TempDir(), "testdata"
	tl := toolsFor(t)
	err := tl.Run(t.Context(), tools.Script{
		Name: "building test packages",
		Binds: []sandbox.Bind{
			{Source: specs, Target: "/specs", ReadOnly: true}, {Source: out, Target: "/out"},
		},
		Text: `for s in /specs/*.spec; do
  rpmbuild -bb --quiet --define "_topdir /tmp/rpm" --define "_rpmdir /out" --define "_build_name_fmt %%{NAME}.rpm" --define "_buildhost test" \
    --define "source_date_epoch_from_changelog 1" --define "use_source_date_epoch_as_buildtime 1" --define "build_mtime_policy clamp_to_source_date_epoch" "$s"
done`,
	})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, n := range []string{"filesystem", "demo", "machine"} {
		files[n] = filepath.Join(out, n+".rpm")
	}
	return files
}

func toolsFor(t testing.TB) tools.Tools {
	return tools.Tools{
		Runner: &sandbox.Namespaces{Temp: t.TempDir()}, Layers: layers(t),
		Epoch: time.Unix(1606132800, 0), Log: testLog{t},
	}
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
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
        - {id: esp, type: esp, label: esp, size: 64M}
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

// compose builds the image of a configuration.
func compose(t testing.TB, text string, pkgs []string, out string) *Result {
	t.Helper()
	c, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r := Request{
		Config: c, Packages: pkgs, Layers: layers(t), Runner: &sandbox.Namespaces{Temp: t.TempDir()},
		Work: t.TempDir(), Out: out, Log: testLog{t},
	}
	if c.Type == config.Machine {
		r.Initrd = pkgs
	}
	res, err := Build(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(r.Work); len(left) > 2 {
		t.Errorf("left in the work folder: %v", left)
	}
	return res
}

// digests are of all files below dir, by their relative paths.
func digests(t testing.TB, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		sums[rel] = hex.EncodeToString(h.Sum(nil))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// same builds the image twice, in two folders, at two times and with files whose order on disk and
// whose names differ, and compares everything.
func same(t *testing.T, text string, pkgs []string) *Result {
	t.Helper()
	first := compose(t, text, pkgs, filepath.Join(t.TempDir(), "a"))
	other := t.TempDir()
	var renamed []string
	for i, p := range pkgs {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(other, strings.Repeat("x", i+1))
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
		renamed = append(renamed, to)
	}
	second := compose(t, text, renamed, filepath.Join(t.TempDir(), "some", "other", "folder"))
	a, b := digests(t, first.Dir), digests(t, second.Dir)
	if len(a) != len(b) || len(a) == 0 {
		t.Errorf("%d and %d files", len(a), len(b))
	}
	for name, sum := range a {
		if b[name] != sum {
			t.Errorf("%s: %s and %s", name, sum, b[name])
		}
	}
	return first
}

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
	t.Log(output(t, "fsck.fat", "dosfstools", "-n", parts["esp"]))
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
	if used := blocks(st); used > st.Size()/2 {
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

// partition copies a partition out of a disk.
func partition(t *testing.T, raw string, n int) string {
	t.Helper()
	info := output(t, "sgdisk", "gdisk", "-i", string(rune('0'+n)), raw)
	var first, last int64
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "First sector: "); ok {
			first = number(v)
		}
		if v, ok := strings.CutPrefix(line, "Last sector: "); ok {
			last = number(v)
		}
	}
	f, err := os.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := filepath.Join(t.TempDir(), "part")
	to, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := io.Copy(to, io.NewSectionReader(f, first*512, (last-first+1)*512)); err != nil {
		t.Fatal(err)
	}
	return path
}

func number(s string) (n int64) {
	for _, c := range s {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n
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
				Config: c, Packages: tc.pkgs, Initrd: []string{p["filesystem"], p["machine"]}, Layers: layers(t), Runner: &sandbox.Namespaces{Temp: t.TempDir()},
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
