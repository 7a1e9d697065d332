package image

import (
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mariner/internal/image/config"
	"mariner/internal/image/format"
)

// container writes what a container's tree becomes.
func (b *build) container(ctx context.Context) error {
	c := b.Config
	var to []io.Writer
	if c.Has(config.Tar) {
		f, err := os.OpenFile(filepath.Join(b.stage, c.Name+".tar"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		to = append(to, f)
		b.outputs = append(b.outputs, Output{config.Tar, c.Name + ".tar"})
	}
	var layer *format.LayerWriter
	if c.Has(config.OCI) {
		var err error
		if layer, err = format.NewLayer(filepath.Join(b.Work, "layer")); err != nil {
			return err
		}
		to = append(to, layer)
	}
	if err := b.tree.Tar(ctx, io.MultiWriter(to...)); err != nil {
		return err
	}
	if layer == nil {
		return nil
	}
	l, err := layer.Close()
	if err != nil {
		return err
	}
	dir := filepath.Join(b.stage, c.Name+".oci")
	if err := b.describe().Layout(l, dir); err != nil {
		return err
	}
	b.outputs = append(b.outputs, Output{config.OCI, c.Name + ".oci"}, Output{config.OCI, c.Name + ".oci.tar"})
	return format.Archive(dir, dir+".tar", b.Epoch)
}

func (b *build) describe() format.Container {
	c := b.Config.Container
	version := b.release["VERSION_ID"]
	if version == "" {
		version = "latest"
	}
	labels := map[string]string{
		"org.opencontainers.image.title":   b.Config.Name,
		"org.opencontainers.image.version": version,
		"org.opencontainers.image.created": b.Epoch.Format(time.RFC3339),
	}
	if b.Config.Description != "" {
		labels["org.opencontainers.image.description"] = b.Config.Description
	}
	if v := b.release["NAME"]; v != "" {
		labels["org.opencontainers.image.vendor"] = v
	}
	maps.Copy(labels, c.Labels)
	env := []string{}
	for _, k := range slices.Sorted(maps.Keys(c.Env)) {
		env = append(env, k+"="+c.Env[k])
	}
	if _, ok := c.Env["PATH"]; !ok {
		env = append(env, "PATH=/usr/sbin:/usr/bin")
	}
	return format.Container{
		Name: b.Config.Name + ":" + version, Architecture: architectures()[b.Arch], Created: b.Epoch,
		Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: env, WorkingDir: c.WorkingDir, User: c.User, Labels: labels,
	}
}
