// Package sign holds the keys that RPMs, repository metadata and update metadata are signed with: a
// development key made on first use, a key file, or whatever else can answer the Signer interface.
//
// It knows nothing of what is signed: internal/rpm puts a signature into an RPM, internal/rpmmd beside
// repomd.xml. It verifies nothing.
//
// Signatures are OpenPGP version 4 (RFC 9580, type binary) over RSA PKCS#1 v1.5 and SHA-512: what rpm,
// dnf and GnuPG of the last ten years check. They are deterministic: the same key, bytes and time give
// the same signature, as there is no salt in them.
package sign

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Signer signs with one key. It is small so that a hardware token, a signing service or a step on
// another machine can stand behind it. All methods may be called from several goroutines.
type Signer interface {
	// SignDetached is the armored detached signature over what r gives, dated t in whole seconds, or
	// at the key's creation if t is before it: verifiers refuse a signature older than its key.
	SignDetached(r io.Reader, t time.Time) ([]byte, error)
	// PublicArmored is the key's public half, ASCII-armored, the same bytes each time.
	PublicArmored() []byte
	// Fingerprint is the primary key's, 40 hex digits in lower case.
	Fingerprint() string
	// KeyID is the last 16 digits of the fingerprint, as rpm prints it.
	KeyID() string
}

// Key is a Signer whose secret half is in memory.
type Key struct {
	entity *openpgp.Entity
	public []byte
}

var _ Signer = (*Key)(nil)

// newKey checks that entity can sign as promised above.
func newKey(entity *openpgp.Entity) (*Key, error) {
	if entity.PrivateKey == nil {
		return nil, fmt.Errorf("expected a private key, found only a public one (%X)", entity.PrimaryKey.Fingerprint)
	}
	if entity.PrimaryKey.Version != 4 {
		return nil, fmt.Errorf("expected an OpenPGP key of version 4, which rpm and dnf check everywhere, found version %d", entity.PrimaryKey.Version)
	}
	signing, ok := entity.SigningKey(time.Now())
	if !ok {
		return nil, fmt.Errorf("key %X cannot sign: it is expired, revoked or for another use", entity.PrimaryKey.Fingerprint)
	}
	if algorithm := signing.PublicKey.PubKeyAlgo; algorithm != packet.PubKeyAlgoRSA && algorithm != packet.PubKeyAlgoRSASignOnly {
		return nil, fmt.Errorf("expected an RSA key, as its signatures are deterministic and checked everywhere, found OpenPGP algorithm %d", algorithm)
	}
	var public bytes.Buffer
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err == nil {
		err = entity.Serialize(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("writing the public half of key %X: %w", entity.PrimaryKey.Fingerprint, err)
	}
	public.WriteByte('\n')
	return &Key{entity: entity, public: public.Bytes()}, nil
}

// SignDetached implements Signer.
func (k *Key) SignDetached(r io.Reader, t time.Time) ([]byte, error) {
	if created := k.created(); t.Before(created) {
		t = created
	}
	t = t.Truncate(time.Second)
	var out bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&out, k.entity, r, config(t)); err != nil {
		return nil, fmt.Errorf("signing with key %s: %w", k.KeyID(), err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// created is when the key and its newest signing subkey came to be.
func (k *Key) created() time.Time {
	newest := k.entity.PrimaryKey.CreationTime
	if signing, ok := k.entity.SigningKey(time.Now()); ok && signing.PublicKey.CreationTime.After(newest) {
		newest = signing.PublicKey.CreationTime
	}
	for _, identity := range k.entity.Identities {
		if s := identity.SelfSignature; s != nil && s.CreationTime.After(newest) {
			newest = s.CreationTime
		}
	}
	return newest
}

// PublicArmored implements Signer.
func (k *Key) PublicArmored() []byte { return bytes.Clone(k.public) }

// Fingerprint implements Signer.
func (k *Key) Fingerprint() string { return fmt.Sprintf("%x", k.entity.PrimaryKey.Fingerprint) }

// KeyID implements Signer.
func (k *Key) KeyID() string { return strings.ToLower(k.entity.PrimaryKey.KeyIdString()) }

// config is how everything is signed here: at time t, and without the salt that the library adds.
func config(t time.Time) *packet.Config {
	salted := false
	return &packet.Config{
		DefaultHash:                           crypto.SHA512,
		Time:                                  func() time.Time { return t },
		NonDeterministicSignaturesViaNotation: &salted,
	}
}

// WritePublic writes the signer's public half to dir/FINGERPRINT.asc, mode 0644, and makes dir if need
// be. A file that is there with the same bytes is left alone. Other keys there are removed: who trusts
// the folder trusts no key that signed once.
func WritePublic(s Signer, dir string) (path string, err error) {
	if path, err = writePublic(s, dir); err != nil {
		return "", fmt.Errorf("writing the public key: %w", err)
	}
	return path, nil
}

func writePublic(s Signer, dir string) (string, error) {
	path := filepath.Join(dir, s.Fingerprint()+".asc")
	if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, s.PublicArmored()) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		if err := writeAtomic(path, s.PublicArmored(), 0o644); err != nil {
			return "", err
		}
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if name == path || filepath.Ext(name) != ".asc" {
			continue
		}
		if gone := os.Remove(name); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return path, err
}

// writeAtomic puts data at path by renaming a synced file from the same folder.
func writeAtomic(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600 from the start
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
