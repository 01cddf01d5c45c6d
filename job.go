package darter

import (
	"net/netip"
	"time"
)

// JobID names a job: a ULID, so that ids sort by birth.
type JobID string

// JobKind is what a job does.
type JobKind string

// Kinds of job.
const (
	PreheatFiles JobKind = "preheat.files" // bring files to hosts before somebody asks
	PreheatImage JobKind = "preheat.image" // the same for what a manifest names
	LocateTask   JobKind = "task.locate"   // ask every host whether it holds a task
	PurgeTask    JobKind = "task.purge"    // have every host drop a task
	SyncHosts    JobKind = "hosts.sync"    // ask schedulers which hosts there are
	GCRecords    JobKind = "gc.records"    // clean the manager's own records
)

// JobState is where a job stands. Terminal states never change again.
type JobState string

// States of a job. Running and resolving mean that somebody holds a lease on a part of it right now.
const (
	JobQueued    JobState = "queued"
	JobResolving JobState = "resolving"
	JobRunning   JobState = "running"
	JobPaused    JobState = "paused"
	JobCanceling JobState = "canceling"
	JobCanceled  JobState = "canceled"
	JobSucceeded JobState = "succeeded"
	JobPartial   JobState = "partially_succeeded"
	JobFailed    JobState = "failed"
	JobExpired   JobState = "expired"
)

// Terminal reports whether the job is over.
func (s JobState) Terminal() bool {
	switch s {
	case JobCanceled, JobSucceeded, JobPartial, JobFailed, JobExpired:
		return true
	}
	return false
}

// Failure is the class of what went wrong with a part of a job: a closed list that consoles translate.
type Failure string

// Classes of failure; the empty one means that nothing failed.
const (
	FailedEgress    Failure = "egress_denied"
	FailedDNS       Failure = "dns"
	FailedConnect   Failure = "connect"
	FailedTLS       Failure = "tls"
	Failed401       Failure = "upstream_401"
	Failed403       Failure = "upstream_403"
	Failed404       Failure = "upstream_404"
	Failed429       Failure = "upstream_429"
	Failed5xx       Failure = "upstream_5xx"
	FailedToken     Failure = "token_expired"
	FailedDigest    Failure = "digest_mismatch"
	FailedDiskFull  Failure = "disk_full"
	FailedNoTarget  Failure = "no_target"
	FailedHostLost  Failure = "host_lost"
	FailedTimeout   Failure = "timeout"
	FailedCanceled  Failure = "canceled"
	FailedInvalid   Failure = "invalid"
	FailedUnchecked Failure = "unverified" // the host said done, and then did not hold it
	FailedInternal  Failure = "internal"
)

// failures says of each class whether trying again may help, and what a person can do.
var failures = map[Failure]struct {
	again bool
	hint  string
}{
	FailedEgress:    {false, "allow the origin in the egress policy, or correct the URL"},
	FailedDNS:       {true, "check the host name, and that the machines can resolve it"},
	FailedConnect:   {true, "check that the origin runs and can be reached from seeds and hosts"},
	FailedTLS:       {false, "check the origin's certificate, or configure its authority"},
	Failed401:       {false, "give credentials for the origin"},
	Failed403:       {false, "the credentials given may not read this; give others"},
	Failed404:       {false, "the origin has no such content; correct the URL"},
	Failed429:       {true, "the origin limits requests; lower the concurrency or wait"},
	Failed5xx:       {true, "the origin fails; look at its log"},
	FailedToken:     {false, "the token ended before the work did; configure a credential for the origin"},
	FailedDigest:    {false, "the origin served other bytes than the digest says; check the origin"},
	FailedDiskFull:  {true, "free disk on the host, or lower what is kept"},
	FailedNoTarget:  {true, "no host matches the selection; check scope, addresses and that daemons announce themselves"},
	FailedHostLost:  {true, "the machine that did the work fell silent; look at its log"},
	FailedTimeout:   {true, "raise the time limit, or look for what is slow"},
	FailedCanceled:  {false, "it was canceled"},
	FailedInvalid:   {false, "the request is wrong; correct it"},
	FailedUnchecked: {true, "the host reported success and does not hold the content; look at its log and disk"},
	FailedInternal:  {true, "look at the log of the machine that reported it"},
}

// Retryable reports whether trying again may help. Unknown classes are tried again.
func (f Failure) Retryable() bool {
	row, known := failures[f]
	return !known || row.again
}

// Hint says what a person can do.
func (f Failure) Hint() string { return failures[f].hint }

// Scope says which hosts a job reaches.
type Scope string

// Scopes, named as Dragonfly's API does.
const (
	OneSeed  Scope = "single_seed_peer"
	AllSeeds Scope = "all_seed_peers"
	AllPeers Scope = "all_peers"
)

// Targets selects hosts. IPs go before Count, Count before Percent; a job for one seed takes none of them.
type Targets struct {
	Scope   Scope        `json:"scope"`
	IPs     []netip.Addr `json:"ips,omitempty"`
	Count   uint32       `json:"count,omitempty"`
	Percent uint32       `json:"percentage,omitempty"`
}

// OrderLease names a leased part of a job. Whoever holds an older epoch than the newest is refused.
type OrderLease struct {
	Job   JobID
	Step  uint32
	Epoch uint64
}

// Order is leased work: what a scheduler gets, and what it is to do with which hosts.
type Order struct {
	Lease       OrderLease
	Kind        JobKind
	Cluster     uint64
	Targets     Targets
	Hosts       []Target // chosen by an earlier attempt; indices stay valid
	Items       []OrderItem
	TasksAtOnce uint32
	HostsAtOnce uint32
	Timeout     time.Duration // of one download
}

// OrderItem is one content of an order.
type OrderItem struct {
	Number uint32
	Want   Want
	Task   TaskID
	Done   []uint32 // indices of hosts that are done already
}

// Target is a host of an order.
type Target struct {
	ID       HostID     `json:"id"`
	Hostname string     `json:"hostname,omitempty"`
	IP       netip.Addr `json:"ip"`
	Port     uint16     `json:"port,omitempty"`
	Kind     HostKind   `json:"kind,omitempty"`
}

// OrderOutcome is what became of one item at one host. Failure is empty when it is done.
type OrderOutcome struct {
	Item    uint32
	Host    uint32 // index into the order's hosts
	Failure Failure
	Text    string
	Bytes   int64
	Held    bool // the host held it already, or (locate) holds it
}

// OrderReport is what the holder of an order says of it.
type OrderReport struct {
	Lease    OrderLease
	Hosts    []Target // the hosts chosen, once, before outcomes that name them
	Outcomes []OrderOutcome
	Ended    bool    // nothing more comes; what has no outcome is unfinished
	Released bool    // given back undone, on request or at a stop: no attempt counts
	Failure  Failure // why the whole order cannot be done
	Text     string
	Found    []Host // hosts.sync: every host the scheduler knows
}
