package jobs

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
)

// Steps returns the parts of a job, in order.
func (e *Engine) Steps(ctx context.Context, id darter.JobID) ([]machine.Step, error) {
	l, err := e.peek(ctx, id)
	if err != nil {
		return nil, err
	}
	return l.job.Steps, nil
}

// Item is one content of a job in one of its steps.
type Item struct {
	Step, Number uint32
	URL          string
	Task, GoTask darter.TaskID
	Tally        machine.Tally
	Done         []uint32 // indices of hosts, as Targets lists them
	Held         []uint32 // of those, who had it before
	Failed       []uint32
}

// Items returns a page of a step's contents, by number.
func (e *Engine) Items(ctx context.Context, id darter.JobID, step, from uint32, limit int) ([]Item, error) {
	l, err := e.peek(ctx, id)
	if err != nil {
		return nil, err
	}
	if int(step) >= len(l.rows) {
		return nil, &darter.Error{Kind: darter.NotFound, Op: "list items of job " + string(id), Err: errors.New("it has no such step")}
	}
	spec, err := l.specWithoutSecrets()
	if err != nil {
		return nil, err
	}
	var out []Item
	err = e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		var rows []itemRow
		if err := tx.NewRaw("SELECT * FROM job_items WHERE job_id = ? AND step = ? AND number >= ? ORDER BY number LIMIT ?",
			id, step, from, min(max(limit, 1), 500)).Scan(ctx, &rows); err != nil {
			return err
		}
		out = make([]Item, len(rows))
		for i := range rows {
			r := &rows[i]
			out[i] = Item{Step: step, Number: r.Number, URL: r.URL, Task: r.TaskID, GoTask: r.GoTask, Tally: r.tally(spec.Targets.Scope, l.rows[step].Targets),
				Done: r.Done.members(), Held: r.Held.members(), Failed: r.Failed.members()}
		}
		return nil
	})
	return out, err
}

// Targets returns the hosts of a step; empty until a scheduler has chosen them.
func (e *Engine) Targets(ctx context.Context, id darter.JobID, step uint32) (out []darter.Target, err error) {
	err = e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		out, err = hostsOf(ctx, tx, id, step)
		return err
	})
	return out, err
}

// TargetFailure is what one item failed with at one host, last.
type TargetFailure struct {
	Step, Item, Host uint32
	HostID           darter.HostID
	Class            darter.Failure
	Text             string
	Attempts         uint32
	Last             time.Time
}

// Failures returns a page of what failed, in order of step, item and host; after is the last of the page before, or nil.
func (e *Engine) Failures(ctx context.Context, id darter.JobID, after *TargetFailure, limit int) ([]TargetFailure, error) {
	step, item, host := int64(-1), int64(-1), int64(-1)
	if after != nil {
		step, item, host = int64(after.Step), int64(after.Item), int64(after.Host)
	}
	var out []TargetFailure
	err := e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		var rows []failureRow
		if err := tx.NewRaw(`SELECT * FROM job_target_failures WHERE job_id = ? AND (step, item, host) > (?, ?, ?)
			ORDER BY step, item, host LIMIT ?`, id, step, item, host, min(max(limit, 1), 500)).Scan(ctx, &rows); err != nil {
			return err
		}
		out = make([]TargetFailure, len(rows))
		for i, r := range rows {
			out[i] = TargetFailure{Step: r.Step, Item: r.Item, Host: r.Host, HostID: r.HostID, Class: r.Class, Text: r.Text, Attempts: r.Attempts, Last: r.LastAt.Time()}
		}
		return nil
	})
	return out, err
}

// Event is one thing that happened to a job. Sequences of a job begin at 1 and have no gaps.
type Event struct {
	Sequence int64
	At       time.Time
	Type     string // created, attached, state, stopping, rescued, retrying, progress
	JSON     string
}

// Story returns up to 500 events of a job that came after a sequence.
func (e *Engine) Story(ctx context.Context, id darter.JobID, after int64) ([]Event, error) {
	out, _, err := e.story(ctx, id, after)
	return out, err
}

func (e *Engine) story(ctx context.Context, id darter.JobID, after int64) (out []Event, over bool, err error) {
	err = e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		l, err := load(ctx, tx, id, noLock)
		if err != nil {
			return err
		}
		var rows []struct {
			Sequence int64
			At       database.Micros
			Type     string
			Data     string
		}
		if err := tx.NewRaw("SELECT sequence, at, type, data FROM job_events WHERE job_id = ? AND sequence > ? ORDER BY sequence LIMIT 500", id, after).Scan(ctx, &rows); err != nil {
			return err
		}
		out = make([]Event, len(rows))
		for i, r := range rows {
			out[i] = Event{Sequence: r.Sequence, At: r.At.Time(), Type: r.Type, JSON: r.Data}
		}
		over = l.row.State.Terminal() && after+int64(len(rows)) >= l.row.EventSeq
		return nil
	})
	return out, over, err
}

// Watch yields the events of a job that come after a sequence, those to come included, until the job is over or ctx
// ends. It waits for nobody: a reader who comes back with the last sequence misses nothing.
func (e *Engine) Watch(ctx context.Context, id darter.JobID, after int64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		changed := e.db.Subscribe(topicChanged)
		defer changed.Close()
		for {
			events, over, err := e.story(ctx, id, after)
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, ev := range events {
				if !yield(ev, nil) {
					return
				}
				after = ev.Sequence
			}
			if over {
				return
			}
			if len(events) == 0 && !awaitChange(ctx, changed, id, e.cfg.Poll) {
				return
			}
		}
	}
}

// Await returns the events of a job that come after a sequence, up to 500, and waits for one while there is none. over
// tells that none will come any more. It returns nothing when ctx ends.
func (e *Engine) Await(ctx context.Context, id darter.JobID, after int64) (events []Event, over bool, err error) {
	changed := e.db.Subscribe(topicChanged)
	defer changed.Close()
	for {
		if events, over, err = e.story(ctx, id, after); err != nil || over || len(events) > 0 {
			return events, over, err
		}
		if !awaitChange(ctx, changed, id, e.cfg.Poll) {
			return nil, false, nil
		}
	}
}

// Wait returns a job as soon as it is over, and as it stands when ctx ends.
func (e *Engine) Wait(ctx context.Context, id darter.JobID) (Job, error) {
	changed := e.db.Subscribe(topicChanged)
	defer changed.Close()
	for {
		j, err := e.Get(context.WithoutCancel(ctx), id)
		if err != nil || j.State.Terminal() || !awaitChange(ctx, changed, id, e.cfg.Poll) {
			return j, err
		}
	}
}

// awaitChange waits until something may have happened to the job; false when ctx has ended.
func awaitChange(ctx context.Context, s *database.Subscription, id darter.JobID, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case n := <-s.C():
			if n.Gap || n.Payload == string(id) {
				return true
			}
		}
	}
}

// Retry makes a new job of what an ended one left undone. Its request headers are gone with the old job: give new
// ones where the origin wants them.
func (e *Engine) Retry(ctx context.Context, tx *database.Tx, actor string, id darter.JobID, header map[string]string) (Enqueued, error) {
	l, err := load(ctx, tx, id, tx.ForUpdate())
	if err != nil {
		return Enqueued{}, err
	}
	if !l.row.State.Terminal() || l.row.State == darter.JobSucceeded {
		return Enqueued{}, &darter.Error{Kind: darter.Conflict, Op: "retry job " + string(id), Err: errors.New("it is " + string(l.row.State)), Hint: "only what ended undone can be retried"}
	}
	spec, err := l.specWithoutSecrets()
	if err != nil {
		return Enqueued{}, err
	}
	if l.row.Kind == darter.PreheatFiles {
		if spec.URLs, err = undone(ctx, tx, l, spec); err != nil {
			return Enqueued{}, err
		}
	}
	spec.Header = header
	return e.Enqueue(ctx, tx, Request{Kind: l.row.Kind, Spec: *spec, Owner: actor, Priority: l.row.Priority, MaxAttempts: l.row.MaxAttempts,
		Threshold: l.row.Threshold, RunFor: time.Duration(l.row.RunFor) * time.Microsecond, Parent: id})
}

// undone are the URLs that some step of the job did not bring to all of its hosts; all, when it never got so far.
func undone(ctx context.Context, tx *database.Tx, l *loaded, spec *Spec) ([]string, error) {
	var rows []itemRow
	if err := tx.NewRaw("SELECT * FROM job_items WHERE job_id = ? ORDER BY number, step", l.row.ID).Scan(ctx, &rows); err != nil || len(rows) == 0 {
		return spec.URLs, err
	}
	var out []string
	for i := range rows {
		r := &rows[i]
		if r.tally(spec.Targets.Scope, l.rows[r.Step].Targets).Complete == 0 && (len(out) == 0 || out[len(out)-1] != r.URL) {
			out = append(out, r.URL)
		}
	}
	if len(out) == 0 {
		return spec.URLs, nil
	}
	return out, nil
}
