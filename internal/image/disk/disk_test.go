package disk

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mariner/internal/image/config"
)

const mb = 1 << 20

func storage(size config.Size, root config.PartitionSize) config.Storage {
	return config.Storage{
		Disks: []config.Disk{{MaxSize: size, Partitions: []config.Partition{
			{ID: "esp", Label: "esp", Type: "esp", Size: 256 * mb},
			{ID: "data", Label: "data", Type: "linux-generic", Start: 300 * mb, End: 400 * mb},
			{ID: "root", Label: "root", Type: "root", Size: root},
		}}},
		Filesystems: []config.Filesystem{
			{DeviceID: "esp", Type: "fat32", MountPoint: config.MountPoint{Path: "/efi", IDType: "uuid"}},
			{DeviceID: "root", Type: "ext4", MountPoint: config.MountPoint{Path: "/", Options: "noatime", IDType: "part-label"}},
			{DeviceID: "data", Type: "ext4", MountPoint: config.MountPoint{Path: "/srv/data"}},
		},
	}
}

func TestPlan(t *testing.T) {
	for _, tc := range []struct {
		name       string
		size       config.Size
		root       config.PartitionSize
		want, disk int64
	}{
		{"fixed", 0, 512 * mb, 512 * mb, 913 * mb},
		{"to the end", 2 << 30, config.Grow, 1647 * mb, 2 << 30},
		{"as needed", 0, config.Grow, 100*mb*3/2 + slack, 400*mb + 100*mb*3/2 + slack + mb},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := Plan(storage(tc.size, tc.root), "x", func(string) (int64, error) { return 100 * mb, nil })
			if err != nil {
				t.Fatal(err)
			}
			if p := l.Mounted("/"); p == nil || p.Start != 400*mb || p.Size != tc.want || l.Size != tc.disk {
				t.Errorf("%+v of %d", p, l.Size)
			}
			path := filepath.Join(t.TempDir(), "disk")
			if err := l.Create(path); err != nil {
				t.Fatal(err)
			}
			sgdisk(t, path, "-v", "No problems found")
			sgdisk(t, path, "-i3", "Partition GUID code: "+types()["root"])
			sgdisk(t, path, "-i3", "Partition unique GUID: "+l.Partitions[2].GUID)
			sgdisk(t, path, "-i1", "Partition name: 'esp'")
		})
	}
}

func sgdisk(t *testing.T, path, arg, want string) {
	t.Helper()
	tool := "/usr/sbin/sgdisk"
	if p, err := exec.LookPath("sgdisk"); err == nil {
		tool = p
	}
	out, err := exec.Command(tool, arg, path).CombinedOutput()
	if err != nil {
		t.Fatalf("sgdisk (sudo apt-get install gdisk): %v\n%s", err, out)
	}
	if !strings.Contains(string(out), want) {
		t.Errorf("sgdisk %s: no %q in\n%s", arg, want, out)
	}
}

func TestFstab(t *testing.T) {
	l, err := Plan(storage(0, 512*mb), "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^UUID=[0-9A-F]{4}-[0-9A-F]{4} /efi vfat umask=0077 0 2
PARTUUID=[0-9a-f-]{36} /srv/data ext4 defaults 0 2
PARTLABEL=root / ext4 noatime 0 1
$`)
	if got := l.Fstab(); !want.MatchString(got) {
		t.Errorf("got\n%s", got)
	}
	if got := l.below("/"); !slices.Equal(got, []string{"/efi", "/srv/data"}) {
		t.Errorf("below /: %v", got)
	}
	if l.ESP() == nil || l.ESP().ID != "esp" {
		t.Errorf("esp: %+v", l.ESP())
	}
}

func TestSeed(t *testing.T) {
	a, b := Seed("a"), Seed("b")
	if a.UUID("x") != Seed("a").UUID("x") || a.UUID("x") == b.UUID("x") || a.UUID("x") == a.UUID("y") {
		t.Error("identifiers do not follow the seed and the purpose")
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(a.UUID("x")) {
		t.Errorf("%s is no version 8 UUID", a.UUID("x"))
	}
}

func TestFatArgs(t *testing.T) {
	got := fatArgs([]File{{"b/c/d", "/2"}, {"a", "/1"}, {"b/c/e", "/3"}})
	want := []string{"f", "/1", "a", "d", "b", "", "d", "b/c", "", "f", "/2", "b/c/d", "f", "/3", "b/c/e"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if l := fatLabel("EFI system partition"); l != "EFI_SYSTEM_" {
		t.Errorf("label %q", l)
	}
}

func TestTypesAreTheOnesOfTheConfiguration(t *testing.T) {
	var names []string
	for n := range types() {
		names = append(names, n)
	}
	slices.Sort(names)
	if !slices.Equal(names, config.PartitionTypes()) {
		t.Errorf("%v, but the configuration knows %v", names, config.PartitionTypes())
	}
}
