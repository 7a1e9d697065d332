package rpm

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"mariner/internal/fault"
)

const (
	leadSize  = 96
	leadMagic = "\xed\xab\xee\xdb"
)

// Header is what a package says of itself: the main header of an RPM file and the few facts about
// the file that repository metadata repeats.
type Header struct {
	Name string
	EVR  EVR
	Arch string // "src" for a source package

	Summary, Description      string
	License, Vendor, Packager string
	URL, Group                string
	BuildHost, SourceRPM      string
	BuildTime                 int64 // seconds since 1970

	InstalledSize uint64 // bytes that the files take
	ArchiveSize   uint64 // bytes of the payload, unpacked
	FileSize      int64  // bytes of the RPM file; 0 if it was read from a stream
	HeaderStart   int64  // the main header's place in the file: its first byte
	HeaderEnd     int64  // and the first byte after it

	Provides, Requires, Conflicts, Obsoletes    []Dep
	Recommends, Suggests, Supplements, Enhances []Dep

	Files          []File
	FileDigestAlgo int      // OpenPGP hash number (8 is SHA-256); 0 is MD5
	Changelog      []Change // latest first, all of it

	PayloadDigest string // hexadecimal SHA-256 of the compressed payload
	HeaderSHA256  string // hexadecimal SHA-256 of the main header, computed
}

// NEVRA is `name-[epoch:]version-release.arch`, an epoch of 0 left out.
func (h *Header) NEVRA() string { return h.Name + "-" + h.EVR.String() + "." + h.Arch }

// FileName is the name that rpmbuild gives the package: `name-version-release.arch.rpm`.
func (h *Header) FileName() string {
	return h.Name + "-" + h.EVR.Version + "-" + h.EVR.Release + "." + h.Arch + ".rpm"
}

// Source says whether this is a source package.
func (h *Header) Source() bool { return h.Arch == "src" }

// ReadHeader reads the header of the RPM file at path. It checks the header's structure, and its
// digest if the file has one; it does not check signatures or the payload: see Verify.
func ReadHeader(path string) (*Header, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading an RPM: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading an RPM: %w", err)
	}
	h, err := DecodeHeader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	h.FileSize = info.Size()
	return h, nil
}

// DecodeHeader is ReadHeader from a stream, which it may read beyond the header's end.
func DecodeHeader(r io.Reader) (*Header, error) {
	p, err := readPackage(bufio.NewReaderSize(r, 64<<10))
	if err != nil {
		return nil, err
	}
	if err := p.checkHeaderDigest(); err != nil {
		return nil, err
	}
	return p.header(), nil
}

// pkgFile is an RPM file up to its payload.
type pkgFile struct {
	lead  []byte
	sig   *blob
	main  *blob
	start int64 // of the main header in the file
}

// readPackage reads up to the payload; r then stands at its first byte.
func readPackage(r io.Reader) (*pkgFile, error) {
	p := &pkgFile{lead: make([]byte, leadSize)}
	if _, err := io.ReadFull(r, p.lead); err != nil {
		return nil, fault.Errorf(fault.Check, "not an RPM package: shorter than its lead of %d bytes: %w", leadSize, unexpected(err))
	}
	if string(p.lead[:4]) != leadMagic {
		return nil, fault.Errorf(fault.Check, "not an RPM package: expected it to start with %x, found %x", leadMagic, p.lead[:4])
	}
	var err error
	if p.sig, err = readBlob(r); err != nil {
		return nil, fault.Errorf(fault.Check, "signature header: %w", err)
	}
	padding := padTo8(len(p.sig.raw))
	if _, err := io.CopyN(io.Discard, r, int64(padding)); err != nil {
		return nil, fault.Errorf(fault.Check, "signature header: truncated: %w", unexpected(err))
	}
	p.start = int64(leadSize + len(p.sig.raw) + padding)
	if p.main, err = readBlob(r); err != nil {
		return nil, fault.Errorf(fault.Check, "main header: %w", err)
	}
	if p.main.text(tagName) == "" {
		return nil, fault.Errorf(fault.Check, "main header: expected a package name, found none")
	}
	return p, nil
}

// padTo8 is what is missing from n to the next multiple of 8.
func padTo8(n int) int { return (8 - n%8) % 8 }

func (p *pkgFile) checkHeaderDigest() error {
	want := p.sig.text(sigSHA256)
	if want == "" {
		return nil
	}
	if got := digestHex(p.main.raw); got != want {
		return fault.Errorf(fault.Check, "main header: expected sha256 %s, found %s: the file is damaged, fetch or build it again", want, got)
	}
	return nil
}

func digestHex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (p *pkgFile) header() *Header {
	b := p.main
	h := &Header{
		Name: b.text(tagName),
		EVR:  EVR{uint32(b.number(tagEpoch)), b.text(tagVersion), b.text(tagRelease)},
		Arch: b.text(tagArch),

		Summary: b.text(tagSummary), Description: b.text(tagDescription),
		License: b.text(tagLicense), Vendor: b.text(tagVendor), Packager: b.text(tagPackager),
		URL: b.text(tagURL), Group: b.text(tagGroup),
		BuildHost: b.text(tagBuildHost), SourceRPM: b.text(tagSourceRPM),
		BuildTime: int64(b.number(tagBuildTime)),

		InstalledSize: b.number(tagLongSize, tagSize),
		ArchiveSize:   b.number(tagArchiveSize),
		HeaderStart:   p.start,
		HeaderEnd:     p.start + int64(len(b.raw)),

		Provides:    readDeps(b, tagProvideName, tagProvideFlags, tagProvideVersion),
		Requires:    readDeps(b, tagRequireName, tagRequireFlags, tagRequireVersion),
		Conflicts:   readDeps(b, tagConflictName, tagConflictFlags, tagConflictVersion),
		Obsoletes:   readDeps(b, tagObsoleteName, tagObsoleteFlags, tagObsoleteVersion),
		Recommends:  readDeps(b, tagRecommendName, tagRecommendFlags, tagRecommendVersion),
		Suggests:    readDeps(b, tagSuggestName, tagSuggestFlags, tagSuggestVersion),
		Supplements: readDeps(b, tagSupplementName, tagSupplementFlags, tagSupplementVersion),
		Enhances:    readDeps(b, tagEnhanceName, tagEnhanceFlags, tagEnhanceVersion),

		Files:          readFiles(b),
		FileDigestAlgo: int(b.number(tagFileDigestAlgo)),
		Changelog:      readChangelog(b),
		PayloadDigest:  b.text(tagPayloadDigest),
		HeaderSHA256:   digestHex(b.raw),
	}
	if h.ArchiveSize == 0 {
		h.ArchiveSize = p.sig.number(sigLongArchiveSize, sigArchiveSize)
	}
	if b.number(tagSourcePackage) != 0 {
		h.Arch = "src"
	}
	return h
}
