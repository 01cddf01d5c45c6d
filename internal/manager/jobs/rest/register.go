package rest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
	"github.com/darter-p2p/darter/internal/rest"
)

// Rooms are what the operations are about.
type Rooms struct {
	DB     *database.DB // required
	Engine *jobs.Engine // required
	Audit  Auditor      // required

	// Clusters returns the id of each cluster by its number; required.
	Clusters func(ctx context.Context) (map[uint64]string, error)
	// Check refuses URLs that egress rules forbid, before a job is made of them; nil: they are found out later.
	Check func(ctx context.Context, url string) error
}

// Auditor writes down who did what, in the transaction of the change.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, event darter.AuditEvent) error
}

// desk is the operations' common ground.
type desk struct {
	api *rest.API
	Rooms
}

// Register adds the operations, and returns the way to make jobs for interfaces that are translated onto them.
func Register(api *rest.API, rooms Rooms) Submit {
	d := &desk{api: api, Rooms: rooms}
	api.Explain(Explain)
	d.jobs()
	d.parts()
	d.verbs()
	d.preheats()
	d.schedules()
	return func(ctx context.Context, w *Wish) (jobs.Enqueued, error) {
		r, err := d.order(ctx, w)
		if err != nil {
			return jobs.Enqueued{}, err
		}
		return d.enqueue(ctx, r)
	}
}

// Submit makes a job for the caller of a request, with all that is checked of one.
type Submit func(ctx context.Context, w *Wish) (jobs.Enqueued, error)

// Codes of problems that only jobs have.
const (
	JobOver  = "job_over"
	JobState = "job_state"
)

// Explain says what errors of the engine mean to a caller.
func Explain(err error) (rest.Verdict, bool) {
	switch {
	case errors.Is(err, machine.ErrTerminal):
		return rest.Verdict{Status: http.StatusConflict, Code: JobOver}, true
	case errors.Is(err, machine.ErrNotNow):
		return rest.Verdict{Status: http.StatusConflict, Code: JobState}, true
	}
	return rest.Verdict{}, false
}

type none struct{}

// JobID is the path of one job. Exported, because huma sees no other embedded fields.
type JobID struct {
	ID darter.JobID `path:"id" maxLength:"64"`
}

// Because is what every change may say beside itself.
type Because struct {
	Reason string `query:"reason" maxLength:"4096" doc:"why, for the audit"`
}

// Spoken names a job, and says why something happens to it.
type Spoken struct {
	JobID
	Because
}

// owner is whom a job belongs to, from the credential.
func owner(c rest.Caller) string { return cmp.Or(c.Actor.Name, c.Actor.ID, c.Actor.Kind) }

// when leaves out what has not happened.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// may returns nil when the caller may have such a job made, in all the clusters where it would work.
func (d *desk) may(ctx context.Context, kind darter.JobKind, s *jobs.Spec) error {
	permission := "job.create"
	switch kind {
	case darter.PreheatFiles, darter.PreheatImage:
		permission = "preheat.create"
	case darter.PurgeTask:
		permission = "task.purge"
	case darter.GCRecords:
		permission = "gc.run"
	case darter.LocateTask, darter.SyncHosts:
	}
	caller := d.api.Caller(ctx)
	everywhere := caller.May(permission, "")
	if everywhere == nil || len(s.Clusters) == 0 || kind == darter.GCRecords {
		return everywhere
	}
	known, err := d.Clusters(ctx)
	if err != nil {
		return err
	}
	for _, n := range s.Clusters {
		id, there := known[n]
		if !there {
			return unknownCluster(n)
		}
		if err := caller.May(permission, id); err != nil {
			return err
		}
	}
	return nil
}

func unknownCluster(n uint64) error {
	return rest.Refusal(http.StatusUnprocessableEntity, rest.Invalid, fmt.Sprintf("cluster %d is unknown", n),
		rest.Detail{Pointer: "/clusters", Code: "unknown", Detail: "list clusters to see which there are: it is their compat_id that is meant here"})
}

// order is a request that has been looked at.
func (d *desk) order(ctx context.Context, w *Wish) (jobs.Request, error) {
	r, err := w.request()
	if err != nil {
		return r, err
	}
	r.Owner = owner(d.api.Caller(ctx))
	if err := d.may(ctx, r.Kind, &r.Spec); err != nil {
		return r, err
	}
	if len(r.Spec.Clusters) > 0 {
		known, err := d.Clusters(ctx)
		if err != nil {
			return r, err
		}
		for _, n := range r.Spec.Clusters {
			if _, there := known[n]; !there {
				return r, unknownCluster(n)
			}
		}
	}
	if err := r.Spec.Check(r.Kind); err != nil { // the engine does so, too; but before anybody is asked about the URLs
		return r, err
	}
	if d.Check == nil || r.Kind != darter.PreheatFiles && r.Kind != darter.PreheatImage {
		return r, nil
	}
	seen := map[string]bool{}
	for i, u := range r.Spec.URLs {
		host := hostOf(u)
		if seen[host] || len(seen) == maxHosts { // the others are found out when they are fetched
			continue
		}
		seen[host] = true
		if err := d.Check(ctx, u); err != nil && darter.KindOf(err) == darter.Denied {
			return r, &rest.Problem{Status: http.StatusForbidden, Code: rest.EgressDenied, Detail: err.Error(), Hint: darter.HintOf(err),
				Errors: []rest.Detail{{Pointer: fmt.Sprintf("/urls/%d", i), Code: rest.EgressDenied, Detail: "the egress policy forbids it"}}}
		}
	}
	return r, nil
}

// maxHosts is how many hosts' names are looked up before a job is taken.
const maxHosts = 8

// enqueue makes a job of a request.
func (d *desk) enqueue(ctx context.Context, r jobs.Request) (out jobs.Enqueued, err error) {
	err = d.DB.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		out, err = d.Engine.Enqueue(ctx, tx, r)
		return err
	})
	return out, err
}

// audit writes down what was done to a schedule; to jobs the engine's auditor does so.
func (d *desk) audit(ctx context.Context, tx *database.Tx, action, id string, b Because) error {
	c := d.api.Caller(ctx)
	return d.Audit.Record(ctx, tx, darter.AuditEvent{Actor: c.Actor, Action: action, Resource: "schedules/" + id, Result: darter.AuditDone, Request: c.Request, Reason: b.Reason})
}
