package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// Schedule enqueues the same job at the times that a cron line names.
type Schedule struct {
	bun.BaseModel `bun:"table:schedules"`

	ID        string          `bun:"id,pk"`
	Name      string          `bun:"name"`
	Cron      string          `bun:"cron"` // five fields, or @hourly, @daily, @every 10m …
	Zone      string          `bun:"zone"` // of the cron line; default UTC
	Document  string          `bun:"request"`
	Owner     string          `bun:"owner"`
	Paused    bool            `bun:"paused"`
	NextAt    database.Micros `bun:"next_at"`
	Version   int64           `bun:"version"`
	CreatedAt database.Micros `bun:"created_at"`
	UpdatedAt database.Micros `bun:"updated_at"`
}

// Request is the job that the schedule enqueues.
func (s *Schedule) Request() (Request, error) {
	var r Request
	if err := json.Unmarshal([]byte(s.Document), &r); err != nil {
		return r, &darter.Error{Kind: darter.Corrupt, Op: "read schedule " + s.Name, Err: err}
	}
	r.Owner, r.Schedule = s.Owner, s.ID
	return r, nil
}

// next is the first time after t, in the schedule's zone; zero when there is none.
func (s *Schedule) next(t time.Time) (time.Time, error) {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		return time.Time{}, invalid(fmt.Errorf("time zone %q is unknown", s.Zone), "name it as in Europe/Berlin, or leave it out for UTC")
	}
	line, err := cron.ParseStandard(s.Cron)
	if err != nil {
		return time.Time{}, invalid(fmt.Errorf("cron line %q: %w", s.Cron, err), "write minute, hour, day, month and weekday, or @daily")
	}
	at := line.Next(t.In(zone))
	if every, ok := line.(cron.ConstantDelaySchedule); ok {
		at = t.UTC().Truncate(every.Delay).Add(every.Delay) // the same times on every manager
	}
	if at.IsZero() {
		return at, nil
	}
	return at.UTC(), nil
}

// Schedule makes a schedule, or replaces the one of that name. Requests with headers are refused: a credential
// that waits for weeks is stale or too strong.
func (e *Engine) Schedule(ctx context.Context, tx *database.Tx, s Schedule, r Request) (Schedule, error) {
	r.Owner = s.Owner
	if err := r.check(); err != nil {
		return s, err
	}
	if len(r.Spec.Header) > 0 {
		return s, invalid(errors.New("a schedule keeps no request headers"), "configure a credential for the origin instead")
	}
	if s.Name == "" || len(s.Name) > 256 {
		return s, invalid(errors.New("a schedule needs a name of at most 256 bytes"), "name it")
	}
	if s.Zone == "" {
		s.Zone = "UTC"
	}
	now, err := e.now(ctx, tx)
	if err != nil {
		return s, err
	}
	at, err := s.next(now)
	if err != nil {
		return s, err
	}
	if at.IsZero() {
		return s, invalid(fmt.Errorf("cron line %q never comes to pass", s.Cron), "correct it")
	}
	s.ID, s.Document, s.NextAt, s.Version = tx.NewID(), document(r), database.At(at), 1
	s.CreatedAt, s.UpdatedAt = database.At(now), database.At(now)
	if s.Paused {
		s.NextAt = 0
	}
	err = tx.NewInsert().Model(&s).On("CONFLICT (name) DO UPDATE").
		Set("cron = excluded.cron, zone = excluded.zone, request = excluded.request, owner = excluded.owner, paused = excluded.paused").
		Set("next_at = excluded.next_at, updated_at = excluded.updated_at, version = ?TableAlias.version + 1").
		Returning("id, version, created_at").Scan(ctx, &s.ID, &s.Version, &s.CreatedAt)
	return s, err
}

// PauseSchedule stops or lets go on. What was missed meanwhile is not made up for.
func (e *Engine) PauseSchedule(ctx context.Context, tx *database.Tx, id string, paused bool) error {
	s, err := scheduleOf(ctx, tx, id, tx.ForUpdate())
	if err != nil {
		return err
	}
	now, err := e.now(ctx, tx)
	if err != nil {
		return err
	}
	at, err := s.next(now)
	if err != nil {
		return err
	}
	if s.Paused, s.NextAt = paused, database.At(at); paused {
		s.NextAt = 0
	}
	s.UpdatedAt = database.At(now)
	s.Version++
	_, err = tx.NewUpdate().Model(&s).Column("paused", "next_at", "updated_at", "version").WherePK().Exec(ctx)
	return err
}

// Unschedule deletes a schedule. The jobs that it made stay.
func (e *Engine) Unschedule(ctx context.Context, tx *database.Tx, id string) error {
	if _, err := scheduleOf(ctx, tx, id, tx.ForUpdate()); err != nil {
		return err
	}
	if _, err := tx.NewRaw("DELETE FROM schedule_fires WHERE schedule_id = ?", id).Exec(ctx); err != nil {
		return err
	}
	_, err := tx.NewRaw("DELETE FROM schedules WHERE id = ?", id).Exec(ctx)
	return err
}

// Schedules lists all, by name.
func (e *Engine) Schedules(ctx context.Context) ([]Schedule, error) {
	var out []Schedule
	err := e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		out = nil
		return tx.NewRaw("SELECT * FROM schedules ORDER BY name").Scan(ctx, &out)
	})
	return out, err
}

func scheduleOf(ctx context.Context, tx *database.Tx, id string, lock bun.Safe) (Schedule, error) {
	var found []Schedule
	err := tx.NewRaw("SELECT * FROM schedules WHERE id = ? ?", id, lock).Scan(ctx, &found)
	if err == nil && len(found) == 0 {
		err = &darter.Error{Kind: darter.NotFound, Op: "find schedule " + id, Err: errors.New("there is no such schedule, or another manager is at it")}
	}
	if err != nil {
		return Schedule{}, err
	}
	return found[0], nil
}

// ScheduleOf returns one schedule.
func (e *Engine) ScheduleOf(ctx context.Context, id string) (out Schedule, err error) {
	err = e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		out, err = scheduleOf(ctx, tx, id, noLock)
		return err
	})
	return out, err
}

// Fired is one time that a schedule made a job, or could not.
type Fired struct {
	Due     database.Micros `bun:"fire_at"`
	At      database.Micros `bun:"fired_at"`
	Job     darter.JobID    `bun:"job_id"`
	Skipped int64           `bun:"skipped"` // earlier times that passed while nobody ran
	Error   string          `bun:"error"`
}

// Fires lists when a schedule fired, the newest first, from before a time that was due on; 0 begins at the newest.
func (e *Engine) Fires(ctx context.Context, id string, before database.Micros, limit int) (out []Fired, err error) {
	err = e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		if _, err := scheduleOf(ctx, tx, id, noLock); err != nil {
			return err
		}
		out = nil
		return tx.NewRaw("SELECT fire_at, fired_at, job_id, skipped, error FROM schedule_fires WHERE schedule_id = ? AND (? = 0 OR fire_at < ?) ORDER BY fire_at DESC LIMIT ?",
			id, before, before, min(max(limit, 1), 500)).Scan(ctx, &out)
	})
	return out, err
}

// Fire enqueues what is due, each schedule and time once however many managers try, and returns how many schedules it
// served. Times that passed while no manager ran are made up for by one fire, which counts them.
func (e *Engine) Fire(ctx context.Context) (int, error) {
	var due []string
	err := e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := e.now(ctx, tx)
		if err != nil {
			return err
		}
		due = nil
		return tx.NewRaw("SELECT id FROM schedules WHERE next_at > 0 AND next_at <= ? ORDER BY next_at, id LIMIT 64", database.At(now)).Scan(ctx, &due)
	})
	if err != nil {
		return 0, err
	}
	fired := 0
	for _, id := range due {
		did, err := e.fire(ctx, id)
		if err != nil {
			return fired, err
		}
		if did {
			fired++
		}
	}
	return fired, nil
}

func (e *Engine) fire(ctx context.Context, id string) (did bool, err error) {
	err = e.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		did = false
		s, err := scheduleOf(ctx, tx, id, tx.SkipLocked())
		if darter.KindOf(err) == darter.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		now, err := e.now(ctx, tx)
		if err != nil || s.NextAt == 0 || s.NextAt > database.At(now) {
			return err // another manager was faster
		}
		did = true
		return e.fireOnce(ctx, tx, s, now)
	})
	return did, err
}

// fireOnce writes the fire down, enqueues the job and moves on, in one transaction. A request that is refused is
// written down, too: else the schedule would try for ever.
func (e *Engine) fireOnce(ctx context.Context, tx *database.Tx, s Schedule, now time.Time) error {
	due := s.NextAt.Time()
	at, skipped, err := s.catchUp(now)
	if err != nil {
		return err
	}
	var out Enqueued
	words := ""
	r, err := s.Request()
	if err == nil {
		out, err = e.Enqueue(ctx, tx, r)
	}
	if k := darter.KindOf(err); err != nil && k != darter.Invalid && k != darter.Corrupt {
		return err
	}
	if err != nil {
		words = clip(err.Error())
	}
	if _, err := tx.NewRaw("INSERT INTO schedule_fires (id, schedule_id, fire_at, fired_at, job_id, skipped, error) VALUES (?, ?, ?, ?, ?, ?, ?)",
		fmt.Sprintf("%s/%d", s.ID, database.At(due)), s.ID, database.At(due), database.At(now), out.ID, skipped, words).Exec(ctx); err != nil {
		return err
	}
	if _, err := tx.NewRaw("UPDATE schedules SET next_at = ? WHERE id = ?", database.At(at), s.ID).Exec(ctx); err != nil {
		return err
	}
	if e.cfg.Events.Fired != nil {
		e.cfg.Events.Fired(s.Name, now.Sub(due), skipped)
	}
	return nil
}

// maxSkipped bounds the counting of times that were missed.
const maxSkipped = 100_000

// catchUp returns the next time after now, and how many passed between.
func (s *Schedule) catchUp(now time.Time) (at time.Time, skipped int, err error) {
	at = s.NextAt.Time()
	for {
		at, err = s.next(at)
		if err != nil || at.IsZero() || at.After(now) {
			return at, skipped, err
		}
		if skipped++; skipped == maxSkipped {
			at, err = s.next(now)
			return at, skipped, err
		}
	}
}
