// Package rank puts candidate parents in the order in which a child is best offered them.
//
//	child's zone ─┐
//	candidates ───┴─▶ Order ─▶ best first
//
// It promises a total, repeatable order: equal scores are decided by the Tie the caller gives. It
// deliberately does not filter: who may be offered at all is decided by package swarm.
package rank
