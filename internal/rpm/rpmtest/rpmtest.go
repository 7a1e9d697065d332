// Package rpmtest makes what tests of RPM code need: small packages, built by the host's rpmbuild,
// and OpenPGP keys. It is not for anything but tests.
package rpmtest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// NeedTools fails the test if a tool is missing; outside CI, with MARINER_TEST_MISSING_TOOLS=skip
// in the environment, it skips it.
func NeedTools(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		msg := name + " is not installed: `make setup` installs it"
		if os.Getenv("MARINER_TEST_MISSING_TOOLS") == "skip" && os.Getenv("CI") != "true" {
			t.Skip(msg)
		}
		t.Fatal(msg + " (MARINER_TEST_MISSING_TOOLS=skip leaves such tests out)")
	}
}

// Build runs rpmbuild on a spec and gives the paths of the binary packages it made, sorted. No
// macros of a distribution are needed: compiler checks, debug packages and stripping are off.
func Build(t testing.TB, spec string) []string {
	t.Helper()
	return build(t, spec, "-bb", "RPMS/*/*.rpm")
}

// BuildSource is Build for the source package.
func BuildSource(t testing.TB, spec string) []string {
	t.Helper()
	return build(t, spec, "-bs", "SRPMS/*.rpm")
}

func build(t testing.TB, spec, mode, results string) []string {
	t.Helper()
	NeedTools(t, "rpmbuild")
	top := t.TempDir()
	path := filepath.Join(top, "test.spec")
	if err := os.WriteFile(path, []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("rpmbuild", mode, "--nodeps",
		"--define", "_topdir "+top,
		"--define", "_buildhost builder.test",
		"--define", "debug_package %{nil}",
		"--define", "__os_install_post %{nil}",
		"--define", "use_source_date_epoch_as_buildtime 1",
		path)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000", "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("rpmbuild: %v\n%s", err, out)
	}
	rpms, err := filepath.Glob(filepath.Join(top, results))
	if err != nil || len(rpms) == 0 {
		t.Fatalf("rpmbuild made no package (%v)", err)
	}
	sort.Strings(rpms)
	return rpms
}

// Key is an OpenPGP key pair made for one test; it signs deterministically.
type Key struct {
	Entity *openpgp.Entity
}

// NewKey makes an RSA key, dated 2023 so that it may sign with any later time.
func NewKey(t testing.TB) *Key {
	t.Helper()
	cfg := config(time.Unix(1690000000, 0))
	e, err := openpgp.NewEntity("Test key", "", "test@builder.test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{e}
}

func config(at time.Time) *packet.Config {
	salt := false
	return &packet.Config{
		RSABits: 2048, Time: func() time.Time { return at },
		NonDeterministicSignaturesViaNotation: &salt,
	}
}

// SignDetached makes an armored detached signature, dated at.
func (k *Key) SignDetached(r io.Reader, at time.Time) ([]byte, error) {
	var buf bytes.Buffer
	err := openpgp.ArmoredDetachSign(&buf, k.Entity, r, config(at))
	return buf.Bytes(), err
}

// Public is the armored public half.
func (k *Key) Public(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := armor.Encode(&buf, openpgp.PublicKeyType, nil)
	if err == nil {
		err = k.Entity.Serialize(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(buf.Bytes(), '\n')
}

// Keyring holds the public half.
func (k *Key) Keyring() openpgp.EntityList { return openpgp.EntityList{k.Entity} }

// Simple is a spec of one empty noarch package; lines go into its preamble.
func Simple(name, version string, lines ...string) string {
	return fmt.Sprintf(`Name: %s
Version: %s
Release: 1
Summary: The package %s
License: MIT
BuildArch: noarch
%s
%%description
It is for tests.
%%files
`, name, version, name, strings.Join(lines, "\n"))
}

// Everything is a spec whose packages have all that metadata can say: every kind of dependency and
// of file, scriptlets, capabilities, changelogs, and text that XML must escape.
const Everything = `Name: everything
Epoch: 3
Version: 1.2~rc1
Release: 4.mar1
Summary: Ünïcode & <markup> "quotes" 'apostrophes' ]]>
License: MIT AND (Apache-2.0 OR BSD-3-Clause)
URL: https://example.org/?a=1&b=2
Vendor: Mariner <test>
Packager: Zoë & Søn
Group: Tests/Ev & er
BuildArch: noarch
Requires: plain
Requires: plain
Requires: versioned >= 2:1.0~beta^1-3
Requires: versioned < 5
Requires: /usr/bin/env
Requires: /etc/everything/main.conf
Requires: (rich or (nested and other >= 1.2)) 
Requires: (a if b else c)
Requires: (w with v)
Requires: everything = 3:1.2~rc1-4.mar1
Requires: libc.so.6()(64bit)
Requires: libc.so.6(GLIBC_2.14)(64bit)
Requires: libc.so.6(GLIBC_2.4)(64bit)
Requires: pkgconfig(zlib) = 1.3
Requires(pre): shadow-utils
Requires(post): /sbin/ldconfig
Requires(preun): stopper = 1
Requires(postun): later
Provides: virtual = 1.0-7
Provides: virtual(x)
Provides: bundled(lib) = 9:9
Provides: odd&name<x>
Conflicts: enemy < 2
Conflicts: (foe and foe2)
Obsoletes: old <= 1:3
Obsoletes: older
Recommends: nice
Recommends: (nicer if nice)
Suggests: maybe > 1
Supplements: (base and lang)
Enhances: base = 4

%description
A description with trailing spaces,  
	tabs, ünïcode — 漢字 — 🐧, <b>&amp;</b>
and an empty line

here.

%package sub
Summary: The second
Requires: %{name} = %{epoch}:%{version}-%{release}
Requires(post): plain
Requires: plain

%description sub
Sub.

%package none
Summary: Without files

%description none

%prep
%build
%install
mkdir -p %{buildroot}/etc/everything %{buildroot}/usr/bin %{buildroot}/usr/sbin %{buildroot}/usr/lib %{buildroot}/usr/share/everything/bin "%{buildroot}/usr/share/everything/with space"
echo 'a=1' > %{buildroot}/etc/everything/main.conf
echo '#' > %{buildroot}/usr/bin/everything
echo '#' > %{buildroot}/usr/sbin/everythingd
echo '#' > %{buildroot}/usr/lib/sendmail
echo 'x' > %{buildroot}/usr/share/everything/bin/tool
echo 'x' > '%{buildroot}/usr/share/everything/ün&ï<code>'
echo 'x' > '%{buildroot}/usr/share/everything/with space/f'
echo 'd' > %{buildroot}/usr/share/everything/README
ln -s everything %{buildroot}/usr/bin/alias
ln %{buildroot}/usr/share/everything/README %{buildroot}/usr/share/everything/HARDLINK
mkdir -p %{buildroot}/var/log %{buildroot}/var/lib/everything
touch %{buildroot}/var/log/everything.log

%pre
true
%post
true
%preun
true

%files
%dir /etc/everything
%config(noreplace) /etc/everything/main.conf
%attr(4755,root,mail) %caps(cap_net_raw=ep) /usr/bin/everything
/usr/bin/alias
/usr/sbin/everythingd
/usr/lib/sendmail
%dir /usr/share/everything
/usr/share/everything/bin
"/usr/share/everything/ün&ï<code>"
"/usr/share/everything/with space"
%doc /usr/share/everything/README
/usr/share/everything/HARDLINK
%ghost /var/log/everything.log
%ghost %dir /var/lib/everything

%files sub
%license /usr/share/everything/README

%files none

%changelog
* Fri Nov 03 2023 Zoë <zoe@example.org> - 1.2-4
- Fix & <improve> 漢字

* Fri Nov 03 2023 Second the Same Day <b@example.org> 1.2-3
- Two on one day

* Thu Nov 02 2023 C - 1.2-2
- Third
- with two lines

* Wed Nov 01 2023 D <d@example.org> - 1
- 4
* Tue Oct 31 2023 D <d@example.org> - 1
- 5
* Mon Oct 30 2023 D <d@example.org> - 1
- 6
* Sun Oct 29 2023 D <d@example.org> - 1
- 7
* Sat Oct 28 2023 D <d@example.org> - 1
- 8
* Fri Oct 27 2023 D <d@example.org> - 1
- 9
* Thu Oct 26 2023 D <d@example.org> - 1
- 10
* Wed Oct 25 2023 D <d@example.org> - 1
- 11
* Tue Oct 24 2023 D <d@example.org> - 1
- 12
`
