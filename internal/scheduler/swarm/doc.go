// Package swarm decides, for every task, who fetches what from whom.
//
//	registrations, reports ─┐
//	hosts, their verdicts ──┤
//	inventories ────────────┼─▶ Step(now, Event) ─▶ []Effect: offers, source assignments, seed triggers
//	seeds' health ──────────┤
//	the clock (Tick) ───────┘
//
// The heart is source assignment. The peers of one task with one layout form a group, and of each group
// the swarm knows who holds, who wants and who was told to fetch each piece from the source:
//
//	wanted by someone ─ held by someone ─ assigned to someone ─ expected of a triggered seed = uncovered
//
// What is uncovered goes, in this order, to a seed that is in the group, to a seed that is triggered, or
// to one living peer that wants it. Around that, peers are linked as neighbours, 8 to 12 each, both
// ways, across zones; a graph with cycles is fine, because a piece is only ever asked of who has it.
//
// How an origin's failure spreads: 4xx other than 401, 403, 407, 408, 425 and 429 is the origin's word, so the
// streams of all who wait for those pieces are closed with it and each may try for itself. Everything else
// (5xx, no answer, refused credentials, which differ from peer to peer) passes the pieces to the next
// peer, three attempts in all, and then closes the streams.
//
// What becomes of a host is for package liveness to say; here its verdicts take effect:
//
//	late       ranked lower
//	suspect    offered only for what nobody above suspicion holds or fetches; its children are offered others at once, and
//	           what it fetches from the source passes on when it brings nothing for a while
//	draining   not offered, its copies do not count; it finishes what it fetches
//	offline    the same, and what it fetches passes on; its peers are parked as they are, and come back with it
//	forgotten  and left: it is not found any more, and its records are freed
//
// The verdict itself costs the same for any host, because everybody looks at the host when it matters. What follows
// for each of its peers and locations is done in reviews, some hundred items per step, those first on whom others wait;
// until nothing is left, the swarm asks for a tick at once.
//
// A finished peer with which nobody has to do shrinks to a location of some 80 bytes, and is made a peer again,
// under a name that follows from host and task, when a child can use it. Inventories of hosts fill locations; a
// child that finds nothing where something should be takes one out. When a host restarts on the same store, what it held
// counts again when its inventory says so. An auditor goes through all records every few minutes and mends what disagrees.
//
// It promises:
//   - a piece is assigned to at most one live source-goer, and never while a live, sharing peer holds
//     it that the peers that want it have not blocked;
//   - no peer is offered itself, its own host, a host that does not share, one that it blocked, or one that is hidden or gone;
//   - a suspect is offered to our own daemons only for want of another;
//   - every live peer with missing pieces has a neighbour that leads to them, an assignment, a pending
//     seed, or is told that there is no way;
//   - nothing is scanned whole: a leave costs what the host had, and of more than a step has time for the rest follows;
//   - the same seed and events give the same effects.
//
// It deliberately knows no network, clock or lock: the caller feeds events one at a time and carries
// the effects out. It never keeps a request header.
package swarm
