package disk

import (
	"context"
	_ "embed"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mariner/internal/image/rootfs"
	"mariner/internal/image/tools"
	"mariner/internal/sandbox"
)

//go:embed ext4.sh
var ext4Script string

//go:embed vfat.sh
var vfatScript string

// File is a file to be put on a FAT file system.
type File struct {
	Path   string // with / between folders, relative
	Source string // a path that the script sees: below /image is the tree, below /files the Extra folder
}

// Fill makes the file systems of the disk at path. Those with a mount point get that part of the
// tree; the one that the firmware reads gets files, some of which lie in the folder extra.
func (l *Layout) Fill(ctx context.Context, disk string, t *rootfs.Tree, files []File, extra string) error {
	dir, base := filepath.Split(disk)
	for i := range l.Partitions {
		p := &l.Partitions[i]
		if p.FS == nil {
			continue
		}
		s := tools.Script{
			Name:  fmt.Sprintf("making the file system of partition %s", p.ID),
			Binds: []sandbox.Bind{t.Bind(true), {Source: dir, Target: "/disk"}},
			Env: map[string]string{
				"DISK": "/disk/" + base, "OFFSET": strconv.FormatInt(p.Start, 10), "SIZE": strconv.FormatInt(p.Size, 10),
				"LABEL": p.Label, "FSUUID": p.FS.UUID, "SEED": p.FS.Seed,
			},
		}
		if p.FS.Type == "vfat" {
			s.Text = vfatScript
			s.Env["FSUUID"] = strings.ReplaceAll(p.FS.UUID, "-", "")
			s.Env["LABEL"] = fatLabel(p.Label)
			if p == l.ESP() {
				s.Args = fatArgs(files)
				s.Binds = append(s.Binds, sandbox.Bind{Source: extra, Target: "/files", ReadOnly: true})
			}
		} else {
			s.Text = rootfs.TarFunction() + ext4Script
			s.Env["LABEL"] = p.Label[:min(len(p.Label), 16)]
			s.Env["FROM"], s.Args = p.FS.Path, l.below(p.FS.Path)
		}
		if err := t.Tools.Run(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// below are the mount points inside a mount point: their content stands on other partitions.
func (l *Layout) below(mount string) []string {
	var paths []string
	for _, p := range l.Partitions {
		if p.FS != nil && p.FS.Path != mount && p.FS.Path != "" && mount != "" && strings.HasPrefix(p.FS.Path, strings.TrimSuffix(mount, "/")+"/") {
			paths = append(paths, p.FS.Path)
		}
	}
	slices.Sort(paths)
	return paths
}

// fatArgs are "d FOLDER" and "f SOURCE PATH" in an order in which every folder comes before what is
// in it.
func fatArgs(files []File) []string {
	sorted := slices.SortedFunc(slices.Values(files), func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	var args []string
	made := map[string]bool{".": true}
	for _, f := range sorted {
		var dirs []string
		for d := path.Dir(f.Path); !made[d]; d = path.Dir(d) {
			made[d] = true
			dirs = append(dirs, d)
		}
		for _, d := range slices.Backward(dirs) {
			args = append(args, "d", d, "")
		}
		args = append(args, "f", f.Source, f.Path)
	}
	return args
}

// fatLabel makes a volume label: upper case, 11 characters at most.
func fatLabel(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 128 && (r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			return r
		}
		return '_'
	}, strings.ToUpper(s))
	return s[:min(len(s), 11)]
}
