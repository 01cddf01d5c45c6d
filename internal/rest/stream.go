package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Event is one message of a stream.
type Event struct {
	ID   string // what Last-Event-ID names; empty: the one before stays the last
	Name string // Gap: some events before this one are lost
	Data any
}

// Gap is the name of an event that tells that others are lost: whoever follows looks at the whole again.
const Gap = "gap"

// Feed gives what happened after the event with that id, in order, and waits for it while there is nothing; when ctx
// ends it returns nothing. io.EOF tells that nothing will come any more: events that came with it are sent. It
// keeps nothing for a slow reader: it is asked again with the last id that was sent, and says Gap when it no longer knows what
// followed that.
type Feed func(ctx context.Context, after string) ([]Event, error)

// Following is what the input of a stream embeds.
type Following struct {
	LastEventID string `header:"Last-Event-Id" maxLength:"200" doc:"go on after this event"`
}

type follows interface{ last() string }

func (f Following) last() string { return f.LastEventID }

const streamWrite = 10 * time.Second // a reader that takes nothing for so long is cut off

// Stream adds an operation that answers with server-sent events, or with one JSON object per line to who accepts
// application/x-ndjson. The input embeds Following. begin checks the request and returns its feed.
func Stream[I any](a *API, op Operation, begin func(ctx context.Context, in *I) (Feed, error)) {
	op.Method = http.MethodGet
	a.faults = append(a.faults, checkInput(reflect.TypeFor[I]()))
	h := a.declare(op)
	h.Responses["200"] = &huma.Response{Description: "Events, until the caller goes. A comment comes every few seconds, so that the connection is seen to live.",
		Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}, ndjson: {Schema: &huma.Schema{Type: huma.TypeString}}}}
	huma.Register(a.huma, h, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		feed, err := begin(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		select {
		case a.streams <- struct{}{}:
		default:
			return nil, a.problem(ctx, &Problem{Status: http.StatusTooManyRequests, Code: RateLimited, RetryAfter: 5, Detail: "too many streams are open",
				Hint: "close streams that nobody reads, or ask again later"})
		}
		after := ""
		if f, ok := any(*in).(follows); ok {
			after = f.last()
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			defer func() { <-a.streams }()
			r, w := humago.Unwrap(c)
			a.stream(w, r, op.Path, feed, after)
		}}, nil
	})
}

const ndjson = "application/x-ndjson"

func (a *API) stream(w http.ResponseWriter, r *http.Request, route string, feed Feed, after string) {
	if a.cfg.Events.Streamed != nil {
		a.cfg.Events.Streamed(route, 1)
		defer a.cfg.Events.Streamed(route, -1)
	}
	s := sender{w: w, control: http.NewResponseController(w), lines: strings.Contains(r.Header.Get("Accept"), ndjson)}
	kind := "text/event-stream"
	if s.lines {
		kind = ndjson
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Accel-Buffering", "no") // proxies that collect answers would keep it all
	w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if a.cfg.Stopping != nil {
		defer context.AfterFunc(stopped{ctx, a.cfg.Stopping}, cancel)()
	}
	for err := s.comment("hello"); err == nil && ctx.Err() == nil; {
		after, err = s.turn(ctx, a.cfg.Heartbeat, feed, after)
		if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil && a.cfg.Events.Failed != nil && !errors.Is(err, errGone) {
			a.cfg.Events.Failed(infoOf(r.Context()).request, route, err)
		}
	}
}

// stopped is a context that ends with a channel.
type stopped struct {
	context.Context
	done <-chan struct{}
}

func (s stopped) Done() <-chan struct{} { return s.done }

func (s stopped) Err() error {
	select {
	case <-s.done:
		return context.Canceled
	default:
		return nil
	}
}

type sender struct {
	w       http.ResponseWriter
	control *http.ResponseController
	lines   bool
}

// errGone is that nobody reads any more.
var errGone = errors.New("the reader is gone")

// turn waits for events as long as a heartbeat takes, and sends them or the heartbeat.
func (s sender) turn(ctx context.Context, beat time.Duration, feed Feed, after string) (string, error) {
	wait, cancel := context.WithTimeout(ctx, beat)
	defer cancel()
	events, err := feed(wait, after)
	if err != nil && !errors.Is(err, io.EOF) {
		if ctx.Err() == nil && wait.Err() != nil {
			err = nil // the wait is over, and the feed says so with an error
		}
		if err == nil {
			return after, s.comment("alive")
		}
		return after, err
	}
	for _, e := range events {
		if err := s.send(e); err != nil {
			return after, err
		}
		if e.ID != "" {
			after = e.ID
		}
	}
	if len(events) == 0 && err == nil {
		return after, s.comment("alive")
	}
	return after, err
}

func (s sender) comment(text string) error {
	if s.lines {
		return s.write(nil)
	}
	return s.write([]byte(": " + text + "\n\n"))
}

func (s sender) send(e Event) error {
	data, err := json.Marshal(e.Data)
	if err != nil {
		return err
	}
	if s.lines {
		line, err := json.Marshal(struct {
			ID    string          `json:"id,omitempty"`
			Event string          `json:"event"`
			Data  json.RawMessage `json:"data"`
		}{e.ID, e.Name, data})
		if err != nil {
			return err
		}
		return s.write(append(line, '\n'))
	}
	id := ""
	if e.ID != "" {
		id = "id: " + oneLine(e.ID) + "\n"
	}
	return s.write(fmt.Appendf(nil, "%sevent: %s\ndata: %s\n\n", id, oneLine(e.Name), data))
}

func oneLine(s string) string {
	return strings.NewReplacer("\n", " ", "\r", " ", "\x00", " ").Replace(s)
}

// write sends and flushes, within its time.
func (s sender) write(b []byte) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(streamWrite)) // in memory there is none
	if len(b) > 0 {
		if _, err := s.w.Write(b); err != nil {
			return errors.Join(errGone, err)
		}
	}
	if err := s.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errors.Join(errGone, err)
	}
	return nil
}
