package rootfs

import (
	"context"
	_ "embed"
	"io"

	"mariner/internal/image/tools"
	"mariner/internal/sandbox"
)

//go:embed tar.sh
var tarFunction string

// TarFunction is shell text that defines tree_to_tar DIRECTORY [OPTION…], which writes a tree to
// standard output as Tar does.
func TarFunction() string { return tarFunction }

// Tar writes the tree as a tar archive (pax): sorted, owners as numbers, capabilities and extended
// attributes as SCHILY.xattr records. The same tree gives the same bytes.
func (t *Tree) Tar(ctx context.Context, w io.Writer) error {
	return t.Tools.Run(ctx, tools.Script{
		Name: "archiving the file system", Text: tarFunction + "tree_to_tar /image",
		Binds: []sandbox.Bind{t.Bind(true)}, Stdout: w,
	})
}
