package rest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/retry"
)

// Event is one event of a stream.
type Event struct {
	ID   string
	Type string // "message" when the manager gave none; "gap" when events were lost; Closed
	Data []byte
}

// ErrEnough ends Follow without an error when each returns it.
var ErrEnough = errors.New("enough")

// Closed is an event of our own: the manager ended the stream, because all is told or because it stops. When each
// returns nil for it, the stream is taken up again.
const Closed = "closed"

const (
	maxEvent = 4 << 20
	silence  = 50 * time.Second // three heartbeats and a little: the stream is dead, whatever TCP thinks
)

// broken is a stream that ended by itself; it is taken up again.
type broken struct{ error }

// comeback is how long a manager that a stream came from is waited for: a restart takes no longer.
const comeback = 30 * time.Second

// Follow calls each for every event of a stream, and takes a stream that broke off up again after the last event
// that came. It ends with what each returns (nil for ErrEnough), with the end of ctx, or when the manager refuses, or
// stays away for long. Op, Path and Query of r are used; after is the id of the last event known, or empty.
func (c *Client) Follow(ctx context.Context, r Request, after string, each func(Event) error) error {
	heard, pause := time.Time{}, time.Duration(0)
	for {
		some, err := c.listen(ctx, r, &after, each)
		if some {
			heard, pause = time.Now(), 0
		}
		var b broken
		switch {
		case errors.Is(err, ErrEnough):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.As(err, &b):
			return err
		case heard.IsZero() && !isAgain(b.error) || time.Since(heard) > comeback && !heard.IsZero():
			return b.error
		case heard.IsZero():
			heard = time.Now() // busy, not gone
		}
		pause = min(pause+200*time.Millisecond, 2*time.Second)
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// isAgain reports whether the manager itself asked for another try.
func isAgain(err error) bool {
	p, ok := errors.AsType[*Problem](err)
	return ok && p.again()
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// listen opens the stream once. heard says whether anything came, be it a heartbeat.
func (c *Client) listen(ctx context.Context, r Request, last *string, each func(Event) error) (heard bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.Method = http.MethodGet
	r.Header = map[string]string{"Accept": "text/event-stream"}
	if *last != "" {
		r.Header["Last-Event-ID"] = *last
	}
	resp, err := c.send(ctx, r, nil)
	if err != nil {
		return false, broken{unmark(err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return false, notAStream(resp, r.Op)
	}
	quiet := time.AfterFunc(silence, func() { cancel(errors.New("the manager fell silent")) })
	defer quiet.Stop()
	in := bufio.NewScanner(resp.Body)
	in.Buffer(make([]byte, 0, 4096), maxEvent)
	e := Event{}
	for in.Scan() {
		heard = true
		quiet.Reset(silence)
		if !e.take(in.Text()) {
			continue
		}
		if e.ID != "" {
			*last = e.ID
		}
		if err := each(e); err != nil {
			return heard, err
		}
		e = Event{}
	}
	if err = in.Err(); err == nil {
		if err := each(Event{Type: Closed}); err != nil {
			return heard, err
		}
		err = io.EOF
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return heard, broken{&darter.Error{Kind: darter.Unavailable, Op: r.Op, Err: fmt.Errorf("the stream of %s broke off: %w", c.where, err),
		Hint: "the work itself goes on at the manager; run the same command again to see how"}}
}

// unmark takes off the mark that there is no use in another try: a stream has its own patience.
func unmark(err error) error {
	if retry.IsPermanent(err) {
		return errors.Unwrap(err)
	}
	return err
}

func notAStream(resp *http.Response, op string) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return broken{err}
	}
	p := readProblem(resp.StatusCode, resp.Header.Get("Content-Type"), body)
	if resp.StatusCode == http.StatusOK {
		p.Detail = "the manager answered with something that is no stream of events"
	}
	if p.again() {
		return broken{p.asError(op)}
	}
	return p.asError(op)
}

// take reads one line of a stream, and reports whether the event is whole.
func (e *Event) take(line string) bool {
	if line == "" {
		whole := e.Data != nil || e.Type != ""
		if e.Type == "" {
			e.Type = "message"
		}
		e.Data = bytes.TrimSuffix(e.Data, []byte("\n"))
		if !whole {
			*e = Event{}
		}
		return whole
	}
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "id":
		if !strings.ContainsRune(value, 0) {
			e.ID = value
		}
	case "event":
		e.Type = value
	case "data":
		e.Data = append(append(e.Data, value...), '\n')
	}
	return false
}
