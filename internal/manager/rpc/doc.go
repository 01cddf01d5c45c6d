// Package rpc is the manager's side towards daemons and schedulers: manager.v2.Manager over gRPC.
//
//	ListSchedulers ──────────────▶ roster: fixed ones, and announced ones that are alive
//	UpdateScheduler ─▶ announced ──┘  ▲
//	KeepAlive ───────▶ still alive ───┘      Watch ─▶ Lost, once per scheduler that fell silent
//
// It promises a list that a plain Dragonfly daemon takes: IP literals, a cluster with each scheduler, and
// configurations that parse. Clusters come in the order of their numbers.
//
// It deliberately keeps nothing on disk, and it neither scores clusters by address and place nor knows
// seeds and applications: daemons announce themselves to schedulers, and the calls for the rest
// are refused or, where that is the truth, answered with an empty list.
package rpc
