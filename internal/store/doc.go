// Package store keeps what a build makes: files by the digest of their bytes, results of actions by
// the digest of everything the action read, small values by the digest of what they were computed
// from, and directory trees by name. It is a cache that can be trusted because it is never believed:
// a file's bytes are hashed again each time it is read, a result and a memo carry a checksum.
//
// It is not a scheduler (internal/execute decides what to make), not a repository (internal/rpmmd)
// and no backup: everything in it can be made anew.
//
// # Layout, format 1
//
//	version            "mariner store 1"
//	gc.lock            held shared while an entry is touched or put in place, exclusively by GC
//	files/ab/abcd…     the bytes whose SHA-256 is abcd…; mode 0444; mtime is the last use
//	results/ab/abcd…   the Result whose key is abcd…: a line with its checksum, then JSON
//	last/NAME          a copy of the newest Result of an action, kept when GC drops the result
//	memo/KIND          small values: an append-only file of checksummed records (memo.go)
//	trees/NAME/root    a directory tree; the folder around it is what is renamed and whose mtime counts
//	partial/NAME       unfinished downloads, to be resumed
//	tmp/SESSION.lock   held as long as the process that uses tmp/SESSION lives; mtime is its start
//	tmp/SESSION/       temporary files and folders of one process
//	locks/NAME         lock files of Lock
//	failed/NAME/       the root that a failed build has left (internal/execute keeps it); GC drops it after a day
//	bad/               what was found damaged, set aside; and marks against damaged files in caches
//
// A NAME is the given name where that is a harmless file name, else "x-" and its SHA-256.
//
// # Safety
//
// Everything appears by rename from tmp, or, in memo, by one appended record whose checksums tell a
// torn one from a whole one. A process that is killed leaves only its session folder, which the next
// Open removes once the session's lock is free: that the owner is gone is known, not guessed from an
// age. File bytes are synced to disk before they get their name; results and memos are not: after a
// power cut one that is not whole counts as absent.
//
// trees and tmp are open to their owner only, as they may hold set-user-id programs. The rest can be
// read by others, so that another user can name the store as a cache.
//
// # Caches
//
// Further stores can be looked up, read-only, after the store itself. A file found there is copied
// into the store while it is verified: that costs no more reading than verifying it in place would,
// and afterwards neither the cache's own GC nor a change to it can pull the file from under a build.
// A result found there is copied too; its outputs follow when they are first read. Trees are not shared.
// To name a cache is to trust its owner for which result belongs to which key.
package store
