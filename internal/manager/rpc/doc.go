// Package rpc is the manager's side towards daemons and schedulers: manager.v2.Manager over gRPC.
//
//	UpdateScheduler, UpdateSeedPeer ─▶ Book.Announce ─┐
//	KeepAlive ────▶ Book.KeepAlive, every few seconds ─┼─▶ rows ──▶ Book.Picture ──▶ picture, a second old at most
//	DeleteSeedPeer ▶ Book.Remove ─────────────────────┘                                   │
//	ListSchedulers, GetScheduler, ListSeedPeers, GetSeedPeer, ListApplications ◀──────────┘ affinity.Searcher
//
// It promises a list that a plain Dragonfly daemon takes: IP literals, a cluster with each scheduler, and
// configurations that parse. A daemon that names no cluster gets the schedulers of all of them, those that fit it best
// first. Lists are answered from memory, also while the database is away; words about oneself are written down before
// they are answered.
//
// It deliberately decides nobody's end: who is silent, and for how long that is borne, is told by the rows.
package rpc
