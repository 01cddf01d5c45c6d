// Package throttle keeps a stream of bytes below a rate.
//
//	bytes ─▶ WaitN ─▶ bucket (rate, burst = a tenth of a second) ─▶ go on
//	                     ▲
//	            Set ─────┘ also wakes who waits
//
// It promises that any number of bytes may be asked for at once, that a wait ends with its context,
// and that a nil Limiter and a rate of zero cost nothing and limit nothing. It deliberately does not
// promise fairness between those who wait.
package throttle
