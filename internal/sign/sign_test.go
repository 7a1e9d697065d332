package sign

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/sys/unix"

	"mariner/internal/fault"
)

func development(t *testing.T, dir string) *Key {
	t.Helper()
	key, err := Development(t.Context(), dir, "development")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestDevelopmentKeyIsMadeOnceAndPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mariner", "keys")
	keys := make([]*Key, 4)
	var group sync.WaitGroup
	for i := range keys {
		group.Go(func() { keys[i], _ = Development(t.Context(), dir, "development") })
	}
	group.Wait()
	for _, key := range keys {
		if key == nil || key.Fingerprint() != keys[0].Fingerprint() {
			t.Fatal("expected one key for all who ask at once")
		}
	}
	for path, mode := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "development.asc"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s: expected mode %04o, found %04o", path, mode, info.Mode().Perm())
		}
	}
	entity := keys[0].entity
	if len(entity.Subkeys) != 0 || entity.PrimaryIdentity().Name != "Mariner development key <development@mariner.invalid>" {
		t.Errorf("expected a key without subkeys and of our name, found %d and %q", len(entity.Subkeys), entity.PrimaryIdentity().Name)
	}
	if len(keys[0].Fingerprint()) != 40 || !strings.HasSuffix(keys[0].Fingerprint(), keys[0].KeyID()) || len(keys[0].KeyID()) != 16 {
		t.Errorf("fingerprint %q, key id %q", keys[0].Fingerprint(), keys[0].KeyID())
	}
}

func TestDevelopmentRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"", "..", "a/b", ".hidden"} {
		if _, err := Development(t.Context(), dir, name); fault.KindOf(err) != fault.Usage {
			t.Errorf("name %q: expected a usage error, found %v", name, err)
		}
	}
	development(t, dir)
	path := filepath.Join(dir, "development.asc")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Development(t.Context(), dir, "development"); err == nil || !strings.Contains(err.Error(), "0640") {
		t.Errorf("expected an error with the mode 0640, found %v", err)
	}
}

func TestSignaturesAreDeterministicAndDated(t *testing.T) {
	key := development(t, t.TempDir())
	at := time.Unix(1_750_000_000, 123)
	cases := []struct {
		name     string
		at, want time.Time
	}{
		{"as given", at, at.Truncate(time.Second)},
		{"never before the key", time.Unix(1, 0), time.Unix(developmentCreated, 0)},
		{"the future", at.AddDate(20, 0, 0), at.AddDate(20, 0, 0).Truncate(time.Second)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			one, err := key.SignDetached(strings.NewReader("text"), c.at)
			if err != nil {
				t.Fatal(err)
			}
			two, _ := key.SignDetached(strings.NewReader("text"), c.at)
			if !bytes.Equal(one, two) {
				t.Error("the same bytes at the same time gave two signatures")
			}
			sig := parse(t, one)
			if !sig.CreationTime.Equal(c.want) {
				t.Errorf("expected the date %v, found %v", c.want, sig.CreationTime)
			}
			if len(sig.Notations) != 0 || sig.Salt() != nil {
				t.Errorf("expected no notation and no salt, found %v", sig.Notations)
			}
			ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(key.PublicArmored()))
			if err != nil {
				t.Fatal(err)
			}
			verify := &packet.Config{Time: func() time.Time { return c.want }}
			if _, err := openpgp.CheckArmoredDetachedSignature(ring, strings.NewReader("text"), bytes.NewReader(one), verify); err != nil {
				t.Error(err)
			}
			if _, err := openpgp.CheckArmoredDetachedSignature(ring, strings.NewReader("test"), bytes.NewReader(one), verify); err == nil {
				t.Error("a changed text is accepted")
			}
		})
	}
}

func parse(t *testing.T, armored []byte) *packet.Signature {
	t.Helper()
	block, err := armor.Decode(bytes.NewReader(armored))
	if err != nil {
		t.Fatal(err)
	}
	p, err := packet.Read(block.Body)
	if err != nil {
		t.Fatal(err)
	}
	sig, ok := p.(*packet.Signature)
	if !ok {
		t.Fatalf("expected a signature, found %T", p)
	}
	return sig
}

// TestGPGV asks GnuPG's verifier, which dnf and apt use too.
func TestGPGV(t *testing.T) {
	if _, err := exec.LookPath("gpgv"); err != nil {
		t.Fatal("gpgv is missing: apt install gpgv")
	}
	dir := t.TempDir()
	key := development(t, dir)
	sig, err := key.SignDetached(strings.NewReader("text"), time.Unix(1_600_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	block, err := armor.Decode(bytes.NewReader(key.PublicArmored()))
	if err != nil {
		t.Fatal(err)
	}
	var ring bytes.Buffer
	if _, err := ring.ReadFrom(block.Body); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"ring.gpg": ring.Bytes(), "text.asc": sig, "text": []byte("text"), "other": []byte("test")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(file string) ([]byte, error) {
		return exec.CommandContext(t.Context(), "gpgv", "--homedir", dir, "--keyring", filepath.Join(dir, "ring.gpg"),
			filepath.Join(dir, "text.asc"), filepath.Join(dir, file)).CombinedOutput()
	}
	if out, err := check("text"); err != nil {
		t.Errorf("gpgv refuses our signature: %v\n%s", err, out)
	}
	if out, err := check("other"); err == nil {
		t.Errorf("gpgv accepts a changed text:\n%s", out)
	}
}

func TestWritePublic(t *testing.T) {
	key := development(t, t.TempDir())
	dir := filepath.Join(t.TempDir(), "out", "keys")
	path, err := WritePublic(key, dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, key.Fingerprint()+".asc"); path != want || before.Mode().Perm() != 0o644 {
		t.Errorf("expected %s with mode 0644, found %s with %v", want, path, before.Mode())
	}
	data, _ := os.ReadFile(path)
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(data))
	if err != nil || len(ring) != 1 || ring[0].PrivateKey != nil {
		t.Errorf("expected one public key, found %d (%v)", len(ring), err)
	}
	if _, err := WritePublic(key, dir); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("the file was written anew although nothing changed")
	}
	other := development(t, t.TempDir())
	if path, err = WritePublic(other, dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.asc")); !slices.Equal(left, []string{path}) {
		t.Errorf("expected the key that signs now and no other, found %q", left)
	}
}

func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	public := development(t, dir).PublicArmored()
	plain, err := os.ReadFile(filepath.Join(dir, "development.asc"))
	if err != nil {
		t.Fatal(err)
	}
	locked := lockKey(t, plain, "open sesame")
	give := func(words string) func() ([]byte, error) {
		return func() ([]byte, error) { return []byte(words), nil }
	}
	cases := []struct {
		name       string
		data       []byte
		mode       os.FileMode
		passphrase func() ([]byte, error)
		wrong      string // in the error; "" if there is none
	}{
		{"plain", plain, 0o600, nil, ""},
		{"for a group", plain, 0o640, nil, "mode 0640: chmod 0600"},
		{"for everybody", plain, 0o644, nil, "mode 0644: chmod 0600"},
		{"unlocked", locked, 0o600, give("open sesame"), ""},
		{"no passphrase", locked, 0o600, nil, PassphraseVariable},
		{"empty passphrase", locked, 0o600, give(""), PassphraseVariable},
		{"wrong passphrase", locked, 0o600, give("open barley"), "does not unlock"},
		{"passphrase error", locked, 0o600, func() ([]byte, error) { return nil, errors.New("no terminal") }, "no terminal"},
		{"public half", public, 0o600, nil, "expected a private key"},
		{"two keys", append(bytes.Clone(plain), plain...), 0o600, nil, ""}, // only the first block is read
		{"nothing", nil, 0o600, nil, "expected an ASCII-armored"},
		{"noise", []byte("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n"), 0o600, nil, "expected an ASCII-armored"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key.asc")
			if err := os.WriteFile(path, c.data, c.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			key, err := OpenFile(path, c.passphrase)
			if c.wrong == "" {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := key.SignDetached(strings.NewReader("text"), time.Unix(1_700_000_000, 0)); err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.wrong) || !strings.Contains(err.Error(), path) {
				t.Errorf("expected an error with %q and the path, found %v", c.wrong, err)
			}
			if err != nil && strings.Contains(err.Error(), "open ") && strings.Contains(err.Error(), "barley") {
				t.Errorf("the passphrase stands in the error: %v", err)
			}
			if fault.KindOf(err) != fault.Environment {
				t.Errorf("expected an environment error, found %v", fault.KindOf(err))
			}
		})
	}
	if _, err := OpenFile(filepath.Join(dir, "none.asc"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("expected that there is no such file, found %v", err)
	}
}

func lockKey(t *testing.T, plain []byte, passphrase string) []byte {
	t.Helper()
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	if err := ring[0].EncryptPrivateKeys([]byte(passphrase), nil); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.PrivateKeyType, nil)
	if err == nil {
		err = ring[0].SerializePrivateWithoutSigning(w, nil)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestPassphraseFromEnvironment(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("from the pipe\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	duplicate, err := unix.Dup(int(r.Fd())) // as the descriptor is closed after reading
	if err != nil {
		t.Fatal(err)
	}
	fd := strconv.Itoa(duplicate)
	cases := []struct {
		name, variable, fd, want, wrong string
	}{
		{"none", "", "", "", ""},
		{"variable", "words", "", "words", ""},
		{"descriptor first", "words", fd, "from the pipe", ""},
		{"no number", "words", "three", "", "expected a file descriptor"},
		{"not open", "", "987654", "", "reading file descriptor"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := PassphraseFromEnvironment(func(name string) string {
				return map[string]string{PassphraseVariable: c.variable, PassphraseFDVariable: c.fd}[name]
			})()
			if string(got) != c.want || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("expected %q and an error with %q, found %q and %v", c.want, c.wrong, got, err)
			}
		})
	}
}

func TestKeyDir(t *testing.T) {
	cases := []struct{ data, home, want string }{
		{"/data", "/home/u", "/data/mariner/keys"},
		{"", "/home/u", "/home/u/.local/share/mariner/keys"},
		{"relative", "/home/u", "/home/u/.local/share/mariner/keys"},
		{"", "", ""},
	}
	for _, c := range cases {
		got, err := KeyDir(func(name string) string { return map[string]string{"XDG_DATA_HOME": c.data, "HOME": c.home}[name] })
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: found %q, %v", c, got, err)
		}
	}
}
