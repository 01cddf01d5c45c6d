// Package gc holds what every reclaimer decides alike, whatever it reclaims.
//
//	rows or bytes of the last batch, how long it took ──▶ Pacer ──▶ size of the next, how long to rest
//	eligible, total, what the last runs removed ─────────▶ Blast ──▶ why a person should look first
//
// It promises that a batch never leaves its bounds, that resting keeps the reclaimer's share of the
// database below the one given, and that the same numbers give the same answer. It deliberately does
// not know what is removed, nor how: packages below it say what is eligible, and executors act.
package gc
