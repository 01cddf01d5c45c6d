package retention

import (
	"slices"
	"time"

	"github.com/darter-p2p/darter/internal/gc"
)

// Kinds of records that have a policy of their own.
const (
	Job         = "job"         // jobs that are over, with all that belongs to them
	Audit       = "audit"       // who did what
	Event       = "event"       // events of the console's stream
	Idempotency = "idempotency" // answers kept for repeated requests; their time is when they ran out
	RunDetail   = "run_detail"  // the single batches of runs
	PlanRecord  = "plan"        // plans that no run refers to
	HostEvent   = "host_event"  // timelines of hosts
	GoneHost    = "gone_host"   // hosts that left or were forgotten; their time is when that was found
	JobRequest  = "job_request" // keys of repeated requests for jobs; their time is when they ran out
	Fire        = "fire"        // when schedules made jobs
	RunRecord   = "run"         // runs themselves
)

// Kinds returns every kind, in a fixed order.
func Kinds() []string {
	return []string{Job, Audit, Event, Idempotency, HostEvent, GoneHost, JobRequest, Fire, RunDetail, PlanRecord, RunRecord}
}

// Spec is what a policy says about one kind of records.
type Spec struct {
	Enabled    bool     `json:"enabled"`      // whether the schedule runs; a run by hand is possible all the same
	DryRunOnly bool     `json:"dry_run_only"` // only plans are made, whoever asks
	Rules      []Rule   `json:"rules"`        // the most exact one decides; what none names is kept
	KeepLast   KeepLast `json:"keep_last"`
	Ceiling    int64    `json:"ceiling"` // most rows of the table: above it the oldest go early; 0 is none
	Schedule   Schedule `json:"schedule"`
	Batch      Batch    `json:"batch"`
	Rate       int64    `json:"rate"`        // most rows per second; 0 is no limit
	TimeLimit  Duration `json:"time_limit"`  // longest a run may take; the next one goes on
	ReplicaLag Duration `json:"replica_lag"` // above it the run waits for replicas; 0 is never
	Blast      gc.Blast `json:"blast"`
	Notify     []string `json:"notify"` // names of notification targets; empty means all
}

// Rule says how long rows are kept after they became final. An empty Group or State means any.
type Rule struct {
	Group string   `json:"group,omitempty"`
	State string   `json:"state,omitempty"`
	After Duration `json:"after"`
}

// KeepLast protects the newest final rows, however old they are.
type KeepLast struct {
	Count int    `json:"count"`
	Per   string `json:"per"` // "group": of each group; "owner": of each group and owner
}

// Schedule says when runs begin: every so often, or by a cron expression.
type Schedule struct {
	Every  Duration `json:"every,omitempty"`
	Cron   string   `json:"cron,omitempty"`
	Zone   string   `json:"zone,omitempty"` // of cron and window; default UTC
	Jitter Duration `json:"jitter"`         // a run begins up to so much later
	Window *Window  `json:"window,omitempty"`
}

// Window is when scheduled runs may begin and go on. From after To means over midnight.
type Window struct {
	From string   `json:"from"`           // "22:00"
	To   string   `json:"to"`             // "06:00"
	Days []string `json:"days,omitempty"` // "mon" … "sun", of the beginning; empty means all
}

// Batch bounds the transactions of a run.
type Batch struct {
	Start  int      `json:"start"`
	Min    int      `json:"min"`
	Max    int      `json:"max"`
	Target Duration `json:"target"` // of one transaction; on SQLite at most 25 ms unless Busy is 1
	Pause  Duration `json:"pause"`
	Busy   float64  `json:"busy"` // most part of the time that batches may take
}

// Policy is the version of a kind's policy that is in force.
type Policy struct {
	Kind    string
	Version int64 // 0: the built-in default, nobody has written one
	Hash    string
	Spec    Spec
}

// Default returns what holds without any configuration.
func Default(kind string) Spec {
	const day = Duration(24 * time.Hour)
	s := Spec{
		Enabled:   true,
		KeepLast:  KeepLast{Per: "group"},
		Schedule:  Schedule{Every: Duration(2 * time.Hour), Jitter: Duration(5 * time.Minute)},
		Batch:     Batch{Start: 1000, Min: 50, Max: 50000, Target: Duration(150 * time.Millisecond), Busy: 0.2},
		TimeLimit: Duration(time.Hour), ReplicaLag: Duration(10 * time.Second),
		Blast:  gc.Blast{Factor: 10, Share: 0.5, Floor: 1000},
		Notify: []string{},
	}
	switch kind {
	case Job:
		s.Rules = []Rule{{After: 7 * day}, {State: "failed", After: 30 * day}}
		s.KeepLast.Count = 100
	case Audit, RunRecord:
		s.Rules = []Rule{{After: 90 * day}}
	case Fire:
		s.Rules = []Rule{{After: 30 * day}}
		s.KeepLast.Count = 20
	case HostEvent, GoneHost:
		s.Rules = []Rule{{After: 30 * day}}
	case Event, RunDetail, PlanRecord:
		s.Rules = []Rule{{After: 7 * day}}
	case Idempotency, JobRequest:
		s.Rules = []Rule{{After: Duration(time.Hour)}}
		s.Blast = gc.Blast{Factor: 10, Share: 1, Floor: 1000} // all of them run out in time, that is what they are for
	}
	if kind == RunRecord {
		s.KeepLast.Count = leastRuns
	}
	return s
}

// After returns how long rows of a group and state are kept; false means for ever.
func (s Spec) After(group, state string) (time.Duration, bool) {
	best, rank := Rule{}, -1
	for _, r := range s.Rules {
		if r.Group != "" && r.Group != group || r.State != "" && r.State != state {
			continue
		}
		n := 0
		if r.Group != "" {
			n += 2
		}
		if r.State != "" {
			n++
		}
		if n > rank {
			best, rank = r, n
		}
	}
	return time.Duration(best.After), rank >= 0
}

// Bounds returns the bounds of batches for a pacer.
func (s Spec) Bounds() gc.Bounds {
	return gc.Bounds{Start: s.Batch.Start, Min: s.Batch.Min, Max: s.Batch.Max, Target: time.Duration(s.Batch.Target),
		Pause: time.Duration(s.Batch.Pause), Busy: s.Batch.Busy, Rate: s.Rate}
}

func known(kind string) bool { return slices.Contains(Kinds(), kind) }
