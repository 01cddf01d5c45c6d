// Package announce tells the schedulers that this host is there, and finds out which schedulers there
// are.
//
//	static list ─DNS─┐                       ┌─▶ Current, Changed ─▶ the ring of daemon/rpc
//	                 ├─▶ Membership ─health──┤
//	manager ─────────┘        │              └─▶ Announcer ─▶ AnnounceHost, DeleteHost ─▶ every scheduler
//	                    last good set              ▲    └──▶ Lease ─▶ every scheduler of our own
//	                    in a file                Facts (/proc, statfs), Holdings
//
// Membership promises to keep the last good set: a manager, a name server or all schedulers may be
// away, at the start as well, and nothing that runs stops for it. Announcer promises that each scheduler
// hears of this host as soon as it can be reached, again after each interval, and at once after it
// came back or said that it does not know us; that a scheduler that grants leases hears a renewal at each interval that
// it granted, and whole announcements only now and then; and that an announcement names the interval that is kept.
//
// It deliberately opens no connection itself (daemon/rpc does), and it does not decide which
// scheduler answers for a task (the ring does).
package announce
