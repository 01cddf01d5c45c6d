package rest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
	"github.com/darter-p2p/darter/internal/rest"
)

// Job is a job as it stands.
type Job struct {
	ID          darter.JobID    `json:"id"`
	CompatID    int64           `json:"compat_id" doc:"for interfaces that need a number"`
	Kind        darter.JobKind  `json:"kind"`
	State       darter.JobState `json:"state" enum:"queued,resolving,running,paused,canceling,canceled,succeeded,partially_succeeded,failed,expired"`
	Owner       string          `json:"owner"`
	Application string          `json:"application,omitempty"`
	Priority    int32           `json:"priority"`
	Parent      darter.JobID    `json:"parent,omitempty" doc:"the job that it retries"`
	Schedule    string          `json:"schedule,omitempty" doc:"id of the schedule that made it"`
	Progress    Progress        `json:"progress"`
	Failure     darter.Failure  `json:"failure,omitempty" doc:"class of what went wrong"`
	Message     string          `json:"message,omitempty" doc:"what went wrong, in words"`
	Hint        string          `json:"hint,omitempty" doc:"what a person can do about it"`
	Threshold   uint32          `json:"threshold" doc:"percent of the contents that at least one host must have"`
	Spec        Wish            `json:"spec" doc:"what was asked for, without headers"`
	Version     int64           `json:"version"`
	Events      int64           `json:"events" doc:"sequence of the last one"`
	Attached    bool            `json:"attached,omitempty" doc:"in the answer to a request: a job that does the same was under way, and this is it"`
	Created     time.Time       `json:"created"`
	Started     *time.Time      `json:"started,omitempty"`
	Updated     time.Time       `json:"updated"`
	Finished    *time.Time      `json:"finished,omitempty"`
	Deadline    *time.Time      `json:"deadline,omitempty"`
	PinnedUntil *time.Time      `json:"pinned_until,omitempty" doc:"it is not cleaned before"`
}

// Progress counts contents, and pairs of a content and a host.
type Progress struct {
	Items    uint32 `json:"items" doc:"contents"`
	Warm     uint32 `json:"warm" doc:"contents that at least one host has"`
	Complete uint32 `json:"complete" doc:"contents that every host of theirs has"`
	Pairs    uint32 `json:"pairs"`
	Done     uint32 `json:"done"`
	Failed   uint32 `json:"failed" doc:"pairs whose last word was a failure"`
	Fatal    uint32 `json:"fatal" doc:"of those, what trying again does not help"`
	Bytes    int64  `json:"bytes" doc:"moved, over all hosts"`
}

func job(j jobs.Job) Job {
	return Job{ID: j.ID, CompatID: j.CompatID, Kind: j.Kind, State: j.State, Owner: j.Owner, Application: j.Application, Priority: j.Priority, Parent: j.Parent,
		Schedule: j.Schedule, Progress: Progress(j.Tally), Failure: j.Failure, Message: j.Text, Hint: j.Failure.Hint(), Threshold: j.Threshold,
		Spec: wish(&jobs.Request{Kind: j.Kind, Spec: j.Spec, Priority: j.Priority, Threshold: j.Threshold, Bio: j.Bio}), Version: j.Version, Events: j.Events,
		Created: j.Created, Started: when(j.Started), Updated: j.Updated, Finished: when(j.Finished), Deadline: when(j.Deadline), PinnedUntil: when(j.PinnedUntil)}
}

var _ = Progress(machine.Tally{}) // the same members, so that none is forgotten

type jobOut struct {
	Status   int    `json:"-"`
	Location string `header:"Location"`
	Body     Job
}

type jobsIn struct {
	rest.Page
	State       []string `query:"state" doc:"only these states, comma separated"`
	Kind        []string `query:"kind" doc:"only these kinds, comma separated"`
	Owner       string   `query:"owner" maxLength:"256"`
	Application string   `query:"application" maxLength:"256"`
	Schedule    string   `query:"schedule" maxLength:"64"`
	Parent      string   `query:"parent" maxLength:"64" doc:"only retries of this job"`
}

var states = []darter.JobState{darter.JobQueued, darter.JobResolving, darter.JobRunning, darter.JobPaused, darter.JobCanceling, darter.JobCanceled,
	darter.JobSucceeded, darter.JobPartial, darter.JobFailed, darter.JobExpired}

var jobKinds = []darter.JobKind{darter.PreheatFiles, darter.PreheatImage, darter.LocateTask, darter.PurgeTask, darter.SyncHosts, darter.GCRecords}

// known turns names into values, or says which name is none.
func known[T ~string](names []string, all []T, where string) ([]T, error) {
	var out []T
	for _, name := range names {
		if !slices.Contains(all, T(name)) {
			texts := make([]string, len(all))
			for i, v := range all {
				texts[i] = string(v)
			}
			return nil, rest.Refusal(http.StatusUnprocessableEntity, rest.InvalidFilter, "there is no such "+where, rest.Detail{Pointer: "query/" + where, Code: "unknown", Detail: "one of " + strings.Join(texts, ", ")})
		}
		out = append(out, T(name))
	}
	return out, nil
}

func (d *desk) list(ctx context.Context, in *jobsIn, all []darter.JobKind) (*rest.Listed[Job], error) {
	f := jobs.Filter{Owner: in.Owner, Application: in.Application, Schedule: in.Schedule, Parent: darter.JobID(in.Parent)}
	var err error
	if f.States, err = known(in.State, states, "state"); err != nil {
		return nil, err
	}
	if f.Kinds, err = known(in.Kind, all, "kind"); err != nil {
		return nil, err
	}
	if len(f.Kinds) == 0 && len(all) < len(jobKinds) {
		f.Kinds = all
	}
	return rest.List(ctx, d.api, in.Page, func(after string, limit int) ([]Job, error) {
		f.Before, f.Limit = darter.JobID(after), limit
		page, err := d.Engine.List(ctx, f)
		out := make([]Job, len(page))
		for i, j := range page {
			out[i] = job(j)
		}
		return out, err
	}, func(j Job) string { return string(j.ID) })
}

func (d *desk) get(ctx context.Context, id darter.JobID) (*jobOut, error) {
	j, err := d.Engine.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return &jobOut{Status: http.StatusOK, Body: job(j)}, nil
}

// submit makes a job and waits for it as long as the caller would.
func (d *desk) submit(ctx context.Context, r jobs.Request, prefer rest.Prefer) (*jobOut, error) {
	made, err := d.enqueue(ctx, r)
	if err != nil {
		return nil, err
	}
	return d.accepted(ctx, made, prefer)
}

func (d *desk) accepted(ctx context.Context, made jobs.Enqueued, prefer rest.Prefer) (*jobOut, error) {
	var j jobs.Job
	var err error
	if wait := prefer.Wait(ctx); wait > 0 {
		limited, cancel := context.WithTimeout(ctx, wait)
		j, err = d.Engine.Wait(limited, made.ID)
		cancel()
	} else {
		j, err = d.Engine.Get(ctx, made.ID)
	}
	if err != nil {
		return nil, err
	}
	out := &jobOut{Status: http.StatusAccepted, Location: "/v1/jobs/" + string(made.ID), Body: job(j)}
	if out.Body.Attached = made.Attached; j.State.Terminal() {
		out.Status = http.StatusOK
	}
	return out, nil
}

const waiting = "Answered with 202 at once, and the job under `Location`. With `Prefer: wait=30` the answer comes when the job is over, or after that time; " +
	"a request with an `Idempotency-Key` does not wait."

type makeIn struct {
	Because
	rest.Prefer
	Body Wish
}

func (d *desk) jobs() {
	read := rest.Need("job.read")
	rest.Add(d.api, rest.Operation{Method: "GET", Path: "/v1/jobs", ID: "list-jobs", Tag: "jobs", Summary: "List jobs, the newest first", Access: read},
		func(ctx context.Context, in *jobsIn) (*rest.Listed[Job], error) { return d.list(ctx, in, jobKinds) })
	rest.Add(d.api, rest.Operation{Method: "GET", Path: "/v1/jobs/{id}", ID: "get-job", Tag: "jobs", Summary: "Get a job", Access: read},
		func(ctx context.Context, in *JobID) (*jobOut, error) { return d.get(ctx, in.ID) })
	rest.Add(d.api, rest.Operation{Method: "POST", Path: "/v1/jobs", ID: "create-job", Tag: "jobs", Summary: "Create a job", Status: http.StatusAccepted, Access: rest.NeedSomewhere("job.create"),
		Doc: waiting + " A preheat needs preheat.create, task.purge needs task.purge, and gc.records gc.run besides."},
		func(ctx context.Context, in *makeIn) (*jobOut, error) {
			r, err := d.order(ctx, &in.Body)
			if err != nil {
				return nil, err
			}
			return d.submit(jobs.Because(ctx, in.Reason), r, in.Prefer)
		})
}

func (d *desk) preheats() {
	both := []darter.JobKind{darter.PreheatFiles, darter.PreheatImage}
	read := rest.Need("preheat.read")
	rest.Add(d.api, rest.Operation{Method: "GET", Path: "/v1/preheats", ID: "list-preheats", Tag: "preheats", Summary: "List preheats, the newest first", Access: read},
		func(ctx context.Context, in *jobsIn) (*rest.Listed[Job], error) { return d.list(ctx, in, both) })
	rest.Add(d.api, rest.Operation{Method: "GET", Path: "/v1/preheats/{id}", ID: "get-preheat", Tag: "preheats", Summary: "Get a preheat", Access: read},
		func(ctx context.Context, in *JobID) (*jobOut, error) { return d.preheat(ctx, in.ID) })
	rest.Add(d.api, rest.Operation{Method: "POST", Path: "/v1/preheats", ID: "create-preheat", Tag: "preheats", Summary: "Bring files or an image to hosts before somebody asks",
		Status: http.StatusAccepted, Access: rest.NeedSomewhere("preheat.create"), Doc: waiting + " Who may preheat in some clusters only, names them."},
		func(ctx context.Context, in *makeIn) (*jobOut, error) {
			r, err := d.order(ctx, &in.Body)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(both, r.Kind) {
				return nil, &darter.Error{Kind: darter.Invalid, Op: "create preheat", Err: errNotPreheat}
			}
			return d.submit(jobs.Because(ctx, in.Reason), r, in.Prefer)
		})
	for _, v := range d.steering() {
		if v.verb == "extend" {
			continue
		}
		rest.Add(d.api, rest.Operation{Method: "POST", Path: "/v1/preheats/{id}:" + v.verb, ID: v.verb + "-preheat", Tag: "preheats", Summary: v.summary, Access: rest.Need("preheat.cancel")},
			func(ctx context.Context, in *Spoken) (*jobOut, error) {
				if _, err := d.preheat(ctx, in.ID); err != nil {
					return nil, err
				}
				return d.steer(ctx, in, v.do)
			})
	}
}

// preheat is get for what is a preheat.
func (d *desk) preheat(ctx context.Context, id darter.JobID) (*jobOut, error) {
	out, err := d.get(ctx, id)
	if err == nil && out.Body.Kind != darter.PreheatFiles && out.Body.Kind != darter.PreheatImage {
		return nil, rest.Refusal(http.StatusNotFound, rest.NotFound, "there is no such preheat; the id is that of another kind of job")
	}
	return out, err
}
