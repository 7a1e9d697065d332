package rpm

// FileFlags are a packaged file's attributes (RPMFILE_*).
type FileFlags uint32

// The attributes that matter outside rpm.
const (
	Config    FileFlags = 1 << 0
	Doc       FileFlags = 1 << 1
	MissingOK FileFlags = 1 << 3
	NoReplace FileFlags = 1 << 4
	Ghost     FileFlags = 1 << 6
	License   FileFlags = 1 << 7
	Readme    FileFlags = 1 << 8
	Artifact  FileFlags = 1 << 12
)

// FileType tells files apart as repository metadata does.
type FileType uint8

// The types of a File.
const (
	Regular   FileType = iota // a file, a symbolic link, a device…
	Directory                 // also if it is a ghost
	GhostFile                 // owned, but not in the payload
)

// String is the type as repository metadata spells it.
func (t FileType) String() string {
	switch t {
	case Directory:
		return "dir"
	case GhostFile:
		return "ghost"
	}
	return "file"
}

const (
	modeType = 0o170000
	modeDir  = 0o040000
)

// File is one file of a package. From repository metadata only Path and Type are known.
type File struct {
	Path   string
	Type   FileType
	Mode   uint16 // as in stat(2): type and permissions
	User   string
	Group  string
	Size   uint64 // bytes
	Mtime  int64  // seconds since 1970
	Digest string // hexadecimal, "" for what has no content
	Flags  FileFlags
	Link   string // the target of a symbolic link
	Caps   string // file capabilities, as cap_to_text(3) writes them
}

// Change is one entry of a changelog.
type Change struct {
	Time   int64 // seconds since 1970
	Author string
	Text   string
}

func readFiles(b *blob) []File {
	bases, dirs, dirOf := b.texts(tagBaseNames), b.texts(tagDirNames), b.numbers(tagDirIndexes)
	if len(bases) == 0 {
		return nil
	}
	files := make([]File, len(bases))
	for i, base := range bases {
		files[i].Path = base
		if d := at(dirOf, i); i < len(dirOf) && d < uint64(len(dirs)) {
			files[i].Path = dirs[d] + base
		}
	}
	sizes := b.numbers(tagFileSizes)
	if b.has(tagLongFileSizes) {
		sizes = b.numbers(tagLongFileSizes)
	}
	modes, mtimes, flags := b.numbers(tagFileModes), b.numbers(tagFileMtimes), b.numbers(tagFileFlags)
	users, groups := b.texts(tagFileUsers), b.texts(tagFileGroups)
	digests, links, caps := b.texts(tagFileDigests), b.texts(tagFileLinkTos), b.texts(tagFileCaps)
	for i := range files {
		f := &files[i]
		f.Mode, f.Size, f.Mtime, f.Flags = uint16(at(modes, i)), at(sizes, i), int64(at(mtimes, i)), FileFlags(at(flags, i))
		f.User, f.Group = at(users, i), at(groups, i)
		f.Digest, f.Link, f.Caps = at(digests, i), at(links, i), at(caps, i)
		switch {
		case f.Mode&modeType == modeDir:
			f.Type = Directory
		case f.Flags&Ghost != 0:
			f.Type = GhostFile
		}
	}
	return files
}

// at is s[i], or the zero value where a package's arrays are of unequal length.
func at[T any](s []T, i int) T {
	if i < len(s) {
		return s[i]
	}
	var zero T
	return zero
}

func readDeps(b *blob, name, flags, version uint32) []Dep {
	names, bits, versions := b.texts(name), b.numbers(flags), b.texts(version)
	if len(names) == 0 {
		return nil
	}
	deps := make([]Dep, len(names))
	for i, n := range names {
		deps[i] = Dep{Name: n, Sense: Sense(at(bits, i) & (senseMask &^ 1))}
		if deps[i].Sense != 0 {
			deps[i].EVR = at(versions, i)
		}
		deps[i].Pre = name == tagRequireName && at(bits, i)&sensePre != 0
	}
	return deps
}

func readChangelog(b *blob) []Change {
	times, authors, texts := b.numbers(tagChangelogTime), b.texts(tagChangelogName), b.texts(tagChangelogText)
	n := min(len(times), len(authors), len(texts))
	if n == 0 {
		return nil
	}
	log := make([]Change, n)
	for i := range log {
		log[i] = Change{int64(times[i]), authors[i], texts[i]}
	}
	return log
}
