package jobs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
)

const (
	maxFailureRows = 10_000      // whose words are kept, per step; the sets of hosts know the others
	maxFailureText = 300         // bytes
	progressEvery  = time.Second // between two progress events of a job
)

// Report takes what the holder of a step says. It is whole or absent, and may be said again: what is known
// already changes nothing. IsLost tells whether the speaker has lost its lease.
func (e *Engine) Report(ctx context.Context, r darter.OrderReport) error {
	err := e.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		l, err := load(ctx, tx, r.Lease.Job, tx.ForUpdate())
		if err != nil {
			return err
		}
		if err := l.job.Holds(r.Lease.Step, r.Lease.Epoch); err != nil {
			return refused(r.Lease.Job, err)
		}
		now, err := e.now(ctx, tx)
		if err != nil {
			return err
		}
		return e.report(ctx, tx, l, &r, now)
	})
	if IsLost(err) {
		e.fenced(r.Lease)
	}
	return err
}

func (e *Engine) report(ctx context.Context, tx *database.Tx, l *loaded, r *darter.OrderReport, now time.Time) error {
	spec, err := l.specWithoutSecrets()
	if err != nil {
		return err
	}
	c := &counter{tx: tx, l: l, step: r.Lease.Step, scope: spec.Targets.Scope, now: now, tally: l.job.Steps[r.Lease.Step].Tally}
	c.elsewhere = len(spec.Targets.IPs) > 0 && l.severalClusters()
	if err := c.plan(ctx, r.Hosts); err != nil {
		return err
	}
	if err := c.count(ctx, r.Outcomes); err != nil {
		return err
	}
	if len(r.Found) > 0 && e.cfg.Hosts != nil {
		s := &l.job.Steps[c.step]
		if err := e.cfg.Hosts.SyncHosts(ctx, tx, s.Cluster, s.Owner, r.Found); err != nil {
			return err
		}
	}
	ev, err := c.conclude(ctx, r)
	if err != nil {
		return err
	}
	if err := l.progress(ctx, tx, now, c.tally, c.step, r.Ended || r.Released); err != nil {
		return err
	}
	return e.apply(ctx, tx, l, now, ev)
}

// progress is an event a second at most, and one at the end.
func (l *loaded) progress(ctx context.Context, tx *database.Tx, now time.Time, t machine.Tally, step uint32, last bool) error {
	if t == l.job.Steps[step].Tally || !last && now.Sub(l.row.ProgressAt.Time()) < progressEvery {
		return nil
	}
	l.job.Steps[step].Tally = t // the machine is told with the event that follows
	l.row.ProgressAt = database.At(now)
	return l.event(ctx, tx, now, "progress", l.job.Tally())
}

// counter keeps the sets of one step.
type counter struct {
	tx    *database.Tx
	l     *loaded
	step  uint32
	scope darter.Scope
	now   time.Time
	hosts []darter.Target
	tally machine.Tally

	elsewhere bool // the hosts are named by address and may be those of another cluster
}

// severalClusters reports whether more than one cluster has a part in the job.
func (l *loaded) severalClusters() bool {
	first := uint64(0)
	for i := range l.job.Steps {
		s := &l.job.Steps[i]
		if s.Kind == machine.Dispatch && first != 0 && s.Cluster != first {
			return true
		}
		if s.Kind == machine.Dispatch {
			first = s.Cluster
		}
	}
	return false
}

// plan takes the hosts that the holder chose. Those of an earlier attempt stay where they are.
func (c *counter) plan(ctx context.Context, hosts []darter.Target) error {
	known, err := hostsOf(ctx, c.tx, c.l.row.ID, c.step)
	if err != nil {
		return err
	}
	c.hosts = known
	if len(hosts) == 0 || slices.Equal(hosts, known) {
		return nil
	}
	if len(hosts) < len(known) || !slices.EqualFunc(hosts[:len(known)], known, func(a, b darter.Target) bool { return a.ID == b.ID }) {
		return c.wrong("its list of hosts does not begin with that of the attempt before")
	}
	raw, err := deflate(hosts)
	if err != nil {
		return err
	}
	if _, err := c.tx.NewRaw("UPDATE job_steps SET hosts = ?, targets = ? WHERE job_id = ? AND number = ?", raw, len(hosts), c.l.row.ID, c.step).Exec(ctx); err != nil {
		return err
	}
	c.l.rows[c.step].Targets = uint32(len(hosts))
	c.hosts = hosts
	var items []itemRow
	if err := c.tx.NewRaw("SELECT * FROM job_items WHERE job_id = ? AND step = ?", c.l.row.ID, c.step).Scan(ctx, &items); err != nil {
		return err
	}
	c.tally = machine.Tally{}
	for i := range items {
		c.tally = c.tally.Add(items[i].tally(c.scope, uint32(len(hosts))))
	}
	return nil
}

func (c *counter) wrong(what string) error {
	return &darter.Error{Kind: darter.Invalid, Op: fmt.Sprintf("take report on job %s step %d", c.l.row.ID, c.step), Err: errors.New(what)}
}

// count takes outcomes, item by item.
func (c *counter) count(ctx context.Context, outcomes []darter.OrderOutcome) error {
	sorted := slices.SortedStableFunc(slices.Values(outcomes), func(a, b darter.OrderOutcome) int { return cmp.Compare(a.Item, b.Item) })
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && sorted[n].Item == sorted[0].Item {
			n++
		}
		if err := c.item(ctx, sorted[:n]); err != nil {
			return err
		}
		sorted = sorted[n:]
	}
	return nil
}

func (c *counter) item(ctx context.Context, outcomes []darter.OrderOutcome) error {
	var it itemRow
	err := c.tx.NewRaw("SELECT * FROM job_items WHERE job_id = ? AND step = ? AND number = ?", c.l.row.ID, c.step, outcomes[0].Item).Scan(ctx, &it)
	if errors.Is(err, sql.ErrNoRows) {
		return c.wrong(fmt.Sprintf("item %d is none of it", outcomes[0].Item))
	}
	if err != nil {
		return err
	}
	before := it.tally(c.scope, uint32(len(c.hosts)))
	var failed []failureRow
	var mended []uint32
	for _, o := range outcomes {
		if int(o.Host) >= len(c.hosts) {
			return c.wrong(fmt.Sprintf("host %d of %d is none of it", o.Host, len(c.hosts)))
		}
		switch {
		case it.Done.has(o.Host): // said before; and done is done
		case o.Failure == "":
			if it.Failed.has(o.Host) {
				mended = append(mended, o.Host)
			}
			it.Done, it.Failed, it.Fatal = it.Done.with(o.Host), it.Failed.without(o.Host), it.Fatal.without(o.Host)
			it.Bytes += max(o.Bytes, 0)
			if o.Held {
				it.Held = it.Held.with(o.Host)
			}
		default:
			it.Failed = it.Failed.with(o.Host)
			if !o.Failure.Retryable() {
				it.Fatal = it.Fatal.with(o.Host)
			}
			failed = append(failed, failureRow{JobID: c.l.row.ID, Step: c.step, Item: o.Item, Host: o.Host, HostID: c.hosts[o.Host].ID,
				Class: o.Failure, Text: clip(o.Text), Attempts: 1, LastAt: database.At(c.now)})
		}
	}
	if _, err := c.tx.NewUpdate().Model(&it).Column("done", "held", "failed", "fatal", "bytes").WherePK().Exec(ctx); err != nil {
		return err
	}
	if err := c.failures(ctx, outcomes[0].Item, failed, mended); err != nil {
		return err
	}
	after := it.tally(c.scope, uint32(len(c.hosts)))
	c.tally = c.tally.Less(before).Add(after)
	return nil
}

// failures keeps the words of what failed, and forgets those of what was mended.
func (c *counter) failures(ctx context.Context, item uint32, failed []failureRow, mended []uint32) error {
	if len(mended) > 0 {
		_, err := c.tx.NewRaw("DELETE FROM job_target_failures WHERE job_id = ? AND step = ? AND item = ? AND host IN (?)",
			c.l.row.ID, c.step, item, bun.List(mended)).Exec(ctx)
		if err != nil {
			return err
		}
	}
	if room := maxFailureRows - int(c.tally.Failed); len(failed) > room {
		failed = failed[:max(room, 0)]
	}
	if len(failed) == 0 {
		return nil
	}
	_, err := c.tx.NewInsert().Model(&failed).On("CONFLICT (job_id, step, item, host) DO UPDATE").
		Set("class = excluded.class, text = excluded.text, last_at = excluded.last_at, attempts = ?TableAlias.attempts + 1").Exec(ctx)
	return err
}

// conclude says what the report means for the step.
func (c *counter) conclude(ctx context.Context, r *darter.OrderReport) (machine.Event, error) {
	step, epoch := r.Lease.Step, r.Lease.Epoch
	switch {
	case r.Released:
		return machine.Release{Step: step, Epoch: epoch, Tally: c.tally}, nil
	case !r.Ended:
		return machine.Count{Step: step, Epoch: epoch, Tally: c.tally}, nil
	}
	end := machine.End{Step: step, Epoch: epoch, Tally: c.tally, Unfinished: c.tally.Pairs - c.tally.Done - c.tally.Fatal, Failure: r.Failure, Text: clip(r.Text)}
	switch {
	case r.Failure != "":
		end.Broken = true
	case len(c.hosts) == 0 && c.elsewhere:
		return machine.End{Step: step, Epoch: epoch, Failure: darter.FailedNoTarget, Text: "none of the addresses is in this cluster"}, nil
	case len(c.hosts) == 0:
		end.Broken, end.Failure, end.Text = true, darter.FailedNoTarget, "no host matches the selection"
	case c.tally.Failed > 0:
		err := c.tx.NewRaw("SELECT class, max(text) FROM job_target_failures WHERE job_id = ? AND step = ? GROUP BY class ORDER BY count(*) DESC, class LIMIT 1",
			c.l.row.ID, c.step).Scan(ctx, &end.Failure, &end.Text)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
	}
	return end, nil
}

type failureRow struct {
	bun.BaseModel `bun:"table:job_target_failures"`

	JobID    darter.JobID    `bun:"job_id,pk"`
	Step     uint32          `bun:"step,pk"`
	Item     uint32          `bun:"item,pk"`
	Host     uint32          `bun:"host,pk"`
	HostID   darter.HostID   `bun:"host_id"`
	Class    darter.Failure  `bun:"class"`
	Text     string          `bun:"text"`
	Attempts uint32          `bun:"attempts"`
	LastAt   database.Micros `bun:"last_at"`
}

// clip makes another's words fit for a row: one line, bounded, valid.
func clip(s string) string {
	out := make([]rune, 0, min(len(s), maxFailureText))
	for _, r := range s {
		if len(out) == maxFailureText {
			break
		}
		if r < ' ' {
			r = ' '
		}
		out = append(out, r)
	}
	return string(out)
}
