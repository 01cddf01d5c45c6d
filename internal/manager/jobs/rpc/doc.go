// Package rpc hands work to schedulers: to our own over a stream that they open, to plain Dragonfly ones by the calls
// that they have.
//
//	scheduler ── Attach ──▶ session ─▶ Engine.Claim ─▶ Order      (as many as it has slots)
//	                           │  ◀── Report ─▶ Engine.Report ─▶ Ack
//	                           └──◀── Heartbeat ─▶ Engine.Heartbeat ─▶ Word: stop, lost
//
//	plain scheduler ◀── PreheatFile, StatFile, ListHosts ── bridge ─▶ Engine.Claim, Report
//	plain daemons   ◀── StatLocalTask, DeleteTask ────────────┘
//
// It promises that a report is acknowledged only after it was written down; that a stream that breaks costs nothing but
// time, as the scheduler keeps its leases and comes back; and that what a plain scheduler is asked for counts as done
// only when a host that holds it was seen.
//
// It deliberately keeps no state that another manager would miss, and never speaks to a plain scheduler's Redis.
package rpc
