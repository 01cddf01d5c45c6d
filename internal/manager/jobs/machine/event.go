package machine

import (
	"time"

	"github.com/darter-p2p/darter"
)

// Event is something that happens to a job.
type Event interface{ event() }

type (
	// Claim leases a waiting step until a time.
	Claim struct {
		Step  uint32
		Owner string
		Until time.Time
	}
	// Extend prolongs a lease. One that ran out but was not given up yet is prolonged, too: its holder lives.
	Extend struct {
		Step  uint32
		Epoch uint64
		Until time.Time
	}
	// Count replaces the tally of a leased step.
	Count struct {
		Step  uint32
		Epoch uint64
		Tally Tally
	}
	// Grow ends a resolve step and adds the steps that it found. None at all breaks the job with no_target.
	Grow struct {
		Step  uint32
		Epoch uint64
		Steps []Part
	}
	// End ends a lease: nothing unfinished, or the work is tried again, or given up.
	End struct {
		Step       uint32
		Epoch      uint64
		Tally      Tally
		Unfinished uint32         // pairs that trying again may finish
		Broken     bool           // the step as a whole could not be done, whatever its items say
		Failure    darter.Failure // why
		Text       string
		RetryAfter time.Duration // asked for by who refused; 0: as backoff says
	}
	// Release gives a lease back undone. The attempt does not count.
	Release struct {
		Step  uint32
		Epoch uint64
		Tally Tally
	}
	// Cancel asks for the end of the job.
	Cancel struct{ Reason string }
	// Pause and Resume ask for rest and its end.
	Pause struct{ Reason string }
	// Resume ends a pause.
	Resume struct{}
	// Prolong moves the deadline that is in force.
	Prolong struct{ By time.Duration }
	// Tick gives up leases that ran out, and ends what took too long.
	Tick struct{}
)

// Part describes a step that resolving found.
type Part struct {
	Kind    StepKind
	Cluster uint64
	Tally   Tally
}

func (Claim) event()   {}
func (Extend) event()  {}
func (Count) event()   {}
func (Grow) event()    {}
func (End) event()     {}
func (Release) event() {}
func (Cancel) event()  {}
func (Pause) event()   {}
func (Resume) event()  {}
func (Prolong) event() {}
func (Tick) event()    {}

// Effect is what the caller is to tell others.
type Effect interface{ effect() }

type (
	// Moved: the job changed its state.
	Moved struct {
		From, To darter.JobState
		Reason   string
	}
	// Stopped: the holder of a step is to stop and to give it back.
	Stopped struct {
		Step   uint32
		Epoch  uint64
		Owner  string
		Reason string
	}
	// Rescued: a lease ran out; its holder's words no longer count.
	Rescued struct {
		Step  uint32
		Owner string
		Epoch uint64 // the new one
	}
	// Retried: a step waits for another attempt.
	Retried struct {
		Step    uint32
		Attempt uint32 // the one that ended
		At      time.Time
		Failure darter.Failure
	}
)

func (Moved) effect()   {}
func (Stopped) effect() {}
func (Rescued) effect() {}
func (Retried) effect() {}
