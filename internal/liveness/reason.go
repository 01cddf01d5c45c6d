package liveness

import "fmt"

// Reason is why a verdict was given, or what odd thing was counted: a closed list.
type Reason uint8

// Reasons of verdicts.
const (
	NoReason      Reason = iota
	Joined               // it was not known
	Recalled             // it was known before this process started
	Silent               // no sign for too long
	Reported             // children could not reach it
	ProbeFailed          // somebody spoke against it, or its stream broke, and a probe failed
	Unrefuted            // suspicion was not refuted in time
	Gone                 // offline for too long
	Returned             // it gave a sign again
	Restart              // a new run of it took over
	Replacement          // a new run with another store took over
	Unsteady             // it comes and goes: held down for a while
	Steady               // held down for long enough
	TookLeave            // it said goodbye
	DrainAsked           // it, or an operator, wants it to take nothing new on
	DrainUndone          // an operator changed their mind
	Drained              // it fell silent while it was drained
	AdminForgot          // an operator had it forgotten
	reasonsOfNote        // what follows is counted, and changes no verdict

	StaleLeave    // a leave of another run, or from an older connection, was ignored
	UnknownLeave  // a leave of a host that is not known was ignored
	StaleEpoch    // a word of an older run was ignored
	EpochBack     // a run with a lower number was taken, because the one with the higher number is gone
	Duplicate     // two machines use this host id
	Hasty         // it announces itself too often
	BadInterval   // its announced interval was corrected
	Flapped       // a short absence
	WrongReport   // its report about another host was refuted
	Stranger      // a word of a host that is not known
	TooManyHosts  // the limit of hosts is reached: not taken in
	FalseOffline  // offline was wrong: the same run came back
	lastOfReasons // keep last
)

var reasonNames = [...]string{"none", "joined", "recalled", "silent", "reported by children", "a probe failed as well", "not refuted", "gone for too long",
	"returned", "restarted", "replaced", "unsteady", "steady again", "took its leave", "drain asked", "drain undone", "drained", "forgotten by an operator",
	"", "stale leave", "leave of an unknown host", "word of an older run", "epoch went back", "host id used twice", "announces too often",
	"interval corrected", "short absence", "report refuted", "unknown host", "too many hosts", "false offline"}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Sign is the kind of evidence that something rests upon.
type Sign uint8

// Signs.
const (
	NoSign   Sign = iota
	Silence       // nothing came
	Announce      // it announced itself
	Renewal       // it renewed its lease
	Word          // it called
	Child         // a child spoke of it
	Stream        // a stream of it broke
	Answer        // a probe
	Hint          // somebody outside spoke of it
	Goodbye       // its leave
	Operator      // a person
)

var signNames = [...]string{"none", "silence", "announce", "renewal", "call", "child", "stream", "probe", "hint", "leave", "operator"}

func (s Sign) String() string {
	if int(s) < len(signNames) {
		return signNames[s]
	}
	return fmt.Sprintf("sign(%d)", uint8(s))
}

// Guard is how far forgetting is held back in a zone.
type Guard uint8

// Guards, from none to all.
const (
	GuardOpen       Guard = iota // forgetting as usual
	GuardOverridden              // an operator took the guard off
	GuardPartial                 // a good part failed at once: forgetting is slow
	GuardFull                    // all of it failed: no forgetting
	GuardSelf                    // all zones failed: the fault is sought here, nothing advances
)

var guardNames = [...]string{"open", "overridden", "partial", "full", "self-fault"}

func (g Guard) String() string {
	if int(g) < len(guardNames) {
		return guardNames[g]
	}
	return fmt.Sprintf("guard(%d)", uint8(g))
}
