// Package swarm decides, for every task, who fetches what from whom.
//
//	registrations, reports ─┐
//	hosts, seeds' health ───┼─▶ Step(now, Event) ─▶ []Effect: offers, source assignments, seed triggers
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
// It promises:
//   - a piece is assigned to at most one live source-goer, and never while a live, sharing peer holds
//     it that the peers that want it have not blocked;
//   - no peer is offered itself, its own host, a host that does not share, one that it blocked, or one that is gone;
//   - every live peer with missing pieces has a neighbour that leads to them, an assignment, a pending
//     seed, or is told that there is no way;
//   - the same seed and events give the same effects.
//
// It deliberately knows no network, clock or lock: the caller feeds events one at a time and carries
// the effects out. It never keeps a request header.
package swarm
