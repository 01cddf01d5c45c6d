// Package sourcetest is what sources and their users are tested with: an origin that misbehaves on
// demand and counts what it sends, and a suite that every source must pass.
//
//	New ──▶ Origin, an http.Handler ─┬─ NewOrigin(t)     on a loopback port
//	                                 ├─ NewTLSOrigin(t)  the same with TLS; CAFile for the client
//	                                 └─ NewPipeOrigin(t) in memory, for synctest bubbles; Dial for the client
//
//	AddRandom, Put ─▶ content      SetFaults, SetRate ─▶ behaviour      BodyBytes, Requests ─▶ what was sent
//
//	Run(t, open) ──▶ the suite
//
// It promises the same bytes for the same size and seed on every machine, without holding them in
// memory, and that a body byte is counted before a client can see it. It deliberately
// speaks HTTP without net/http's file server, since that one cannot lie.
package sourcetest
