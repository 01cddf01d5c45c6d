// Package serve gives away what this host holds: it joins the content store with the piece server, and
// tells the upload side when a task appears or its download fails. Pieces that are still arriving are given away
// as they come.
//
//	fetch ──Create──▶ Shelf.Store ──▶ store.Store            child ──vortex──▶ vortex.Server
//	                      │ appeared                                               │ Open
//	                      ▼                                                        ▼
//	SyncPieces ──Await──▶ Shelf ◀──Failed── fetch's events                   Shelf ──▶ store.Task.OpenPiece
//
// It promises that a body under way is finished when the host stops (within the drain limit) while what
// comes later is told "busy", that nobody waits for a task without end, and that uploads are counted
// per task, whole ones apart from running ones.
//
// It deliberately does not choose what to serve to whom (vortex orders the waiting requests, the
// scheduler chose the neighbours) and keeps no counters over restarts.
package serve
