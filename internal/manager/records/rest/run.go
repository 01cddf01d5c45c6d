package rest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/records"
	"github.com/darter-p2p/darter/internal/rest"
)

// Run is the record of a plan being carried out.
type Run struct {
	ID        string          `json:"id"`
	Kind      string          `json:"kind"`
	Version   int64           `json:"policy_version"`
	Trigger   darter.Trigger  `json:"trigger" enum:"schedule,manual,api,pressure,resume"`
	Requester Requester       `json:"requester"`
	Plan      string          `json:"plan,omitempty"`
	Resumes   string          `json:"resumes,omitempty" doc:"the lost run that it goes on from"`
	State     darter.RunState `json:"state" enum:"queued,running,paused,cancelling,succeeded,partial,failed,cancelled,lost,needs_confirmation"`
	Executor  string          `json:"executor,omitempty"`
	Eligible  int64           `json:"eligible" doc:"planned"`
	Scanned   int64           `json:"scanned"`
	Deleted   int64           `json:"deleted"`
	Children  int64           `json:"children" doc:"rows that belonged to those deleted"`
	Vetoed    []PlanVeto      `json:"vetoed"`
	Batches   int64           `json:"batches"`
	Busy      rest.Duration   `json:"busy" doc:"time in the database"`
	Waits     int64           `json:"waits" doc:"for locks, timeouts and replicas"`
	Code      string          `json:"code,omitempty"`
	Message   string          `json:"message,omitempty" doc:"why it failed, ended early or was held"`
	Created   time.Time       `json:"created"`
	Started   *time.Time      `json:"started,omitempty"`
	Heartbeat *time.Time      `json:"heartbeat,omitempty"`
	Finished  *time.Time      `json:"finished,omitempty"`
}

func run(r darter.Run) Run {
	out := Run{ID: r.ID, Kind: r.Policy, Version: r.Version, Trigger: r.Trigger, Requester: Requester(r.Requester), Plan: r.Plan, Resumes: r.Resumes, State: r.State, Executor: r.Executor,
		Eligible: r.Eligible, Scanned: r.Scanned, Deleted: r.Deleted, Children: r.Children, Vetoed: []PlanVeto{}, Batches: r.Batches, Busy: rest.Duration(r.Busy), Waits: r.Waits,
		Code: r.Code, Message: r.Message, Created: r.Created.UTC(), Started: when(r.Started), Heartbeat: when(r.Heartbeat), Finished: when(r.Finished)}
	for _, v := range r.Vetoed {
		out.Vetoed = append(out.Vetoed, PlanVeto(v))
	}
	return out
}

// RunPart is one transaction of a run.
type RunPart struct {
	Sequence int64         `json:"sequence"`
	First    string        `json:"first"`
	Last     string        `json:"last"`
	Deleted  int64         `json:"deleted"`
	Children int64         `json:"children"`
	Took     rest.Duration `json:"took"`
	At       time.Time     `json:"at"`
}

type runOut struct {
	Location string `header:"Location"`
	Body     Run
}

func runAnswer(r darter.Run, err error) (*runOut, error) {
	if err != nil {
		return nil, err
	}
	return &runOut{Body: run(r)}, nil
}

// started is the answer to what queued a run.
func started(r darter.Run, err error) (*runOut, error) {
	out, err := runAnswer(r, err)
	if err == nil {
		out.Location = "/v1/gc/runs/" + r.ID
	}
	return out, err
}

// RunPath is a path to one run.
type RunPath struct {
	ID string `path:"id" maxLength:"64"`
}

var states = []darter.RunState{darter.RunQueued, darter.RunRunning, darter.RunPaused, darter.RunCancelling, darter.RunSucceeded, darter.RunPartial, darter.RunFailed,
	darter.RunCancelled, darter.RunLost, darter.RunHeld}

type runsIn struct {
	rest.Page
	Kind  string   `query:"kind" maxLength:"64"`
	State []string `query:"state" doc:"only these states, comma separated"`
}

func (o *office) list(ctx context.Context, in *runsIn) (*rest.Listed[Run], error) {
	f := records.RunFilter{Kind: in.Kind}
	for _, s := range in.State {
		if !slices.Contains(states, darter.RunState(s)) {
			return nil, rest.Refusal(http.StatusUnprocessableEntity, rest.InvalidFilter, "there is no such state", rest.Detail{Pointer: "query/state", Code: "unknown", Detail: fmt.Sprintf("one of %v", states)})
		}
		f.States = append(f.States, darter.RunState(s))
	}
	return rest.List(ctx, o.api, in.Page, func(after string, limit int) ([]Run, error) {
		f.Before, f.Limit = after, limit
		page, err := o.Records.Runs(ctx, f)
		out := make([]Run, len(page))
		for i, r := range page {
			out[i] = run(r)
		}
		return out, err
	}, func(r Run) string { return r.ID })
}

func (o *office) runs() {
	op := func(method, path, id, summary, permission string) rest.Operation {
		return rest.Operation{Method: method, Path: path, ID: id, Tag: "gc", Summary: summary, Access: rest.Need(permission)}
	}
	rest.Add(o.api, op("GET", "/v1/gc/runs", "list-gc-runs", "List runs, the newest first", "gc.read"), o.list)
	rest.Add(o.api, op("GET", "/v1/gc/runs/{id}", "get-gc-run", "Get a run", "gc.read"), func(ctx context.Context, in *RunPath) (*runOut, error) {
		return runAnswer(o.Records.GetRun(ctx, in.ID))
	})
	create := op("POST", "/v1/gc/runs", "create-gc-run", "Remove what the policy in force says, in batches", "gc.run")
	create.Status = http.StatusAccepted
	create.Doc = "Answered at once; the run makes its own plan. It is held in `needs_confirmation` when more would go than is usual."
	rest.Add(o.api, create, func(ctx context.Context, in *struct {
		Because
		Body struct {
			Kind string `json:"kind" maxLength:"64"`
		}
	}) (*runOut, error) {
		c := o.api.Caller(ctx)
		return started(o.Records.Start(ctx, records.StartRequest{Kind: in.Body.Kind, Trigger: trigger(c), Actor: c.Actor, Reason: in.Reason, Request: c.Request}))
	})
	rest.Add(o.api, op("GET", "/v1/gc/runs/{id}/batches", "list-gc-run-batches", "List the transactions of a run", "gc.read"), func(ctx context.Context, in *struct {
		RunPath
		rest.Page
	}) (*rest.Listed[RunPart], error) {
		return rest.List(ctx, o.api, in.Page, func(after string, limit int) ([]RunPart, error) {
			if _, err := o.Records.GetRun(ctx, in.ID); err != nil {
				return nil, err
			}
			from, _ := strconv.ParseInt("0"+after, 10, 64) // of a signed token
			page, err := o.Records.Batches(ctx, in.ID, from, limit)
			out := make([]RunPart, len(page))
			for i, b := range page {
				out[i] = RunPart{Sequence: b.Sequence, First: b.First, Last: b.Last, Deleted: b.Deleted, Children: b.Children, Took: rest.Duration(b.Took), At: b.At.UTC()}
			}
			return out, err
		}, func(b RunPart) string { return strconv.FormatInt(b.Sequence, 10) })
	})
	watch := op("GET", "/v1/gc/runs/{id}:watch", "watch-gc-run", "Follow a run until it is over", "gc.read")
	watch.Doc = "Each event is the run as it stands. The stream ends when the run is final."
	rest.Stream(o.api, watch, func(ctx context.Context, in *struct {
		RunPath
		rest.Following
	}) (rest.Feed, error) {
		if _, err := o.Records.GetRun(ctx, in.ID); err != nil {
			return nil, err
		}
		return o.feed(in.ID), nil
	})
}

// mark tells one look at a run from another.
func mark(r darter.Run) string {
	return fmt.Sprintf("%s-%d-%d", r.State, r.Batches, r.Heartbeat.UnixMicro())
}

func (o *office) feed(id string) rest.Feed {
	return func(ctx context.Context, after string) ([]rest.Event, error) {
		for r, err := range o.Records.Watch(ctx, id) {
			if err != nil {
				return nil, err
			}
			var out []rest.Event
			if m := mark(r); m != after {
				out = []rest.Event{{ID: m, Name: "run", Data: run(r)}}
			}
			if r.State.Final() {
				return out, io.EOF
			}
			if out != nil {
				return out, nil
			}
		}
		return nil, nil
	}
}

func (o *office) verbs() {
	for _, v := range []struct {
		verb, summary string
		do            func(context.Context, records.Order) (darter.Run, error)
	}{
		{"cancel", "End a run; the batch under way is undone", o.Records.Cancel},
		{"pause", "Let a run rest", o.Records.Pause},
		{"resume", "Let a resting run go on from where it was", o.Records.Resume},
	} {
		rest.Add(o.api, rest.Operation{Method: "POST", Path: "/v1/gc/runs/{id}:" + v.verb, ID: v.verb + "-gc-run", Tag: "gc", Summary: v.summary, Access: rest.Need("gc.run")},
			func(ctx context.Context, in *struct {
				RunPath
				Because
			}) (*runOut, error) {
				return runAnswer(v.do(ctx, o.order(ctx, in.ID, in.Because)))
			})
	}
	rest.Add(o.api, rest.Operation{Method: "POST", Path: "/v1/gc/runs/{id}:confirm", ID: "confirm-gc-run", Tag: "gc", Summary: "Let a run that was held go on, as a new run", Status: http.StatusAccepted,
		Access: rest.Need("gc.confirm"), Doc: "`plan` is what was seen: the held run's own while that is fresh, or a newer one."},
		func(ctx context.Context, in *struct {
			RunPath
			Because
			Body struct {
				Plan string `json:"plan" minLength:"1" maxLength:"64"`
			}
		}) (*runOut, error) {
			return started(o.Records.Confirm(ctx, o.order(ctx, in.ID, in.Because), in.Body.Plan))
		})
}

func (o *office) order(ctx context.Context, id string, b Because) records.Order {
	c := o.api.Caller(ctx)
	return records.Order{Run: id, Actor: c.Actor, Reason: b.Reason, Request: c.Request}
}
