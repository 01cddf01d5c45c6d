package jobs

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
)

// Word is what the holder of a lease is told when it says that it lives.
type Word struct {
	Lease  darter.OrderLease
	Lost   bool   // it is not the holder any more: stop, and report nothing
	Stop   bool   // stop, and give back what is not done
	Reason string // why to stop
}

// Heartbeat prolongs leases. Words come back only for those that are to be stopped.
func (e *Engine) Heartbeat(ctx context.Context, leases []darter.OrderLease) ([]Word, error) {
	leases = slices.SortedFunc(slices.Values(leases), func(a, b darter.OrderLease) int { return compareLeases(a, b) })
	var out []Word
	for _, lease := range leases {
		w, err := e.extend(ctx, lease)
		if err != nil {
			return out, err
		}
		if w != nil {
			out = append(out, *w)
		}
	}
	return out, nil
}

func compareLeases(a, b darter.OrderLease) int {
	switch {
	case a.Job != b.Job:
		if a.Job < b.Job {
			return -1
		}
		return 1
	default:
		return int(a.Step) - int(b.Step)
	}
}

// extend prolongs one lease. It is no change that anybody is told of.
func (e *Engine) extend(ctx context.Context, lease darter.OrderLease) (word *Word, err error) {
	err = e.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		word = nil
		l, err := load(ctx, tx, lease.Job, tx.ForUpdate())
		if darter.KindOf(err) == darter.NotFound {
			word = &Word{Lease: lease, Lost: true, Reason: "the job is gone"}
			return nil
		}
		if err != nil {
			return err
		}
		now, err := e.now(ctx, tx)
		if err != nil {
			return err
		}
		effects, err := l.job.Step(now, machine.Extend{Step: lease.Step, Epoch: lease.Epoch, Until: now.Add(e.cfg.Lease)})
		if err != nil {
			e.fenced(lease)
			word = &Word{Lease: lease, Lost: true, Reason: err.Error()}
			return nil
		}
		for _, f := range effects {
			if f, is := f.(machine.Stopped); is {
				word = &Word{Lease: lease, Stop: true, Reason: f.Reason}
			}
		}
		_, err = tx.NewRaw("UPDATE job_steps SET until = ? WHERE job_id = ? AND number = ?",
			database.At(l.job.Steps[lease.Step].Until), lease.Job, lease.Step).Exec(ctx)
		if err != nil {
			return err
		}
		_, err = tx.NewRaw("UPDATE jobs SET next_tick = ? WHERE id = ?", database.At(l.job.NextTick()), lease.Job).Exec(ctx)
		return err
	})
	return word, err
}

func (e *Engine) fenced(lease darter.OrderLease) {
	if e.cfg.Events.Fenced != nil {
		e.cfg.Events.Fenced(lease)
	}
}

// IsLost reports whether an error says that a lease was given up: its holder stops and says nothing more of it.
func IsLost(err error) bool {
	return errors.Is(err, machine.ErrFenced) || errors.Is(err, machine.ErrTerminal) || darter.KindOf(err) == darter.NotFound
}

// Worker is a scheduler that takes work over a control stream.
type Worker struct {
	ID      string          `bun:"id,pk" json:"id"`
	Cluster uint64          `bun:"cluster" json:"cluster"`
	Slots   uint32          `bun:"slots" json:"slots"`
	Version string          `bun:"version" json:"version,omitempty"`
	Replica string          `bun:"replica" json:"replica"`
	SeenAt  database.Micros `bun:"seen_at" json:"-"`
}

// forgetWorker is when the row of a worker that nobody took leave of goes.
const forgetWorker = 24 * time.Hour

// Seen writes down that a worker lives, here.
func (e *Engine) Seen(ctx context.Context, w Worker) error {
	return e.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := e.now(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.NewRaw("DELETE FROM job_workers WHERE seen_at < ?", database.At(now.Add(-forgetWorker))).Exec(ctx); err != nil {
			return err
		}
		_, err = tx.NewRaw(`INSERT INTO job_workers (id, cluster, replica, slots, version, seen_at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET cluster = excluded.cluster, replica = excluded.replica, slots = excluded.slots,
			version = excluded.version, seen_at = excluded.seen_at`, w.ID, w.Cluster, e.cfg.Replica, w.Slots, w.Version, database.At(now)).Exec(ctx)
		return err
	})
}

// Gone forgets a worker whose stream to this manager ended. One that has come to another manager stays.
func (e *Engine) Gone(ctx context.Context, id string) error {
	return e.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.NewRaw("DELETE FROM job_workers WHERE id = ? AND replica = ?", id, e.cfg.Replica).Exec(ctx)
		return err
	})
}

// Workers lists who is attached anywhere; of one cluster, or of all when it is 0.
func (e *Engine) Workers(ctx context.Context, cluster uint64) ([]Worker, error) {
	var out []Worker
	err := e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := e.now(ctx, tx)
		if err != nil {
			return err
		}
		out = nil
		return tx.NewRaw("SELECT id, cluster, slots, version, replica, seen_at FROM job_workers WHERE seen_at > ? AND (? = 0 OR cluster = ?) ORDER BY cluster, id",
			database.At(now.Add(-e.cfg.Seen)), cluster, cluster).Scan(ctx, &out)
	})
	return out, err
}

// Subscribe tells when there may be work to claim (an empty payload), and when an owner of leases is to ask for words
// (its name as the payload).
func (e *Engine) Subscribe() *database.Subscription { return e.db.Subscribe(topicReady, topicStop) }

// Missing gives back at once what an owner should hold and says that it does not: orders that were lost on their way.
func (e *Engine) Missing(ctx context.Context, owner string, held []darter.OrderLease) error {
	var rows []stepRow
	err := e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		rows = nil
		return tx.NewRaw("SELECT job_id, number, epoch, tally FROM job_steps WHERE state = 'leased' AND owner = ? ORDER BY job_id, number", owner).Scan(ctx, &rows)
	})
	if err != nil {
		return err
	}
	for i := range rows {
		lease := darter.OrderLease{Job: rows[i].JobID, Step: rows[i].Number, Epoch: rows[i].Epoch}
		if slices.Contains(held, lease) {
			continue
		}
		if err := e.Report(ctx, darter.OrderReport{Lease: lease, Released: true}); err != nil && !IsLost(err) {
			return err
		}
	}
	return nil
}

// rescueBatch bounds how many jobs one look at the clock handles.
const rescueBatch = 64

// Tick gives up leases that ran out and ends what took too long. It returns how many jobs it looked at.
func (e *Engine) Tick(ctx context.Context) (int, error) {
	var due []darter.JobID
	err := e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := e.now(ctx, tx)
		if err != nil {
			return err
		}
		due = nil
		return tx.NewRaw("SELECT id FROM jobs WHERE next_tick > 0 AND next_tick <= ? ORDER BY next_tick LIMIT ?", database.At(now), rescueBatch).Scan(ctx, &due)
	})
	if err != nil {
		return 0, err
	}
	for _, id := range due {
		if err := e.tick(ctx, id); err != nil {
			return 0, err
		}
	}
	return len(due), nil
}

func (e *Engine) tick(ctx context.Context, id darter.JobID) error {
	return e.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		l, err := load(ctx, tx, id, tx.SkipLocked())
		if darter.KindOf(err) == darter.NotFound {
			return nil // another manager is at it
		}
		if err != nil {
			return err
		}
		now, err := e.now(ctx, tx)
		if err != nil || l.job.NextTick().IsZero() || l.job.NextTick().After(now) || l.job.State.Terminal() {
			return err // somebody was faster
		}
		return e.apply(ctx, tx, l, now, machine.Tick{})
	})
}

// graceAfterStart is how long after its start an engine leaves leases alone: while no manager ran, nobody could renew
// one, and the holders work on.
func (e *Engine) graceAfterStart() time.Duration { return e.cfg.Lease }
