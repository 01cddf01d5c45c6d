package notify_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/notify"
)

// plainBox seals by putting the place before the secret, so that a test sees what lies where.
type plainBox struct{}

func (plainBox) Seal(secret []byte, place string) ([]byte, error) {
	out := slices.Clone(secret)
	slices.Reverse(out)
	return append([]byte(place+"|"), out...), nil
}

func (plainBox) Open(sealed []byte, place string) ([]byte, error) {
	rest, ok := strings.CutPrefix(string(sealed), place+"|")
	if !ok {
		return nil, errors.New("sealed for another place")
	}
	out := []byte(rest)
	slices.Reverse(out)
	return out, nil
}

// ledger keeps audit events.
type ledger struct {
	mu     sync.Mutex
	events []darter.AuditEvent
}

func (l *ledger) Record(_ context.Context, _ *database.Tx, e darter.AuditEvent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	return nil
}

// hook is a target that answers with a status and remembers what it got.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	header http.Header
	got    []*http.Request
	bodies [][]byte
}

func newHook(t *testing.T) *hook {
	h := &hook{status: http.StatusNoContent, header: make(http.Header)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got, h.bodies = append(h.got, r), append(h.bodies, body)
		for name, values := range h.header {
			w.Header()[name] = values
		}
		w.WriteHeader(h.status)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) say(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *hook) calls() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.got)
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type rig struct {
	*notify.Notifier
	db    *database.DB
	audit *ledger
	clock *clock
}

func build(t *testing.T, db *database.DB, change func(*notify.Config)) *rig {
	t.Helper()
	r := &rig{db: db, audit: &ledger{}, clock: &clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}}
	cfg := notify.Config{DB: db, Sealer: plainBox{}, Audit: r.audit, Client: http.DefaultClient, Now: r.clock.Now, Poll: 20 * time.Millisecond,
		Events: notify.Events{Failed: func(what string, err error) { t.Errorf("could not %s: %v", what, err) }},
		Check: func(_ context.Context, u *url.URL) error {
			if u.Hostname() == "forbidden.example" {
				return &darter.Error{Kind: darter.Denied, Op: "go there", Err: errors.New("no")}
			}
			return nil
		}}
	if change != nil {
		change(&cfg)
	}
	n, err := notify.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Notifier = n
	return r
}

func (r *rig) announce(t *testing.T, all ...darter.Event) {
	t.Helper()
	err := r.db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		for _, e := range all {
			if err := r.Announce(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// forget removes an event as its retention policy would.
func (r *rig) forget(t *testing.T, sequence int64) {
	t.Helper()
	err := r.db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM events WHERE sequence = ?", sequence)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) run(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- r.db.Run(ctx) }()
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

// until waits for what another goroutine brings about.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute) // for what never comes; how long it takes is no matter
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("%s does not come about", what)
		case <-tick.C:
		}
	}
}

var me = notify.By{Actor: darter.Actor{Kind: "user", ID: "u1"}, IfMatch: "*"}

func TestEventsAreThereWithTheirCauseOrNotAtAll(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		r := build(t, db, nil)
		failed := errors.New("undone")
		err := db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			return errors.Join(r.Announce(ctx, tx, darter.Event{Type: "job.failed", Resource: "jobs/undone"}), failed)
		})
		if !errors.Is(err, failed) {
			t.Fatal(err)
		}
		r.announce(t, darter.Event{Type: "job.failed", Resource: "jobs/1", Cluster: "c1", Data: map[string]string{"kind": "preheat.files"}},
			darter.Event{Type: "host.offline", Resource: "hosts/h"})
		if page, err := r.List(t.Context(), notify.Filter{}, 0, 10); err != nil || len(page.Events) != 0 {
			t.Fatalf("before they are numbered: %+v, %v", page, err)
		}
		if n, err := r.Number(t.Context()); err != nil || n != 2 {
			t.Fatalf("numbered %d, %v", n, err)
		}
		page, err := r.List(t.Context(), notify.Filter{}, 0, 10)
		if err != nil || len(page.Events) != 2 || page.Last != 2 || page.Gap {
			t.Fatalf("%+v, %v", page, err)
		}
		if e := page.Events[0]; e.Sequence != 1 || e.Resource != "jobs/1" || e.ID == "" || e.At.IsZero() || e.Data["kind"] != "preheat.files" {
			t.Errorf("%+v", e)
		}
		for name, c := range map[string]struct {
			filter notify.Filter
			want   int
		}{
			"type": {notify.Filter{Types: []string{"job.*"}}, 1}, "exact type": {notify.Filter{Types: []string{"host.offline"}}, 1}, "all": {notify.Filter{Types: []string{"*"}}, 2},
			"resource": {notify.Filter{Resource: "jobs"}, 1}, "one": {notify.Filter{Resource: "jobs/1"}, 1}, "cluster": {notify.Filter{Cluster: "c1"}, 1}, "no prefix of a word": {notify.Filter{Resource: "job"}, 0},
		} {
			if page, err := r.List(t.Context(), c.filter, 0, 10); err != nil || len(page.Events) != c.want || page.Last != 2 {
				t.Errorf("%s: %+v, %v", name, page, err)
			}
		}
		r.forget(t, 1)
		if page, err := r.List(t.Context(), notify.Filter{}, 0, 10); err != nil || page.Gap {
			t.Errorf("from the beginning nothing is missed: %+v, %v", page, err)
		}
		r.announce(t, darter.Event{Type: "job.queued", Resource: "jobs/2"}, darter.Event{Type: "job.queued", Resource: "jobs/3"})
		if _, err := r.Number(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.forget(t, 3)
		if page, err := r.List(t.Context(), notify.Filter{}, 2, 10); err != nil || !page.Gap || len(page.Events) != 1 {
			t.Errorf("whoever had read up to 2 has missed 3: %+v, %v", page, err)
		}
	}, notify.Migrations())
}

// TestReadersSeeEachEventOnce has managers announce and number at once while somebody reads.
func TestReadersSeeEachEventOnce(t *testing.T) {
	const writers, each = 4, 25
	databasetest.EachURL(t, func(t *testing.T, where string) {
		db := databasetest.Open(t, where, notify.Migrations())
		first := build(t, db, nil)
		all := []*rig{first, first}
		if db.Dialect() == database.Postgres {
			all[1] = build(t, databasetest.Open(t, where, notify.Migrations()), nil)
			all[1].run(t)
		}
		all[0].run(t)
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for i := range each {
					all[w%2].announce(t, darter.Event{Type: "job.queued", Resource: fmt.Sprintf("jobs/%d-%d", w, i)})
				}
			})
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		seen := make(map[string]bool)
		last := int64(0)
		for page, err := range all[1].Tail(ctx, notify.Filter{}, 0) {
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Events {
				if e.Sequence != last+1 || seen[e.Resource] {
					t.Fatalf("event %d (%s) after %d", e.Sequence, e.Resource, last)
				}
				last, seen[e.Resource] = e.Sequence, true
			}
			if last == writers*each {
				break
			}
		}
		group.Wait()
		if len(seen) != writers*each {
			t.Errorf("saw %d of %d", len(seen), writers*each)
		}
	})
}

func TestTargetsAreToldAndCanProveIt(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		r, h := build(t, db, nil), newHook(t)
		target, secret, err := r.Create(t.Context(), notify.Wish{Name: "ops", URL: h.URL + "/hook?x=1", Enabled: true}, me)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Create(t.Context(), notify.Wish{Name: "other", URL: h.URL + "/other", Types: []string{"*"}, Enabled: true}, me); err != nil {
			t.Fatal(err)
		}
		r.announce(t, darter.Event{Type: "job.queued", Resource: "jobs/1", Notify: []string{"ops"}}, // nobody wants it: ops by type, other by name
			darter.Event{Type: "job.failed", Resource: "jobs/1", Text: "it failed", Notify: []string{"ops"}})
		r.run(t)
		until(t, "a delivery", func() bool { return h.calls() == 1 })
		until(t, "its record", func() bool {
			now, err := r.Get(t.Context(), target.ID)
			return err == nil && !now.Told.IsZero() && now.Waiting == 0
		})
		q, body := h.got[0], h.bodies[0]
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			t.Fatal(err)
		}
		id := q.Header.Get("webhook-id")
		if want := notify.Sign(key, id, q.Header.Get("webhook-timestamp"), body); q.Header.Get("webhook-signature") != want || q.URL.RequestURI() != "/hook?x=1" {
			t.Errorf("%s signed %q, want %q", q.URL, q.Header.Get("webhook-signature"), want)
		}
		var e darter.Event
		if err := json.Unmarshal(body, &e); err != nil || e.Type != "job.failed" || e.ID != id || e.Sequence != 2 || e.Text != "it failed" {
			t.Errorf("%s, %v", body, err)
		}
		if all, err := r.Deliveries(t.Context(), target.ID, "", 10); err != nil || len(all) != 1 || all[0].State != "delivered" || all[0].Type != "job.failed" || all[0].Status != 204 {
			t.Errorf("%+v, %v", all, err)
		}
	}, notify.Migrations())
}

// The example of the Standard Webhooks specification, computed with its own library's algorithm by hand.
func TestSignatureIsThatOfTheSpecification(t *testing.T) {
	key, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := notify.Sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestFailedDeliveriesAreTriedAgainAndThenGivenUp(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		refused := make(chan int, 3) // a try that is over and written down, by number
		r, h := build(t, db, func(c *notify.Config) {
			c.Tries, c.Events.Refused = 3, func(_ string, attempt int, _ error) { refused <- attempt }
		}), newHook(t)
		h.say(http.StatusInternalServerError)
		target, _, err := r.Create(t.Context(), notify.Wish{Name: "ops", URL: h.URL, Types: []string{"job.*"}, Enabled: true}, me)
		if err != nil {
			t.Fatal(err)
		}
		r.announce(t, darter.Event{Type: "job.failed", Resource: "jobs/1"})
		r.run(t)
		first := func() notify.Delivery {
			all, err := r.Deliveries(t.Context(), target.ID, "", 10)
			if err != nil || len(all) == 0 {
				return notify.Delivery{}
			}
			return all[len(all)-1]
		}
		for try := 1; try < 3; try++ {
			until(t, "a failed try", func() bool { return len(refused) > 0 }) // the row alone shows a try under way with the words of the one before
			if n := <-refused; n != try || first().Attempts != try || first().Status != 500 || first().Error == "" {
				t.Errorf("try %d: %+v", n, first())
			}
			if wait := first().Next.Sub(r.clock.Now()); wait != 5*time.Second<<(try-1) {
				t.Errorf("after try %d it waits %s", try, wait)
			}
			if h.calls() != try {
				t.Errorf("%d calls after %d tries", h.calls(), try)
			}
			r.clock.forward(time.Minute)
		}
		until(t, "the end", func() bool { return first().State == "given_up" })
		if h.bodies[0] == nil || h.got[0].Header.Get("webhook-id") != h.got[2].Header.Get("webhook-id") {
			t.Error("repeated deliveries carry different ids")
		}
		var page notify.Page
		until(t, "the event that tells of it", func() bool {
			page, err = r.List(t.Context(), notify.Filter{Types: []string{"notification.*"}}, 0, 10)
			return err == nil && len(page.Events) == 1
		})
		if page.Events[0].Resource != "notifications/"+target.ID {
			t.Errorf("%+v", page.Events[0])
		}
	}, notify.Migrations())
}

func TestOneSilentTargetDelaysNoOther(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		r, h := build(t, db, nil), newHook(t)
		release := make(chan struct{})
		silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		defer silent.Close()
		defer close(release)
		for name, url := range map[string]string{"silent": silent.URL, "well": h.URL} {
			if _, _, err := r.Create(t.Context(), notify.Wish{Name: name, URL: url, Types: []string{"*"}, Enabled: true}, me); err != nil {
				t.Fatal(err)
			}
		}
		r.run(t)
		for i := range 3 {
			r.announce(t, darter.Event{Type: "job.failed", Resource: fmt.Sprintf("jobs/%d", i)})
		}
		until(t, "three deliveries", func() bool { return h.calls() == 3 })
	}, notify.Migrations())
}

func TestAFullQueueIsGivenUpAndSaysSo(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		r := build(t, db, func(c *notify.Config) { c.Queue = 2 })
		target, _, err := r.Create(t.Context(), notify.Wish{Name: "ops", URL: "https://hook.example", Types: []string{"*"}, Enabled: true}, me)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			r.announce(t, darter.Event{Type: "job.failed", Resource: "jobs/1"})
		}
		if _, err := r.Number(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, err := r.Deliveries(t.Context(), target.ID, "", 10)
		if err != nil || len(all) != 3 || all[0].State != "given_up" || all[0].Error == "" || all[1].State != "waiting" {
			t.Errorf("%+v, %v", all, err)
		}
		if now, err := r.Get(t.Context(), target.ID); err != nil || now.Waiting != 2 {
			t.Errorf("%+v, %v", now, err)
		}
	}, notify.Migrations())
}

func TestTargetsAreCheckedVersionedAndAudited(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		r, h := build(t, db, nil), newHook(t)
		good := notify.Wish{Name: "ops", URL: h.URL, Enabled: true}
		for name, change := range map[string]func(*notify.Wish){
			"no name": func(w *notify.Wish) { w.Name = "" }, "name": func(w *notify.Wish) { w.Name = "a b" }, "scheme": func(w *notify.Wish) { w.URL = "ftp://x/" },
			"user": func(w *notify.Wish) { w.URL = "https://me:pw@x/" }, "relative": func(w *notify.Wish) { w.URL = "/x" }, "type": func(w *notify.Wish) { w.Types = []string{"job.* "} },
			"types": func(w *notify.Wish) { w.Types = slices.Repeat([]string{"a"}, 100) }, "secret": func(w *notify.Wish) { w.Secret = "whsec_AAAA" }, "bare secret": func(w *notify.Wish) { w.Secret = strings.Repeat("A", 44) },
		} {
			w := good
			change(&w)
			if _, _, err := r.Create(t.Context(), w, me); darter.KindOf(err) != darter.Invalid {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, _, err := r.Create(t.Context(), notify.Wish{Name: "x", URL: "https://forbidden.example/"}, me); darter.KindOf(err) != darter.Denied {
			t.Errorf("egress: %v", err)
		}
		target, secret, err := r.Create(t.Context(), good, me)
		if err != nil || secret == "" || !slices.Equal(target.Types, notify.Unasked()) {
			t.Fatalf("%+v, %v", target, err)
		}
		if _, _, err := r.Create(t.Context(), good, me); darter.KindOf(err) != darter.Conflict {
			t.Errorf("twice: %v", err)
		}
		good.Types = []string{"*"}
		by := me
		by.IfMatch = ""
		if _, err := r.Replace(t.Context(), target.ID, good, by); !errors.Is(err, notify.ErrNoMatch) {
			t.Error(err)
		}
		by.IfMatch = target.ETag()
		next, err := r.Replace(t.Context(), target.ID, good, by)
		if err != nil || next.Version != 2 {
			t.Fatalf("%+v, %v", next, err)
		}
		if _, err := r.Replace(t.Context(), target.ID, good, by); !errors.Is(err, notify.ErrStale) {
			t.Error(err)
		}
		trial, err := r.Test(t.Context(), target.ID, by)
		if err != nil || trial.Status != 204 || trial.Error != "" || h.calls() != 1 {
			t.Errorf("%+v, %v", trial, err)
		}
		h.header.Set("Location", "https://elsewhere.example/")
		h.say(http.StatusFound)
		if trial, err := r.Test(t.Context(), target.ID, by); err != nil || trial.Status != 302 || trial.Error == "" {
			t.Errorf("a redirect: %+v, %v", trial, err)
		}
		by.IfMatch = next.ETag()
		if err := r.Delete(t.Context(), target.ID, by); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Get(t.Context(), target.ID); darter.KindOf(err) != darter.NotFound {
			t.Error(err)
		}
		var actions []string
		for _, e := range r.audit.events {
			actions = append(actions, e.Action)
			if text := fmt.Sprint(e); strings.Contains(text, strings.TrimPrefix(secret, "whsec_")) {
				t.Error("the secret is in the audit")
			}
		}
		if want := []string{"notification.create", "notification.update", "notification.test", "notification.test", "notification.delete"}; !slices.Equal(actions, want) {
			t.Errorf("%q, want %q", actions, want)
		}
	}, notify.Migrations())
}
