package rpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"mariner/internal/fault"
)

// ErrUnsigned is what Verify's error wraps for a package without a signature over its header.
var ErrUnsigned = errors.New("the package is not signed")

// Signature tells who signed a package, and when.
type Signature struct {
	KeyID       uint64
	Fingerprint []byte
	Time        time.Time
}

// Verify checks the RPM file at path: its header against a signature by a key of the keyring, and
// its payload against the digest in that header. Whatever is wrong is an error of kind fault.Check.
func Verify(path string, keyring openpgp.EntityList) (*Signature, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("verifying an RPM: %w", err)
	}
	defer f.Close()
	sig, err := VerifyReader(f, keyring)
	if err != nil {
		return nil, fmt.Errorf("verifying %s: %w", path, err)
	}
	return sig, nil
}

// VerifyReader is Verify from a stream, which it reads to its end.
func VerifyReader(r io.Reader, keyring openpgp.EntityList) (*Signature, error) {
	p, err := readPackage(r)
	if err != nil {
		return nil, err
	}
	if err := p.checkHeaderDigest(); err != nil {
		return nil, err
	}
	raw := p.sig.bytesOf(sigRSA)
	if raw == nil {
		raw = p.sig.bytesOf(sigDSA)
	}
	if raw == nil {
		return nil, fault.Errorf(fault.Check, "%s: %w: expected a signature over its header, found none", p.main.text(tagName), ErrUnsigned)
	}
	sig, signer, err := openpgp.VerifyDetachedSignature(keyring, bytes.NewReader(p.main.raw), bytes.NewReader(raw), &packet.Config{})
	if err != nil {
		return nil, fault.Errorf(fault.Check, "%s: the signature over its header, %s, is not valid for the keys at hand (%s): %w",
			p.main.text(tagName), describeKey(raw), describeKeyring(keyring), err)
	}
	payload := sha256.New()
	if _, err := io.Copy(payload, r); err != nil {
		return nil, fmt.Errorf("reading the payload: %w", err)
	}
	if err := p.checkPayload(hex.EncodeToString(payload.Sum(nil))); err != nil {
		return nil, err
	}
	out := &Signature{Time: sig.CreationTime, Fingerprint: signer.PrimaryKey.Fingerprint}
	if sig.IssuerKeyId != nil {
		out.KeyID = *sig.IssuerKeyId
	}
	return out, nil
}

func describeKey(raw []byte) string {
	pkt, err := packet.Read(bytes.NewReader(raw))
	if sig, ok := pkt.(*packet.Signature); err == nil && ok && sig.IssuerKeyId != nil {
		return fmt.Sprintf("by key %016X", *sig.IssuerKeyId)
	}
	return "by an unnamed key"
}

func describeKeyring(keyring openpgp.EntityList) string {
	if len(keyring) == 0 {
		return "none"
	}
	s := ""
	for i, e := range keyring {
		if i > 0 {
			s += ", "
		}
		s += e.PrimaryKey.KeyIdString()
	}
	return s
}
