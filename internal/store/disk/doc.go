// Package disk is the store in a folder: per task one sparse file of content and one log of piece records.
//
//	DIR/lock                           held while a process uses the folder
//	DIR/tasks/<3 of id>/<id>/data      the content, sparse, of full length from the start
//	DIR/tasks/<3 of id>/<id>/sidecar   header with the task's Meta, then 64-byte records (docs/formats/store.md)
//	DIR/tmp  DIR/trash  DIR/quarantine emptied at start
//
//	Writer 1 ──pwrite──▶ data ─┐
//	Writer 2 ──▶ tmp ─takes over─▶ Commit ─▶ sidecar record ─▶ held ─▶ Changed
//	Finish: hash ─▶ Complete
//	Sync:   sync data ─▶ "complete" record ─▶ sync sidecar ─▶ sync folders ─▶ durable
//	Open:   lock ─▶ empty tmp, trash, quarantine ─▶ read sidecars ─▶ adopt, or move to quarantine
//
// It promises that a finished task survives any crash once it is synced, that a piece reported as held has the bytes
// that were committed, and that two processes never use one folder. Nothing is synced per piece: after a crash the
// pieces of an unfinished task that were not known to be durable are compared with their CRC when the task
// is first touched (or by Recheck), and those that do not match are forgotten and reported in Events.
//
// It deliberately decides nothing about room: what is kept, and for how long, is decided elsewhere. It
// cannot notice that someone rewrites a file which Link gave a second name to.
package disk
