// Package fleet keeps the orders that people give about hosts and zones until the schedulers have answered.
//
//	Give ─▶ host_orders ── note ──▶ every manager's streams (package rpc below) ─▶ scheduler
//	                                                                                  │
//	Show ◀── host_order_answers ◀── Answer ◀──────────────────────────────────────────┘
//
// Schedulers open the streams, so a manager need not reach them, and an order reaches a scheduler through whichever
// manager it is attached to. What the schedulers think of hosts comes over the same streams and goes to the catalog.
//
// It promises that an order is part of the transaction that it was given in, that each scheduler gets it at most once
// per answer and not after it has run out, and that what every scheduler said to it can be read for a day.
//
// It deliberately decides nothing about hosts: schedulers do, and say so.
package fleet
