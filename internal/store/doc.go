// Package store says what keeping content on this host means: a contract that the stores in its folders
// fulfil and that package storetest checks.
//
//	Create(Meta) ─▶ Task ─▶ Writer(n) ─▶ Write… ─▶ Commit ─▶ held ─▶ Changed ─▶ readers, announcer
//	                 │                      └ hedged: several writers, one winner
//	                 ├─▶ OpenPiece, ReadAt        held pieces only
//	                 └─▶ Finish(digest) ─▶ Complete ─▶ Link, CopyTo
//	                                          └─▶ Sync ─▶ durable
//
// It promises that a piece counts as held only after its length and, where one was given, its CRC matched;
// that a task counts as complete only after every piece, and the digest where one is known, matched; and
// that what was complete when Sync returned is still complete after a crash (store/disk).
//
// It deliberately knows nothing of who sent the bytes, of schedulers, or of what should be kept how long:
// it removes what it is told to remove and nothing else.
package store
