package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// lease is how long a delivery that was begun counts as under way.
const lease = 30 * time.Second

// Bounds of the wait between two tries.
const (
	firstWait = 5 * time.Second
	mostWait  = 2 * time.Hour
)

// enqueue makes the row of a delivery, or of one that is given up at once because too many wait.
func (n *Notifier) enqueue(ctx context.Context, tx *database.Tx, e *darter.Event, t *targetRow) error {
	now, err := n.now(ctx, tx)
	if err != nil {
		return err
	}
	state, why, ended := "waiting", "", database.Micros(0)
	if t.Waiting++; t.Waiting > int64(n.cfg.Queue) {
		t.Waiting--
		state, why, ended = "given_up", fmt.Sprintf("%d deliveries waited for the target already", n.cfg.Queue), database.At(now)
		if n.cfg.Events.GivenUp != nil {
			n.cfg.Events.GivenUp(t.Name, "queue_full")
		}
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO notification_deliveries (id, event_id, target_id, state, next_at, error, created_at, ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		tx.NewID(), e.ID, t.ID, state, database.At(now), why, database.At(now), ended)
	return err
}

// delivery is one that this manager makes now.
type delivery struct {
	id      string
	attempt int
	created time.Time
	event   darter.Event
	target  Target
	key     []byte
}

// claim takes up to most deliveries that are due. Whoever dies with one has it taken over when its lease ends.
func (n *Notifier) claim(ctx context.Context, most int) (out []delivery, err error) {
	err = n.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		out = nil
		now, err := n.now(ctx, tx)
		if err != nil {
			return err
		}
		var rows []struct {
			ID, EventID, TargetID string
			Attempts              int
			CreatedAt             database.Micros
		}
		err = tx.NewRaw("SELECT id, event_id, target_id, attempts, created_at FROM notification_deliveries WHERE state = 'waiting' AND next_at <= ? ORDER BY next_at, id LIMIT ? ?",
			database.At(now), most, tx.SkipLocked()).Scan(ctx, &rows)
		if err != nil {
			return err
		}
		for _, r := range rows {
			_, err := tx.ExecContext(ctx, "UPDATE notification_deliveries SET attempts = ?, next_at = ? WHERE id = ?", r.Attempts+1, database.At(now.Add(lease)), r.ID)
			if err != nil {
				return err
			}
			d := delivery{id: r.ID, attempt: r.Attempts + 1, created: r.CreatedAt.Time()}
			if err := n.fill(ctx, tx, &d, r.EventID, r.TargetID); err != nil {
				return err
			}
			out = append(out, d)
		}
		return nil
	})
	return out, err
}

// fill reads what a delivery is made of.
func (n *Notifier) fill(ctx context.Context, tx *database.Tx, d *delivery, event, target string) error {
	var body string
	if err := tx.QueryRowContext(ctx, "SELECT body, sequence FROM events WHERE id = ?", event).Scan(&body, &d.event.Sequence); err != nil {
		return err
	}
	sequence := d.event.Sequence
	if err := json.Unmarshal([]byte(body), &d.event); err != nil {
		return &darter.Error{Kind: darter.Corrupt, Op: "read event " + event, Err: err}
	}
	d.event.Sequence = sequence
	row, err := loadTarget(ctx, tx, target, "")
	if err != nil {
		return err
	}
	d.target = row.target()
	if d.key, err = n.cfg.Sealer.Open(row.Secret, place(row.ID)); err != nil {
		d.key = nil // the delivery then fails and says so; the others go on
	}
	return nil
}

// answer is what a target said.
type answer struct {
	status int
	after  time.Duration // wished for before another try
	err    error
	took   time.Duration
}

// post makes one delivery.
func (n *Notifier) post(ctx context.Context, d *delivery) (a answer) {
	began := time.Now()
	defer func() { a.took = time.Since(began) }()
	if d.key == nil {
		return answer{err: errors.New("its secret cannot be opened with this manager's key file")}
	}
	body, err := json.Marshal(d.event)
	if err != nil {
		return answer{err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.target.URL, bytes.NewReader(body))
	if err != nil {
		return answer{err: errors.New("the URL is not usable")}
	}
	at := strconv.FormatInt(began.Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "darter")
	r.Header.Set("webhook-id", d.event.ID)
	r.Header.Set("webhook-timestamp", at)
	r.Header.Set("webhook-signature", Sign(d.key, d.event.ID, at, body))
	resp, err := n.client.Do(r)
	if err != nil {
		if u, is := errors.AsType[*url.Error](err); is {
			err = u.Err // the URL may hold a token: say nothing of it
		}
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	a.status = resp.StatusCode
	switch {
	case a.status >= 200 && a.status < 300:
		return a
	case a.status >= 300 && a.status < 400:
		a.err = fmt.Errorf("it answers with %d and wants us elsewhere; redirects are not followed", a.status)
	default:
		a.err = fmt.Errorf("it answers with status %d", a.status)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 && s < 1<<20 {
		a.after = min(time.Duration(s)*time.Second, mostWait)
	}
	return a
}

// Sign returns the webhook-signature of a delivery: what a receiver computes and compares.
func Sign(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, timestamp) // a hash takes every write
	_, _ = mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// wait is how long to wait after a try: doubling, as the attempt's number alone says.
func wait(attempt int) time.Duration {
	if attempt > 16 {
		return mostWait
	}
	return min(firstWait<<max(attempt-1, 0), mostWait)
}

// settle writes down what became of a delivery, unless somebody else has taken it over meanwhile.
func (n *Notifier) settle(ctx context.Context, d *delivery, a answer) error {
	given := false
	err := n.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := n.now(ctx, tx)
		if err != nil {
			return err
		}
		state, next, ended, words := "delivered", database.Micros(0), database.At(now), ""
		given = false
		if a.err != nil {
			words = clip(a.err.Error(), maxText)
			state, next, ended = "waiting", database.At(now.Add(max(wait(d.attempt), a.after))), 0
			if given = d.attempt >= n.cfg.Tries || a.status == http.StatusGone; given {
				state, next, ended = "given_up", 0, database.At(now)
			}
		}
		result, err := tx.ExecContext(ctx, "UPDATE notification_deliveries SET state = ?, next_at = ?, status = ?, error = ?, ended_at = ? WHERE id = ? AND attempts = ? AND state = 'waiting'",
			state, next, a.status, words, ended, d.id, d.attempt)
		if err != nil {
			return err
		}
		if changed, err := result.RowsAffected(); err != nil || changed == 0 {
			given = false
			return err
		}
		column := "told_at = ?"
		args := []any{database.At(now)}
		if a.err != nil {
			column, args = "failed_at = ?, error = ?", append(args, words)
		}
		if _, err := tx.ExecContext(ctx, "UPDATE notification_targets SET "+column+" WHERE id = ?", append(args, d.target.ID)...); err != nil {
			return err
		}
		if !given || d.event.Type == givenUp { // of what was not told that something was not told, nobody is told
			return nil
		}
		return n.Announce(ctx, tx, darter.Event{Type: givenUp, Resource: "notifications/" + d.target.ID, Data: map[string]string{"event": d.event.ID, "type": d.event.Type},
			Text: fmt.Sprintf("target %s was not told of %s: %s", d.target.Name, d.event.Type, words)})
	})
	if err == nil {
		n.report(d, a, given)
	}
	return err
}

const givenUp = "notification.given_up"

func (n *Notifier) report(d *delivery, a answer, given bool) {
	ev := &n.cfg.Events
	switch {
	case a.err == nil && ev.Delivered != nil:
		ev.Delivered(d.target.Name, a.took)
	case given && ev.GivenUp != nil:
		ev.GivenUp(d.target.Name, "tries")
	case a.err != nil && !given && ev.Refused != nil:
		ev.Refused(d.target.Name, d.attempt, a.err)
	}
}

// Trial is how a test of a target went.
type Trial struct {
	Status int
	Took   time.Duration
	Error  string
}

// Test sends one event to a target now, whether it is enabled or not, and says what came of it.
func (n *Notifier) Test(ctx context.Context, id string, by By) (Trial, error) {
	d := delivery{attempt: 1}
	err := n.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		row, err := loadTarget(ctx, tx, id, "")
		if err != nil {
			return err
		}
		now, err := n.now(ctx, tx)
		if err != nil {
			return err
		}
		d.target = row.target()
		if d.key, err = n.cfg.Sealer.Open(row.Secret, place(row.ID)); err != nil {
			return err
		}
		d.event = darter.Event{ID: tx.NewID(), At: now, Type: "notification.test", Resource: "notifications/" + id, Actor: by.Actor, Request: by.Request,
			Text: "a test of target " + row.Name}
		return n.audit(ctx, tx, "notification.test", id, by)
	})
	if err != nil {
		return Trial{}, err
	}
	a := n.post(ctx, &d)
	out := Trial{Status: a.status, Took: a.took}
	if a.err != nil {
		out.Error = clip(a.err.Error(), maxText)
	}
	return out, nil
}

// Delivery is one event that a target was, or is to be, told of.
type Delivery struct {
	ID       string
	Event    string
	Type     string
	State    string // waiting, delivered, given_up
	Attempts int
	Next     time.Time
	Status   int
	Error    string
	Created  time.Time
	Ended    time.Time
}

// Deliveries lists a target's, the newest first, from before an id on.
func (n *Notifier) Deliveries(ctx context.Context, target, before string, limit int) (out []Delivery, err error) {
	err = n.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		if _, err := loadTarget(ctx, tx, target, ""); err != nil {
			return err
		}
		var rows []struct {
			ID, EventID, Type, State, Error string
			Attempts, Status                int
			NextAt, CreatedAt, EndedAt      database.Micros
		}
		err := tx.NewRaw(`SELECT d.id, d.event_id, coalesce(e.type, '') AS type, d.state, d.attempts, d.next_at, d.status, d.error, d.created_at, d.ended_at
			FROM notification_deliveries d LEFT JOIN events e ON e.id = d.event_id WHERE d.target_id = ? AND (? = '' OR d.id < ?) ORDER BY d.id DESC LIMIT ?`,
			target, before, before, min(max(limit, 1), 500)).Scan(ctx, &rows)
		out = make([]Delivery, len(rows))
		for i, r := range rows {
			out[i] = Delivery{ID: r.ID, Event: r.EventID, Type: r.Type, State: r.State, Attempts: r.Attempts, Next: r.NextAt.Time(), Status: r.Status, Error: r.Error,
				Created: r.CreatedAt.Time(), Ended: r.EndedAt.Time()}
		}
		return err
	})
	return out, err
}
