// Package vortex moves pieces between hosts over TCP: Dragonfly's vortex frames, both ends.
//
//	child                                        parent
//	Client.Fetch ──request──▶ [queue ▶ slot] ──▶ Pieces.Open
//	     ▲                                            │
//	     └── w ◀── pooled buffer ◀── TCP ◀── sendfile ┘
//
// The server sends few bodies at once (Config.Slots): an uplink that sends sixteen pieces at a time
// finishes all of them late, and nobody can pass any of them on. What waits is served in an order that
// spreads a swarm: first the piece that this host has sent least, then the host served longest ago.
//
// A piece that is still arriving here can be asked for by our own daemons, and goes out in chunks as it comes
// (Client.Relay; docs/formats/vortex.md). A relay whose bytes come slower than the uplink could send them gives its slot
// back; one that repeats a piece is broken off for a piece that nobody else has.
//
// It promises to take nothing on a peer's word: frames have fixed limits before anything is allocated,
// number, offset and length are compared with what was asked for, every wait has an end, and waiting
// requests and connections are limited in number. One request per connection works, as Dragonfly's
// daemon does it; our own keep connections for further requests.
//
// It deliberately does not hash whole pieces (the writer that receives the bytes does), does not decide what to ask
// of whom, and does not encrypt: the protocol has no room for it.
package vortex
