package darter

import "time"

// Reason says why a thing is to go, or went: a closed list.
type Reason string

// Reasons to remove.
const (
	Expired        Reason = "expired"
	Superseded     Reason = "superseded"
	OverQuota      Reason = "over_quota"
	LowSpace       Reason = "low_space"
	Emergency      Reason = "emergency"
	Orphan         Reason = "orphan"
	FailedDownload Reason = "failed_download"
	Stuck          Reason = "stuck"
	WentOffline    Reason = "offline"
	WentAway       Reason = "left"
	Replaced       Reason = "replaced"
	OverCapacity   Reason = "capacity"
	PurgeRequest   Reason = "purge_request"
	ByAdmin        Reason = "admin"
)

// Plan is what a policy would remove, as it stood at one instant. Making one changes nothing.
type Plan struct {
	ID       string        `json:"id"`
	Policy   string        `json:"policy"` // the kind of thing: job, audit, …
	Version  int64         `json:"policy_version"`
	Made     time.Time     `json:"made"`
	Expires  time.Time     `json:"expires"` // nobody may carry it out later
	Digest   string        `json:"digest"`  // of what it decides
	Total    int64         `json:"total"`   // things there are
	Eligible int64         `json:"eligible"`
	Oldest   time.Time     `json:"oldest,omitzero"`
	Newest   time.Time     `json:"newest,omitzero"`
	Slices   []PlanSlice   `json:"slices"`
	Vetoed   []Veto        `json:"vetoed,omitempty"`
	Owners   []OwnerCount  `json:"owners,omitempty"` // only when asked for
	Samples  []PlanItem    `json:"samples,omitempty"`
	Estimate time.Duration `json:"estimate,omitempty"` // from the last runs; 0 when there were none
	Confirm  string        `json:"confirm,omitempty"`  // why a person must confirm it; empty when nobody must
}

// PlanSlice is what goes of one group in one state: all that is older than a frozen point.
type PlanSlice struct {
	Group    string    `json:"group,omitempty"` // the job's kind, …
	State    string    `json:"state,omitempty"`
	Reason   Reason    `json:"reason"`
	Cutoff   time.Time `json:"cutoff"` // what is younger stays
	BelowKey string    `json:"below_key,omitempty"`
	Count    int64     `json:"count"`
	Oldest   time.Time `json:"oldest,omitzero"`
	Newest   time.Time `json:"newest,omitzero"`
	Ages     []int64   `json:"ages,omitempty"` // of Count: older than 1, 7, 30 and 90 days
}

// Veto counts what would have gone, but for something that speaks against it.
type Veto struct {
	Reason string `json:"reason"` // pinned, referenced, kept_last, …
	Count  int64  `json:"count"`
}

// OwnerCount is how much of a plan belongs to one owner.
type OwnerCount struct {
	Owner string `json:"owner"`
	Count int64  `json:"count"`
}

// PlanItem is one thing of a plan, as an example.
type PlanItem struct {
	Key    string    `json:"key"`
	Group  string    `json:"group,omitempty"`
	State  string    `json:"state,omitempty"`
	Reason Reason    `json:"reason"`
	At     time.Time `json:"at"`
}
