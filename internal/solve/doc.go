// Package solve decides which packages are to be installed so that what was asked for, and all that
// it needs, is there. It is a narrow interface over libsolv, the solver of dnf and zypper, and gives
// dnf's answers: rich and weak dependencies, obsoletes, file dependencies, and the choice between
// several providers.
//
// It does not read repositories (package rpmmd does), fetch or install packages (rpm does), or
// remove installed ones. Nothing outside this package sees libsolv.
package solve
