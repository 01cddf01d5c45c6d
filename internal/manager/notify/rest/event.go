package rest

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/notify"
	"github.com/darter-p2p/darter/internal/rest"
)

// Event is something that happened.
type Event struct {
	ID       string            `json:"id"`
	Sequence int64             `json:"sequence" doc:"in the order in which all readers see them"`
	At       time.Time         `json:"at"`
	Type     string            `json:"type" example:"job.failed"`
	Resource string            `json:"resource" example:"jobs/01J9Z3NDEKTSV4RRFFQ69G5FAV"`
	Cluster  string            `json:"cluster,omitempty"`
	Actor    *EventActor       `json:"actor,omitempty" doc:"who brought it about"`
	Reason   string            `json:"reason,omitempty"`
	Request  string            `json:"request_id,omitempty"`
	Text     string            `json:"text" doc:"one line for people"`
	Data     map[string]string `json:"data,omitempty"`
}

// EventActor is who brought something about.
type EventActor struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

func event(e darter.Event) Event {
	out := Event{ID: e.ID, Sequence: e.Sequence, At: e.At.UTC(), Type: e.Type, Resource: e.Resource, Cluster: e.Cluster, Reason: e.Reason, Request: e.Request, Text: e.Text, Data: e.Data}
	if e.Actor.Kind != "" {
		out.Actor = &EventActor{Kind: e.Actor.Kind, ID: e.Actor.ID, Name: e.Actor.Name}
	}
	return out
}

// EventFilter says which events are wanted.
type EventFilter struct {
	Type     []string `query:"type" doc:"only these types, comma separated: job.failed, gc.run.*" maxItems:"64"`
	Resource string   `query:"resource" maxLength:"512" doc:"only of this resource and what lies below it" example:"gc/runs"`
	Cluster  string   `query:"cluster" maxLength:"128"`
}

func (f EventFilter) read() (notify.Filter, error) {
	out := notify.Filter{Types: f.Type, Resource: f.Resource, Cluster: f.Cluster}
	return out, out.Validate()
}

func (d *desk) events() {
	read := rest.Need("event.read")
	rest.Add(d.api, rest.Operation{Method: "GET", Path: "/v1/events", ID: "list-events", Tag: "events", Summary: "List what happened, in order", Access: read},
		func(ctx context.Context, in *struct {
			rest.Page
			EventFilter
			Order string `query:"order" enum:"oldest,newest" default:"oldest" doc:"which come first"`
		}) (*rest.Listed[Event], error) {
			f, err := in.read()
			if err != nil {
				return nil, err
			}
			return rest.List(ctx, d.api, in.Page, func(after string, limit int) ([]Event, error) {
				list := d.Notifier.List
				if in.Order == "newest" {
					list = d.Notifier.ListBack
				}
				return page(ctx, list, f, number(after), limit)
			}, func(e Event) string { return strconv.FormatInt(e.Sequence, 10) })
		})
	rest.Stream(d.api, rest.Operation{Path: "/v1/events:stream", ID: "stream-events", Tag: "events", Summary: "Follow what happens", Access: read,
		Doc: "Jobs, clean-up runs, hosts, policies, settings. It begins now, at `after`, or after `Last-Event-ID`. An event `gap` tells that others are gone already: look at the whole again."},
		func(ctx context.Context, in *streamIn) (rest.Feed, error) { return d.stream(ctx, in) })
}

// page reads on until it is full: a page that is not full is the last.
func page(ctx context.Context, list func(context.Context, notify.Filter, int64, int) (notify.Page, error), f notify.Filter, after int64, limit int) ([]Event, error) {
	out := []Event{}
	for {
		page, err := list(ctx, f, after, limit-len(out))
		if err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			out = append(out, event(e))
		}
		if len(out) == limit || page.Last == after {
			return out, nil
		}
		after = page.Last
	}
}

type streamIn struct {
	rest.Following
	EventFilter
	After int64 `query:"after" default:"-1" minimum:"-1" doc:"sequence to begin after; 0: at the first that is kept; -1: now"`
}

func (d *desk) stream(ctx context.Context, in *streamIn) (rest.Feed, error) {
	f, err := in.read()
	if err != nil {
		return nil, err
	}
	at := in.After
	if last := strings.TrimSpace(in.LastEventID); last != "" {
		if at, err = strconv.ParseInt(last, 10, 64); err != nil || at < 0 {
			return nil, rest.Refusal(http.StatusUnprocessableEntity, rest.Invalid, "Last-Event-ID is not one of this stream", rest.Detail{Pointer: "header/Last-Event-Id", Code: "malformed", Detail: "the number of an event"})
		}
	}
	if at < 0 {
		if at, err = d.Notifier.Newest(ctx); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, _ string) ([]rest.Event, error) {
		page, err := d.Notifier.Await(ctx, f, at)
		if err != nil {
			return nil, err
		}
		var out []rest.Event
		if page.Gap {
			out = append(out, rest.Event{Name: rest.Gap, Data: map[string]int64{"after": at}})
		}
		for _, e := range page.Events {
			out = append(out, rest.Event{ID: strconv.FormatInt(e.Sequence, 10), Name: e.Type, Data: event(e)})
		}
		at = page.Last // also past what nobody wanted
		return out, nil
	}, nil
}

// number reads the key of a signed page token.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
