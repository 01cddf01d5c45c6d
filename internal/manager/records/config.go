package records

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
)

//go:embed migrations
var files embed.FS

// Migrations returns the tables of this room.
func Migrations() database.Migrations {
	sub, _ := fs.Sub(files, "migrations") // the folder is embedded
	return database.Migrations{Room: "records", Files: sub}
}

// Policies knows which policy is in force.
type Policies interface {
	// Policy returns the policy of a kind as tx sees it; a kind without one has the built-in default.
	Policy(ctx context.Context, tx *database.Tx, kind string) (retention.Policy, error)
}

// Auditor writes down who asked for what, in the transaction of the change.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, event darter.AuditEvent) error
}

// Announcer takes news in the transaction of what happened.
type Announcer interface {
	Announce(ctx context.Context, tx *database.Tx, e darter.Event) error
}

// Config is what a reclaimer needs.
type Config struct {
	DB       *database.DB  // required
	Policies Policies      // required
	Audit    Auditor       // required
	News     Announcer     // is told of runs that move; nil: nobody is
	Tables   []Table       // what can be reclaimed beside our own runs; one per kind
	Holder   string        // required; names this process among the managers, different after each start
	Lease    time.Duration // how long a silent leader is waited for; default 15s
	Unpaced  bool          // no rest between batches: for measurements
	Events   Events
}

// Events tells what happened. Any may be nil. They are called one after the other for one kind, and at
// once for several.
type Events struct {
	Planned   func(darter.Plan)
	Started   func(darter.Run)
	Batch     func(run darter.Run, batch darter.RunBatch, size int, rest time.Duration)
	Waited    func(kind string, why Wait, d time.Duration)
	Ended     func(darter.Run) // in any final state: notify on failed, partial, lost and held
	Resumed   func(darter.Run) // Resumes names the run that was lost
	Scheduled func(kind string, next time.Time)
	Skipped   func(kind string, err error) // a scheduled run could not be planned
	Leader    func(kind string, leads bool)
}

// Wait is what a run waited for.
type Wait string

// What a run waits for.
const (
	WaitLock    Wait = "lock"    // a lock, or a statement that took too long
	WaitReplica Wait = "replica" // replicas that lag behind
	WaitServer  Wait = "server"  // a database that cannot be reached
)

// Validate fills what was left out and checks the rest.
func (c *Config) Validate() error {
	if c.Lease == 0 {
		c.Lease = 15 * time.Second
	}
	switch {
	case c.DB == nil || c.Policies == nil || c.Audit == nil || c.Holder == "":
		return errors.New("records: DB, Policies, Audit and Holder are required")
	case c.Lease < 100*time.Millisecond:
		return errors.New("records: Lease is below 100ms")
	}
	seen := make(map[string]bool)
	for _, t := range append(ownTables(), c.Tables...) {
		if err := t.validate(); err != nil {
			return err
		}
		if seen[t.Kind] {
			return fmt.Errorf("records: kind %q has two tables", t.Kind)
		}
		seen[t.Kind] = true
	}
	return nil
}
