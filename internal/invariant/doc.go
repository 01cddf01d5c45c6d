// Package invariant states what must always be true inside Darter.
//
//	Check(false, …) ─┬─ under go test ─▶ panic: the mistake is found where it is made
//	                 └─ in production ─▶ Violations +1, Observe'd function called, false returned:
//	                                     the caller takes the safe path (keep the bytes, refuse the offer)
//
// It promises that a production process never dies of a failed check. It deliberately does not check
// input from outside: wrong bytes, wrong messages and wrong settings are errors, not violations. It
// imports nothing that the pure cores are denied, apart from the atomic counter it keeps for them.
package invariant
