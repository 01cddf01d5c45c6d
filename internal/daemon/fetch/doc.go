// Package fetch runs downloads: one per task on this host, whoever asks and how often.
//
//	Start(want) ─▶ download ─▶ prepare: store, else source.Stat ─▶ loop ─▶ verify ─▶ done
//	   │ joins      (one per task)                                  │
//	Session ◀── store.Task.Changed ◀── Commit ◀── asks ◀── pick.Next ┤
//	                                                                │
//	scheduler ◀─ reports ── Conversation ── advice ─────────────────┤
//	parents   ── holdings ── Neighbours.Watch ──────────────────────┘
//
// A piece is passed on while it arrives: the store tells neighbours of its first bytes, and a neighbour that is still
// receiving counts as a parent. What came before an ask broke off is kept, and the next ask goes on from there; so does
// a neighbour's. That is how little is read twice when the host that reads from the source dies.
//
// It promises that concurrent askers of a task share one download; that a piece counts only after its length
// and CRC matched; that a session ends cleanly only after everything it asked for is here and, where a digest is
// known, the digest matched; that a dead or absent scheduler, parent or seed delays a download but
// does not fail it while the source answers; and that every wait has an end.
//
// It deliberately knows no wire: the scheduler and the neighbours are interfaces, implemented in daemon/rpc. Which
// piece comes from whom is decided in package pick.
package fetch
