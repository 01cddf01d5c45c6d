// Package mem is a store in memory, for tests and for worlds in virtual time.
//
//	Writer(n) ─▶ its own buffer ─▶ Commit ─▶ pieces[n] ─▶ OpenPiece, ReadAt
//
// It promises the contract of package store, without files: nothing it does waits for anything but a mutex that
// is never held for long, so it may be used inside synctest bubbles.
//
// It deliberately survives nothing, and Link is always refused, because there is no file to link to.
package mem
