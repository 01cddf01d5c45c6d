package darter

import (
	"fmt"
	"slices"
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

// ParseVerdict reads what String writes.
func ParseVerdict(s string) (Verdict, bool) {
	i := slices.Index(verdictNames[1:], s)
	return Verdict(i + 1), i >= 0
}

// Exit is how a run of a host ended, as far as the scheduler can tell.
type Exit uint8

// Exits. Running is no exit.
const (
	Running       Exit = iota
	ExitGraceful       // it took its leave
	ExitDrain          // it was drained first
	ExitCrash          // it fell silent for good
	ExitRestart        // a new run of the same host took over
	ExitReplaced       // a new run with another store took over
	ExitPartition      // it came back: it had only been out of reach
	ExitAdmin          // an operator had it forgotten
)

var exitNames = [...]string{"running", "graceful", "drain", "crash", "restart", "replaced", "partition", "admin"}

func (e Exit) String() string {
	if int(e) < len(exitNames) {
		return exitNames[e]
	}
	return fmt.Sprintf("exit(%d)", uint8(e))
}

// HostEvent is a line in the history of a host: a change of verdict, or something odd that was counted.
type HostEvent struct {
	Seq       uint64 // in the feed of all hosts; 0 in the history of one
	At        time.Time
	Host      HostID
	Epoch     Epoch
	From, To  Verdict
	Reason    string    // why, from a closed list
	Evidence  string    // what kind of sign it rests upon
	LastHeard time.Time // zero when it was never heard
	Exit      Exit
	Times     int    // how often in a row
	Policy    uint64 // number of the policy that decided

	Run    uint64 // of the scheduler, which numbers its events anew; 0 where it is not told
	Gap    bool   // no event, but the place of some that are missing, up to Seq; only Run and Missed are set as well
	Missed uint64 // how many; 0 when nobody knows
}

// ParseExit reads what String writes; what is unknown counts as Running.
func ParseExit(s string) Exit { return Exit(max(slices.Index(exitNames[:], s), 0)) }
