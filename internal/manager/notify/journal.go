package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// Bounds of one event.
const (
	maxText = 1 << 10
	maxBody = 64 << 10
)

// numbered is how many events one transaction numbers.
const numbered = 500

// Announce writes an event down in the transaction of its cause. Its id and time are given here.
func (n *Notifier) Announce(ctx context.Context, tx *database.Tx, e darter.Event) error {
	if e.Type == "" || e.Resource == "" {
		return &darter.Error{Kind: darter.Internal, Op: "announce event", Err: errors.New("an event needs a type and a resource")}
	}
	now, err := n.now(ctx, tx)
	if err != nil {
		return err
	}
	e.ID, e.At, e.Sequence = tx.NewID(), now, 0
	e.Text, e.Reason = clip(e.Text, maxText), clip(e.Reason, maxText)
	body, err1 := json.Marshal(e)
	targets, err2 := json.Marshal(append([]string{}, e.Notify...))
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if len(body) > maxBody { // what happened counts; the rest can be read where it happened
		e.Data = nil
		if body, err = json.Marshal(e); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO events (id, at, type, resource, cluster, targets, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
		e.ID, database.At(now), e.Type, e.Resource, e.Cluster, string(targets), string(body))
	if err != nil {
		return err
	}
	if n.cfg.Events.Announced != nil {
		n.cfg.Events.Announced(e.Type)
	}
	return tx.Notify(topicNew, "")
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

// Number gives numbers to events that have none, and each a delivery per target that wants it. It returns how many
// events that were.
func (n *Notifier) Number(ctx context.Context) (count int, err error) {
	waiting, err := n.unnumbered(ctx)
	if err != nil || !waiting { // do not take the row for nothing
		return 0, err
	}
	due := false
	err = n.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		var last int64
		if err := tx.QueryRowContext(ctx, "SELECT last FROM event_numbers WHERE name = 'events' ?", tx.ForUpdate()).Scan(&last); err != nil {
			return err
		}
		fresh, err := news(ctx, tx)
		if err != nil || len(fresh) == 0 {
			count = 0
			return err
		}
		targets, err := enabledTargets(ctx, tx)
		if err != nil {
			return err
		}
		for i := range fresh {
			last++
			if _, err := tx.ExecContext(ctx, "UPDATE events SET sequence = ? WHERE id = ?", last, fresh[i].ID); err != nil {
				return err
			}
			for k := range targets {
				if !targets[k].wants(&fresh[i]) {
					continue
				}
				due = true
				if err := n.enqueue(ctx, tx, &fresh[i], &targets[k]); err != nil {
					return err
				}
			}
		}
		count = len(fresh)
		if _, err := tx.ExecContext(ctx, "UPDATE event_numbers SET last = ? WHERE name = 'events'", last); err != nil {
			return err
		}
		if due {
			if err := tx.Notify(topicDue, ""); err != nil {
				return err
			}
		}
		return tx.Notify(topicNumbered, "")
	})
	return count, err
}

func (n *Notifier) unnumbered(ctx context.Context) (there bool, err error) {
	err = n.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM events WHERE sequence = 0)").Scan(&there)
	})
	return there, err
}

// news reads what has no number yet, in the order in which the ids were made.
func news(ctx context.Context, tx *database.Tx) ([]darter.Event, error) {
	var rows []struct{ Body, Targets string }
	err := tx.NewRaw("SELECT body, targets FROM events WHERE sequence = 0 ORDER BY id LIMIT ?", numbered).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	out := make([]darter.Event, len(rows))
	for i, r := range rows {
		if err := errors.Join(json.Unmarshal([]byte(r.Body), &out[i]), json.Unmarshal([]byte(r.Targets), &out[i].Notify)); err != nil {
			return nil, &darter.Error{Kind: darter.Corrupt, Op: "read event", Err: err}
		}
	}
	return out, nil
}

// Filter says which events are wanted. Empty fields ask for all.
type Filter struct {
	Types    []string // patterns: "job.failed", "job.*", "*"
	Resource string   // this one, or what lies below it
	Cluster  string
}

// Validate refuses patterns that can never match.
func (f *Filter) Validate() error {
	if len(f.Types) > maxTypes || len(f.Resource) > 512 || len(f.Cluster) > 256 {
		return &darter.Error{Kind: darter.Invalid, Op: "check filter of events", Err: fmt.Errorf("more than %d types, or a name is too long", maxTypes)}
	}
	return checkTypes(f.Types)
}

func (f *Filter) matches(e *darter.Event) bool {
	switch {
	case f.Resource != "" && e.Resource != f.Resource && !strings.HasPrefix(e.Resource, strings.TrimSuffix(f.Resource, "/")+"/"):
		return false
	case f.Cluster != "" && e.Cluster != f.Cluster:
		return false
	case len(f.Types) == 0:
		return true
	}
	return matchAny(f.Types, e.Type)
}

// Page is some events in order. Last is the number up to which the journal was read: more than that of the last event
// when others did not match. Gap tells that events between the one asked for and the first are gone already.
type Page struct {
	Events []darter.Event
	Last   int64
	Gap    bool
}

// scanned is how many events one page looks at: a filter that matches little must not read the whole journal at once.
const scanned = 1000

// List returns up to limit (500) events after a number.
func (n *Notifier) List(ctx context.Context, f Filter, after int64, limit int) (out Page, err error) {
	if err := f.Validate(); err != nil {
		return out, err
	}
	err = n.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		var rows []eventRow
		if err := tx.NewRaw("SELECT sequence, body FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?", max(after, 0), scanned).Scan(ctx, &rows); err != nil {
			return err
		}
		out = Page{Last: after, Gap: len(rows) > 0 && after > 0 && rows[0].Sequence > after+1}
		return out.add(f, rows, limit)
	})
	return out, err
}

// ListBack returns up to limit (500) events before a number, the newest first; 0 is the end. Last is the number down to
// which the journal was read.
func (n *Notifier) ListBack(ctx context.Context, f Filter, before int64, limit int) (out Page, err error) {
	if err := f.Validate(); err != nil {
		return out, err
	}
	end := before
	if end <= 0 {
		end = math.MaxInt64
	}
	err = n.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		var rows []eventRow
		if err := tx.NewRaw("SELECT sequence, body FROM events WHERE sequence > 0 AND sequence < ? ORDER BY sequence DESC LIMIT ?", end, scanned).Scan(ctx, &rows); err != nil {
			return err
		}
		out = Page{Last: before}
		return out.add(f, rows, limit)
	})
	return out, err
}

type eventRow struct {
	Sequence int64
	Body     string
}

// add takes what is wanted of rows, up to limit.
func (p *Page) add(f Filter, rows []eventRow, limit int) error {
	limit = min(max(limit, 1), 500)
	for _, r := range rows {
		if len(p.Events) == limit {
			return nil
		}
		var e darter.Event
		if err := json.Unmarshal([]byte(r.Body), &e); err != nil {
			return &darter.Error{Kind: darter.Corrupt, Op: fmt.Sprintf("read event %d", r.Sequence), Err: err}
		}
		p.Last, e.Sequence = r.Sequence, r.Sequence
		if f.matches(&e) {
			p.Events = append(p.Events, e)
		}
	}
	return nil
}

// Newest returns the number of the last event, 0 when there was none.
func (n *Notifier) Newest(ctx context.Context) (last int64, err error) {
	err = n.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT last FROM event_numbers WHERE name = 'events'").Scan(&last)
	})
	return last, err
}

// Await returns events after a number as List does, and waits for some while there are none. It returns none when ctx
// ends; Last then says how far it has read.
func (n *Notifier) Await(ctx context.Context, f Filter, after int64) (Page, error) {
	sub := n.db.Subscribe(topicNumbered)
	defer sub.Close()
	for {
		page, err := n.List(ctx, f, after, 500)
		if err != nil || len(page.Events) > 0 || page.Gap {
			return page, err
		}
		if page.Last > after {
			after = page.Last
			continue
		}
		select {
		case <-ctx.Done():
			return page, nil
		case <-sub.C():
		}
	}
}

// Tail yields pages of events after a number, those to come included, until ctx ends.
func (n *Notifier) Tail(ctx context.Context, f Filter, after int64) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		for ctx.Err() == nil {
			page, err := n.Await(ctx, f, after)
			if err != nil && ctx.Err() != nil {
				return
			}
			if after = page.Last; (len(page.Events) > 0 || page.Gap || err != nil) && !yield(page, err) || err != nil {
				return
			}
		}
	}
}
