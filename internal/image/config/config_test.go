package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mariner/internal/fault"
)

const machine = `type: machine
formats: [raw]
storage:
  bootType: efi
  disks:
    - partitionTableType: gpt
      maxSize: 4G
      partitions:
        - {id: esp, type: esp, size: 256M}
        - id: root
          type: root
          label: root
          size: grow
  filesystems:
    - deviceId: esp
      type: fat32
      mountPoint: {path: /efi, options: umask=0077}
    - deviceId: root
      type: ext4
      mountPoint: /
os:
  hostname: mariner
  packages:
    install: [bash, kernel]
  services:
    enable: [containerd]
  additionalFiles:
    - destination: /etc/motd
      content: |
        hello
    - {destination: /usr/bin/x, source: x.sh, permissions: 755}
  kernelCommandLine:
    extraCommandLine: [console=ttyS0, quiet]
  bootloader: {timeout: 3}
initrd:
  packages: {install: [systemd]}
`

func write(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.sh"), []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	c, err := Load(write(t, "core.yaml", machine))
	if err != nil {
		t.Fatal(err)
	}
	disk := c.Storage.Disks[0]
	for _, tc := range []struct{ name, got, want string }{
		{"name", c.Name, "core"},
		{"size", disk.MaxSize.String(), "4G"},
		{"label", disk.Partitions[0].Label, "esp"},
		{"mount point", c.Storage.Filesystems[1].MountPoint.Path, "/"},
		{"id type", c.Storage.Filesystems[1].MountPoint.IDType, "part-uuid"},
		{"options", c.Storage.Filesystems[0].MountPoint.Options, "umask=0077"},
		{"content", *c.OS.AdditionalFiles[0].Content, "hello\n"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, tc.got, tc.want)
		}
	}
	if disk.Partitions[1].Size != Grow {
		t.Errorf("the root partition has the size %d", disk.Partitions[1].Size)
	}
	if p := c.OS.AdditionalFiles; p[0].Permissions != 0o644 || p[1].Permissions != 0o755 {
		t.Errorf("permissions %o and %o", p[0].Permissions, p[1].Permissions)
	}
	if data, err := c.Read(c.OS.AdditionalFiles[1]); err != nil || string(data) != "#!/bin/sh\n" {
		t.Errorf("%q %v", data, err)
	}
	if n := c.Line("os.services.enable[0]"); n != 26 {
		t.Errorf("the service is on line %d", n)
	}
	if !c.Has(Raw) || c.Has(Qcow2) {
		t.Errorf("formats %v", c.Formats)
	}
}

func TestDefaults(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"type: container\nos: {packages: {install: [a]}}\n", "oci"},
		{"type: container\nos: {packages: {install: [a]}}\noutput: {image: {format: tar}}\n", "tar"},
	} {
		c, err := Parse("base.yaml", []byte(tc.text))
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Formats) != 1 || string(c.Formats[0]) != tc.want {
			t.Errorf("formats %v, want %s", c.Formats, tc.want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct{ name, old, new, want string }{
		{"misspelt key", "  hostname:", "  Hostnme:", `core.yaml:22: unknown key "Hostnme" in os; did you mean "hostname"?`},
		{"unknown key", "  hostname:", "  weather:", `core.yaml:22: unknown key "weather" in os; known are additionalFiles, bootloader,`},
		{"not yet", "  hostname: mariner", "  selinux: {mode: enforcing}", "core.yaml:22: os.selinux is in the Image Customizer's vocabulary, but this version cannot do it yet"},
		{"not yet, in a list", "      type: ext4\n", "      type: ext4\n      btrfs: {}\n", "core.yaml:20: storage.filesystems[1].btrfs is in"},
		{"twice", "formats: [raw]", "formats: [raw]\nformats: [raw]", "core.yaml:3: formats is given twice, first on line 2"},
		{"list", "[bash, kernel]", "bash", "core.yaml:24: os.packages.install: expected a list (- item), found a single value"},
		{"number", "{timeout: 3}", "{timeout: long}", `core.yaml:34: os.bootloader.timeout: expected a whole number, found "long"`},
		{"text", "hostname: mariner", "hostname: 12", "core.yaml:22: os.hostname: expected text, found 12, which YAML takes for something else: put it into quotes"},
		{"size", "maxSize: 4G", "maxSize: 4GB", `core.yaml:7: storage.disks[0].maxSize: "4GB" is no size`},
		{"permissions", "permissions: 755", "permissions: 789", `core.yaml:31: os.additionalFiles[1].permissions: "789" are no permissions`},
		{"type", "type: machine", "type: toaster", `core.yaml:1: type: "toaster" is none of machine, container`},
		{"format", "[raw]", "[raw, oci]", `core.yaml:2: formats[1]: "oci" is none of raw, qcow2`},
		{"too large", "size: 256M", "size: 5G", "core.yaml:7: storage.disks[0].maxSize: the partitions end at 5122M"},
		{"unaligned", "size: 256M", "size: 300000K", "is not a multiple of 1M"},
		{"overlap", "label: root", "start: 10M", "core.yaml:12: storage.disks[0].partitions[1].start: 10M lies inside the partition before"},
		{"grow in the middle", "size: 256M", "size: grow", "only the last partition can grow"},
		{"end and size", "label: root", "end: 1G", "has both an end and a size"},
		{"no esp", "type: esp", "type: var", "boots from exactly one partition of type esp, found 0"},
		{"esp on ext4", "type: fat32", "type: ext4", "core.yaml:16: storage.filesystems[0].type: firmware reads only fat32"},
		{"small esp", "size: 256M", "size: 8M", "less than 36M"},
		{"no root", "mountPoint: /\n", "mountPoint: /srv\n", "none is mounted at /"},
		{"no device", "deviceId: root", "deviceId: boot", `core.yaml:18: storage.filesystems[1].deviceId: no partition has the id "boot"`},
		{"host name", "hostname: mariner", "hostname: not_one", `"not_one" is no host name`},
		{"no source", "source: x.sh", "source: y.sh", "core.yaml:31: os.additionalFiles[1].source: "},
		{"two sources", "source: x.sh", "source: x.sh, content: x", "needs either source or content"},
		{"hash", "source: x.sh", "source: x.sh, sha256hash: '00'", "expected 00, found "},
		{"destination", "/etc/motd", "/etc/../motd", "no clean absolute path"},
		{"both ways", "enable: [containerd]", "enable: [containerd]\n    disable: [containerd]", "containerd is enabled as well"},
		{"container", "type: machine", "type: container", "core.yaml:5: storage.disks: a container has none"},
		{"anchor", "{timeout: 3}", "&x {timeout: 3}", "anchors and aliases are not used here"},
		{"syntax", "formats: [raw]", "formats: [raw", "core.yaml:1: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !strings.Contains(machine, tc.old) {
				t.Fatalf("%q is not in the example", tc.old)
			}
			path := write(t, "core.yaml", strings.Replace(machine, tc.old, tc.new, 1))
			_, err := Load(path)
			if err == nil {
				t.Fatal("accepted")
			}
			if got := strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", ""); !strings.Contains(got, tc.want) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if fault.KindOf(err) != fault.Usage {
				t.Errorf("the kind is %v", fault.KindOf(err))
			}
		})
	}
}

func TestSize(t *testing.T) {
	for _, tc := range []struct {
		text string
		want Size
	}{{"1K", 1024}, {"8M", 8 << 20}, {"4G", 4 << 30}, {"2T", 2 << 40}, {"0M", 0}} {
		got, err := ParseSize(tc.text)
		if err != nil || got != tc.want {
			t.Errorf("%s: %d %v", tc.text, got, err)
		}
		if got != 0 && got.String() != tc.text {
			t.Errorf("%s is written as %s", tc.text, got)
		}
	}
	for _, bad := range []string{"", "1", "1m", "1.5G", "-1G", "99999999999999T", " 1G"} {
		if _, err := ParseSize(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(machine))
	f.Add([]byte("type: container\nos: {packages: {install: [a]}}\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("- x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("x.yaml", data)
		if err == nil && (c.Name == "" || len(c.Formats) == 0 || len(c.OS.Packages.Install) == 0) {
			t.Errorf("accepted, but not complete: %+v", c)
		}
	})
}
