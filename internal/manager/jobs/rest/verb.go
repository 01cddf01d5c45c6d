package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	"github.com/darter-p2p/darter/internal/rest"
)

type deed func(ctx context.Context, tx *database.Tx, actor string, id darter.JobID) error

type steering struct {
	verb, summary string
	do            deed
}

// steering are the words that one can say to a job without saying more.
func (d *desk) steering() []steering {
	return []steering{
		{"cancel", "Cancel it; what runs is stopped", d.Engine.Cancel},
		{"pause", "Let it rest; what runs is given back", d.Engine.Pause},
		{"resume", "Let it go on", d.Engine.Resume},
	}
}

// steer says a word to a job and answers with what it is then.
func (d *desk) steer(ctx context.Context, in *Spoken, do deed) (*jobOut, error) {
	who, id := owner(d.api.Caller(ctx)), in.ID
	ctx = jobs.Because(ctx, in.Reason)
	err := d.DB.Write(ctx, func(ctx context.Context, tx *database.Tx) error { return do(ctx, tx, who, id) })
	if err != nil {
		return nil, err
	}
	return d.get(ctx, id)
}

func (d *desk) verbs() {
	steer := rest.Need("job.cancel")
	op := func(verb, summary string) rest.Operation {
		return rest.Operation{Method: "POST", Path: "/v1/jobs/{id}:" + verb, ID: verb + "-job", Tag: "jobs", Summary: summary, Access: steer}
	}
	for _, v := range d.steering() {
		rest.Add(d.api, op(v.verb, v.summary), func(ctx context.Context, in *Spoken) (*jobOut, error) { return d.steer(ctx, in, v.do) })
	}
	rest.Add(d.api, op("extend", "Move the limit that is in force: the time to start by, or to run"), func(ctx context.Context, in *struct {
		Spoken
		Body struct {
			By rest.Duration `json:"by"`
		}
	}) (*jobOut, error) {
		return d.steer(ctx, &in.Spoken, func(ctx context.Context, tx *database.Tx, actor string, id darter.JobID) error {
			return d.Engine.Extend(ctx, tx, actor, id, time.Duration(in.Body.By))
		})
	})
	pin := func(until time.Time) deed {
		return func(ctx context.Context, tx *database.Tx, actor string, id darter.JobID) error {
			return d.Engine.Pin(ctx, tx, actor, id, until)
		}
	}
	rest.Add(d.api, op("pin", "Keep it from being cleaned"), func(ctx context.Context, in *struct {
		Spoken
		Body struct {
			Until time.Time `json:"until" doc:"at most ten years from now"`
		}
	}) (*jobOut, error) {
		if until := in.Body.Until; until.Before(time.Now()) || until.After(time.Now().Add(mostPin)) {
			return nil, rest.Refusal(http.StatusUnprocessableEntity, rest.Invalid, "a pin ends in a time to come", rest.Detail{Pointer: "/until", Code: "out_of_range", Detail: "from now to ten years from now"})
		}
		return d.steer(ctx, &in.Spoken, pin(in.Body.Until))
	})
	rest.Add(d.api, op("unpin", "Let it be cleaned when its time has come"), func(ctx context.Context, in *Spoken) (*jobOut, error) {
		return d.steer(ctx, in, pin(time.Time{}))
	})
	retry := op("retry", "Make a new job of what an ended one left undone")
	retry.Status, retry.Access = http.StatusAccepted, rest.NeedSomewhere("job.create")
	retry.Doc = waiting + " Request headers went with the old job: give them again where the origin wants them."
	rest.Add(d.api, retry, func(ctx context.Context, in *retryIn) (*jobOut, error) { return d.retry(ctx, in) })
	retry.Path, retry.ID, retry.Tag, retry.Access = "/v1/preheats/{id}:retry", "retry-preheat", "preheats", rest.NeedSomewhere("preheat.create")
	rest.Add(d.api, retry, func(ctx context.Context, in *retryIn) (*jobOut, error) {
		if _, err := d.preheat(ctx, in.ID); err != nil {
			return nil, err
		}
		return d.retry(ctx, in)
	})
}

const mostPin = 10 * 366 * 24 * time.Hour

type retryIn struct {
	Spoken
	rest.Prefer
	Body *struct { // a pointer: nothing has to be said
		Headers map[string]string `json:"headers,omitempty"`
	}
}

func (d *desk) retry(ctx context.Context, in *retryIn) (*jobOut, error) {
	old, err := d.Engine.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := d.may(ctx, old.Kind, &old.Spec); err != nil {
		return nil, err
	}
	var made jobs.Enqueued
	var headers map[string]string
	if in.Body != nil {
		headers = in.Body.Headers
	}
	ctx = jobs.Because(ctx, in.Reason)
	err = d.DB.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		made, err = d.Engine.Retry(ctx, tx, owner(d.api.Caller(ctx)), in.ID, headers)
		return err
	})
	if err != nil {
		return nil, err
	}
	return d.accepted(ctx, made, in.Prefer)
}
