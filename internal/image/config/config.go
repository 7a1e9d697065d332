// Package config reads an image's configuration: one YAML file, in the vocabulary of the Azure
// Linux Image Customizer (its JSON Schema is the reference), extended where an image is made from
// nothing instead of changed.
//
// It only reads and checks. It knows nothing of packages, disks or tools; package image turns a
// Config into an image.
package config

import "mariner/internal/distro/yamlfile"

// Config is one image.
type Config struct {
	// Name is the image's name: the folder and the stem of the files it becomes. Default: the name
	// of the configuration file.
	Name string `yaml:"name"`
	// Description is one line for people and for a container's labels.
	Description string `yaml:"description"`
	// Type is machine (boots by itself) or container.
	Type Type `yaml:"type"`
	// Formats are the files to be written. Default: raw for a machine, oci for a container, or the
	// one of output.image.format.
	Formats []Format `yaml:"formats"`

	Storage   Storage   `yaml:"storage"`
	OS        OS        `yaml:"os"`
	Initrd    Initrd    `yaml:"initrd"`
	Container Container `yaml:"container"`
	Output    Output    `yaml:"output"`

	file  string
	lines *yamlfile.Lines
}

// Type says what an image is for.
type Type string

// The types of image.
const (
	Machine    Type = "machine"
	Containers Type = "container"
)

// Format is a file format of an image.
type Format string

// The formats. A machine is written as raw and qcow2, a container as oci (a layout and the same as
// one archive) and tar.
const (
	Raw   Format = "raw"
	Qcow2 Format = "qcow2"
	OCI   Format = "oci"
	Tar   Format = "tar"
)

// Storage says what the disk holds.
type Storage struct {
	// BootType is efi; it may be left out.
	BootType string `yaml:"bootType"`
	// Disks holds exactly one disk for a machine, none for a container.
	Disks []Disk `yaml:"disks"`
	// Filesystems are made on the disk's partitions.
	Filesystems []Filesystem `yaml:"filesystems"`
}

// Disk is a disk and its partitions, in their order on it.
type Disk struct {
	// PartitionTableType is gpt; it may be left out.
	PartitionTableType string `yaml:"partitionTableType"`
	// MaxSize is the size of the disk. Left out: as large as its partitions.
	MaxSize Size `yaml:"maxSize"`
	// Partitions stand on the disk in this order.
	Partitions []Partition `yaml:"partitions"`
}

// Partition is a part of a disk. Without an end or a size it grows: to the end of the disk if that
// has a size, else it is as large as what it holds and half as much again.
type Partition struct {
	ID    string        `yaml:"id"`
	Label string        `yaml:"label"`
	Start Size          `yaml:"start"`
	End   Size          `yaml:"end"`
	Size  PartitionSize `yaml:"size"`
	// Type is a name of the Discoverable Partitions Specification (esp, root, usr, var, home, srv,
	// swap, xbootldr, linux-generic) or a GUID.
	Type string `yaml:"type"`
}

// Filesystem is what a partition is formatted with and where it is seen.
type Filesystem struct {
	DeviceID string `yaml:"deviceId"`
	// Type is ext4, fat32 or vfat.
	Type       string     `yaml:"type"`
	MountPoint MountPoint `yaml:"mountPoint"`
}

// MountPoint is where a file system is mounted; in YAML it may also be just the path.
type MountPoint struct {
	// IDType is how /etc/fstab names the file system: part-uuid (the default), uuid or part-label.
	IDType  string `yaml:"idType"`
	Options string `yaml:"options"`
	Path    string `yaml:"path"`
}

// OS is what the system holds and how it is set.
type OS struct {
	Hostname          string            `yaml:"hostname"`
	Packages          Packages          `yaml:"packages"`
	Services          Services          `yaml:"services"`
	AdditionalFiles   []AdditionalFile  `yaml:"additionalFiles"`
	KernelCommandLine KernelCommandLine `yaml:"kernelCommandLine"`
	Bootloader        Bootloader        `yaml:"bootloader"`
}

// Packages are what is installed, with all that it requires.
type Packages struct {
	Install []string `yaml:"install"`
}

// Services are units switched on and off after the presets were applied.
type Services struct {
	Enable  []string `yaml:"enable"`
	Disable []string `yaml:"disable"`
}

// AdditionalFile is a file put into the system.
type AdditionalFile struct {
	// Destination is the absolute path in the system.
	Destination string `yaml:"destination"`
	// Source is a path relative to the configuration file; or Content is the text itself.
	Source  string  `yaml:"source"`
	Content *string `yaml:"content"`
	// Permissions are octal; default 644.
	Permissions Permissions `yaml:"permissions"`
	// SHA256Hash, if given, must be Source's.
	SHA256Hash string `yaml:"sha256hash"`
}

// KernelCommandLine is what the kernel is told beside what booting needs.
type KernelCommandLine struct {
	ExtraCommandLine []string `yaml:"extraCommandLine"`
}

// Bootloader says how a machine boots.
type Bootloader struct {
	// Type is systemd-boot; it may be left out. An extension.
	Type string `yaml:"type"`
	// Timeout is how long the menu waits, in seconds; default 0. An extension.
	Timeout int `yaml:"timeout"`
}

// Initrd is the system that finds the root file system; made as an image is, from packages. An
// extension.
type Initrd struct {
	Packages Packages `yaml:"packages"`
}

// Container is how a container starts (the OCI image specification's config). An extension.
type Container struct {
	Entrypoint []string          `yaml:"entrypoint"`
	Cmd        []string          `yaml:"cmd"`
	Env        map[string]string `yaml:"env"`
	WorkingDir string            `yaml:"workingDir"`
	User       string            `yaml:"user"`
	Labels     map[string]string `yaml:"labels"`
}

// Output is where the Image Customizer's configurations name the one format that they write.
type Output struct {
	Image OutputImage `yaml:"image"`
}

// OutputImage is the format of the only file.
type OutputImage struct {
	Format Format `yaml:"format"`
}

// File is the path that the configuration was read from; sources are relative to its folder.
func (c *Config) File() string { return c.file }

// Line is where a value stands in File, by its path ("os.services.enable[0]"); of the nearest
// enclosing value if it is not written there, 0 if nothing is.
func (c *Config) Line(path string) int { return c.lines.Line(path) }

// Has says whether the image is written in format f.
func (c *Config) Has(f Format) bool {
	for _, g := range c.Formats {
		if g == f {
			return true
		}
	}
	return false
}
