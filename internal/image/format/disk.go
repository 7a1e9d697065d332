// Package format writes what an image is delivered as: disk formats beside raw, and containers.
//
// What is in the image was decided before: package rootfs made the tree, package disk the disk.
package format

import (
	"context"
	"path/filepath"

	"mariner/internal/image/tools"
	"mariner/internal/sandbox"
)

// Qcow2 converts the raw disk at raw to a qcow2 file (version 3, compressed clusters).
func Qcow2(ctx context.Context, t tools.Tools, raw, path string) error {
	in, out := filepath.Dir(raw), filepath.Dir(path)
	return t.Run(ctx, tools.Script{
		Name: "writing qcow2",
		// One coroutine: clusters are laid down in their order, the same each time.
		Text:  `qemu-img convert -f raw -O qcow2 -m 1 -c -o compat=1.1,compression_type=zstd "/in/$1" "/out/$2"`,
		Args:  []string{filepath.Base(raw), filepath.Base(path)},
		Binds: []sandbox.Bind{{Source: in, Target: "/in", ReadOnly: true}, {Source: out, Target: "/out"}},
	})
}
