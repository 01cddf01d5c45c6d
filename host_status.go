package darter

import "time"

// HostStatus is what a scheduler thinks of a host, for people and for the manager.
type HostStatus struct {
	Host     Host
	Verdict  Verdict
	Since    time.Time     // of the verdict
	Reason   string        // of the verdict
	Heard    time.Time     // the last evidence for it
	Interval time.Duration // that it was granted, or announced
	Zone     string
	Policy   uint64 // number of the policy that decided
	Peers    int    // its peers that are known
	Tasks    int    // tasks of which it holds something
	Gone     bool   // only a tombstone is left: Host carries no more than its id and epoch
}

// ZoneStatus is the state of the mass-failure guard over the hosts of one zone.
type ZoneStatus struct {
	Zone    string
	Guard   string    // "open", "partial", "full" or "self-fault"
	Since   time.Time // of the guard's state
	Hosts   int
	Down    int       // suspect or offline
	Waiting int       // offline for long enough to be forgotten, held back by the guard
	Lifted  time.Time // an operator lifted the guard until then; zero when not
}

// PolicyStatus is a policy in force.
type PolicyStatus struct {
	Number   uint64
	Source   string // "defaults", a file's path, or who published it
	Since    time.Time
	Document string // YAML
}
