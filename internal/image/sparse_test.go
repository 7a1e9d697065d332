package image

import (
	"io/fs"
	"syscall"
)

// blocks is what a file takes on its disk, in bytes.
func blocks(st fs.FileInfo) int64 { return st.Sys().(*syscall.Stat_t).Blocks * 512 }
