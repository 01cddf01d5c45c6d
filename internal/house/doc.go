// Package house holds the architecture by tests: a rule without a test is a wish.
//
//	module folder ─▶ Load ─┐
//	sources in a test ─▶ Parse ─▶ Tree ─▶ Rules ─▶ Faults: where, why, how to mend
//	                                        ▲
//	                     exceptions ────────┘ each with a reason; one that is no longer needed is a fault
//
// It promises that each rule is proven by a small bad tree in the tests, and that each failure says the
// reason and the remedy. It reads source text only: it deliberately neither builds nor runs anything,
// and does not depend on a linter being installed.
package house
