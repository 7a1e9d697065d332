package rpmmd_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mariner/internal/rpm"
	"mariner/internal/rpm/rpmtest"
	"mariner/internal/rpmmd"
)

// signedRepo makes a repository of signed packages with signed metadata, and the public key's path.
func signedRepo(t *testing.T, key *rpmtest.Key, c rpmmd.Compression) (dir, public string) {
	t.Helper()
	dir, pkgs := repository(t,
		rpmtest.Simple("app", "1.0", "Requires: lib >= 2~rc1", "Requires: (lib with feature)"),
		rpmtest.Simple("lib", "2", "Provides: feature"),
		rpmtest.Simple("unrelated", "1", "Requires: nothing-has-this"))
	var files []rpmmd.File
	for _, p := range pkgs {
		path := filepath.Join(dir, p.Location)
		if err := rpm.SignFile(path, key, time.Unix(revision, 0)); err != nil {
			t.Fatal(err)
		}
		files = append(files, rpmmd.File{Path: path, Location: p.Location})
	}
	pkgs, err := rpmmd.Load(context.Background(), files, nil)
	if err != nil {
		t.Fatal(err)
	}
	writeRepo(t, dir, pkgs, rpmmd.Options{Signer: key, Compression: c})
	public = filepath.Join(t.TempDir(), "key.asc")
	writeFile(t, public, key.Public(t))
	return dir, public
}

// dnfInstall installs app into a new root with both signature checks on.
func dnfInstall(t *testing.T, repo, public string) (root string, out []byte, err error) {
	t.Helper()
	rpmtest.NeedTools(t, "dnf")
	work := t.TempDir()
	root = filepath.Join(work, "root")
	config := filepath.Join(work, "dnf.conf")
	writeFile(t, config, []byte("[main]\ngpgcheck=1\nplugins=0\ninstall_weak_deps=0\nlogdir="+work+"/log\n"+
		"[test]\nname=test\nbaseurl=file://"+repo+"\ngpgcheck=1\nrepo_gpgcheck=1\ngpgkey=file://"+public+"\n"))
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"dnf", "-y", "-c", config, "--installroot", root, "--setopt=cachedir=" + work + "/cache", "--setopt=reposdir=" + work + "/none", "--releasever=1", "install", "app"}
	if os.Geteuid() != 0 {
		args = append([]string{"unshare", "--map-root-user", "--mount"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+work, "LC_ALL=C.UTF-8", "GNUPGHOME="+work)
	out, err = cmd.CombinedOutput()
	return root, out, err
}

func TestDnfInstallsFromIt(t *testing.T) {
	for _, c := range []rpmmd.Compression{rpmmd.Zstd, rpmmd.Gzip} {
		t.Run(string(c), func(t *testing.T) {
			repo, public := signedRepo(t, rpmtest.NewKey(t), c)
			root, out, err := dnfInstall(t, repo, public)
			if err != nil {
				t.Fatalf("dnf: %v\n%s", err, out)
			}
			dbpath := findDB(t, root)
			got, err := exec.Command("rpm", "--dbpath", dbpath, "-qa", "--qf", "%{name} ").CombinedOutput()
			for _, name := range []string{"app ", "lib "} {
				if err != nil || !strings.Contains(string(got), name) || strings.Contains(string(got), "unrelated") {
					t.Errorf("expected app and lib installed, found %s (%v)\n%s", got, err, out)
				}
			}
		})
	}
}

// findDB is the directory of the rpm database in root: where it is depends on the host's rpm.
func findDB(t *testing.T, root string) string {
	t.Helper()
	var dir string
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err == nil && (e.Name() == "rpmdb.sqlite" || e.Name() == "Packages.db" || e.Name() == "Packages") {
			dir = filepath.Dir(path)
		}
		return err
	})
	if err != nil || dir == "" {
		t.Fatalf("expected an rpm database below %s, found none (%v)", root, err)
	}
	return dir
}

func TestDnfRefuses(t *testing.T) {
	key, other := rpmtest.NewKey(t), rpmtest.NewKey(t)
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, repo, public string)
	}{
		{"one byte of primary", func(t *testing.T, repo, _ string) { flip("*-primary.xml.zst")(t, repo) }},
		{"one byte of repomd.xml", func(t *testing.T, repo, _ string) { flip("repomd.xml")(t, repo) }},
		{"one byte of an RPM", func(t *testing.T, repo, _ string) {
			flipFile(t, filepath.Join(repo, "Packages/lib-2-1.noarch.rpm"))
		}},
		{"no signature", func(t *testing.T, repo, _ string) { remove("repomd.xml.asc")(t, repo) }},
		{"another key", func(t *testing.T, _, public string) { writeFile(t, public, other.Public(t)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo, public := signedRepo(t, key, rpmmd.Zstd)
			c.damage(t, repo, public)
			if _, out, err := dnfInstall(t, repo, public); err == nil {
				t.Errorf("dnf accepted it:\n%s", out)
			}
		})
	}
}
