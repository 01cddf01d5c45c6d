// Package control does, on a scheduler, the work that a manager hands out: it has hosts fetch, asks them what they hold,
// and has them drop.
//
//	manager ── order ──▶ Agent.Take ─▶ target.Choose: hosts ─▶ Daemons.Holds, Fetch, Holds again ─▶ outcomes
//	   ▲                                                                                          │
//	   └──────────── Agent.Reports, at most one a second and order, kept until acknowledged ◀──────┘
//
// It promises that a host counts as done only when it was asked and held the whole content; that one which holds
// it already is not asked to fetch; that what was found out is kept until a manager has written it down, across
// broken streams; that a lost lease stops its work at once; and that at most so many downloads run as the settings say.
//
// It deliberately keeps nothing on disk: a scheduler that dies leaves its leases to run out, and the next holder asks
// hosts what they hold. It does not know streams or messages; the rpc folder below does.
package control
