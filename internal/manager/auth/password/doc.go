// Package password hashes passwords with argon2id, in PHC form, and says which passwords are too weak.
//
//	sign-in ─▶ slot (a few at a time: each takes 19 MiB) ─▶ argon2id ─▶ compare in constant time
//	               └─ none free for 5 s: Unavailable
//
// It promises that a sign-in with a name that does not exist takes as long as one with a name that does
// (Verify with an empty hash does the work all the same), that memory stays bounded by Config.Slots, and
// that a hash of older costs still verifies and is reported as such.
//
// It deliberately has no list of leaked passwords; Config.Breached can ask one.
package password
