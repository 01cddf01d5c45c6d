package liveness

import (
	"fmt"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
)

// Effect is something the caller is to do or to tell. The set is closed; String is what transcripts show.
type Effect interface {
	fmt.Stringer
	effect()
}

type (
	// Verdict: the word on a host changed. From is 0 for a host that was not known. A new run has the same word and
	// another Epoch at times.
	Verdict struct {
		Host      darter.HostID
		Epoch     darter.Epoch
		Zone      Zone
		From, To  darter.Verdict
		Reason    Reason
		Sign      Sign          // what it rests upon
		LastHeard time.Time     // zero when it was never heard since this process started
		Detect    time.Duration // from the last sign to this verdict, pauses of this process not counted
		Down      time.Duration // how long it had been suspect or offline
		Exit      darter.Exit   // how the run that ended with this verdict did
		Policy    uint64        // number of the policy
	}
	// Probe: ask a host whether it is well, and say so with Probed.
	Probe struct {
		Host  darter.HostID
		Epoch darter.Epoch
		Sign  Sign // what put it in doubt
	}
	// Grant: answer a renewal.
	Grant struct {
		Host       darter.HostID
		Epoch      darter.Epoch  // of the run that is known
		Interval   time.Duration // to the next renewal; 0 grants nothing
		Announce   bool          // the whole record is wanted
		Superseded bool          // another run speaks for this host
	}
	// AskInventory: ask a host of ours what it holds. Same says that it has the store that it had.
	AskInventory struct {
		Host   darter.HostID
		Epoch  darter.Epoch
		Reason Reason
		Same   bool
	}
	// GuardChanged: forgetting in a zone goes another way. For GuardSelf, Zone is the zero Zone.
	GuardChanged struct {
		Zone        Zone
		From, To    Guard
		Hosts, Down int
		Overdue     int // hosts that are not down yet, and whose word is overdue
		Why         string
	}
	// HealthChanged: this process trusts itself more or less than before.
	HealthChanged struct {
		From, To int // what suspicion is multiplied by
		Why      string
	}
	// PolicyApplied: another policy is in force, or was refused.
	PolicyApplied struct {
		Number uint64
		Err    error
	}
	// Noted: something odd about a host was counted. What happens again and again is told now and then.
	Noted struct {
		Host   darter.HostID
		Epoch  darter.Epoch // that the word was of
		Reason Reason
		Times  int
	}
	// Declined: an operator's wish cannot be met.
	Declined struct{ Err error }
	// Wake: there is more to do; send a Tick as soon as others had their turn.
	Wake struct{ At time.Time }
)

func (Verdict) effect()       {}
func (Probe) effect()         {}
func (Grant) effect()         {}
func (AskInventory) effect()  {}
func (GuardChanged) effect()  {}
func (HealthChanged) effect() {}
func (PolicyApplied) effect() {}
func (Noted) effect()         {}
func (Declined) effect()      {}
func (Wake) effect()          {}

func (e Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "verdict %s", e.Host)
	if e.Epoch != 0 {
		fmt.Fprintf(&b, " epoch %d", e.Epoch)
	}
	if e.From != 0 {
		fmt.Fprintf(&b, " %s ->", e.From)
	}
	fmt.Fprintf(&b, " %s: %s (%s)", e.To, e.Reason, e.Sign)
	if e.Detect > 0 {
		fmt.Fprintf(&b, ", quiet %s", e.Detect.Round(10*time.Millisecond))
	}
	if e.Down > 0 {
		fmt.Fprintf(&b, ", down %s", e.Down.Round(10*time.Millisecond))
	}
	if e.Exit != darter.Running {
		fmt.Fprintf(&b, ", exit %s", e.Exit)
	}
	return b.String()
}

func (e Probe) String() string { return fmt.Sprintf("probe %s (%s)", e.Host, e.Sign) }
func (e Grant) String() string {
	text := fmt.Sprintf("grant %s", e.Host)
	if e.Interval > 0 {
		text += " " + e.Interval.Round(100*time.Millisecond).String()
	}
	if e.Announce {
		text += " announce"
	}
	if e.Superseded {
		text += fmt.Sprintf(" superseded by epoch %d", e.Epoch)
	}
	return text
}

func (e AskInventory) String() string {
	if e.Same {
		return fmt.Sprintf("ask inventory of %s: %s, same store", e.Host, e.Reason)
	}
	return fmt.Sprintf("ask inventory of %s: %s", e.Host, e.Reason)
}

func (e GuardChanged) String() string {
	where := "zone " + e.Zone.String()
	if e.Zone == (Zone{}) {
		where = "all zones"
	}
	text := fmt.Sprintf("guard %s %s -> %s: %s, %d of %d down", where, e.From, e.To, e.Why, e.Down, e.Hosts)
	if e.Overdue > 0 {
		text += fmt.Sprintf(", %d overdue", e.Overdue)
	}
	return text
}

func (e HealthChanged) String() string {
	return fmt.Sprintf("own health %d -> %d: %s", e.From, e.To, e.Why)
}
func (e PolicyApplied) String() string {
	if e.Err != nil {
		return fmt.Sprintf("policy %d refused: %v", e.Number, e.Err)
	}
	return fmt.Sprintf("policy %d in force", e.Number)
}
func (e Noted) String() string {
	if e.Times > 1 {
		return fmt.Sprintf("note %s: %s, %d times", e.Host, e.Reason, e.Times)
	}
	return fmt.Sprintf("note %s: %s", e.Host, e.Reason)
}
func (e Declined) String() string { return "declined: " + e.Err.Error() }
func (e Wake) String() string     { return "wake" }
