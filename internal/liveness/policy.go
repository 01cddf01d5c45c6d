package liveness

import (
	"time"

	"github.com/darter-p2p/darter"
)

// Policy is every threshold of liveness as one document. Versions never change: an edit is a new Number, and each
// verdict names the number that it was given under.
type Policy struct {
	// Number is the version; 0 is what DefaultPolicy returns.
	Number uint64 `json:"number" yaml:"number"`

	Lease     LeasePolicy     `json:"lease" yaml:"lease"`
	Plain     PlainPolicy     `json:"plain" yaml:"plain"`
	Suspicion SuspicionPolicy `json:"suspicion" yaml:"suspicion"`
	Probe     ProbePolicy     `json:"probe" yaml:"probe"`
	Flap      FlapPolicy      `json:"flap" yaml:"flap"`
	Forget    ForgetPolicy    `json:"forget" yaml:"forget"`
	Guard     GuardPolicy     `json:"guard" yaml:"guard"`
	Health    HealthPolicy    `json:"health" yaml:"health"`
	Limit     LimitPolicy     `json:"limit" yaml:"limit"`
}

// LeasePolicy is about hosts that renew a granted lease.
type LeasePolicy struct {
	Interval     Duration `json:"interval" yaml:"interval"`         // shortest interval granted; default 10s
	Longest      Duration `json:"longest" yaml:"longest"`           // longest interval granted; default 10m
	Rate         float64  `json:"rate" yaml:"rate"`                 // renewals a second, of all hosts, that intervals grow for; default 2000
	Jitter       float64  `json:"jitter" yaml:"jitter"`             // each grant varies by this share up and down; default 0.1
	LateAfter    float64  `json:"lateAfter" yaml:"lateAfter"`       // intervals of silence until late; default 1.5
	SuspectAfter float64  `json:"suspectAfter" yaml:"suspectAfter"` // intervals of silence until suspect; default 3
	StaleGrace   Duration `json:"staleGrace" yaml:"staleGrace"`     // for this long after a leave, words of that run are late ones; default 1m
	HastyBelow   Duration `json:"hastyBelow" yaml:"hastyBelow"`     // announcements closer than this are counted as hasty; default 1s
	Duplicates   int      `json:"duplicates" yaml:"duplicates"`     // words of two runs in turn until a host id is called shared; default 3
	TellAgain    Duration `json:"tellAgain" yaml:"tellAgain"`       // the same oddity of a host is told again after this; default 10m
}

// PlainPolicy is about hosts that only announce themselves, as Dragonfly's daemons do.
type PlainPolicy struct {
	Interval     Duration `json:"interval" yaml:"interval"`         // stands for an interval that is not told; default 300s
	Shortest     Duration `json:"shortest" yaml:"shortest"`         // announced intervals below count as this; default 1s
	Longest      Duration `json:"longest" yaml:"longest"`           // announced intervals above count as this; default 1h
	SuspectAfter float64  `json:"suspectAfter" yaml:"suspectAfter"` // intervals of silence until suspect; default 1.5
	OfflineAfter float64  `json:"offlineAfter" yaml:"offlineAfter"` // intervals of silence until offline at the latest; default 2
}

// SuspicionPolicy is how long a suspect has to refute.
type SuspicionPolicy struct {
	Shortest      Duration `json:"shortest" yaml:"shortest"`           // with all confirmations; default 15s
	Longest       Duration `json:"longest" yaml:"longest"`             // with none; default 90s
	Confirmations int      `json:"confirmations" yaml:"confirmations"` // independent signs, beyond the first, that shorten it in full; default 3
	Reports       int      `json:"reports" yaml:"reports"`             // children that report a host before it is suspect; default 2
	Within        Duration `json:"within" yaml:"within"`               // signs against a host count together for this long; default 10s
	WrongReports  int      `json:"wrongReports" yaml:"wrongReports"`   // reports that a probe refuted before a child is not believed; default 3
	Disbelief     Duration `json:"disbelief" yaml:"disbelief"`         // how long it is not; default 5m
}

// ProbePolicy is how hosts in doubt are asked.
type ProbePolicy struct {
	Every Duration `json:"every" yaml:"every"` // a suspect is probed this often; default 5s
	Rate  float64  `json:"rate" yaml:"rate"`   // probes a second, of all hosts; default 500
}

// FlapPolicy tells short absences from real ones.
type FlapPolicy struct {
	Within Duration `json:"within" yaml:"within"` // a return this soon after it was suspect or offline is a flap; default 30s
	Count  int      `json:"count" yaml:"count"`   // flaps in a row until the host is held down; default 3
	Window Duration `json:"window" yaml:"window"` // flaps further apart are not in a row; default 10m
	Hold   Duration `json:"hold" yaml:"hold"`     // first time of being held down, doubled each time; default 30s
	Most   Duration `json:"most" yaml:"most"`     // longest time of being held down; default 5m
}

// ForgetPolicy is when records go.
type ForgetPolicy struct {
	After      Duration `json:"after" yaml:"after"`           // offline for this long; default 5m
	PerStep    int      `json:"perStep" yaml:"perStep"`       // hosts forgotten in one step; default 500
	Tombstone  Duration `json:"tombstone" yaml:"tombstone"`   // how long a tombstone stays; default 24h
	Tombstones int      `json:"tombstones" yaml:"tombstones"` // how many there are at most; default 100000
}

// GuardPolicy keeps a mass failure from becoming mass forgetting.
type GuardPolicy struct {
	Hosts     int      `json:"hosts" yaml:"hosts"`         // fewer silent hosts are no mass failure; default 3
	Share     float64  `json:"share" yaml:"share"`         // share of a zone that became suspect within Window, or is overdue; default 0.3
	Window    Duration `json:"window" yaml:"window"`       // default 60s, doubled until those that die together become suspect within it
	RateShare float64  `json:"rateShare" yaml:"rateShare"` // share of a partly failed zone that may be forgotten a second; default 0.001
	Rate      float64  `json:"rate" yaml:"rate"`           // hosts of it a second that may be in any case; default 1
	Recovered float64  `json:"recovered" yaml:"recovered"` // share that is down below which a wholly failed zone counts as partly failed; default 0.7
	Release   Duration `json:"release" yaml:"release"`     // after this a wholly failed zone is forgotten slowly, while others are well; default 30m
	Confirm   Duration `json:"confirm" yaml:"confirm"`     // how long an operator's confirmation holds at most; default 1h
	Quiet     Duration `json:"quiet" yaml:"quiet"`         // silence of everybody before the fault is sought here; default 5s
}

// HealthPolicy is when the scheduler mistrusts itself.
type HealthPolicy struct {
	Most   int      `json:"most" yaml:"most"`     // suspicion lasts at most this many times longer; default 8
	Lag    Duration `json:"lag" yaml:"lag"`       // a later event loop counts against it; default 500ms
	Share  float64  `json:"share" yaml:"share"`   // fewer renewals than this share of what is expected do, too; default 0.5
	Window Duration `json:"window" yaml:"window"` // a window without faults takes one off; default 10s
}

// LimitPolicy bounds work and memory.
type LimitPolicy struct {
	Items    int `json:"items" yaml:"items"`       // timers looked at in one step; default 1000
	Hosts    int `json:"hosts" yaml:"hosts"`       // hosts known at once; default 2000000
	Timeline int `json:"timeline" yaml:"timeline"` // events kept of one host; default 12
	Feed     int `json:"feed" yaml:"feed"`         // events of all hosts kept for readers; default 65536
}

// DefaultPolicy returns the defaults.
func DefaultPolicy() Policy {
	const s, m = Duration(time.Second), Duration(time.Minute)
	return Policy{
		Lease: LeasePolicy{Interval: 10 * s, Longest: 10 * m, Rate: 2000, Jitter: 0.1, LateAfter: 1.5, SuspectAfter: 3, StaleGrace: m, HastyBelow: s,
			Duplicates: 3, TellAgain: 10 * m},
		Plain:     PlainPolicy{Interval: 300 * s, Shortest: s, Longest: 60 * m, SuspectAfter: 1.5, OfflineAfter: 2},
		Suspicion: SuspicionPolicy{Shortest: 15 * s, Longest: 90 * s, Confirmations: 3, Reports: 2, Within: 10 * s, WrongReports: 3, Disbelief: 5 * m},
		Probe:     ProbePolicy{Every: 5 * s, Rate: 500},
		Flap:      FlapPolicy{Within: 30 * s, Count: 3, Window: 10 * m, Hold: 30 * s, Most: 5 * m},
		Forget:    ForgetPolicy{After: 5 * m, PerStep: 500, Tombstone: 24 * 60 * m, Tombstones: 100_000},
		Guard: GuardPolicy{Hosts: 3, Share: 0.3, Window: m, RateShare: 0.001, Rate: 1, Recovered: 0.7, Release: 30 * m, Confirm: 60 * m,
			Quiet: 5 * s},
		Health: HealthPolicy{Most: 8, Lag: s / 2, Share: 0.5, Window: 10 * s},
		Limit:  LimitPolicy{Items: 1000, Hosts: 2_000_000, Timeline: 12, Feed: 65536},
	}
}

// interval returns what an announced interval counts as, and whether that is a correction.
func (p *PlainPolicy) interval(announced time.Duration) (time.Duration, bool) {
	switch {
	case announced == 0: // not told
		return p.Interval.Std(), false
	case announced < 0:
		return p.Interval.Std(), true
	case announced < p.Shortest.Std():
		return p.Shortest.Std(), true
	case announced > p.Longest.Std():
		return p.Longest.Std(), true
	}
	return announced, false
}

// Config is what a roster is made of.
type Config struct {
	Policy Policy
	// Tick is how often Step is called with Tick, and how exact deadlines are; default 250ms.
	Tick time.Duration
	// MaxGap is how much time one step may let pass. A longer gap is a pause of this process: what it did not hear
	// meanwhile is nobody else's fault; default 2s, at least two ticks. It is less while leases, or the intervals of plain
	// hosts, are so short that a gap would make somebody late.
	MaxGap time.Duration
	// Seed is what the jitter of grants follows from.
	Seed uint64
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Policy: DefaultPolicy(), Tick: 250 * time.Millisecond, MaxGap: 2 * time.Second, Seed: 1}
}

// Validate says what is wrong with the settings.
func (c Config) Validate() error {
	if c.Tick < time.Millisecond || c.Tick > time.Minute {
		return invalid("tick: " + c.Tick.String() + " is not between 1ms and 1m0s")
	}
	if c.MaxGap < 2*c.Tick || c.MaxGap > time.Hour {
		return invalid("maxGap: " + c.MaxGap.String() + " is not between two ticks and 1h0m0s")
	}
	return c.Policy.Validate()
}

func invalid(what string) error {
	return &darter.Error{Kind: darter.Invalid, Op: "check liveness settings", Err: textError(what),
		Hint: "the settings that were in force stay in force"}
}

type textError string

func (e textError) Error() string { return string(e) }
