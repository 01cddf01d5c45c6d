package darter

import (
	"fmt"
	"time"
)

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

// HostEvent is one line of a host's timeline: a verdict that changed, or something that was noted.
type HostEvent struct {
	Seq      uint64 // grows by one with each event of one run of the scheduler
	At       time.Time
	Host     HostID
	Epoch    Epoch
	From, To Verdict       // equal when the verdict did not change
	Reason   string        // one line for people
	Evidence string        // what led to it, a short word
	Quiet    time.Duration // since the last evidence for the host
	Policy   uint64        // number of the policy that decided
}
