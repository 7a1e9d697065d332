// Package source finds, fetches and verifies the files that a spec names, and keeps them in the store.
// It does not read specs (internal/spec does), and does not unpack anything.
//
// A file's digest stands in NAME.signatures.json beside the spec. A file is looked for in the spec's
// own folder, the store and its caches, the mirrors, and at last where its URL says:
//
//	LICENSE                            the spec's own folder; needs no digest
//	https://HOST/PATH/FILE             HTTP, through the proxies that the environment names; also http:
//	file:PATH                          this machine; a relative path begins at the spec's folder
//	apt:SUITE/SOURCE/FILE              a file of a Debian source package, or a .deb of it (apt.go)
//	gomod:MODULE@VERSION#/NAME.tar     a Go module with its dependencies (gomod.go)
//
// Any URL may end in #/FILE to name the file otherwise.
//
// A mirror is a base URL under which a file stands at sha256/HEX (or sha512/HEX, if that is the digest
// that the spec has). A mirror cannot do harm: what it gives must have the digest.
//
// # Downloads
//
// What is downloaded grows in the store's partial folder, under its digest, and is put into the store
// when the digest is right; so an interrupted download goes on where it was, in the same run or in
// the next. A lock keeps two processes from fetching one file at the same time. A server's errors of
// the passing sort, broken connections and silence are met by trying again, after growing pauses.
package source
