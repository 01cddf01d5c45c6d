package darter

import "fmt"

// Verdict is what liveness says of a host. Only package liveness gives one; all others react to it.
type Verdict uint8

// Verdicts, from well to gone.
const (
	Alive     Verdict = 1 + iota // fresh evidence
	Late                         // quiet for longer than it promised: ranked lower, nothing else
	Suspect                      // probably dead: not offered as parent while there is an alternative
	Offline                      // counted as dead: its peers are hidden and its copies count as lost
	Forgotten                    // its records are freed; a tombstone remains
	Draining                     // takes its leave or was asked to: hidden, finishes what runs
	Left                         // took its leave: hidden, its records are freed; a tombstone remains
)

var verdictNames = [...]string{"unknown", "alive", "late", "suspect", "offline", "forgotten", "draining", "left"}

func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// Hidden reports whether a host of this verdict is to be kept from children although it may come back.
func (v Verdict) Hidden() bool { return v == Offline || v == Draining || v == Forgotten || v == Left }
