package jobs

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
)

//go:embed migrations
var files embed.FS

// Topics of notifications.
const (
	topicReady   = "jobs.ready"   // a step may be claimed
	topicChanged = "jobs.changed" // payload: the job
	topicStop    = "jobs.stop"    // payload: the owner of a lease that is to be given back
)

// Tables are the room's tables.
func Tables() database.Migrations {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		sub = files // the folder is embedded: this cannot be
	}
	return database.Migrations{Room: "jobs", Files: sub}
}

// Engine keeps jobs. Several engines may share one PostgreSQL.
type Engine struct {
	cfg Config
	db  *database.DB
}

// New returns an engine. Run gives it life; everything but work goes on without.
func New(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "check job engine settings", Err: err}
	}
	return &Engine{cfg: cfg, db: cfg.DB}, nil
}

// LeaseTime is how long a holder may be silent.
func (e *Engine) LeaseTime() time.Duration { return e.cfg.Lease }

func (e *Engine) now(ctx context.Context, tx *database.Tx) (time.Time, error) {
	if e.cfg.Now != nil {
		return e.cfg.Now().UTC().Truncate(time.Microsecond), nil
	}
	now, err := tx.Now(ctx)
	return now.UTC().Truncate(time.Microsecond), err
}

// change applies an event to a job within a transaction: load, decide, save, tell.
func (e *Engine) change(ctx context.Context, tx *database.Tx, id darter.JobID, ev machine.Event) (*loaded, error) {
	l, err := load(ctx, tx, id, tx.ForUpdate())
	if err != nil {
		return nil, err
	}
	now, err := e.now(ctx, tx)
	if err != nil {
		return nil, err
	}
	return l, e.apply(ctx, tx, l, now, ev)
}

func (e *Engine) apply(ctx context.Context, tx *database.Tx, l *loaded, now time.Time, ev machine.Event) error {
	effects, err := l.job.Step(now, ev)
	if err != nil {
		return refused(l.row.ID, err)
	}
	for _, f := range effects {
		if err := e.record(ctx, tx, l, now, f); err != nil {
			return err
		}
	}
	ready := l.anyReady()
	if err := l.save(ctx, tx, now); err != nil {
		return err
	}
	if !ready && l.anyReady() {
		if err := tx.Notify(topicReady, ""); err != nil {
			return err
		}
	}
	return tx.Notify(topicChanged, string(l.row.ID))
}

func (l *loaded) anyReady() bool {
	for i := range l.rows {
		if l.rows[i].Ready {
			return true
		}
	}
	return false
}

func refused(id darter.JobID, err error) error {
	hint := "look at the job's state"
	switch {
	case errors.Is(err, machine.ErrTerminal):
		hint = "a job that is over does not change; make a new one"
	case errors.Is(err, machine.ErrFenced):
		hint = "stop this work; another holder may have it"
	}
	return &darter.Error{Kind: darter.Conflict, Op: "change job " + string(id), Err: err, Hint: hint}
}

// record writes an effect down as an event, and tells who is to know at once.
func (e *Engine) record(ctx context.Context, tx *database.Tx, l *loaded, now time.Time, f machine.Effect) error {
	id, ev := l.row.ID, &e.cfg.Events
	switch f := f.(type) {
	case machine.Moved:
		if ev.Moved != nil {
			ev.Moved(id, l.row.Kind, f.From, f.To, now.Sub(l.row.CreatedAt.Time()))
		}
		if err := e.announce(ctx, tx, l, f.From, f.To); err != nil {
			return err
		}
		return l.event(ctx, tx, now, "state", map[string]any{"from": f.From, "to": f.To, "reason": f.Reason})
	case machine.Stopped:
		if err := l.event(ctx, tx, now, "stopping", map[string]any{"step": f.Step, "owner": f.Owner, "reason": f.Reason}); err != nil {
			return err
		}
		return tx.Notify(topicStop, f.Owner)
	case machine.Rescued:
		if ev.Rescued != nil {
			ev.Rescued(id, f.Step, f.Owner)
		}
		return l.event(ctx, tx, now, "rescued", map[string]any{"step": f.Step, "owner": f.Owner, "epoch": f.Epoch})
	case machine.Retried:
		if ev.Retried != nil {
			ev.Retried(id, f.Step, f.Failure)
		}
		return l.event(ctx, tx, now, "retrying", map[string]any{"step": f.Step, "attempt": f.Attempt, "at": f.At, "failure": f.Failure})
	}
	return nil
}

// event appends to the job's story; the job's row, which carries the sequence, is saved afterwards.
func (l *loaded) event(ctx context.Context, tx *database.Tx, now time.Time, kind string, data any) error {
	l.row.EventSeq++
	_, err := tx.NewRaw("INSERT INTO job_events (job_id, sequence, at, type, data) VALUES (?, ?, ?, ?, ?)",
		l.row.ID, l.row.EventSeq, database.At(now), kind, document(data)).Exec(ctx)
	return err
}

// changeBy is change on somebody's request.
func (e *Engine) changeBy(ctx context.Context, tx *database.Tx, actor, verb string, id darter.JobID, ev machine.Event) error {
	if _, err := e.change(ctx, tx, id, ev); err != nil {
		return err
	}
	if e.cfg.Auditor == nil {
		return nil
	}
	return e.cfg.Auditor.RecordJob(ctx, tx, actor, verb, id)
}

// Cancel asks for the end of a job. It is canceled at once when nobody works on it, else when who does has stopped or
// its lease has run out.
func (e *Engine) Cancel(ctx context.Context, tx *database.Tx, actor string, id darter.JobID) error {
	return e.changeBy(ctx, tx, actor, "job.cancel", id, machine.Cancel{Reason: because(ctx, "canceled by "+actor)})
}

// Pause lets a job rest: holders stop and give back what they have not done.
func (e *Engine) Pause(ctx context.Context, tx *database.Tx, actor string, id darter.JobID) error {
	return e.changeBy(ctx, tx, actor, "job.pause", id, machine.Pause{Reason: because(ctx, "paused by "+actor)})
}

// Resume ends a pause.
func (e *Engine) Resume(ctx context.Context, tx *database.Tx, actor string, id darter.JobID) error {
	return e.changeBy(ctx, tx, actor, "job.resume", id, machine.Resume{})
}

// Extend moves the limit that is in force: the time to start by, or the time to run.
func (e *Engine) Extend(ctx context.Context, tx *database.Tx, actor string, id darter.JobID, by time.Duration) error {
	return e.changeBy(ctx, tx, actor, "job.extend", id, machine.Prolong{By: by})
}

// Pin keeps a finished job from being cleaned until a time; the zero time ends that.
func (e *Engine) Pin(ctx context.Context, tx *database.Tx, actor string, id darter.JobID, until time.Time) error {
	l, err := load(ctx, tx, id, tx.ForUpdate())
	if err != nil {
		return err
	}
	l.row.PinnedUntil = database.At(until)
	if _, err := tx.NewUpdate().Model(&l.row).Column("pinned_until").WherePK().Exec(ctx); err != nil || e.cfg.Auditor == nil {
		return err
	}
	return e.cfg.Auditor.RecordJob(ctx, tx, actor, "job.pin", id)
}

// maxBio is how much may be said of a job, in bytes.
const maxBio = 1000

// Describe changes what is said of a job.
func (e *Engine) Describe(ctx context.Context, tx *database.Tx, actor string, id darter.JobID, bio string) error {
	if len(bio) > maxBio {
		return invalid(errors.New("the description is longer than 1000 bytes"), "shorten it")
	}
	l, err := load(ctx, tx, id, tx.ForUpdate())
	if err != nil {
		return err
	}
	l.row.Bio = bio
	if _, err := tx.NewUpdate().Model(&l.row).Column("bio").WherePK().Exec(ctx); err != nil || e.cfg.Auditor == nil {
		return err
	}
	return e.cfg.Auditor.RecordJob(ctx, tx, actor, "job.describe", id)
}

const noLock bun.Safe = ""

type reasonKey struct{}

// Because puts somebody's reason for a change into a context: the job's story has it, and Auditors find it with Reason.
func Because(ctx context.Context, reason string) context.Context {
	if reason == "" {
		return ctx
	}
	return context.WithValue(ctx, reasonKey{}, reason)
}

// Reason returns what Because put there.
func Reason(ctx context.Context) string {
	reason, _ := ctx.Value(reasonKey{}).(string)
	return reason
}

func because(ctx context.Context, what string) string {
	if reason := Reason(ctx); reason != "" {
		return clip(what + ": " + reason)
	}
	return what
}
