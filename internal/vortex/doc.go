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
// It promises to take nothing on a peer's word: frames have fixed limits before anything is allocated,
// number, offset and length are compared with what was asked for, every wait has an end, and waiting
// requests and connections are limited in number. One request per connection works, as Dragonfly's
// daemon does it; our own keep connections for further requests.
//
// It deliberately does not hash (the writer that receives the bytes does), does not decide what to ask
// of whom, and does not encrypt: the protocol has no room for it.
package vortex
