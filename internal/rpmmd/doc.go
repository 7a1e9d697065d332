// Package rpmmd writes and reads the metadata of an RPM repository ("rpm-md", as createrepo_c makes
// and dnf reads it): repomd.xml, its signature, and the primary, filelists and other documents.
//
// It does not decide which packages belong in a repository, move RPM files, or serve anything: the
// caller puts the files where their locations say. Which packages fit together is for package solve.
package rpmmd
