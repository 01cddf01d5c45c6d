// Package retention decides which rows of the manager's tables are to go: policies for records.
//
//	JSON ──▶ Parse ──▶ Spec ──┐
//	groups and states there are ─┼─▶ Slices: of each group and state, all below a frozen point, and why
//	the N-th newest of each group ┘
//
// It promises that a document with an unknown, empty or senseless part never becomes a Spec, that what
// a document leaves out takes the kind's safe default, that a state which is not final has no slice, and
// that the last N of a group lie in none. It deliberately does not count, lock or delete: internal/manager/records does.
package retention
