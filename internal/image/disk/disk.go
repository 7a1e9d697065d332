// Package disk makes disk images: a GUID partition table and file systems filled from directories,
// written straight into one sparse file, without a loop device and without a mount.
//
// Identifiers are derived, not random: the same input gives the same bytes. What lies on the
// partitions is somebody else's affair: package rootfs makes trees, package boot knows what the
// firmware wants.
package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"mariner/internal/fault"
	"mariner/internal/image/config"
)

// Seed is what an image's identifiers are derived from.
type Seed string

// UUID is an identifier for a purpose, a version 8 UUID (RFC 9562) of a SHA-256.
func (s Seed) UUID(purpose string) string {
	b := s.sum(purpose)
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// VolumeID is a serial number for a FAT file system.
func (s Seed) VolumeID(purpose string) uint32 {
	b := s.sum(purpose)
	return binary.BigEndian.Uint32(b[:4])
}

func (s Seed) sum(purpose string) [32]byte {
	return sha256.Sum256([]byte("mariner image\x00" + string(s) + "\x00" + purpose))
}

// Partition is a partition of a Layout.
type Partition struct {
	ID, Label   string
	Type, GUID  string // upper case
	Start, Size int64  // bytes
	FS          *Filesystem
}

// Filesystem is what a partition is formatted with.
type Filesystem struct {
	Type    string // ext4 or vfat
	UUID    string // for vfat as it is written in fstab: XXXX-XXXX
	Seed    string // of an ext4's directory hashes
	Path    string // where it is mounted, "" if nowhere
	Options string
	Tag     string // how fstab names it: PARTUUID=…
}

// Layout is a disk: nothing in it is left to be chosen.
type Layout struct {
	GUID       string
	Size       int64
	Partitions []Partition
}

const (
	mib = 1 << 20
	// slack is what a growing partition has beyond its content and half of it: an ext4's journal and
	// inode tables, and room for a start.
	slack = 128 * mib
)

// Plan lays out the disk of a configuration that was checked. need is how many bytes the content of
// a mount point takes; only a partition that grows on a disk without a size is asked for.
func Plan(s config.Storage, seed Seed, need func(mount string) (int64, error)) (*Layout, error) {
	disk := s.Disks[0]
	l := &Layout{GUID: strings.ToUpper(seed.UUID("disk"))}
	end := int64(mib)
	for _, p := range disk.Partitions {
		part := Partition{ID: p.ID, Label: p.Label, Start: end, GUID: strings.ToUpper(seed.UUID("partition " + p.ID))}
		if t, ok := types()[p.Type]; ok {
			part.Type = t
		} else {
			part.Type = strings.ToUpper(p.Type)
		}
		if p.Start != 0 {
			part.Start = int64(p.Start)
		}
		for _, f := range s.Filesystems {
			if f.DeviceID == p.ID {
				part.FS = filesystem(f, part, seed)
			}
		}
		switch {
		case p.End != 0:
			part.Size = int64(p.End) - part.Start
		case p.Size != config.Grow:
			part.Size = int64(p.Size)
		case disk.MaxSize != 0:
			part.Size = int64(disk.MaxSize) - mib - part.Start
		default:
			content := int64(0)
			if part.FS != nil && part.FS.Path != "" {
				var err error
				if content, err = need(part.FS.Path); err != nil {
					return nil, err
				}
			}
			part.Size = (content*3/2 + slack + mib - 1) / mib * mib
		}
		if part.Size <= 0 {
			return nil, fault.Errorf(fault.Usage, "the partition %s has no room: it begins at %s of a disk of %s", p.ID, config.Size(part.Start), disk.MaxSize)
		}
		end = part.Start + part.Size
		l.Partitions = append(l.Partitions, part)
	}
	l.Size = end + mib
	if disk.MaxSize != 0 {
		l.Size = int64(disk.MaxSize)
	}
	return l, nil
}

func filesystem(f config.Filesystem, p Partition, seed Seed) *Filesystem {
	fs := &Filesystem{Type: f.Type, Path: f.MountPoint.Path, Options: f.MountPoint.Options, Seed: seed.UUID("directories " + p.ID)}
	if f.Type == "ext4" {
		fs.UUID = seed.UUID("file system " + p.ID)
	} else {
		id := seed.VolumeID("file system " + p.ID)
		fs.Type, fs.UUID = "vfat", fmt.Sprintf("%04X-%04X", id>>16, id&0xffff)
	}
	switch f.MountPoint.IDType {
	case "uuid":
		fs.Tag = "UUID=" + fs.UUID
	case "part-label":
		fs.Tag = "PARTLABEL=" + p.Label
	default:
		fs.Tag = "PARTUUID=" + strings.ToLower(p.GUID)
	}
	return fs
}

// Mounted is the partition whose file system is mounted at path, nil if there is none.
func (l *Layout) Mounted(path string) *Partition {
	for i := range l.Partitions {
		if fs := l.Partitions[i].FS; fs != nil && fs.Path == path {
			return &l.Partitions[i]
		}
	}
	return nil
}

// Paths are the mount points, sorted: outer ones first.
func (l *Layout) Paths() []string {
	var paths []string
	for _, p := range l.Partitions {
		if p.FS != nil && p.FS.Path != "" {
			paths = append(paths, p.FS.Path)
		}
	}
	slices.Sort(paths)
	return paths
}

// ESP is the EFI system partition.
func (l *Layout) ESP() *Partition {
	for i := range l.Partitions {
		if l.Partitions[i].Type == types()["esp"] {
			return &l.Partitions[i]
		}
	}
	return nil
}

// Fstab is the content of /etc/fstab (fstab(5)).
func (l *Layout) Fstab() string {
	var b strings.Builder
	for _, p := range l.Partitions {
		if p.FS == nil || p.FS.Path == "" {
			continue
		}
		pass, options := 2, p.FS.Options
		if p.FS.Path == "/" {
			pass = 1
		}
		if options == "" {
			options = "defaults"
			if p.FS.Type == "vfat" {
				options = "umask=0077"
			}
		}
		fmt.Fprintf(&b, "%s %s %s %s 0 %d\n", p.FS.Tag, p.FS.Path, p.FS.Type, options, pass)
	}
	return b.String()
}
