package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	"github.com/darter-p2p/darter/internal/rest"
)

// JobStep is one part of a job.
type JobStep struct {
	Number   uint32         `json:"number"`
	Kind     string         `json:"kind" doc:"resolve and local are done by a manager, dispatch by a scheduler"`
	Cluster  uint64         `json:"cluster,omitempty" doc:"number"`
	State    string         `json:"state" enum:"waiting,leased,ended,broken,dropped"`
	Attempt  uint32         `json:"attempt"`
	Owner    string         `json:"owner,omitempty" doc:"who holds it, or held it last"`
	Until    *time.Time     `json:"until,omitempty" doc:"when its holder is given up unless it speaks"`
	RunAt    *time.Time     `json:"run_at,omitempty" doc:"not before"`
	Failure  darter.Failure `json:"failure,omitempty"`
	Message  string         `json:"message,omitempty"`
	Progress Progress       `json:"progress"`
	Started  *time.Time     `json:"started,omitempty"`
	Finished *time.Time     `json:"finished,omitempty"`
}

// JobItem is one content in one step.
type JobItem struct {
	Number   uint32        `json:"number"`
	URL      string        `json:"url,omitempty"`
	Task     darter.TaskID `json:"task_id,omitempty"`
	GoTask   darter.TaskID `json:"go_task_id,omitempty" doc:"the id that plain Dragonfly schedulers compute"`
	Progress Progress      `json:"progress"`
	Done     []uint32      `json:"done" doc:"hosts that have it, as the step's hosts are numbered"`
	Held     []uint32      `json:"held" doc:"of those, who had it before"`
	Failed   []uint32      `json:"failed"`
}

// JobHost is a host that a step reaches.
type JobHost struct {
	Number   int           `json:"number"`
	ID       darter.HostID `json:"id"`
	Hostname string        `json:"hostname,omitempty"`
	IP       string        `json:"ip,omitempty"`
	Port     uint16        `json:"port,omitempty"`
	Kind     string        `json:"kind"`
}

// JobFailure is one content that did not come to one host.
type JobFailure struct {
	Step       uint32         `json:"step"`
	Item       uint32         `json:"item"`
	HostNumber uint32         `json:"host_number"`
	Host       darter.HostID  `json:"host"`
	Failure    darter.Failure `json:"failure"`
	Message    string         `json:"message,omitempty"`
	Hint       string         `json:"hint,omitempty"`
	Attempts   uint32         `json:"attempts"`
	At         time.Time      `json:"at"`
}

// JobEvent is one thing that happened to a job.
type JobEvent struct {
	Sequence int64         `json:"sequence"`
	At       time.Time     `json:"at"`
	Type     string        `json:"type" doc:"created, attached, state, stopping, rescued, retrying, progress"`
	Detail   rest.Document `json:"detail"`
}

func event(e jobs.Event) JobEvent {
	return JobEvent{Sequence: e.Sequence, At: e.At, Type: e.Type, Detail: rest.Document(e.JSON)}
}

type stepIn struct {
	JobID
	Step uint32 `path:"step"`
	rest.Page
}

type partsIn struct {
	JobID
	rest.Page
}

func (d *desk) parts() {
	read := rest.Need("job.read")
	op := func(path, id, summary string) rest.Operation {
		return rest.Operation{Method: "GET", Path: "/v1/jobs/{id}" + path, ID: id, Tag: "jobs", Summary: summary, Access: read}
	}
	rest.Add(d.api, op("/steps", "list-job-steps", "List the parts of a job"), func(ctx context.Context, in *partsIn) (*rest.Listed[JobStep], error) { return d.steps(ctx, in) })
	rest.Add(d.api, op("/steps/{step}/items", "list-job-items", "List the contents of a part"), func(ctx context.Context, in *stepIn) (*rest.Listed[JobItem], error) {
		return rest.List(ctx, d.api, in.Page, func(after string, limit int) ([]JobItem, error) {
			page, err := d.Engine.Items(ctx, in.ID, in.Step, uint32(next(after)), limit)
			out := make([]JobItem, len(page))
			for i, it := range page {
				out[i] = JobItem{Number: it.Number, URL: it.URL, Task: it.Task, GoTask: it.GoTask, Progress: Progress(it.Tally), Done: listed(it.Done), Held: listed(it.Held), Failed: listed(it.Failed)}
			}
			return out, err
		}, func(it JobItem) string { return strconv.FormatUint(uint64(it.Number), 10) })
	})
	rest.Add(d.api, op("/steps/{step}/hosts", "list-job-hosts", "List the hosts that a part reaches"), func(ctx context.Context, in *stepIn) (*rest.Listed[JobHost], error) {
		return rest.List(ctx, d.api, in.Page, func(after string, limit int) ([]JobHost, error) {
			all, err := d.Engine.Targets(ctx, in.ID, in.Step)
			var out []JobHost
			for i := next(after); i < len(all) && len(out) < limit; i++ {
				t := all[i]
				out = append(out, JobHost{Number: i, ID: t.ID, Hostname: t.Hostname, IP: address(t), Port: t.Port, Kind: t.Kind.String()})
			}
			return out, err
		}, func(h JobHost) string { return strconv.Itoa(h.Number) })
	})
	rest.Add(d.api, op("/failures", "list-job-failures", "List which content failed at which host, and why"), func(ctx context.Context, in *partsIn) (*rest.Listed[JobFailure], error) { return d.failures(ctx, in) })
	rest.Add(d.api, op("/events", "list-job-events", "List what happened to a job"), func(ctx context.Context, in *partsIn) (*rest.Listed[JobEvent], error) {
		return rest.List(ctx, d.api, in.Page, func(after string, limit int) ([]JobEvent, error) {
			story, err := d.Engine.Story(ctx, in.ID, int64(next(after))-1)
			out := make([]JobEvent, 0, min(len(story), limit))
			for _, e := range story[:min(len(story), limit)] {
				out = append(out, event(e))
			}
			return out, err
		}, func(e JobEvent) string { return strconv.FormatInt(e.Sequence, 10) })
	})
	watch := op(":watch", "watch-job", "Follow what happens to a job until it is over")
	watch.Doc = "Events are those of `/v1/jobs/{id}/events`, from the first or the one after `Last-Event-ID` on. The stream ends when the job is over."
	rest.Stream(d.api, watch, func(ctx context.Context, in *struct {
		JobID
		rest.Following
	}) (rest.Feed, error) {
		if _, err := d.Engine.Get(ctx, in.ID); err != nil {
			return nil, err
		}
		if _, err := sequence(in.LastEventID); err != nil {
			return nil, err
		}
		return d.feed(in.ID), nil
	})
}

// next is the number after the one that a page ended with; 0 at the beginning. Page tokens are signed, so it is a number.
func next(after string) int {
	n, err := strconv.Atoi(after)
	if err != nil {
		return 0
	}
	return n + 1
}

func listed(all []uint32) []uint32 {
	if all == nil {
		return []uint32{}
	}
	return all
}

func address(t darter.Target) string {
	if !t.IP.IsValid() {
		return ""
	}
	return t.IP.String()
}

func (d *desk) steps(ctx context.Context, in *partsIn) (*rest.Listed[JobStep], error) {
	return rest.List(ctx, d.api, in.Page, func(after string, limit int) ([]JobStep, error) {
		all, err := d.Engine.Steps(ctx, in.ID)
		var out []JobStep
		for i := next(after); i < len(all) && len(out) < limit; i++ {
			s := &all[i]
			step := JobStep{Number: s.Number, Kind: string(s.Kind), Cluster: s.Cluster, State: string(s.State), Attempt: s.Attempt, Owner: s.Owner, Failure: s.Failure,
				Message: s.Text, Progress: Progress(s.Tally), Started: when(s.Started), Finished: when(s.Finished)}
			switch step.State {
			case "leased":
				step.Until = when(s.Until)
			case "waiting":
				step.RunAt = when(s.RunAt)
			}
			out = append(out, step)
		}
		return out, err
	}, func(s JobStep) string { return strconv.FormatUint(uint64(s.Number), 10) })
}

func (d *desk) failures(ctx context.Context, in *partsIn) (*rest.Listed[JobFailure], error) {
	return rest.List(ctx, d.api, in.Page, func(after string, limit int) ([]JobFailure, error) {
		if _, err := d.Engine.Get(ctx, in.ID); err != nil {
			return nil, err
		}
		var last *jobs.TargetFailure
		if after != "" {
			last = &jobs.TargetFailure{}
			if _, err := fmt.Sscanf(after, "%d/%d/%d", &last.Step, &last.Item, &last.Host); err != nil {
				return nil, err
			}
		}
		page, err := d.Engine.Failures(ctx, in.ID, last, limit)
		out := make([]JobFailure, len(page))
		for i, f := range page {
			out[i] = JobFailure{Step: f.Step, Item: f.Item, HostNumber: f.Host, Host: f.HostID, Failure: f.Class, Message: f.Text, Hint: f.Class.Hint(), Attempts: f.Attempts, At: f.Last}
		}
		return out, err
	}, func(f JobFailure) string { return fmt.Sprintf("%d/%d/%d", f.Step, f.Item, f.HostNumber) })
}

// sequence reads what Last-Event-ID says.
func sequence(text string) (int64, error) {
	if text = strings.TrimSpace(text); text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, rest.Refusal(http.StatusUnprocessableEntity, rest.Invalid, "Last-Event-ID is not one of this stream", rest.Detail{Pointer: "header/Last-Event-Id", Code: "malformed", Detail: "the number of an event"})
	}
	return n, nil
}

func (d *desk) feed(id darter.JobID) rest.Feed {
	return func(ctx context.Context, after string) ([]rest.Event, error) {
		from, err := sequence(after)
		if err != nil {
			return nil, err
		}
		events, over, err := d.Engine.Await(ctx, id, from)
		if err != nil {
			return nil, err
		}
		out := make([]rest.Event, len(events))
		for i, e := range events {
			out[i] = rest.Event{ID: strconv.FormatInt(e.Sequence, 10), Name: e.Type, Data: event(e)}
		}
		if over {
			return out, io.EOF
		}
		return out, nil
	}
}

var _ json.Marshaler = rest.Document(nil)
