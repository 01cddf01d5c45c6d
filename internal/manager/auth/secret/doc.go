// Package secret makes and reads the texts that prove something by being known.
//
//	dtr_01jd3k…_q7m2…
//	 │   │       └─ 256 random bits, base 32, small letters: shown once
//	 │   └───────── id of the row, a ULID in small letters: may be shown, logged, searched
//	 └───────────── what it is for
//
// It promises that only a SHA-256 of the random part is ever stored (no salt and no slow hash: nobody guesses 256
// bits), that comparing takes as long for a wrong text as for a right one, and that a text for one purpose is
// never taken for another. The prefix lets scanners of code and logs find what leaked.
//
// It deliberately knows nothing of what a text allows.
package secret
