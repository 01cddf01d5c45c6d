// Package ring chooses the scheduler of a task as the released Dragonfly daemon does, so that all
// daemons of a mixed cluster bring one task to one scheduler.
//
//	schedulers ──SipHash-2-4──▶ points, sorted ─┐
//	                                           ├─▶ the first point at or after the key, else the first of all
//	TaskID's first five characters ──SipHash──▶ key
//
// It promises the same choice for the same members in any order. Each member has one point only, so
// the shares are uneven with few schedulers; a fairer ring would part us from the other daemons.
//
// It deliberately does not know which schedulers are alive: callers make a new ring when the list changes.
package ring
