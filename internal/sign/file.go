package sign

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"

	"mariner/internal/fault"
)

// The environment variables that a passphrase is taken from: the words themselves, or the number of
// an open file descriptor, which keeps them out of /proc/PID/environ.
const (
	PassphraseVariable   = "MARINER_KEY_PASSPHRASE"
	PassphraseFDVariable = "MARINER_KEY_PASSPHRASE_FD"
)

// OpenFile reads an ASCII-armored OpenPGP private key. Only its owner may read the file. A
// key that is locked is unlocked with passphrase, which is asked only then; PassphraseFromEnvironment
// is one. Errors are of kind fault.Environment and never show a passphrase.
func OpenFile(path string, passphrase func() ([]byte, error)) (*Key, error) {
	key, err := openFile(path, passphrase)
	if err != nil {
		return nil, fault.As(fault.Environment, fmt.Errorf("signing key %s: %w", path, err))
	}
	return key, nil
}

func openFile(path string, passphrase func() ([]byte, error)) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("expected a file that only its owner can read, found mode %04o: chmod 0600 %s", mode, path)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	entities, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("expected an ASCII-armored OpenPGP private key (gpg --armor --export-secret-keys): %w", err)
	}
	if len(entities) != 1 {
		return nil, fmt.Errorf("expected one key, found %d: export one by its fingerprint", len(entities))
	}
	if err := unlock(entities[0], passphrase); err != nil {
		return nil, err
	}
	return newKey(entities[0])
}

// unlock decrypts the entity's private keys, if they are encrypted.
func unlock(entity *openpgp.Entity, passphrase func() ([]byte, error)) error {
	locked := entity.PrivateKey != nil && entity.PrivateKey.Encrypted
	for _, sub := range entity.Subkeys {
		locked = locked || sub.PrivateKey != nil && sub.PrivateKey.Encrypted
	}
	if !locked {
		return nil
	}
	var secret []byte
	if passphrase != nil {
		var err error
		if secret, err = passphrase(); err != nil {
			return err
		}
	}
	if len(secret) == 0 {
		return fmt.Errorf("it is locked and no passphrase is given: set %s, or %s to a file descriptor's number", PassphraseVariable, PassphraseFDVariable)
	}
	defer clear(secret)
	if err := entity.DecryptPrivateKeys(secret); err != nil {
		return fmt.Errorf("the passphrase given by %s or %s does not unlock it", PassphraseVariable, PassphraseFDVariable)
	}
	return nil
}

// PassphraseFromEnvironment takes the passphrase from PassphraseFDVariable or PassphraseVariable, as
// getenv (say os.Getenv) has them; neither set gives none. A line's end after the passphrase is
// dropped. The descriptor is read to its end, so a second call finds nothing there.
func PassphraseFromEnvironment(getenv func(string) string) func() ([]byte, error) {
	return func() ([]byte, error) {
		number := getenv(PassphraseFDVariable)
		if number == "" {
			return []byte(getenv(PassphraseVariable)), nil
		}
		fd, err := strconv.ParseUint(number, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%s: expected a file descriptor's number, found %q", PassphraseFDVariable, number)
		}
		f := os.NewFile(uintptr(fd), "passphrase")
		if f == nil {
			return nil, fmt.Errorf("%s: file descriptor %d is not open", PassphraseFDVariable, fd)
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, 64<<10))
		if err != nil {
			return nil, fmt.Errorf("%s: reading file descriptor %d: %w", PassphraseFDVariable, fd, err)
		}
		return []byte(strings.TrimRight(string(data), "\r\n")), nil
	}
}
