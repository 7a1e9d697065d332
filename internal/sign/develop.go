package sign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/sys/unix"

	"mariner/internal/fault"
)

const (
	developmentName  = "Mariner development key"
	developmentEmail = "development@mariner.invalid"
	// developmentBits is a size that signs hundreds of RPMs in a second and is good until 2030 and
	// beyond by NIST SP 800-57.
	developmentBits = 3072
	// developmentCreated is the date in every development key, Unix seconds: 2000-01-01. A signature's
	// date is a changelog's, and must not be before the key's.
	developmentCreated = 946684800
)

// KeyDir is where development keys are kept, outside every tree: $XDG_DATA_HOME/mariner/keys, or
// ~/.local/share/mariner/keys. getenv is say os.Getenv.
func KeyDir(getenv func(string) string) (string, error) {
	if data := getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "mariner", "keys"), nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "share", "mariner", "keys"), nil
	}
	return "", fault.Errorf(fault.Environment, "looking for the development key: neither XDG_DATA_HOME nor HOME names a folder: set one of them")
}

// Development is the development key of that name in dir (see KeyDir), which is made on first use:
// RSA 3072, no expiry, without a passphrase, in dir/NAME.asc, mode 0600, in folders of mode 0700.
// Several processes may ask at once: all get the same key.
//
// It is for development: everybody's own, trusted by nobody else. A release is signed by a key that
// mariner.yaml names.
func Development(ctx context.Context, dir, name string) (*Key, error) {
	path := filepath.Join(dir, name+".asc")
	if name == "" || name != filepath.Base(name) || name[0] == '.' {
		return nil, fault.Errorf(fault.Usage, "development key: expected a file name without folders, found %q", name)
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := makeDevelopment(ctx, dir, path); err != nil {
			return nil, fault.As(fault.Environment, fmt.Errorf("making the development key %s: %w", path, err))
		}
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fault.Errorf(fault.Environment, "development key %s: expected a file that only its owner can read, found mode %04o: others may have copied it: remove it, and a new one is made", path, info.Mode().Perm())
	}
	return OpenFile(path, nil)
}

func makeDevelopment(ctx context.Context, dir, path string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unlock, err := lock(ctx, path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err // another process has made it meanwhile
	}
	data, err := generate()
	if err != nil {
		return err
	}
	return writeAtomic(path, data, 0o600)
}

// generate makes an armored private key that signs and certifies and has no subkeys.
func generate() ([]byte, error) {
	c := config(time.Unix(developmentCreated, 0))
	c.Algorithm, c.RSABits = packet.PubKeyAlgoRSA, developmentBits
	entity, err := openpgp.NewEntity(developmentName, "", developmentEmail, c)
	if err != nil {
		return nil, err
	}
	entity.Subkeys = nil // the library's encryption subkey: nothing is ever encrypted to this key
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.PrivateKeyType, nil)
	if err == nil {
		err = entity.SerializePrivateWithoutSigning(w, nil)
	}
	if err == nil {
		err = w.Close()
	}
	out.WriteByte('\n')
	return out.Bytes(), err
}

// lock takes flock(2) on path, asking again until ctx ends.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
