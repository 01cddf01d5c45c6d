package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// Config is what an engine needs.
type Config struct {
	DB      *database.DB  // required; with this room's Migrations
	Replica string        // required; names this manager among those on the same database, and this run of it
	Lease   time.Duration // how long a holder may be silent before its work passes on; default 20s
	Poll    time.Duration // longest time between two looks for work, beside being told of it; default 1s
	Workers int           // steps that this manager itself does at once; default 4
	Seen    time.Duration // how long a scheduler without a word counts as attached; default 20s

	Clusters Clusters          // required for kinds that reach hosts
	Images   Images            // required for preheat.image
	Records  Records           // required for gc.records
	Hosts    Hosts             // takes what hosts.sync found; nil: it is only counted
	Sealer   Sealer            // required for jobs with request headers
	Auditor  Auditor           // nil: nothing is written down
	News     Announcer         // is told of jobs that move; nil: nobody is
	Limit    func(string) Lane // share and limits of a tenant; nil: equal shares, no limits
	Origins  uint32            // steps at once against one origin; 0: no limit
	Events   Events

	// Now replaces the database's clock, for tests.
	Now func() time.Time
}

// Lane is a tenant's share and limits; zero values mean weight 1 and no limit.
type Lane struct {
	Weight     uint32
	MaxJobs    uint32 // running at once
	MaxTargets uint32 // hosts of running jobs; nothing more starts while there are as many
}

// Clusters lists which scheduler clusters there are.
type Clusters interface {
	// ClusterIDs returns every cluster's number, in order.
	ClusterIDs(ctx context.Context) ([]uint64, error)
}

// Images finds what an image consists of.
type Images interface {
	// ResolveImage returns one want per blob that the manifest, or those of an index, name: configurations and layers. An
	// error may have a method Failure() darter.Failure. Platforms are os/arch; none means all.
	ResolveImage(ctx context.Context, manifest darter.Want, platforms []string) ([]darter.Want, error)
}

// Records cleans records.
type Records interface {
	// CleanRecords runs a policy to its end and returns how many rows went. It may be called again for the same job
	// after a crash, and then goes on.
	CleanRecords(ctx context.Context, job darter.JobID, policy string) (rows uint64, err error)
}

// Hosts takes the hosts of a cluster as one scheduler of it knows them, and remembers them.
type Hosts interface {
	SyncHosts(ctx context.Context, tx *database.Tx, cluster uint64, scheduler string, hosts []darter.Host) error
	// OnlySeeds reports whether a cluster has seeds and no other hosts, those included that cannot be reached now.
	OnlySeeds(ctx context.Context, tx *database.Tx, cluster uint64) (bool, error)
}

// Sealer keeps secrets at rest. The label is bound to what is sealed.
type Sealer interface {
	Seal(label string, plain []byte) ([]byte, error)
	Open(label string, sealed []byte) ([]byte, error)
}

// Auditor writes down who changed what, in the transaction of the change.
type Auditor interface {
	RecordJob(ctx context.Context, tx *database.Tx, actor, verb string, id darter.JobID) error
}

// Announcer takes news in the transaction of what happened.
type Announcer interface {
	Announce(ctx context.Context, tx *database.Tx, e darter.Event) error
}

// Events tells what happened. Any may be nil.
type Events struct {
	Enqueued func(kind darter.JobKind, attached bool)
	Moved    func(id darter.JobID, kind darter.JobKind, from, to darter.JobState, took time.Duration)
	Claimed  func(kind darter.JobKind, waited time.Duration)
	Rescued  func(id darter.JobID, step uint32, owner string)
	Retried  func(id darter.JobID, step uint32, why darter.Failure)
	Fenced   func(lease darter.OrderLease) // a late word was refused
	Fired    func(schedule string, late time.Duration, skipped int)
	Failed   func(what string, err error) // a loop could not do its turn; it goes on
}

// DefaultConfig returns the defaults. DB and Replica are still to be set.
func DefaultConfig() Config {
	return Config{Lease: 20 * time.Second, Poll: time.Second, Workers: 4, Seen: 20 * time.Second}
}

// Validate fills what was left out and checks the rest.
func (c *Config) Validate() error {
	d := DefaultConfig()
	if c.Lease == 0 {
		c.Lease = d.Lease
	}
	if c.Poll == 0 {
		c.Poll = d.Poll
	}
	if c.Workers == 0 {
		c.Workers = d.Workers
	}
	if c.Seen == 0 {
		c.Seen = d.Seen
	}
	switch {
	case c.DB == nil || c.Replica == "":
		return errors.New("jobs: DB and Replica are required")
	case c.Lease < time.Second:
		return errors.New("jobs: Lease is below 1s: holders could not renew it in time")
	case c.Poll < 0 || c.Workers < 0 || c.Seen < 0:
		return errors.New("jobs: a limit is negative")
	}
	return nil
}
