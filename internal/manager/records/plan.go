package records

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
)

// PlanRequest asks for a plan.
type PlanRequest struct {
	Kind    string
	Trigger darter.Trigger
	Actor   darter.Actor
	Owners  bool // count by owner, too: reads every eligible row
}

// samples is how many rows a plan names.
const samples = 100

// Plan makes a plan of what the policy in force would remove, and keeps it for 15 minutes.
func (r *Reclaimer) Plan(ctx context.Context, q PlanRequest) (darter.Plan, error) {
	t, err := r.table(q.Kind)
	if err != nil {
		return darter.Plan{}, err
	}
	p, _, err := r.plan(ctx, t, q)
	return p, err
}

// Impact says what another policy would change.
type Impact struct {
	Now   darter.Plan // by the policy in force
	Then  darter.Plan // by the other one
	Newly int64       // rows that only the other one would remove
}

// Preview says what a policy that is not in force would remove. It writes nothing.
func (r *Reclaimer) Preview(ctx context.Context, kind string, spec retention.Spec) (Impact, error) {
	t, err := r.table(kind)
	if err != nil {
		return Impact{}, err
	}
	var out Impact
	err = r.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, err := r.cfg.Policies.Policy(ctx, tx, kind)
		if err != nil {
			return err
		}
		if out.Now, _, err = r.look(ctx, tx, t, p, false); err != nil {
			return err
		}
		p.Spec = spec
		out.Then, _, err = r.look(ctx, tx, t, p, false)
		return err
	})
	for _, then := range out.Then.Slices {
		newly := then.Count
		for _, now := range out.Now.Slices {
			if now.Group == then.Group && now.State == then.State {
				newly -= now.Count
			}
		}
		out.Newly += max(newly, 0)
	}
	return out, err
}

// GetPlan returns a plan that was made.
func (r *Reclaimer) GetPlan(ctx context.Context, id string) (p darter.Plan, err error) {
	err = r.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, _, err = loadPlan(ctx, tx, id)
		return err
	})
	return p, err
}

// Plans lists plans that were made, the newest first, from before an id on; of one kind, or of all when it is empty.
func (r *Reclaimer) Plans(ctx context.Context, kind, before string, most int) (out []darter.Plan, err error) {
	err = r.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		var bodies []string
		q := tx.NewSelect().TableExpr("gc_plans").Column("body").OrderExpr("id DESC").Limit(int64(limit(most)))
		if kind != "" {
			q = q.Where("kind = ?", kind)
		}
		if before != "" {
			q = q.Where("id < ?", before)
		}
		if err := q.Scan(ctx, &bodies); err != nil {
			return err
		}
		out = make([]darter.Plan, len(bodies))
		for i, body := range bodies {
			if err := json.Unmarshal([]byte(body), &out[i]); err != nil {
				return &darter.Error{Kind: darter.Corrupt, Op: "read plans", Err: err}
			}
		}
		return nil
	})
	return out, err
}

// Next says when the schedule wants the next run of a kind; on is false while the policy has none.
func (r *Reclaimer) Next(ctx context.Context, kind string) (at time.Time, on bool, err error) {
	return r.due(ctx, kind, time.Now())
}

// plan looks without being able to write, then records what it saw.
func (r *Reclaimer) plan(ctx context.Context, t *Table, q PlanRequest) (darter.Plan, frozen, error) {
	var p darter.Plan
	var f frozen
	var hash string
	err := r.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		policy, err := r.cfg.Policies.Policy(ctx, tx, t.Kind)
		if err != nil {
			return err
		}
		hash = policy.Hash
		p, f, err = r.look(ctx, tx, t, policy, q.Owners)
		return err
	})
	if err != nil {
		return p, f, err
	}
	p.ID = r.db.NewID()
	err = r.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error { return savePlan(ctx, tx, p, f, hash, q) })
	if err == nil && r.cfg.Events.Planned != nil {
		r.cfg.Events.Planned(p)
	}
	return p, f, err
}

// look is the planner: everything that is decided is decided here, for previews and for runs alike.
func (r *Reclaimer) look(ctx context.Context, tx *database.Tx, t *Table, policy retention.Policy, owners bool) (darter.Plan, frozen, error) {
	now, err := tx.Now(ctx)
	if err != nil {
		return darter.Plan{}, frozen{}, err
	}
	p := darter.Plan{Policy: t.Kind, Version: policy.Version, Made: now, Expires: now.Add(planLife)}
	if p.Total, err = t.total(ctx, tx); err != nil {
		return p, frozen{}, err
	}
	f, err := t.freeze(ctx, tx, policy.Spec, p.Total, now)
	if err != nil {
		return p, f, err
	}
	c, err := t.count(ctx, tx, &f, policy.Spec, now)
	if err != nil {
		return p, f, err
	}
	p.Vetoed = c.vetoed
	for _, s := range c.slices {
		if s.Count <= 0 {
			continue
		}
		p.Slices = append(p.Slices, s)
		p.Eligible += s.Count
		if p.Oldest.IsZero() || s.Oldest.Before(p.Oldest) {
			p.Oldest = s.Oldest
		}
		if s.Newest.After(p.Newest) {
			p.Newest = s.Newest
		}
	}
	if p.Samples, err = t.samples(ctx, tx, &f, p.Slices); err != nil {
		return p, f, err
	}
	if owners && t.Owner != "" {
		if p.Owners, err = t.byOwner(ctx, tx, &f); err != nil {
			return p, f, err
		}
	}
	recent, rate, err := history(ctx, tx, t.Kind)
	if err != nil {
		return p, f, err
	}
	if rate > 0 {
		p.Estimate = time.Duration(float64(p.Eligible) / rate * float64(time.Second))
	}
	p.Confirm = policy.Spec.Blast.Judge(p.Eligible, p.Total, recent)
	p.Digest = digest(policy, f)
	return p, f, nil
}

// digest is of what a plan decides: the same policy on the same rows at the same instant gives the same.
func digest(p retention.Policy, f frozen) string {
	text, _ := json.Marshal(struct {
		Version int64
		Hash    string
		Frozen  frozen
	}{p.Version, p.Hash, f}) // plain values: never fails
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// samples names the oldest rows of each slice that has any.
func (t *Table) samples(ctx context.Context, tx *database.Tx, f *frozen, counted []darter.PlanSlice) ([]darter.PlanItem, error) {
	var out []darter.PlanItem
	if len(counted) == 0 {
		return nil, nil
	}
	per := max(samples/len(counted), 1)
	for _, s := range f.Slices {
		some := slices.ContainsFunc(counted, func(c darter.PlanSlice) bool { return c.Group == s.Group && c.State == s.State })
		if !some || len(out) >= samples {
			continue
		}
		rows, err := t.page(ctx, tx, s, retention.Point{}, per, f.Keep, false)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if !f.stays(s.Group, row.owner, row.at) {
				out = append(out, darter.PlanItem{Key: row.at.Key, Group: s.Group, State: s.State, Reason: s.Reason, At: database.Micros(row.at.At).Time()})
			}
		}
	}
	return out, nil
}

// byOwner counts by owner, the largest first, at most a hundred of them.
func (t *Table) byOwner(ctx context.Context, tx *database.Tx, f *frozen) ([]darter.OwnerCount, error) {
	counts := make(map[string]int64)
	for _, s := range f.Slices {
		where, args := t.inside(s, retention.Point{})
		allowed, more := t.allowed(tx)
		args = append(append(append([]any{bun.Ident(t.Owner), bun.Ident(t.Name)}, args...), more...), bun.Ident(t.Owner))
		rows, err := tx.QueryContext(ctx, "SELECT ?, count(*) FROM ? AS t WHERE "+where+allowed+" GROUP BY ?", args...)
		if err != nil {
			return nil, err
		}
		if err := scanCounts(rows, counts); err != nil {
			return nil, err
		}
	}
	out := make([]darter.OwnerCount, 0, len(counts))
	for owner, n := range counts {
		out = append(out, darter.OwnerCount{Owner: owner, Count: n})
	}
	slices.SortFunc(out, func(a, b darter.OwnerCount) int {
		if a.Count != b.Count {
			return int(b.Count - a.Count)
		}
		if a.Owner < b.Owner {
			return -1
		}
		return 1
	})
	return out[:min(len(out), 100)], nil
}

func scanCounts(rows *sql.Rows, into map[string]int64) error {
	defer rows.Close()
	for rows.Next() {
		var owner string
		var n int64
		if err := rows.Scan(&owner, &n); err != nil {
			return err
		}
		into[owner] += n
	}
	return rows.Err()
}

func savePlan(ctx context.Context, tx *database.Tx, p darter.Plan, f frozen, hash string, q PlanRequest) error {
	body, err1 := json.Marshal(p)
	bounds, err2 := json.Marshal(f)
	actor, err3 := json.Marshal(q.Actor)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO gc_plans (id, kind, version, hash, cause, requester, body, frozen, made_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		p.ID, p.Policy, p.Version, hash, q.Trigger, string(actor), string(body), string(bounds), database.At(p.Made), database.At(p.Expires))
	return err
}

func loadPlan(ctx context.Context, tx *database.Tx, id string) (p darter.Plan, f frozen, err error) {
	var body, bounds string
	err = tx.QueryRowContext(ctx, "SELECT body, frozen FROM gc_plans WHERE id = ?", id).Scan(&body, &bounds)
	if errors.Is(err, sql.ErrNoRows) {
		return p, f, &darter.Error{Kind: darter.NotFound, Op: "read plan " + id, Hint: "make a new one", Err: errors.New("there is no such plan")}
	}
	if err != nil {
		return p, f, err
	}
	if err := errors.Join(json.Unmarshal([]byte(body), &p), json.Unmarshal([]byte(bounds), &f)); err != nil {
		return p, f, &darter.Error{Kind: darter.Corrupt, Op: "read plan " + id, Err: fmt.Errorf("the stored plan does not parse: %w", err)}
	}
	return p, f, nil
}

// history returns what the last twenty runs removed, and how many rows per second.
func history(ctx context.Context, tx *database.Tx, kind string) (recent []int64, rate float64, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT deleted, finished_at - started_at FROM gc_runs WHERE kind = ? AND state IN ('succeeded', 'partial')
		AND started_at > 0 ORDER BY finished_at DESC LIMIT 20`, kind)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var sum, took float64
	for rows.Next() {
		var deleted, us int64
		if err := rows.Scan(&deleted, &us); err != nil {
			return nil, 0, err
		}
		recent = append(recent, deleted)
		if deleted > 0 {
			sum, took = sum+float64(deleted), took+float64(max(us, 1))/1e6
		}
	}
	if took > 0 {
		rate = sum / took
	}
	return recent, rate, rows.Err()
}
