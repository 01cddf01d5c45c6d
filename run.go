package darter

import "time"

// RunState is where a run stands.
type RunState string

// States of a run. The last six are final, but lost and needs_confirmation have a follower.
const (
	RunQueued     RunState = "queued"
	RunRunning    RunState = "running"
	RunPaused     RunState = "paused"
	RunCancelling RunState = "cancelling"
	RunSucceeded  RunState = "succeeded"
	RunPartial    RunState = "partial" // ended early: time or count was used up
	RunFailed     RunState = "failed"
	RunCancelled  RunState = "cancelled"
	RunLost       RunState = "lost"               // its executor fell silent; another run goes on from its cursor
	RunHeld       RunState = "needs_confirmation" // more would go than is usual
)

// Final reports whether nothing will change any more.
func (s RunState) Final() bool {
	switch s {
	case RunQueued, RunRunning, RunPaused, RunCancelling:
		return false
	}
	return true
}

// Trigger says what started a run.
type Trigger string

// Triggers.
const (
	BySchedule Trigger = "schedule"
	ByHand     Trigger = "manual"
	ByAPI      Trigger = "api"
	ByPressure Trigger = "pressure"
	ByResume   Trigger = "resume"
)

// Run is the record of one plan being carried out.
type Run struct {
	ID        string        `json:"id"`
	Policy    string        `json:"policy"`
	Version   int64         `json:"policy_version"`
	Trigger   Trigger       `json:"trigger"`
	Requester Actor         `json:"requester"`
	Plan      string        `json:"plan"`              // id of the plan that it carries out
	Resumes   string        `json:"resumes,omitempty"` // the lost run that it goes on from
	State     RunState      `json:"state"`
	Executor  string        `json:"executor,omitempty"`
	Token     int64         `json:"token,omitempty"`
	Eligible  int64         `json:"eligible"` // planned
	Scanned   int64         `json:"scanned"`
	Deleted   int64         `json:"deleted"`
	Children  int64         `json:"children"`
	Vetoed    []Veto        `json:"vetoed,omitempty"`
	Batches   int64         `json:"batches"`
	Busy      time.Duration `json:"busy"`  // in the database
	Waits     int64         `json:"waits"` // for locks, timeouts and replicas
	Code      string        `json:"code,omitempty"`
	Message   string        `json:"message,omitempty"` // why it failed, is partial or held
	Created   time.Time     `json:"created"`
	Started   time.Time     `json:"started,omitzero"`
	Heartbeat time.Time     `json:"heartbeat,omitzero"`
	Finished  time.Time     `json:"finished,omitzero"`
}

// RunBatch is one transaction of a run.
type RunBatch struct {
	Sequence int64         `json:"sequence"`
	First    string        `json:"first"`
	Last     string        `json:"last"`
	Deleted  int64         `json:"deleted"`
	Children int64         `json:"children"`
	Took     time.Duration `json:"took"`
	At       time.Time     `json:"at"`
}
