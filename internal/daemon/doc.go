// Package daemon is the role that fetches, stores and serves content on one host.
//
//	download socket ─┐                        ┌─▶ source (HTTP)
//	upload port ─────┼─▶ fetch.Engine ────────┼─▶ rpc.Neighbours ─▶ other daemons
//	   │             │        │               └─▶ rpc.Schedulers ◀─ announce
//	   │ SyncPieces  │        ▼
//	   └─────────────┴─▶ store ◀── serve.Shelf ◀── piece port
//
// It promises that a daemon without schedulers, or whose schedulers are gone, still downloads; that a stop says
// goodbye to the schedulers, lets running uploads finish within Config.Drain and keeps every piece; and that two
// daemons never share a folder.
//
// It deliberately holds no logic of its own: it builds the parts, hands each the others as the small interfaces they
// state, and runs them.
package daemon
