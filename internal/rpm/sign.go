package rpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"mariner/internal/fault"
)

// Signer makes a detached OpenPGP signature (RFC 9580, type binary) over what r gives, dated t. The
// signature may be armored or not. The same input must give the same signature where the result is
// to be reproducible. A key that was created after t signs nothing that rpm 4.20 accepts.
type Signer interface {
	SignDetached(r io.Reader, t time.Time) ([]byte, error)
}

// Sign copies an RPM from r to w with one signature over its main header, which holds the payload's
// digest; signatures that were there, and the room kept for one, are left out. Header and payload
// are copied byte for byte and checked against their digests: on an error what w got is to be
// thrown away.
func Sign(r io.Reader, w io.Writer, s Signer, t time.Time) error {
	p, err := readPackage(r)
	if err != nil {
		return err
	}
	if err := p.checkHeaderDigest(); err != nil {
		return err
	}
	raw, err := s.SignDetached(bytes.NewReader(p.main.raw), t)
	if err != nil {
		return fmt.Errorf("signing the header of %s: %w", p.main.text(tagName), err)
	}
	sig, tag, err := signaturePacket(raw)
	if err != nil {
		return fmt.Errorf("signing the header of %s: %w", p.main.text(tagName), err)
	}
	tags := make(map[uint32]value, len(p.sig.tags)+1)
	for old, v := range p.sig.tags {
		switch old {
		case sigRSA, sigDSA, sigPGP, sigGPG, sigOpenPGP, sigReserved:
		default:
			tags[old] = v
		}
	}
	tags[tag] = value{kind: typeBin, count: uint32(len(sig)), data: sig}
	encoded := encodeBlob(sigRegion, tags)

	payload := sha256.New()
	for _, part := range [][]byte{p.lead, encoded, make([]byte, padTo8(len(encoded))), p.main.raw} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("writing the signed RPM: %w", err)
		}
	}
	if _, err := io.Copy(io.MultiWriter(w, payload), r); err != nil {
		return fmt.Errorf("writing the signed RPM: %w", err)
	}
	return p.checkPayload(hex.EncodeToString(payload.Sum(nil)))
}

func (p *pkgFile) checkPayload(got string) error {
	want := p.main.text(tagPayloadDigest)
	switch {
	case want == "":
		return fault.Errorf(fault.Check, "main header: expected the payload's digest, found none: build the package with rpm 4.14 or later")
	case p.main.number(tagPayloadDigestAlgo) != hashSHA256:
		return fault.Errorf(fault.Check, "main header: expected a payload digest of kind %d (SHA-256), found %d", hashSHA256, p.main.number(tagPayloadDigestAlgo))
	case want != got:
		return fault.Errorf(fault.Check, "payload: expected sha256 %s, found %s: the file is damaged, fetch or build it again", want, got)
	}
	return nil
}

// hashSHA256 is OpenPGP's number for it.
const hashSHA256 = 8

// signaturePacket is the one binary signature packet of a detached signature, and the tag that rpm
// keeps it under.
func signaturePacket(raw []byte) ([]byte, uint32, error) {
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("-----BEGIN")) {
		block, err := armor.Decode(bytes.NewReader(raw))
		if err != nil {
			return nil, 0, fmt.Errorf("reading the armored signature: %w", err)
		}
		if raw, err = io.ReadAll(block.Body); err != nil {
			return nil, 0, fmt.Errorf("reading the armored signature: %w", err)
		}
	}
	rest := bytes.NewReader(raw)
	pkt, err := packet.Read(rest)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the signature: %w", err)
	}
	sig, ok := pkt.(*packet.Signature)
	if !ok || rest.Len() != 0 {
		return nil, 0, fmt.Errorf("reading the signature: expected one OpenPGP signature packet, found %T and %d more bytes", pkt, rest.Len())
	}
	switch sig.PubKeyAlgo {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
		return raw, sigRSA, nil
	}
	return raw, sigDSA, nil
}

// SignFile signs the RPM at path in place: a signed copy is written beside it and renamed over it,
// so that at every moment the file is whole, unsigned or signed.
func SignFile(path string, s Signer, t time.Time) error {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("signing an RPM: %w", err)
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(path), ".sign-*")
	if err != nil {
		return fmt.Errorf("signing %s: %w", path, err)
	}
	defer os.Remove(out.Name())
	defer out.Close()
	if err := Sign(in, out, s, t); err != nil {
		return fmt.Errorf("signing %s: %w", path, err)
	}
	info, err := in.Stat()
	if err == nil {
		err = out.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = out.Sync()
	}
	if err == nil {
		err = out.Close()
	}
	if err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("signing %s: %w", path, err)
	}
	return nil
}
