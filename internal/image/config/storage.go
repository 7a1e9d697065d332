package config

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// PartitionTypes are the names that a partition's type may have, as DPSTypes of package disk knows
// them.
func PartitionTypes() []string {
	return []string{"esp", "home", "linux-generic", "root", "srv", "swap", "tmp", "usr", "var", "xbootldr"}
}

const alignment = 1 << 20

// machine checks what only a machine has: a disk, its partitions and file systems.
func (c *checker) machine() {
	if len(c.Container.Entrypoint)+len(c.Container.Cmd)+len(c.Container.Env)+len(c.Container.Labels) > 0 {
		c.errorf("container", "a machine has no container settings: remove it, or make the type container")
	}
	c.oneOf("storage.bootType", c.Storage.BootType, true, "efi")
	c.oneOf("os.bootloader.type", c.OS.Bootloader.Type, true, "systemd-boot")
	if c.OS.Bootloader.Timeout < 0 {
		c.errorf("os.bootloader.timeout", "%d is no number of seconds", c.OS.Bootloader.Timeout)
	}
	if len(c.Storage.Disks) != 1 {
		c.errorf("storage.disks", "a machine has exactly one disk, found %d", len(c.Storage.Disks))
		return
	}
	c.oneOf("storage.disks[0].partitionTableType", c.Storage.Disks[0].PartitionTableType, true, "gpt")
	if c.Storage.Disks[0].MaxSize%alignment != 0 {
		c.errorf("storage.disks[0].maxSize", "%s is not a multiple of 1M", c.Storage.Disks[0].MaxSize)
	}
	parts := c.partitions()
	c.filesystems(parts)
}

func (c *checker) partitions() map[string]Partition {
	disk := c.Storage.Disks[0]
	byID := map[string]Partition{}
	guid := regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	end, esps := Size(alignment), 0
	for i, p := range disk.Partitions {
		at := fmt.Sprintf("storage.disks[0].partitions[%d]", i)
		if p.ID == "" {
			c.errorf(at, "needs an id")
		}
		if _, ok := byID[p.ID]; ok {
			c.errorf(at+".id", "%q is used twice", p.ID)
		}
		byID[p.ID] = p
		if !guid.MatchString(p.Type) {
			c.oneOf(at+".type", p.Type, false, PartitionTypes()...)
		}
		if p.Type == "esp" {
			esps++
		}
		if len([]rune(p.Label)) > 36 {
			c.errorf(at+".label", "%q is longer than 36 characters", p.Label)
		}
		for _, v := range []struct {
			key  string
			size Size
		}{{"start", p.Start}, {"end", p.End}, {"size", max(Size(p.Size), 0)}} {
			if v.size%alignment != 0 {
				c.errorf(at+"."+v.key, "%s is not a multiple of 1M", v.size)
			}
		}
		end = c.place(at, i == len(disk.Partitions)-1, p, end)
	}
	if disk.MaxSize > 0 && end > disk.MaxSize-alignment {
		c.errorf("storage.disks[0].maxSize", "the partitions end at %s, the disk (less 1M for the second partition table) at %s", end, disk.MaxSize-alignment)
	}
	if esps != 1 {
		c.errorf("storage.disks[0].partitions", "a machine boots from exactly one partition of type esp, found %d", esps)
	}
	return byID
}

// place checks where a partition lies, given where the one before it ends, and returns its own end.
func (c *checker) place(at string, last bool, p Partition, before Size) Size {
	start := before
	if p.Start != 0 {
		start = p.Start
	}
	if start < before {
		c.errorf(at+".start", "%s lies inside the partition before, or the partition table, which end at %s", start, before)
	}
	switch {
	case p.End != 0 && p.Size != 0:
		c.errorf(at, "has both an end and a size")
	case p.Size == Grow && !last:
		c.errorf(at, "only the last partition can grow; give this one a size")
	case p.End != 0 && p.End <= start:
		c.errorf(at+".end", "%s is not behind the start, %s", p.End, start)
	}
	switch {
	case p.End != 0:
		return p.End
	case p.Size == Grow:
		return start + alignment
	}
	return start + Size(p.Size)
}

func (c *checker) filesystems(parts map[string]Partition) {
	root := false
	devices, mounts := map[string]bool{}, map[string]bool{}
	for i, f := range c.Storage.Filesystems {
		at := fmt.Sprintf("storage.filesystems[%d]", i)
		p, ok := parts[f.DeviceID]
		if !ok {
			c.errorf(at+".deviceId", "no partition has the id %q", f.DeviceID)
		}
		if devices[f.DeviceID] {
			c.errorf(at+".deviceId", "the partition %q has a file system already", f.DeviceID)
		}
		devices[f.DeviceID] = true
		c.oneOf(at+".type", f.Type, false, "ext4", "fat32", "vfat")
		if p.Type == "esp" && f.Type == "ext4" {
			c.errorf(at+".type", "firmware reads only fat32 on a partition of type esp")
		}
		if p.Type == "esp" && p.Size > 0 && p.Size < 36<<20 {
			c.errorf(at, "a fat32 partition of less than 36M has too few clusters to be one")
		}
		if p.Type != "esp" && ok && f.Type != "ext4" {
			c.errorf(at+".type", "only a partition of type esp can be %s", f.Type)
		}
		m := f.MountPoint
		if m.Path == "" {
			continue
		}
		c.oneOf(at+".mountPoint.idType", m.IDType, false, "part-uuid", "uuid", "part-label")
		if !path.IsAbs(m.Path) || path.Clean(m.Path) != m.Path || strings.ContainsAny(m.Path, " \t\n\\") {
			c.errorf(at+".mountPoint", "%q is no clean absolute path", m.Path)
		}
		if mounts[m.Path] {
			c.errorf(at+".mountPoint", "%s is mounted twice", m.Path)
		}
		mounts[m.Path] = true
		root = root || m.Path == "/"
	}
	if !root {
		c.errorf("storage.filesystems", "none is mounted at /")
	}
	for i, p := range c.Storage.Disks[0].Partitions {
		if p.Type == "esp" && !slices.ContainsFunc(c.Storage.Filesystems, func(f Filesystem) bool { return f.DeviceID == p.ID }) {
			c.errorf(fmt.Sprintf("storage.disks[0].partitions[%d]", i), "has no file system: add one of type fat32")
		}
	}
}
