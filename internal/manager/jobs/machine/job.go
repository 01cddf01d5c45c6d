package machine

import (
	"time"

	"github.com/darter-p2p/darter"
)

// StepKind says who does a step.
type StepKind string

// Kinds of step.
const (
	Resolve  StepKind = "resolve"  // a manager: what is to be done, and which clusters do it
	Local    StepKind = "local"    // a manager: the whole work, when no host has a part in it
	Dispatch StepKind = "dispatch" // a scheduler, or a manager on behalf of a plain one
)

// StepState is where a step stands.
type StepState string

// States of a step. Ended means that its items say how it went; Broken that it could not be done at all.
const (
	Waiting StepState = "waiting"
	Leased  StepState = "leased"
	Ended   StepState = "ended"
	Broken  StepState = "broken"
	Dropped StepState = "dropped"
)

// Over reports whether nothing more happens to the step.
func (s StepState) Over() bool { return s == Ended || s == Broken || s == Dropped }

// Tally counts what became of a step's items. A pair is one item at one host.
type Tally struct {
	Items    uint32 `json:"items"`
	Warm     uint32 `json:"warm"`     // items that at least one host has
	Complete uint32 `json:"complete"` // items that every host of theirs has
	Pairs    uint32 `json:"pairs"`
	Done     uint32 `json:"done"`
	Failed   uint32 `json:"failed"` // pairs whose last word was a failure
	Fatal    uint32 `json:"fatal"`  // of those, what trying again does not help
	Bytes    int64  `json:"bytes"`
}

// Add sums two tallies.
func (t Tally) Add(o Tally) Tally {
	return Tally{Items: t.Items + o.Items, Warm: t.Warm + o.Warm, Complete: t.Complete + o.Complete,
		Pairs: t.Pairs + o.Pairs, Done: t.Done + o.Done, Failed: t.Failed + o.Failed, Fatal: t.Fatal + o.Fatal, Bytes: t.Bytes + o.Bytes}
}

// Less takes away what was added before.
func (t Tally) Less(o Tally) Tally {
	return Tally{Items: t.Items - o.Items, Warm: t.Warm - o.Warm, Complete: t.Complete - o.Complete,
		Pairs: t.Pairs - o.Pairs, Done: t.Done - o.Done, Failed: t.Failed - o.Failed, Fatal: t.Fatal - o.Fatal, Bytes: t.Bytes - o.Bytes}
}

// Step is one part of a job.
type Step struct {
	Number   uint32
	Kind     StepKind
	Cluster  uint64
	State    StepState
	Attempt  uint32 // claims that counted
	Owner    string // who holds it, or held it last
	Epoch    uint64 // raised by every claim and every rescue
	Until    time.Time
	RunAt    time.Time // not claimable before
	Failure  darter.Failure
	Text     string
	Started  time.Time // first claim
	Finished time.Time
	Tally    Tally
}

// Stop says why a job is being ended early.
type Stop string

// Reasons to stop.
const (
	Going    Stop = ""
	Canceled Stop = "canceled"
	TimedOut Stop = "timeout"
)

// Job is what the machine knows of a job.
type Job struct {
	ID          darter.JobID
	State       darter.JobState
	Paused      bool
	Stop        Stop
	MaxAttempts uint32        // per step, at least 1
	Threshold   uint32        // percent of the items that must be warm, 1..100
	StartBy     time.Time     // queued until then without a claim: expired; zero: no limit
	RunFor      time.Duration // from the first claim on; 0: no limit
	Created     time.Time
	Started     time.Time // first claim
	Finished    time.Time
	Failure     darter.Failure
	Text        string
	Steps       []Step // by number, which is the index
}

// New returns a job whose first step waits to be claimed.
func New(id darter.JobID, first StepKind, now, runAt time.Time) Job {
	if runAt.Before(now) {
		runAt = now
	}
	return Job{ID: id, State: darter.JobQueued, MaxAttempts: 1, Threshold: 100, Created: now,
		Steps: []Step{{Kind: first, State: Waiting, RunAt: runAt}}}
}

// Tally sums the tallies of all steps.
func (j *Job) Tally() Tally {
	var t Tally
	for i := range j.Steps {
		t = t.Add(j.Steps[i].Tally)
	}
	return t
}

// Deadline is when the job is ended for taking too long; zero without a limit.
func (j *Job) Deadline() time.Time {
	switch {
	case j.State.Terminal():
		return time.Time{}
	case j.Started.IsZero():
		return j.StartBy
	case j.RunFor > 0:
		return j.Started.Add(j.RunFor)
	}
	return time.Time{}
}

// NextTick is when Tick has something to do at the earliest; zero for never. Waiting steps need no tick: their
// claimers look at RunAt.
func (j *Job) NextTick() time.Time {
	next := j.Deadline()
	if j.Stop != Going {
		next = time.Time{} // the deadline has spoken
	}
	for i := range j.Steps {
		if s := &j.Steps[i]; s.State == Leased && (next.IsZero() || s.Until.Before(next)) {
			next = s.Until
		}
	}
	return next
}

// RunAt is when a waiting step can be claimed at the earliest; zero when none waits.
func (j *Job) RunAt() time.Time {
	var at time.Time
	for i := range j.Steps {
		if s := &j.Steps[i]; s.State == Waiting && (at.IsZero() || s.RunAt.Before(at)) {
			at = s.RunAt
		}
	}
	return at
}
