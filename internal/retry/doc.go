// Package retry repeats an attempt that may succeed later.
//
//	Do ─▶ attempt ─┬─ nil ──────────────▶ done
//	               ├─ Permanent(err) ───▶ err, at once
//	               ├─ RetryAfter(err,d) ▶ wait d, again
//	               └─ err ──────────────▶ wait First, 2·First, … up to Max (each ±50 %), again
//	                                      until Attempts, Total or the context ends
//
// It promises that every wait ends with the context, that the error returned is the one of the last
// attempt, and that waits are spread so that many clients do not come back at the same instant. It
// deliberately knows no kinds of error: the caller says which ones are permanent.
package retry
