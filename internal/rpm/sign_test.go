package rpm_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mariner/internal/fault"
	"mariner/internal/rpm"
	"mariner/internal/rpm/rpmtest"
	"mariner/internal/sandbox"
	"mariner/internal/sandbox/sandboxtest"
)

const signTime = 1700000000

func sign(t *testing.T, in []byte, k *rpmtest.Key) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := rpm.Sign(bytes.NewReader(in), &out, k, time.Unix(signTime, 0)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSign(t *testing.T) {
	unsigned, err := os.ReadFile(rpmtest.Build(t, rpmtest.Everything)[0])
	if err != nil {
		t.Fatal(err)
	}
	ours, other := rpmtest.NewKey(t), rpmtest.NewKey(t)
	signed := sign(t, unsigned, ours)
	before, after := header(t, unsigned), header(t, signed)
	if !bytes.Equal(unsigned[before.HeaderStart:], signed[after.HeaderStart:]) {
		t.Error("signing changed the header or the payload")
	}
	if !bytes.Equal(signed, sign(t, unsigned, ours)) {
		t.Error("signing twice gave two results")
	}
	if !bytes.Equal(signed, sign(t, sign(t, signed, other), ours)) {
		t.Error("signing a signed package did not replace the signature")
	}

	got, err := rpm.VerifyReader(bytes.NewReader(signed), ours.Keyring())
	if err != nil {
		t.Fatal(err)
	}
	if got.KeyID != ours.Entity.PrimaryKey.KeyId || got.Time.Unix() != signTime {
		t.Errorf("signature by %X at %v", got.KeyID, got.Time)
	}
	flip := func(at int64) []byte {
		b := bytes.Clone(signed)
		b[at] ^= 1
		return b
	}
	for _, c := range []struct {
		name string
		data []byte
		key  *rpmtest.Key
		want string
	}{
		{"unsigned", unsigned, ours, "is not signed"},
		{"another key", signed, other, "not valid for the keys at hand"},
		{"header", flip(after.HeaderEnd - 20), ours, "main header: expected sha256"},
		{"payload", flip(int64(len(signed) - 1)), ours, "payload: expected sha256"},
		{"truncated", signed[:len(signed)-1], ours, "payload: expected sha256"},
	} {
		_, err := rpm.VerifyReader(bytes.NewReader(c.data), c.key.Keyring())
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != fault.Check {
			t.Errorf("%s: expected an error of kind check with %q, found %v", c.name, c.want, err)
		}
	}
	if _, err := rpm.VerifyReader(bytes.NewReader(unsigned), ours.Keyring()); !errors.Is(err, rpm.ErrUnsigned) {
		t.Errorf("expected ErrUnsigned, found %v", err)
	}
	if err := rpm.Sign(bytes.NewReader(flip(int64(len(signed)-1))), &bytes.Buffer{}, ours, time.Unix(signTime, 0)); err == nil {
		t.Error("a damaged package was signed")
	}
}

func header(t *testing.T, raw []byte) *rpm.Header {
	t.Helper()
	h, err := rpm.DecodeHeader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

// TestSignedIsAcceptedByRPM asks the host's rpmkeys, and that of stage0 (whose rpm verifies with Sequoia), in a sandbox.
func TestSignedIsAcceptedByRPM(t *testing.T) {
	rpmtest.NeedTools(t, "rpmkeys")
	ours, other := rpmtest.NewKey(t), rpmtest.NewKey(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "p.rpm")
	raw, err := os.ReadFile(rpmtest.Build(t, rpmtest.Everything)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := rpm.SignFile(path, ours, time.Unix(signTime, 0)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("SignFile changed the mode: %v, %v", info, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("SignFile left files behind: %v, %v", entries, err)
	}

	// A runner runs rpmkeys where the folder work has the package, the key and the database.
	runners := map[string]func(t *testing.T, work string, args ...string) ([]byte, error){
		"host": func(t *testing.T, work string, args ...string) ([]byte, error) {
			cmd := exec.CommandContext(t.Context(), "rpmkeys", append([]string{"--dbpath", filepath.Join(work, "db")}, args...)...)
			cmd.Dir = work
			return cmd.CombinedOutput()
		},
	}
	runners["stage0"] = func(t *testing.T, work string, args ...string) ([]byte, error) {
		var out bytes.Buffer
		_, err := (&sandbox.Namespaces{Temp: t.TempDir()}).Run(t.Context(), sandbox.Command{
			Args: append([]string{"rpmkeys", "--dbpath", "/signed/db"}, args...), Env: []string{"PATH=/usr/bin:/usr/sbin", "HOME=/tmp"}, Dir: "/signed",
			Root: sandbox.Root{Lower: sandboxtest.Stage0(t)}, Binds: []sandbox.Bind{{Source: work, Target: "/signed"}}, Stdout: &out, Stderr: &out,
		})
		return out.Bytes(), err
	}
	for name, run := range runners {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				key  *rpmtest.Key
				want bool
			}{{ours, true}, {other, false}} {
				work, err := os.MkdirTemp(t.TempDir(), "rpmkeys-")
				if err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(work, "p.rpm"), must(os.ReadFile(path)))
				write(t, filepath.Join(work, "key.asc"), c.key.Public(t))
				if out, err := run(t, work, "--import", "key.asc"); err != nil {
					t.Fatalf("rpmkeys --import: %v\n%s", err, out)
				}
				out, err := run(t, work, "-Kv", "--define", "_pkgverify_level all", "p.rpm")
				if (err == nil) != c.want {
					t.Errorf("rpmkeys -K: expected accepted=%v, found %v\n%s", c.want, err, out)
				}
			}
		})
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		return nil
	}
	return b
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
