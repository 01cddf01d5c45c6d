// Package target chooses the hosts that an order reaches.
//
//	order: kind, scope, addresses, count ─┐
//	hosts that a scheduler knows ─────────┼─▶ Choose ─▶ targets, in order of their ids
//	hosts of an earlier attempt ──────────┘              (earlier ones first, where they were)
//
// It promises that the same order and hosts give the same targets in the same order, whoever asks. It deliberately does not
// judge hosts: whether one is well shows when it is asked.
package target
