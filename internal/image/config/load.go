package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

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
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fault.Errorf(fault.Usage, "%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 {
		return nil, fault.Errorf(fault.Usage, "%s: the file is empty; it needs at least type and os.packages.install", path)
	}
	c := &Config{file: path}
	w := walker{file: path, lines: map[string]int{}, later: later()}
	w.walk(doc.Content[0], reflect.TypeFor[Config](), "", "")
	if len(w.errs) > 0 {
		return nil, fault.As(fault.Usage, errors.Join(w.errs...))
	}
	if err := doc.Content[0].Decode(c); err != nil {
		return nil, fault.Errorf(fault.Usage, "%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	c.lines = w.lines
	c.complete()
	if errs := c.check(); len(errs) > 0 {
		return nil, fault.As(fault.Usage, errors.Join(errs...))
	}
	return c, nil
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
