package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
)

// clock is a time that only tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type clusterList []uint64

func (c clusterList) ClusterIDs(context.Context) ([]uint64, error) { return c, nil }

// sealer turns bytes around: enough to see that what lies in the row is not what was given.
type sealer struct{}

func (sealer) Seal(label string, plain []byte) ([]byte, error) {
	out := slices.Clone(plain)
	slices.Reverse(out)
	return append([]byte(label+"|"), out...), nil
}

func (sealer) Open(label string, sealed []byte) ([]byte, error) {
	rest, ok := strings.CutPrefix(string(sealed), label+"|")
	if !ok {
		return nil, errors.New("sealed for something else")
	}
	out := []byte(rest)
	slices.Reverse(out)
	return out, nil
}

// rig is an engine with a clock of its own.
type rig struct {
	*Engine
	t     testing.TB
	db    *database.DB
	clock *clock
}

func newRig(t testing.TB, db *database.DB, change ...func(*Config)) *rig {
	t.Helper()
	c := &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	cfg := DefaultConfig()
	cfg.DB, cfg.Replica, cfg.Now, cfg.Clusters, cfg.Sealer = db, "m1", c.Now, clusterList{1}, sealer{}
	for _, f := range change {
		f(&cfg)
	}
	e, err := New(cfg)
	require.NoError(t, err)
	return &rig{Engine: e, t: t, db: db, clock: c}
}

func each(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	databasetest.Each(t, func(t *testing.T, db *database.DB) { test(t, newRig(t, db)) }, Tables())
}

func (r *rig) write(f func(ctx context.Context, tx *database.Tx) error) error {
	return r.db.Write(r.t.Context(), f)
}

func preheat(urls ...string) Request {
	return Request{Kind: darter.PreheatFiles, Owner: "me", Spec: Spec{URLs: urls, Targets: darter.Targets{Scope: darter.AllPeers}}}
}

func urls(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("https://origin.example/models/%d/weights.safetensors", i)
	}
	return out
}

func targets(n int) []darter.Target {
	out := make([]darter.Target, n)
	for i := range out {
		ip := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		out[i] = darter.Target{ID: darter.HostID(fmt.Sprintf("%s-host-%d", ip, i)), Hostname: fmt.Sprintf("host-%d", i), IP: ip, Port: 4000}
	}
	return out
}

func (r *rig) enqueue(q Request) Enqueued {
	r.t.Helper()
	var out Enqueued
	require.NoError(r.t, r.write(func(ctx context.Context, tx *database.Tx) (err error) {
		out, err = r.Enqueue(ctx, tx, q)
		return err
	}))
	return out
}

// resolve does the manager's part of every job that waits for it.
func (r *rig) resolve() {
	r.t.Helper()
	for {
		o, err := r.Claim(r.t.Context(), Claimer{Owner: "m1", Manager: true})
		require.NoError(r.t, err)
		if o == nil {
			return
		}
		require.NoError(r.t, r.work(r.t.Context(), o))
	}
}

func (r *rig) claim(owner string) *darter.Order {
	r.t.Helper()
	o, err := r.Claim(r.t.Context(), Claimer{Owner: owner, Cluster: 1})
	require.NoError(r.t, err)
	return o
}

func (r *rig) mustClaim(owner string) *darter.Order {
	r.t.Helper()
	o := r.claim(owner)
	require.NotNil(r.t, o, "nothing to claim")
	return o
}

func (r *rig) get(id darter.JobID) Job {
	r.t.Helper()
	j, err := r.Get(r.t.Context(), id)
	require.NoError(r.t, err)
	return j
}

func (r *rig) state(id darter.JobID) darter.JobState { return r.get(id).State }

func (r *rig) report(o darter.OrderReport) {
	r.t.Helper()
	require.NoError(r.t, r.Report(r.t.Context(), o))
}

func (r *rig) wish(id darter.JobID, f func(ctx context.Context, tx *database.Tx, actor string, id darter.JobID) error) {
	r.t.Helper()
	require.NoError(r.t, r.write(func(ctx context.Context, tx *database.Tx) error { return f(ctx, tx, "me", id) }))
}

// outcomes are all pairs of an order, done.
func outcomes(o *darter.Order, hosts int) []darter.OrderOutcome {
	var out []darter.OrderOutcome
	for _, it := range o.Items {
		for h := range hosts {
			if !slices.Contains(it.Done, uint32(h)) {
				out = append(out, darter.OrderOutcome{Item: it.Number, Host: uint32(h), Bytes: 10})
			}
		}
	}
	return out
}

func types(events []Event) []string {
	var out []string
	for _, ev := range events {
		kind := ev.Type
		if kind == "state" {
			_, to, _ := strings.Cut(ev.JSON, `"to":"`)
			kind, _, _ = strings.Cut(to, `"`)
		}
		out = append(out, kind)
	}
	return out
}

func TestAJobFromBeginToEnd(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		q := preheat("https://origin.example/a", "https://origin.example/b?token=1")
		q.Spec.Header = map[string]string{"Authorization": "Bearer secret-word"}
		in := r.enqueue(q)
		require.Equal(t, darter.JobQueued, r.state(in.ID))
		require.Nil(t, r.claim("s"), "nothing is there for a scheduler before it is resolved")
		r.resolve()

		o := r.mustClaim("s")
		require.Equal(t, darter.OrderLease{Job: in.ID, Step: 1, Epoch: 1}, o.Lease)
		require.Len(t, o.Items, 2)
		require.Equal(t, "Bearer secret-word", o.Items[0].Want.Header["Authorization"])
		require.Len(t, string(o.Items[0].Task), 64)
		require.Equal(t, darter.JobRunning, r.state(in.ID))

		r.report(darter.OrderReport{Lease: o.Lease, Hosts: targets(3)})
		r.clock.pass(2 * time.Second)
		all := outcomes(o, 3)
		r.report(darter.OrderReport{Lease: o.Lease, Outcomes: all[:4]})
		r.report(darter.OrderReport{Lease: o.Lease, Outcomes: all[2:5]}) // half of it was said before
		j := r.get(in.ID)
		require.Equal(t, machine.Tally{Items: 2, Warm: 2, Complete: 1, Pairs: 6, Done: 5, Bytes: 50}, j.Tally)
		r.report(darter.OrderReport{Lease: o.Lease, Outcomes: all, Ended: true})

		j = r.get(in.ID)
		require.Equal(t, darter.JobSucceeded, j.State)
		require.Equal(t, machine.Tally{Items: 2, Warm: 2, Complete: 2, Pairs: 6, Done: 6, Bytes: 60}, j.Tally)
		require.Equal(t, r.clock.Now(), j.Finished)
		story, err := r.Story(t.Context(), in.ID, 0)
		require.NoError(t, err)
		require.Equal(t, []string{"created", "resolving", "queued", "running", "progress", "progress", "progress", "succeeded"}, types(story))
		for i, ev := range story {
			require.EqualValues(t, i+1, ev.Sequence)
		}
		byNumber, err := r.GetCompat(t.Context(), in.CompatID)
		require.NoError(t, err)
		require.Equal(t, in.ID, byNumber.ID)

		err = r.Report(t.Context(), darter.OrderReport{Lease: o.Lease, Outcomes: all})
		require.True(t, IsLost(err), "%v", err)
		for _, wish := range []func(context.Context, *database.Tx, string, darter.JobID) error{r.Cancel, r.Pause, r.Resume} {
			err := r.write(func(ctx context.Context, tx *database.Tx) error { return wish(ctx, tx, "me", in.ID) })
			require.ErrorIs(t, err, machine.ErrTerminal)
			require.Equal(t, darter.Conflict, darter.KindOf(err))
		}
		require.Equal(t, j, r.get(in.ID), "a job that is over does not change")
		var rows []string
		require.NoError(t, r.db.Read(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			rows = nil
			return tx.NewRaw("SELECT want FROM job_items UNION ALL SELECT spec FROM jobs UNION ALL SELECT data FROM job_events UNION ALL SELECT 'sealed' FROM jobs WHERE secrets IS NOT NULL").Scan(ctx, &rows)
		}))
		require.NotContains(t, strings.Join(rows, "\n"), "secret-word")
		require.NotContains(t, rows, "sealed", "secrets go with the job's end")
	})
}

func TestSecretsLieSealed(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		q := preheat("https://origin.example/a")
		q.Spec.Header = map[string]string{"Authorization": "secret-word"}
		r.enqueue(q)
		var sealed []byte
		require.NoError(t, r.db.Read(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			return tx.NewRaw("SELECT secrets FROM jobs").Scan(ctx, &sealed)
		}))
		require.NotContains(t, string(sealed), "secret-word")
		r.cfg.Sealer = nil
		err := r.write(func(ctx context.Context, tx *database.Tx) error { _, err := r.Enqueue(ctx, tx, q); return err })
		require.Equal(t, darter.Invalid, darter.KindOf(err), "without a key nothing is kept: %v", err)
	})
}

func TestOnlyWhatIsUnfinishedIsTriedAgain(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		in := r.enqueue(preheat(urls(3)...))
		r.resolve()
		o := r.mustClaim("s")
		said := outcomes(o, 2)
		said[1].Failure, said[1].Text = darter.FailedConnect, "connection refused"
		said[3].Failure = darter.Failed404 // final
		r.report(darter.OrderReport{Lease: o.Lease, Hosts: targets(2), Outcomes: said, Ended: true})
		j := r.get(in.ID)
		require.Equal(t, darter.JobQueued, j.State)
		require.EqualValues(t, 2, j.Tally.Failed)
		require.Nil(t, r.claim("s"), "not before the wait is over")

		r.clock.pass(7 * time.Second)
		o = r.mustClaim("other")
		require.EqualValues(t, 2, o.Lease.Epoch)
		require.Len(t, o.Hosts, 2)
		require.Len(t, o.Items, 1, "the item that failed for good and the one that is complete stay away")
		require.Equal(t, []uint32{0}, o.Items[0].Done)
		r.report(darter.OrderReport{Lease: o.Lease, Outcomes: outcomes(o, 2), Ended: true})
		j = r.get(in.ID)
		require.Equal(t, darter.JobPartial, j.State)
		require.Equal(t, darter.Failed404, j.Failure)
		require.Equal(t, machine.Tally{Items: 3, Warm: 3, Complete: 2, Pairs: 6, Done: 5, Failed: 1, Fatal: 1, Bytes: 50}, j.Tally)
		failed, err := r.Failures(t.Context(), in.ID, nil, 10)
		require.NoError(t, err)
		require.Len(t, failed, 1)
		require.Equal(t, darter.Failed404, failed[0].Class)

		again := Enqueued{}
		require.NoError(t, r.write(func(ctx context.Context, tx *database.Tx) (err error) {
			again, err = r.Retry(ctx, tx, "me", in.ID, nil)
			return err
		}))
		require.Equal(t, []string{urls(3)[1]}, r.get(again.ID).Spec.URLs)
		require.Equal(t, in.ID, r.get(again.ID).Parent)
	})
}

func TestAttemptsEnd(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		q := preheat("https://origin.example/a")
		q.MaxAttempts = 3
		in := r.enqueue(q)
		r.resolve()
		for range 3 {
			r.clock.pass(time.Minute)
			o := r.mustClaim("s")
			r.report(darter.OrderReport{Lease: o.Lease, Hosts: targets(1), Ended: true,
				Outcomes: []darter.OrderOutcome{{Failure: darter.Failed5xx, Text: "it said \x00 502\nand more"}}})
		}
		j := r.get(in.ID)
		require.Equal(t, darter.JobFailed, j.State)
		require.Equal(t, darter.Failed5xx, j.Failure)
		failed, err := r.Failures(t.Context(), in.ID, nil, 10)
		require.NoError(t, err)
		require.EqualValues(t, 3, failed[0].Attempts)
		require.Equal(t, "it said   502 and more", failed[0].Text)
	})
}

func TestOneSeedIsEnough(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		q := preheat(urls(2)...)
		q.Spec.Targets.Scope = darter.OneSeed
		in := r.enqueue(q)
		r.resolve()
		o := r.mustClaim("s")
		r.report(darter.OrderReport{Lease: o.Lease, Hosts: targets(3), Ended: true, Outcomes: []darter.OrderOutcome{
			{Item: 0, Host: 2}, {Item: 1, Host: 0, Failure: darter.FailedConnect}}})
		require.Equal(t, darter.JobQueued, r.state(in.ID))
		r.clock.pass(time.Minute)
		o = r.mustClaim("s")
		require.Len(t, o.Items, 1)
		r.report(darter.OrderReport{Lease: o.Lease, Ended: true, Outcomes: []darter.OrderOutcome{{Item: 1, Host: 1}}})
		require.Equal(t, darter.JobSucceeded, r.state(in.ID))
	})
}

func TestAFailureForAllIsAFailure(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		q := preheat(urls(2)...)
		q.Spec.Targets.Scope = darter.OneSeed
		in := r.enqueue(q)
		r.resolve()
		o := r.mustClaim("s")
		r.report(darter.OrderReport{Lease: o.Lease, Hosts: targets(1), Ended: true, Outcomes: []darter.OrderOutcome{
			{Item: 0, Failure: darter.Failed404}, {Item: 1, Failure: darter.Failed404}}})
		j := r.get(in.ID)
		require.Equal(t, darter.JobFailed, j.State)
		require.Equal(t, darter.Failed404, j.Failure)
	})
}

func TestNobodyMatches(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		q := preheat("https://origin.example/a")
		q.MaxAttempts = 1
		in := r.enqueue(q)
		r.resolve()
		r.report(darter.OrderReport{Lease: r.mustClaim("s").Lease, Ended: true})
		j := r.get(in.ID)
		require.Equal(t, darter.JobFailed, j.State)
		require.Equal(t, darter.FailedNoTarget, j.Failure)
	})
}

func TestALostLease(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		in := r.enqueue(preheat(urls(1)...))
		r.resolve()
		first := r.mustClaim("first")
		r.report(darter.OrderReport{Lease: first.Lease, Hosts: targets(2), Outcomes: []darter.OrderOutcome{{Host: 0}}})
		r.clock.pass(15 * time.Second)
		words, err := r.Heartbeat(t.Context(), []darter.OrderLease{first.Lease})
		require.NoError(t, err)
		require.Empty(t, words)
		r.clock.pass(15 * time.Second)
		n, err := r.Tick(t.Context())
		require.NoError(t, err)
		require.Zero(t, n, "it was renewed")
		r.clock.pass(5 * time.Second)
		n, err = r.Tick(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, darter.JobQueued, r.state(in.ID))

		second := r.mustClaim("second")
		require.Equal(t, []uint32{0}, second.Items[0].Done, "what was reported in time counts")
		words, err = r.Heartbeat(t.Context(), []darter.OrderLease{first.Lease, second.Lease})
		require.NoError(t, err)
		require.Len(t, words, 1)
		require.True(t, words[0].Lost)
		before := r.get(in.ID)
		for _, late := range []darter.OrderReport{{Outcomes: []darter.OrderOutcome{{Host: 1}}}, {Ended: true}, {Released: true}, {Hosts: targets(3)}} {
			late.Lease = first.Lease
			require.True(t, IsLost(r.Report(t.Context(), late)))
		}
		require.Equal(t, before, r.get(in.ID))
		r.report(darter.OrderReport{Lease: second.Lease, Outcomes: outcomes(second, 2), Ended: true})
		require.Equal(t, darter.JobSucceeded, r.state(in.ID))
	})
}

func TestPauseCancelExpire(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		in := r.enqueue(preheat(urls(1)...))
		r.resolve()
		o := r.mustClaim("s")
		r.wish(in.ID, r.Pause)
		require.Equal(t, darter.JobPaused, r.state(in.ID))
		words, err := r.Heartbeat(t.Context(), []darter.OrderLease{o.Lease})
		require.NoError(t, err)
		require.Equal(t, []Word{{Lease: o.Lease, Stop: true, Reason: "paused"}}, words)
		r.report(darter.OrderReport{Lease: o.Lease, Released: true, Hosts: targets(2), Outcomes: []darter.OrderOutcome{{Host: 1}}})
		require.Nil(t, r.claim("s"))
		r.wish(in.ID, r.Resume)
		o = r.mustClaim("s")
		require.Equal(t, []uint32{1}, o.Items[0].Done)
		r.wish(in.ID, r.Cancel)
		require.Equal(t, darter.JobCanceling, r.state(in.ID))
		r.report(darter.OrderReport{Lease: o.Lease, Released: true})
		require.Equal(t, darter.JobCanceled, r.state(in.ID))

		in = r.enqueue(preheat(urls(2)...))
		r.wish(in.ID, r.Cancel)
		require.Equal(t, darter.JobCanceled, r.state(in.ID), "at once when nobody works on it")

		q := preheat(urls(3)...)
		q.StartWithin = time.Minute
		in = r.enqueue(q)
		require.NoError(t, r.write(func(ctx context.Context, tx *database.Tx) error { return r.Extend(ctx, tx, "me", in.ID, time.Minute) }))
		r.clock.pass(time.Minute)
		_, err = r.Tick(t.Context())
		require.NoError(t, err)
		require.Equal(t, darter.JobQueued, r.state(in.ID))
		r.clock.pass(time.Minute)
		require.Nil(t, r.claim("s"))
		_, err = r.Tick(t.Context())
		require.NoError(t, err)
		require.Equal(t, darter.JobExpired, r.state(in.ID))

		q = preheat(urls(4)...)
		q.RunFor = time.Minute
		in = r.enqueue(q)
		r.resolve()
		o = r.mustClaim("s")
		r.report(darter.OrderReport{Lease: o.Lease, Hosts: targets(1), Outcomes: []darter.OrderOutcome{{Item: 0}, {Item: 1}, {Item: 2}, {Item: 3, Failure: darter.FailedConnect}}})
		r.clock.pass(50 * time.Second)
		_, err = r.Heartbeat(t.Context(), []darter.OrderLease{o.Lease})
		require.NoError(t, err)
		r.clock.pass(10 * time.Second)
		_, err = r.Tick(t.Context())
		require.NoError(t, err)
		require.Equal(t, darter.JobCanceling, r.state(in.ID))
		r.report(darter.OrderReport{Lease: o.Lease, Released: true})
		j := r.get(in.ID)
		require.Equal(t, darter.JobFailed, j.State, "one of four is nowhere")
		require.Equal(t, darter.FailedTimeout, j.Failure)
	})
}
