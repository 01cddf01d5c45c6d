// Package schedule says when something that repeats is due next.
//
//	every so often, or cron in a zone ──┐
//	jitter (the same for the same key) ─┼─▶ Next(last, key) ─▶ an instant inside the window
//	window: 22:00 to 06:00, on days ────┘
//
// It promises that an expression which never comes true is refused when it is read, that the same
// arguments give the same instant on every machine, and that windows follow the wall clock of their
// zone through changes of summer time. It deliberately has no clock and starts nothing: the caller waits.
package schedule
