// Package rpm reads RPM packages: the order of versions (EVR), the header as a typed value, and the
// OpenPGP signature over it, which it also makes and checks.
//
// It is not a package manager. It installs nothing, unpacks no payload, reads no rpm database and
// builds nothing: rpm itself does that, from a stage0 root. Which packages fit together is decided
// by package solve; how a set of packages is published, by package rpmmd.
package rpm
