package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mariner/internal/distro/yamlfile"
	"mariner/internal/fault"
)

// Load reads, completes and checks the configuration in a file. Everything that is wrong is said at
// once, each with file and line; the error is a fault.Usage.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Errorf(fault.Usage, "reading an image configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse is Load for data already read; the files that it names are looked for beside path.
func Parse(path string, data []byte) (*Config, error) {
	c := &Config{}
	var err error
	c.lines, err = yamlfile.Decode(path, data, c, yamlfile.Refused{
		Keys: later(), Why: "is in the Image Customizer's vocabulary, but this version cannot do it yet: remove it",
	})
	if err != nil {
		return nil, fault.As(fault.Usage, err)
	}
	c.file = path
	c.complete()
	if errs := c.check(); len(errs) > 0 {
		return nil, fault.As(fault.Usage, errors.Join(errs...))
	}
	return c, nil
}

// later are keys of the Image Customizer's vocabulary that this version does not carry out: they are
// refused by name instead of being called unknown.
func later() map[string][]string {
	return map[string][]string{
		"":                      {"input", "iso", "pxe", "scripts", "previewFeatures", "baseConfigs"},
		"storage":               {"resetPartitionsUuidsType", "verity", "reinitializeVerity"},
		"storage.filesystems[]": {"btrfs"},
		"os":                    {"selinux", "additionalDirs", "groups", "users", "modules", "overlays", "uki", "imageHistory"},
		"os.packages":           {"updateExistingPackages", "installLists", "remove", "removeLists", "update", "updateLists", "snapshotTime", "removePackageManager"},
		"os.bootloader":         {"resetType"},
		"output":                {"artifacts", "selinuxPolicyPath"},
		"output.image":          {"path", "cosi"},
	}
}

// complete fills in what was left out.
func (c *Config) complete() {
	if c.Name == "" {
		base := filepath.Base(c.file)
		c.Name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	if len(c.Formats) == 0 && c.Output.Image.Format != "" {
		c.Formats = []Format{c.Output.Image.Format}
	}
	if len(c.Formats) == 0 {
		c.Formats = map[Type][]Format{Machine: {Raw}, Containers: {OCI}}[c.Type]
	}
	for i := range c.OS.AdditionalFiles {
		if f := &c.OS.AdditionalFiles[i]; f.Permissions == 0 {
			f.Permissions = 0o644
		}
	}
	if c.Type != Machine {
		return
	}
	for i := range c.Storage.Disks {
		for j := range c.Storage.Disks[i].Partitions {
			p := &c.Storage.Disks[i].Partitions[j]
			if p.Type == "" {
				p.Type = "linux-generic"
			}
			if p.Size == 0 && p.End == 0 {
				p.Size = Grow
			}
			if p.Label == "" {
				p.Label = p.ID
			}
		}
	}
	for i := range c.Storage.Filesystems {
		if m := &c.Storage.Filesystems[i].MountPoint; m.Path != "" && m.IDType == "" {
			m.IDType = "part-uuid"
		}
	}
}

// Read is the content of an additional file.
func (c *Config) Read(f AdditionalFile) ([]byte, error) {
	if f.Content != nil {
		return []byte(*f.Content), nil
	}
	data, err := os.ReadFile(c.Path(f.Source))
	if err != nil {
		return nil, fmt.Errorf("reading an additional file: %w", err)
	}
	return data, nil
}

// Path is a path of the configuration, seen from the working directory.
func (c *Config) Path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(filepath.Dir(c.file), p)
}
