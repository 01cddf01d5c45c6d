package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
)

// Claimer says who asks for work, and which it can do.
type Claimer struct {
	Owner   string // who will hold the lease
	Cluster uint64 // of a scheduler; with Plain, of the plain scheduler that a manager speaks for
	Manager bool   // resolve and local steps instead of dispatch steps
	Kinds   []darter.JobKind
}

func (c Claimer) kinds() []machine.StepKind {
	if c.Manager {
		return []machine.StepKind{machine.Resolve, machine.Local}
	}
	return []machine.StepKind{machine.Dispatch}
}

// filter is the condition on the steps that the claimer can do.
func (c Claimer) filter(q *bun.SelectQuery, now time.Time) *bun.SelectQuery {
	q = q.Where("ready AND kind IN (?) AND run_at <= ?", bun.List(c.kinds()), database.At(now))
	if !c.Manager {
		q = q.Where("cluster = ?", c.Cluster)
	}
	if len(c.Kinds) > 0 {
		q = q.Where("job_kind IN (?)", bun.List(c.Kinds))
	}
	return q
}

// Claim leases one step, or returns nil when there is none for the claimer now. Whose turn it is decides
// machine.Turn.
func (e *Engine) Claim(ctx context.Context, c Claimer) (*darter.Order, error) {
	if idle, err := e.idle(ctx, c); err != nil || idle {
		return nil, err
	}
	var order *darter.Order
	err := e.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		order = nil
		now, err := e.now(ctx, tx)
		if err != nil {
			return err
		}
		lanes, err := e.lanes(ctx, tx, c, now)
		if err != nil {
			return err
		}
		for _, lane := range machine.Turn(lanes) {
			if order, err = e.claimIn(ctx, tx, c, lane, now); err != nil || order != nil {
				return err
			}
		}
		return nil
	})
	return order, err
}

// idle looks without a lock whether there is anything at all: many claimers ask every second, and mostly there is not.
func (e *Engine) idle(ctx context.Context, c Claimer) (idle bool, err error) {
	err = e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := e.now(ctx, tx)
		if err != nil {
			return err
		}
		n, err := c.filter(tx.NewSelect().TableExpr("job_steps"), now).ColumnExpr("1").Limit(1).Count(ctx)
		idle = n == 0
		return err
	})
	return idle, err
}

// lanes are the tenants that have work for the claimer, with what they run.
func (e *Engine) lanes(ctx context.Context, tx *database.Tx, c Claimer, now time.Time) ([]machine.Lane, error) {
	var out []machine.Lane
	q := c.filter(tx.NewSelect().TableExpr("job_steps"), now).
		ColumnExpr("tenant, max(priority) AS best, min(run_at) AS oldest").Group("tenant")
	if err := q.Scan(ctx, &out); err != nil || len(out) == 0 {
		return nil, err
	}
	running, err := runningOf(ctx, tx, "")
	if err != nil {
		return nil, err
	}
	for i := range out {
		r := running[out[i].Tenant]
		out[i].Running, out[i].Targets = r.Running, r.Targets
		e.limit(&out[i])
	}
	return out, nil
}

func (e *Engine) limit(l *machine.Lane) {
	if e.cfg.Limit == nil {
		return
	}
	limit := e.cfg.Limit(l.Tenant)
	l.Weight, l.MaxJobs, l.MaxTargets = limit.Weight, limit.MaxJobs, limit.MaxTargets
}

// runningOf counts what tenants run; of one, or of all.
func runningOf(ctx context.Context, tx *database.Tx, tenant string) (map[string]machine.Lane, error) {
	var rows []machine.Lane
	q := tx.NewSelect().TableExpr("job_steps").Where("state = 'leased'").Group("tenant").
		ColumnExpr("tenant, count(DISTINCT job_id) AS running, CAST(sum(targets) AS BIGINT) AS targets")
	if tenant != "" {
		q = q.Where("tenant = ?", tenant)
	}
	if err := q.Scan(ctx, &rows); err != nil {
		return nil, err
	}
	out := make(map[string]machine.Lane, len(rows))
	for _, r := range rows {
		out[r.Tenant] = r
	}
	return out, nil
}

// claimIn claims in one lane. Its row is held meanwhile, and what it runs is counted again: another claimer may have
// been there in between.
func (e *Engine) claimIn(ctx context.Context, tx *database.Tx, c Claimer, lane machine.Lane, now time.Time) (*darter.Order, error) {
	var tenant string
	if err := tx.NewRaw("SELECT tenant FROM job_lanes WHERE tenant = ? ?", lane.Tenant, tx.ForUpdate()).Scan(ctx, &tenant); err != nil {
		return nil, err
	}
	running, err := runningOf(ctx, tx, tenant)
	if err != nil {
		return nil, err
	}
	lane.Running, lane.Targets = running[tenant].Running, running[tenant].Targets
	if len(machine.Turn([]machine.Lane{lane})) == 0 {
		return nil, nil
	}
	candidates, err := e.candidates(ctx, tx, c, tenant, now)
	if err != nil {
		return nil, err
	}
	for _, s := range candidates {
		order, err := e.lease(ctx, tx, c, s, now)
		if err != nil || order != nil {
			return order, err
		}
	}
	return nil, nil
}

// candidates are the next steps of a tenant whose origins bear another claim.
func (e *Engine) candidates(ctx context.Context, tx *database.Tx, c Claimer, tenant string, now time.Time) ([]stepRow, error) {
	q := c.filter(tx.NewSelect().TableExpr("job_steps"), now).ColumnExpr("job_id, number, origin").
		Where("tenant = ?", tenant).OrderExpr("priority DESC, run_at, job_id, number").Limit(16)
	if e.cfg.Origins > 0 {
		q = q.Where("(origin = '' OR origin NOT IN (SELECT origin FROM job_steps WHERE state = 'leased' AND kind = 'dispatch' GROUP BY origin HAVING count(*) >= ?))", e.cfg.Origins)
	}
	var out []stepRow
	return out, q.Scan(ctx, &out)
}

// lease takes one step; nil when somebody else is at its job.
func (e *Engine) lease(ctx context.Context, tx *database.Tx, c Claimer, s stepRow, now time.Time) (*darter.Order, error) {
	l, err := load(ctx, tx, s.JobID, tx.SkipLocked())
	if darter.KindOf(err) == darter.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	waited := now.Sub(l.job.Steps[s.Number].RunAt)
	err = e.apply(ctx, tx, l, now, machine.Claim{Step: s.Number, Owner: c.Owner, Until: now.Add(e.cfg.Lease)})
	if errors.Is(err, machine.ErrNotNow) || errors.Is(err, machine.ErrTerminal) {
		return nil, nil // it changed since it was listed
	}
	if err != nil {
		return nil, err
	}
	if e.cfg.Events.Claimed != nil {
		e.cfg.Events.Claimed(l.row.Kind, waited)
	}
	return e.order(ctx, tx, l, s.Number)
}

// order puts together what the holder of a step needs.
func (e *Engine) order(ctx context.Context, tx *database.Tx, l *loaded, number uint32) (*darter.Order, error) {
	spec, err := e.spec(l)
	if err != nil {
		return nil, err
	}
	s := &l.job.Steps[number]
	o := &darter.Order{Lease: darter.OrderLease{Job: l.row.ID, Step: number, Epoch: s.Epoch}, Kind: l.row.Kind, Cluster: s.Cluster,
		Targets: spec.Targets, TasksAtOnce: spec.TasksAtOnce, HostsAtOnce: spec.HostsAtOnce, Timeout: spec.Timeout}
	if s.Kind != machine.Dispatch {
		return o, nil
	}
	if o.Hosts, err = hostsOf(ctx, tx, l.row.ID, number); err != nil {
		return nil, err
	}
	if o.Targets.Scope, err = e.scope(ctx, tx, o); err != nil {
		return nil, err
	}
	var rows []itemRow
	if err := tx.NewRaw("SELECT * FROM job_items WHERE job_id = ? AND step = ? ORDER BY number", l.row.ID, number).Scan(ctx, &rows); err != nil {
		return nil, err
	}
	for i := range rows {
		it, over, err := rows[i].orderItem(spec, len(o.Hosts))
		if err != nil {
			return nil, err
		}
		if !over { // unfinished items only
			o.Items = append(o.Items, it)
		}
	}
	return o, nil
}

// scope makes seeds the peers of a cluster that has no others, such as one machine on its own. That is looked up in the
// manager's rows: a scheduler that was just started may know a seed and not yet the others.
func (e *Engine) scope(ctx context.Context, tx *database.Tx, o *darter.Order) (darter.Scope, error) {
	asked := o.Targets.Scope
	preheat := o.Kind == darter.PreheatFiles || o.Kind == darter.PreheatImage
	if e.cfg.Hosts == nil || asked != darter.AllPeers || !preheat || len(o.Hosts) > 0 {
		return asked, nil
	}
	only, err := e.cfg.Hosts.OnlySeeds(ctx, tx, o.Cluster)
	if only {
		asked = darter.AllSeeds
	}
	return asked, err
}

// orderItem is what an item looks like to the holder of the order; over when nothing of it is left to do.
func (r *itemRow) orderItem(spec *Spec, hosts int) (it darter.OrderItem, over bool, err error) {
	it = darter.OrderItem{Number: r.Number, Task: r.TaskID}
	if err := json.Unmarshal([]byte(r.Want), &it.Want); err != nil {
		return it, false, &darter.Error{Kind: darter.Corrupt, Op: "read job " + string(r.JobID), Err: err}
	}
	it.Want.Header, it.Want.Timeout = spec.Header, spec.Timeout
	done := r.Done
	for _, n := range r.Fatal.members() {
		done = append(hostSet(nil), done...).with(n) // no use in asking again
	}
	it.Done = done.members()
	if spec.Targets.Scope == darter.OneSeed {
		return it, r.Done.count() > 0 || r.Fatal.count() > 0, nil
	}
	return it, hosts > 0 && len(it.Done) >= hosts, nil
}

// spec reads the job's specification, secrets included.
func (e *Engine) spec(l *loaded) (*Spec, error) {
	s, err := l.specWithoutSecrets()
	if err != nil || len(l.row.Secrets) == 0 {
		return s, err
	}
	if e.cfg.Sealer == nil {
		return nil, &darter.Error{Kind: darter.Unavailable, Op: "read job " + string(l.row.ID), Err: errors.New("its headers are sealed"), Hint: "give this manager the key file that the others have"}
	}
	plain, err := e.cfg.Sealer.Open(sealLabel(l.row.ID), l.row.Secrets)
	if err != nil {
		return nil, err
	}
	return s, json.Unmarshal(plain, &s.Header)
}

func hostsOf(ctx context.Context, tx *database.Tx, id darter.JobID, step uint32) ([]darter.Target, error) {
	var raw []byte
	err := tx.NewRaw("SELECT hosts FROM job_steps WHERE job_id = ? AND number = ?", id, step).Scan(ctx, &raw)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return inflate(raw)
}
