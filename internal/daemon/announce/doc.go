// Package announce tells the schedulers that this host is there, and finds out which schedulers there
// are.
//
//	static list ─DNS─┐                       ┌─▶ Current, Changed ─▶ the ring of daemon/rpc
//	                 ├─▶ Membership ─health──┤
//	manager ─────────┘        │              └─▶ Announcer ─▶ AnnounceHost, DeleteHost ─▶ every scheduler
//	                    last good set              ▲
//	                    in a file                Facts (/proc, statfs)
//
// Membership promises to keep the last good set: a manager, a name server or all schedulers may be
// away, at the start as well, and nothing that runs stops for it. Announcer promises that each scheduler
// hears of this host as soon as it can be reached, again after each interval, and at once after it
// came back or said that it does not know us.
//
// It deliberately opens no connection itself (daemon/rpc does), and it does not decide which
// scheduler answers for a task (the ring does).
package announce
