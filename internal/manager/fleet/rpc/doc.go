// Package rpc is the manager's side of darter.v1.Hosts: schedulers tell what they think of hosts, and get orders.
//
//	scheduler ── HostsReport ──▶ session ─▶ Book.See: those that changed · Book.Vouch: all still holds
//	          ◀── HostsOrder ───── session ◀─ fleet.Orders.Open, when a note comes
//	          ── HostsAnswer ───▶ session ─▶ fleet.Orders.Answer
//
// It promises that only what differs from the scheduler's last word is written, that a host counts as gone for a
// scheduler only after it was missing from two whole tables in a row, and that a stream that breaks loses nothing: the
// next one begins with the whole table.
//
// It deliberately weighs nobody's word: the catalog puts the views of all schedulers together.
package rpc
