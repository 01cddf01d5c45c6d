// Package manager is the role that keeps what people decide: which clusters, schedulers and applications there are, how
// long records stay, which work is to be done, and who may do what.
//
//	daemon ─── ListSchedulers ─────────────▶ rpc ──── picture ◀─┐
//	scheduler ─ UpdateScheduler, KeepAlive ▶ rpc ─▶ catalog ────┤
//	scheduler ─ Attach: orders, reports ──▶ jobs/rpc ─▶ jobs ───┤   one database: SQLite here,
//	scheduler ─ Tell: hosts, answers ─────▶ fleet/rpc ▶ fleet ──┼─▶ or a PostgreSQL that several
//	a person, a script ─ REST ─▶ gate ─▶ rest ─▶ every room ────┤   managers share
//	                    timers ─▶ records: plans, runs ─────────┤
//	                              notify: journal, webhooks ◀───┘
//
// It opens the database, builds the rooms, adapts them to one another (adapt.go), runs them, and stops them in order:
// probes are turned away, then callers, then the rooms give back what they work on, then the database is closed.
//
// It promises that nothing starts on a database that it cannot trust (newer, damaged, in use by another process, sealed
// under another key), that any number of managers on one PostgreSQL act as one, and that a database that goes away
// costs changes but no list: daemons are sent to the schedulers that were there last.
//
// It deliberately moves no bytes and is on no download's way: without it schedulers and daemons go on with what they
// were told last.
package manager
