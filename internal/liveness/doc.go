// Package liveness decides what to think of every host: who is well, who is not offered, who counts as dead, and whose
// records may go. Nobody else declares a host gone.
//
//	announce, renewal, any call ─┐                               ┌▶ Verdict: the swarm hides, re-offers, frees
//	broken stream, child, hint ──┼▶ Step(now, Evidence) []Effect ┼▶ Probe, AskInventory, Grant: rpc asks and answers
//	answer to a probe, leave ────┤   Renew, Hear: the cheap way  ├▶ GuardChanged, HealthChanged, Noted: telemetry
//	Tick, Health, operators ─────┘                               └▶ Wake: another Tick, soon
//
// A host is hidden fast and forgotten slowly, because the first can be taken back:
//
//	         silent 1.5 x             silent 3 x, or against it:          not refuted in
//	  alive ─────────────▶ late ────▶ two children, or one sign ────────▶ 15 s to 90 s ───▶ offline
//	   ▲ ▲                  │         and a failed probe   suspect                          │    │ 5 min, and
//	   │ └──────────────────┘                                 │                             │    ▼ the guard allows
//	   └── a sign of life, with everything as it was ─────────┴─────────────────────────────┘ forgotten ─▶ tombstone
//
//	  leave of the run that is known: left ─▶ tombstone        drain: draining ─▶ left
//
//	state      entered when                                                    the others'
//	alive      there is fresh evidence                                         normal
//	late       a lease is 1.5 intervals old                                    ranked lower
//	suspect    a lease is 3 intervals old, an announcement 1.5; two children   not offered while there
//	           report the host within 10 s; a sign against it and a failed     is an alternative
//	           probe; or it comes and goes (held down, although it is heard)
//	offline    suspicion was not refuted: 90 s, 15 s with three more           peers hidden, copies
//	           confirmations, in between by the logarithm, times our own       count as lost
//	           health (1 to 8); a plain daemon after 2 intervals at most
//	forgotten  offline for 5 min, and the guard of its zone allows             freed in slices
//	draining   it, or an operator, wants so                                    hidden
//	left       it took its leave, or fell silent while draining                freed in slices
//
// Hosts of ours renew a lease whose length is granted: ten seconds, more when there are more than 20000 of them, so that
// all together renew 2000 times a second; each grant varies by a tenth. Plain Dragonfly daemons announce themselves, and
// skip late. An interval of 0 counts as 300 s.
//
// The guard holds forgetting back, never hiding. A zone is a cluster, data centre and location. Its silent hosts are those
// that became suspect within a minute, and those whose word is overdue: late ones, and plain ones that owe an announcement.
// Hosts that die together are found out within 1.5 leases of each other, minutes in a large cluster; overdue they all
// are when the first of them is suspect.
//
//	partial     one became suspect, and 3 hosts and 30 % of the zone are silent: 1 a second, or 0.1 %, until less are
//	full        all of it is silent: none, until 30 % is back; after 30 min, while other zones are well, as if partial
//	overridden  an operator confirmed it (until it recovers, an hour at most) or took the guard off for a time
//	self-fault  all hosts of all zones are down and nobody is heard: no time passes for anybody, a few are probed, and
//	            the first word of anybody ends it; everybody's silence begins anew then
//
// Time in which this process stood still does not count against others (clock.go draws that). After Restarted nobody is
// forgotten for two of the longest intervals, and hosts from before, Restored, are late until they are heard.
//
// A run of a host is its Epoch. A higher one takes over at once; words of a lower one are ignored and counted, unless the
// run with the higher one is offline, as after a clock that was set back. A leave counts for its own run only;
// without an epoch, one from an older connection than the last announcement's does not count.
//
// It promises that
//   - effects follow from evidence, times and the seed alone, in a fixed order;
//   - a leave of one run never affects another;
//   - nobody is forgotten while a guard holds, before it had its chance, soon after a start, or because a clock jumped;
//   - a step looks at no more than Limit.Items timers, Forget.PerStep hosts to be forgotten, and half of Limit.Items
//     of others, whatever happens; what is left over is asked for by Wake;
//   - Renew and Hear store times, allocate nothing and move no timer;
//   - whatever is kept is bounded: hosts, tombstones, events of one host and of all, probes in line.
//
// It deliberately knows no peers, tasks or streams, and no wall clock, lock or goroutine. The caller holds one lock around
// all calls, calls Step with Tick every Config.Tick (a pause longer than MaxGap, or than short leases bear, is its own), carries
// the effects out in order after the lock is released, and passes on what it hears. A Probe is answered by one Probed,
// whether or not the host answered; none at all counts for nothing.
package liveness
