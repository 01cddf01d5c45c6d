// Package pick decides which piece a download asks for next, and from whom. It is a pure core: it knows no
// clock, no network and no goroutine.
//
//	wanted, held ─┐
//	who has what ─┼─▶ Picker.Next(now) ─▶ start these asks, cancel those, look again at
//	progress ─────┤
//	source grant ─┘
//
// Order: the rarest piece first inside a window that begins at the first missing piece, so that readers
// can stream while the swarm still spreads nearly optimally; ties are broken by a seeded shuffle so that equal
// peers take different pieces. The piece a reader waits for goes before all others.
//
// A piece that waits in a parent's queue is asked of an idle parent, too; the first byte decides and the other asks are
// withdrawn. Without such races a swarm that starts all at once queues at the first holders while the
// uplinks of those that follow rest. A long queue is not a failure: only what breaks, stalls half-way or stays mute for
// minutes is held against a parent.
//
// A parent that is still receiving a piece counts as one that has it: it passes on what it gets as it gets it. Such a
// chain cannot bite its tail, because an ask at who only receives a piece begins before this host has a byte to pass
// on, or after everybody who followed it was told that it ceased.
//
// What a parent had begun to give when it broke off is not asked of the source for a moment: others may have it.
//
// It promises: no more pieces asked for than configured, in all, and no more asks per parent; never two asks for one piece
// except as a hedge; a parent that stalls or fails is asked less and in the end no more; the source is asked only
// for pieces that were granted and that no usable parent holds. It does not move bytes and does not decide when
// to fall back: package fetch does.
package pick
