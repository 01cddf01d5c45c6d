// Package inventory compares what a host holds with what is known of it, so that only differences travel.
//
//	host: Put, Remove ─▶ Tree ─▶ Digest ─────────────▶ in each renewal ─▶ equal? done
//	                      │                                                  │ no
//	                      └──◀── Question ◀── Walk.Next ◀── Walk over what is known
//	                      └───▶ Answer ───▶ Walk.Take ─▶ Difference: gained, lost
//
// A tree divides tasks by the digits of their ids, sixteen ways at each. The digest of a set is the number of its
// members and the sum, modulo 2^64, of a number for each of them: the first eight bytes of the SHA-256 over the
// task's id, layout and pieces. A sum does not depend on the order or on the shape of the tree, so the two sides need
// not build theirs the same way; one that keeps only sums can add and subtract members without a tree.
//
// It promises the same digests on every machine, that a walk over two sets that stand still finds exactly their
// difference, and that a walk ends, and takes no more than MaxTasks in MaxAnswers, whatever the other side answers. Two different sets
// have the same digest by accident once in 2^64 comparisons; a host that makes one on purpose harms its own
// copies only.
//
// It deliberately knows no clock, no connection and no lock, and it does not decide when to compare.
package inventory
