package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"mariner/internal/image/config"
)

// base is the image that is measured.
const base = "images/core-container.yaml"

// rootfs compares the composition of the container base, from the signed packages at hand to a tar archive, with dnf
// installing the same list into a folder, both signature checks on, and tar packing that.
func (b *bench) rootfs() ([]measure, error) {
	c, err := config.Load(base)
	if err != nil {
		return nil, err
	}
	tree, err := b.tree("images")
	if err != nil {
		return nil, err
	}
	ours := filepath.Join(tree, base)
	text, err := os.ReadFile(ours)
	if err != nil {
		return nil, err
	}
	text = bytes.Replace(text, []byte("formats: [oci, tar]"), []byte("formats: [tar]"), 1)
	if err := os.WriteFile(ours, text, 0o644); err != nil {
		return nil, err
	}
	again := func() error { return os.RemoveAll(filepath.Join(tree, "out/images")) }
	repo, err := filepath.Abs("out/repo")
	if err != nil {
		return nil, err
	}
	keys, err := filepath.Glob(filepath.Join(filepath.Dir(repo), "keys", "*.asc"))
	if err != nil || len(keys) == 0 {
		return nil, errors.Join(err, errors.New("out/keys holds no public key: run make image first"))
	}
	n := 0
	var root string
	dnf := func() error {
		args := append([]string{
			"-q", "-y", "--disableplugin=*", "--installroot=" + root, "--releasever=1", "--setopt=reposdir=/nonexistent",
			"--setopt=cachedir=" + filepath.Join(b.work, "dnf-base"), "--setopt=metadata_expire=-1", "--setopt=install_weak_deps=0",
			"--repofrompath=m,file://" + repo, "--setopt=m.gpgcheck=1", "--setopt=m.repo_gpgcheck=1", "--setopt=m.gpgkey=file://" + keys[0], "install",
		}, c.OS.Packages.Install...)
		if _, err := b.output("dnf", args...); err != nil {
			return err
		}
		_, err := b.output("tar", "--sort=name", "--numeric-owner", "-C", root, "-cf", root+".tar", ".")
		return err
	}
	fresh := func() error {
		n++
		root = filepath.Join(b.work, "root-"+strconv.Itoa(n))
		return os.Mkdir(root, 0o755)
	}
	return []measure{{
		"rootfs of the container base",
		side{"image build", again, b.command("bin/mariner", "--distro", tree, "--progress", "quiet", "image", "build", ours)},
		side{"dnf --installroot, tar", fresh, dnf},
		5,
	}}, nil
}

// nothing measures what a build costs that finds everything done.
func (b *bench) nothing() ([]measure, error) {
	args := []string{"--progress", "quiet", "image", "build"}
	images, err := filepath.Glob("images/*.yaml")
	if err != nil {
		return nil, err
	}
	if _, err := b.output("bin/mariner", append(args, images...)...); err != nil {
		return nil, err
	}
	return []measure{{"all images, nothing changed", side{"image build", nil, b.command("bin/mariner", append(args, images...)...)}, side{}, 5}}, nil
}
