package jobs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
)

// Request asks for a job.
type Request struct {
	Kind        darter.JobKind `json:"kind"`
	Spec        Spec           `json:"spec"`
	Owner       string         `json:"-"` // who asks; from the credential, never from a body
	Priority    int32          `json:"priority,omitempty"`
	RunAt       time.Time      `json:"run_at,omitzero"`        // not before
	StartWithin time.Duration  `json:"start_within,omitempty"` // else it expires; default 24h
	RunFor      time.Duration  `json:"run_for,omitempty"`      // from its first claim; default 6h, negative: no limit
	MaxAttempts uint32         `json:"max_attempts,omitempty"` // per step; default 5
	Threshold   uint32         `json:"threshold,omitempty"`    // percent of the items that at least one host must have; default 100
	Force       bool           `json:"force,omitempty"`        // do not attach to a job that does the same
	RequestKey  string         `json:"-"`                      // idempotency key; the same key and request gets the same job for a day
	Parent      darter.JobID   `json:"-"`
	Bio         string         `json:"bio,omitempty"` // what somebody says of it
	Schedule    string         `json:"-"`
}

// Enqueued says what became of a request.
type Enqueued struct {
	ID       darter.JobID
	CompatID int64
	Attached bool // a job that does the same was under way
	Replayed bool // the same request had been made before
}

const requestKeyLife = 24 * time.Hour

// ErrKeyReused is inside the Conflict for an idempotency key that came with another request before.
var ErrKeyReused = errors.New("the idempotency key was used for another request")

func (r *Request) check() error {
	if r.Owner == "" || len(r.Owner) > 256 || len(r.RequestKey) > 256 || len(r.Bio) > maxBio {
		return invalid(errors.New("the owner is missing, or a name is too long"), "say who asks")
	}
	r.StartWithin = cmp.Or(r.StartWithin, 24*time.Hour)
	r.RunFor = max(cmp.Or(r.RunFor, 6*time.Hour), 0)
	r.MaxAttempts = cmp.Or(r.MaxAttempts, 5)
	r.Threshold = cmp.Or(r.Threshold, 100)
	const most = 365 * 24 * time.Hour
	if r.StartWithin < 0 || r.StartWithin > most || r.RunFor > most || r.MaxAttempts > 100 || r.Threshold > 100 || r.Priority < -100 || r.Priority > 100 {
		return invalid(errors.New("a limit is out of range"), "times are at most a year, attempts 100, a threshold 1 to 100 percent, a priority -100 to 100")
	}
	return r.Spec.Check(r.Kind)
}

// Enqueue makes a job within a transaction of the caller's, or attaches to one that does the same.
func (e *Engine) Enqueue(ctx context.Context, tx *database.Tx, r Request) (Enqueued, error) {
	if err := r.check(); err != nil {
		return Enqueued{}, err
	}
	now, err := e.now(ctx, tx)
	if err != nil {
		return Enqueued{}, err
	}
	key := requestKey{owner: r.Owner, key: r.RequestKey}
	if out, err := key.look(ctx, tx, &r, now); err != nil || out.Replayed {
		return out, err
	}
	l, err := e.build(tx, &r, now)
	if err != nil {
		return Enqueued{}, err
	}
	out, err := e.insert(ctx, tx, l, now)
	if err == nil && out.Attached {
		out, err = e.attach(ctx, tx, l, now)
	}
	if err == nil {
		err = key.keep(ctx, tx, &r, out.ID, now)
	}
	if err != nil {
		return Enqueued{}, err
	}
	if e.cfg.Events.Enqueued != nil {
		e.cfg.Events.Enqueued(r.Kind, out.Attached)
	}
	if e.cfg.Auditor != nil {
		err = e.cfg.Auditor.RecordJob(ctx, tx, r.Owner, "job.create", out.ID)
	}
	return out, err
}

// build makes the job that the request describes.
func (e *Engine) build(tx *database.Tx, r *Request, now time.Time) (*loaded, error) {
	id := darter.JobID(tx.NewID())
	l := &loaded{job: machine.New(id, firstStep(r.Kind), now, r.RunAt)}
	m := &l.job
	m.MaxAttempts, m.Threshold, m.RunFor = r.MaxAttempts, r.Threshold, r.RunFor
	m.StartBy = m.Steps[0].RunAt.Add(r.StartWithin)
	l.row = jobRow{ID: id, Kind: r.Kind, Owner: r.Owner, Application: r.Spec.Application, Tenant: cmp.Or(r.Spec.Application, r.Owner),
		Priority: r.Priority, Origin: r.Spec.origin(), Spec: document(r.Spec), UniqueKey: uniqueKey(r), ParentID: r.Parent, ScheduleID: r.Schedule, Bio: r.Bio,
		MaxAttempts: r.MaxAttempts, Threshold: r.Threshold, CreatedAt: database.At(now), Version: 1}
	l.row.fill(m, now)
	if !r.Force {
		l.row.ActiveKey = &l.row.UniqueKey
	}
	if len(r.Spec.Header) == 0 {
		return l, nil
	}
	if e.cfg.Sealer == nil {
		return nil, invalid(errors.New("request headers may be secrets, and this manager has no key to keep them"), "configure a key file for the manager, or leave the headers out")
	}
	sealed, err := e.cfg.Sealer.Seal(sealLabel(id), []byte(document(r.Spec.Header)))
	l.row.Secrets = sealed
	return l, err
}

func sealLabel(id darter.JobID) string { return "job " + string(id) }

// insert writes the job, its first step and its first event, unless one that does the same is under way.
func (e *Engine) insert(ctx context.Context, tx *database.Tx, l *loaded, now time.Time) (Enqueued, error) {
	err := tx.NewInsert().Model(&l.row).On("CONFLICT (active_key) DO NOTHING").Returning("compat_id").Scan(ctx, &l.row.CompatID)
	if errors.Is(err, sql.ErrNoRows) {
		return Enqueued{Attached: true}, nil
	}
	if err != nil {
		return Enqueued{}, err
	}
	if _, err := tx.NewRaw("INSERT INTO job_lanes (tenant) VALUES (?) ON CONFLICT DO NOTHING", l.row.Tenant).Exec(ctx); err != nil {
		return Enqueued{}, err
	}
	if err := l.event(ctx, tx, now, "created", map[string]any{"by": l.row.Owner, "state": l.row.State}); err != nil {
		return Enqueued{}, err
	}
	if err := e.announce(ctx, tx, l, "", l.row.State); err != nil {
		return Enqueued{}, err
	}
	if err := l.save(ctx, tx, now); err != nil {
		return Enqueued{}, err
	}
	if err := tx.Notify(topicReady, ""); err != nil {
		return Enqueued{}, err
	}
	return Enqueued{ID: l.row.ID, CompatID: l.row.CompatID}, tx.Notify(topicChanged, string(l.row.ID))
}

// attach answers with the job that does the same.
func (e *Engine) attach(ctx context.Context, tx *database.Tx, asked *loaded, now time.Time) (Enqueued, error) {
	var id darter.JobID
	err := tx.NewRaw("SELECT id FROM jobs WHERE active_key = ?", asked.row.UniqueKey).Scan(ctx, &id)
	if errors.Is(err, sql.ErrNoRows) {
		err = &darter.Error{Kind: darter.Unavailable, Op: "enqueue job", Hint: "try again", Err: errors.New("a job that did the same ended this very moment")}
	}
	if err != nil {
		return Enqueued{}, err
	}
	l, err := load(ctx, tx, id, tx.ForUpdate())
	if err != nil {
		return Enqueued{}, err
	}
	if err := l.event(ctx, tx, now, "attached", map[string]any{"by": asked.row.Owner}); err != nil {
		return Enqueued{}, err
	}
	if err := l.save(ctx, tx, now); err != nil {
		return Enqueued{}, err
	}
	return Enqueued{ID: id, CompatID: l.row.CompatID, Attached: true}, tx.Notify(topicChanged, string(id))
}

func firstStep(k darter.JobKind) machine.StepKind {
	if k == darter.GCRecords {
		return machine.Local
	}
	return machine.Resolve
}

// uniqueKey says what a job does, to whom: two jobs with the same key would do the same work twice.
func uniqueKey(r *Request) string {
	s := r.Spec
	s.URLs, s.Clusters, s.FilteredQuery, s.Platforms = slices.Sorted(slices.Values(s.URLs)), slices.Sorted(slices.Values(s.Clusters)),
		slices.Sorted(slices.Values(s.FilteredQuery)), slices.Sorted(slices.Values(s.Platforms))
	s.TasksAtOnce, s.HostsAtOnce, s.Timeout = 0, 0, 0 // how, not what
	return digest(string(r.Kind), document(s))
}

// requestKey is an idempotency key; keys of two owners never meet.
type requestKey struct{ owner, key string }

func (k requestKey) id() string { return digest(k.owner, k.key) }

func (k requestKey) hash(r *Request) string { return digest(document(r), document(r.Spec.Header)) }

// look finds the job that the same request led to before.
func (k requestKey) look(ctx context.Context, tx *database.Tx, r *Request, now time.Time) (Enqueued, error) {
	if k.key == "" {
		return Enqueued{}, nil
	}
	if _, err := tx.NewRaw("DELETE FROM job_requests WHERE request_key = ? AND expires_at <= ?", k.id(), database.At(now)).Exec(ctx); err != nil {
		return Enqueued{}, err
	}
	var hash string
	out := Enqueued{Replayed: true}
	err := tx.NewRaw("SELECT r.hash, r.job_id, COALESCE(j.compat_id, 0) FROM job_requests r LEFT JOIN jobs j ON j.id = r.job_id WHERE r.request_key = ?", k.id()).
		Scan(ctx, &hash, &out.ID, &out.CompatID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Enqueued{}, nil
	case err != nil:
		return Enqueued{}, err
	case hash != k.hash(r):
		return Enqueued{}, &darter.Error{Kind: darter.Conflict, Op: "enqueue job", Err: fmt.Errorf("%w, job %s", ErrKeyReused, out.ID),
			Hint: "take a new key for a new request"}
	}
	return out, nil
}

// keep remembers where the request led to. A second one in flight finds the row there, and its transaction fails
// with Conflict.
func (k requestKey) keep(ctx context.Context, tx *database.Tx, r *Request, id darter.JobID, now time.Time) error {
	if k.key == "" {
		return nil
	}
	_, err := tx.NewRaw("INSERT INTO job_requests (request_key, hash, job_id, expires_at) VALUES (?, ?, ?, ?)",
		k.id(), k.hash(r), id, database.At(now.Add(requestKeyLife))).Exec(ctx)
	return err
}

func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p) // a hash takes every write
	}
	return hex.EncodeToString(h.Sum(nil))
}
