package jobs

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
)

func TestTheSameWorkIsDoneOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		first := r.enqueue(preheat(urls(2)...))
		q := preheat(urls(2)[1], urls(2)[0])
		q.Owner, q.Spec.Timeout = "you", 30*time.Minute
		second := r.enqueue(q)
		require.Equal(t, Enqueued{ID: first.ID, CompatID: first.CompatID, Attached: true}, second)
		q.Force = true
		require.NotEqual(t, first.ID, r.enqueue(q).ID)
		q = preheat(urls(2)...)
		q.Spec.Tag = "other"
		require.NotEqual(t, first.ID, r.enqueue(q).ID)
		r.wish(first.ID, r.Cancel)
		third := r.enqueue(preheat(urls(2)...))
		require.False(t, third.Attached, "nothing attaches to what is over")
	})
}

func TestTheSameRequestGetsTheSameJob(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		q := preheat(urls(1)...)
		q.RequestKey = "k"
		first := r.enqueue(q)
		r.wish(first.ID, r.Cancel)
		again := r.enqueue(q)
		require.Equal(t, Enqueued{ID: first.ID, CompatID: first.CompatID, Replayed: true}, again)
		other := q
		other.Owner = "you"
		require.NotEqual(t, first.ID, r.enqueue(other).ID, "another owner's key is another key")
		other = preheat(urls(2)...)
		other.RequestKey = "k"
		err := r.write(func(ctx context.Context, tx *database.Tx) error { _, err := r.Enqueue(ctx, tx, other); return err })
		require.ErrorIs(t, err, ErrKeyReused)
		require.Equal(t, darter.Conflict, darter.KindOf(err))
		r.clock.pass(25 * time.Hour)
		require.NotEqual(t, first.ID, r.enqueue(q).ID, "a day later it is a new request")
	})
}

func TestEnqueueIsWholeOrAbsent(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		broken := errors.New("the caller changed its mind")
		err := r.write(func(ctx context.Context, tx *database.Tx) error {
			if _, err := r.Enqueue(ctx, tx, preheat(urls(1)...)); err != nil {
				return err
			}
			return broken
		})
		require.ErrorIs(t, err, broken)
		list, err := r.List(t.Context(), Filter{})
		require.NoError(t, err)
		require.Empty(t, list)
	})
}

func TestWhatIsRefused(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for name, change := range map[string]func(*Request){
			"no kind":        func(q *Request) { q.Kind = "" },
			"no owner":       func(q *Request) { q.Owner = "" },
			"no URL":         func(q *Request) { q.Spec.URLs = nil },
			"relative":       func(q *Request) { q.Spec.URLs = []string{"/etc/passwd"} },
			"password":       func(q *Request) { q.Spec.URLs = []string{"https://me:hidden@o/x"} },
			"twice":          func(q *Request) { q.Spec.URLs = []string{"https://o/x", "https://o/x"} },
			"too many":       func(q *Request) { q.Spec.URLs = urls(MaxItems + 1) },
			"scope":          func(q *Request) { q.Spec.Targets.Scope = "everywhere" },
			"percent":        func(q *Request) { q.Spec.Targets.Percent = 101 },
			"piece length":   func(q *Request) { q.Spec.PieceLength = 1 },
			"threshold":      func(q *Request) { q.Threshold = 101 },
			"negative start": func(q *Request) { q.StartWithin = -1 },
			"header break":   func(q *Request) { q.Spec.Header = map[string]string{"A": "b\r\nC: d"} },
			"timeout":        func(q *Request) { q.Spec.Timeout = -1 },
		} {
			q := preheat(urls(1)...)
			change(&q)
			err := r.write(func(ctx context.Context, tx *database.Tx) error { _, err := r.Enqueue(ctx, tx, q); return err })
			require.Equal(t, darter.Invalid, darter.KindOf(err), "%s: %v", name, err)
			require.NotContains(t, fmt.Sprint(err), "hidden", name)
		}
		odd := preheat("https://o/'; DROP TABLE jobs; --?x=$1&y=?0")
		odd.Owner, odd.Spec.Application, odd.Spec.Tag = "o'); DELETE FROM jobs; --", "a?b\\'\"", "\x00"
		in := r.enqueue(odd)
		r.resolve()
		require.Equal(t, odd.Spec.URLs[0], r.mustClaim("s").Items[0].Want.URL)
		require.Equal(t, odd.Owner, r.get(in.ID).Owner)
	})
}

func TestAnUnknownClusterBreaksTheJob(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		q := preheat(urls(1)...)
		q.Spec.Clusters = []uint64{9}
		in := r.enqueue(q)
		r.resolve()
		j := r.get(in.ID)
		require.Equal(t, darter.JobFailed, j.State)
		require.Equal(t, darter.FailedInvalid, j.Failure)
		require.Contains(t, j.Text, "cluster 9 is unknown")
	})
}

// A host named by its address lies in one cluster; the others having none of it is no failure, all of them having none is.
func TestAddressesAmongClusters(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.cfg.Clusters = clusterList{1, 2}
		for i, want := range []darter.JobState{darter.JobSucceeded, darter.JobFailed} {
			q := preheat(urls(i + 1)...)
			q.Spec.Targets.IPs = []netip.Addr{targets(1)[0].IP}
			in := r.enqueue(q)
			r.resolve()
			for _, c := range []uint64{1, 2} {
				o, err := r.Claim(t.Context(), Claimer{Owner: "s", Cluster: c})
				require.NoError(t, err)
				rep := darter.OrderReport{Lease: o.Lease, Ended: true}
				if c == 2 && want == darter.JobSucceeded {
					rep.Hosts, rep.Outcomes = targets(1), outcomes(o, 1)
				}
				r.report(rep)
			}
			require.Equal(t, want, r.state(in.ID))
		}
	})
}

func TestALargeJobIsSharedOut(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.cfg.Clusters = clusterList{1, 2}
		in := r.enqueue(preheat(urls(1200)...))
		r.resolve()
		a, b, c := r.mustClaim("a"), r.mustClaim("b"), r.mustClaim("c")
		require.Equal(t, []int{500, 500, 200}, []int{len(a.Items), len(b.Items), len(c.Items)})
		require.Nil(t, r.claim("d"), "the rest is for the other cluster")
		o, err := r.Claim(t.Context(), Claimer{Owner: "e", Cluster: 2})
		require.NoError(t, err)
		require.EqualValues(t, 2, o.Cluster)
		require.EqualValues(t, 2400, r.get(in.ID).Tally.Items)
	})
}

func TestTenantsTakeTurns(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.cfg.Limit = func(tenant string) Lane {
			return map[string]Lane{"greedy": {MaxJobs: 3}, "wide": {MaxTargets: 100}}[tenant]
		}
		for i := range 6 {
			q := preheat(fmt.Sprintf("https://o/greedy/%d", i))
			q.Owner, q.Priority = "greedy", 100
			r.enqueue(q)
		}
		modest := preheat("https://o/modest")
		modest.Owner = "modest"
		r.enqueue(modest)
		r.resolve()
		var owners []string
		for range 4 {
			owners = append(owners, r.get(r.mustClaim("s").Lease.Job).Owner)
		}
		require.Equal(t, []string{"greedy", "modest", "greedy", "greedy"}, owners)
		require.Nil(t, r.claim("s"), "three at once are enough for the greedy")

		for i := range 2 {
			q := preheat(fmt.Sprintf("https://o/wide/%d", i))
			q.Owner = "wide"
			r.enqueue(q)
		}
		r.resolve()
		o := r.mustClaim("s")
		r.report(darter.OrderReport{Lease: o.Lease, Hosts: targets(100)})
		require.Nil(t, r.claim("s"), "its first job reaches as many hosts as it may")
	})
}

func TestAnOriginIsSpared(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.cfg.Origins = 2
		for i := range 3 {
			r.enqueue(preheat(fmt.Sprintf("https://weak.example/%d", i)))
		}
		r.resolve()
		r.mustClaim("s")
		r.mustClaim("s")
		require.Nil(t, r.claim("s"))
		r.enqueue(preheat("https://strong.example/x"))
		r.resolve()
		require.NotNil(t, r.claim("s"))
	})
}

func TestPriorityWithinATenant(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for i, p := range []int32{0, 5, -5} {
			q := preheat(fmt.Sprintf("https://o/%d", i))
			q.Priority = p
			r.enqueue(q)
		}
		r.resolve()
		for _, want := range []int32{5, 0, -5} {
			require.Equal(t, want, r.get(r.mustClaim("s").Lease.Job).Priority)
		}
	})
}

func TestSchedules(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		var s Schedule
		require.NoError(t, r.write(func(ctx context.Context, tx *database.Tx) (err error) {
			s, err = r.Schedule(ctx, tx, Schedule{Name: "nightly", Cron: "30 2 * * *", Zone: "Europe/Berlin", Owner: "me"}, preheat(urls(1)...))
			return err
		}))
		require.Equal(t, time.Date(2026, 3, 2, 1, 30, 0, 0, time.UTC), s.NextAt.Time())
		fire := func(want int) {
			t.Helper()
			n, err := r.Fire(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		fire(0)
		r.clock.pass(13*time.Hour + 30*time.Minute)
		fire(1)
		fire(0)
		list, err := r.List(t.Context(), Filter{Schedule: s.ID})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "me", list[0].Owner)
		r.wish(list[0].ID, r.Cancel)
		r.clock.pass(5 * 24 * time.Hour) // nobody ran for five days
		fire(1)
		fire(0)
		var skipped int
		require.NoError(t, r.db.Read(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			return tx.NewRaw("SELECT max(skipped) FROM schedule_fires").Scan(ctx, &skipped)
		}))
		require.Equal(t, 4, skipped)
		require.NoError(t, r.write(func(ctx context.Context, tx *database.Tx) error { return r.PauseSchedule(ctx, tx, s.ID, true) }))
		r.clock.pass(48 * time.Hour)
		fire(0)
		require.NoError(t, r.write(func(ctx context.Context, tx *database.Tx) error { return r.PauseSchedule(ctx, tx, s.ID, false) }))
		fire(0) // what was missed in a pause is not made up for
		all, err := r.Schedules(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.True(t, all[0].NextAt.Time().After(r.clock.Now()))
		require.NoError(t, r.write(func(ctx context.Context, tx *database.Tx) error { return r.Unschedule(ctx, tx, s.ID) }))
		for _, bad := range []Schedule{{Name: "x", Cron: "61 * * * *", Owner: "me"}, {Name: "x", Cron: "0 0 30 2 *", Owner: "me"}, {Name: "x", Cron: "@daily", Zone: "Moon/Dark", Owner: "me"}, {Cron: "@daily", Owner: "me"}} {
			err := r.write(func(ctx context.Context, tx *database.Tx) error {
				_, err := r.Schedule(ctx, tx, bad, preheat(urls(1)...))
				return err
			})
			require.Equal(t, darter.Invalid, darter.KindOf(err), "%+v: %v", bad, err)
		}
	})
}

func TestAThousandHostsAndAHundredLayersAreFewBytes(t *testing.T) {
	for name, failing := range map[string]func(item, host int) bool{
		"in good health": func(int, int) bool { return false },
		"all in ruins":   func(int, int) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, r *rig) {
				q := preheat(urls(100)...)
				q.MaxAttempts = 1
				in := r.enqueue(q)
				r.resolve()
				o := r.mustClaim("s")
				r.report(darter.OrderReport{Lease: o.Lease, Hosts: targets(1000)})
				for item := range 100 {
					r.clock.pass(time.Second)
					said := make([]darter.OrderOutcome, 1000)
					for host := range said {
						said[host] = darter.OrderOutcome{Item: uint32(item), Host: uint32(host), Bytes: 1 << 20}
						if failing(item, host) {
							said[host].Failure, said[host].Text = darter.FailedConnect, "dial tcp 10.0.12.34:4000: connect: connection refused"
						}
					}
					r.report(darter.OrderReport{Lease: o.Lease, Outcomes: said})
				}
				r.report(darter.OrderReport{Lease: o.Lease, Ended: true})
				j := r.get(in.ID)
				require.True(t, j.State.Terminal())
				require.EqualValues(t, 100_000, j.Tally.Done+j.Tally.Failed)
				size := r.bytes()
				t.Logf("%s: %d kB of rows", j.State, size>>10)
				require.Less(t, size, 5_000_000)
			})
		})
	}
}

// bytes sums what lies in the rows of all jobs, as text, and 40 bytes of overhead for each.
func (r *rig) bytes() (size int) {
	r.t.Helper()
	for _, table := range []string{"jobs", "job_steps", "job_items", "job_target_failures", "job_events"} {
		require.NoError(r.t, r.db.Read(r.t.Context(), func(ctx context.Context, tx *database.Tx) error {
			rows, err := tx.QueryContext(ctx, "SELECT * FROM "+table)
			if err != nil {
				return err
			}
			defer func() { _ = rows.Close() }()
			columns, err := rows.Columns()
			if err != nil {
				return err
			}
			for rows.Next() {
				values := make([]sql.RawBytes, len(columns))
				into := make([]any, len(columns))
				for i := range values {
					into[i] = &values[i]
				}
				if err := rows.Scan(into...); err != nil {
					return err
				}
				size += 40
				for _, v := range values {
					size += len(v)
				}
			}
			return rows.Err()
		}))
	}
	return size
}

func TestWatchTellsItAllAndEnds(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		in := r.enqueue(preheat(urls(1)...))
		seen := make(chan string, 100)
		var group errgroup.Group
		group.Go(func() error {
			defer close(seen)
			for ev, err := range r.Watch(t.Context(), in.ID, 0) {
				if err != nil {
					return err
				}
				seen <- fmt.Sprint(ev.Sequence, types([]Event{ev})[0])
			}
			return nil
		})
		require.Equal(t, "1created", <-seen)
		r.resolve()
		require.Equal(t, "2resolving", <-seen)
		require.Equal(t, "3queued", <-seen)
		r.wish(in.ID, r.Cancel)
		require.Equal(t, "4canceled", <-seen)
		_, more := <-seen
		require.False(t, more)
		require.NoError(t, group.Wait())
	})
}

// Three managers on one PostgreSQL: every step is done once, every schedule fires once, however they race.
func TestThreeManagersDoNothingTwice(t *testing.T) {
	databasetest.EachURL(t, func(t *testing.T, url string) {
		engines := []*rig{newRig(t, databasetest.Open(t, url, Tables()), named("m0"))}
		for i := 1; i < 3; i++ {
			db := engines[0].db
			if strings.HasPrefix(url, "postgres") { // a SQLite file has one process
				db = databasetest.Open(t, url, Tables())
			}
			engines = append(engines, newRig(t, db, named(fmt.Sprint("m", i))))
			engines[i].clock, engines[i].cfg.Now = engines[0].clock, engines[0].clock.Now
		}
		const count = 40
		for i := range count {
			engines[i%3].enqueue(preheat(fmt.Sprintf("https://o/%d", i)))
		}
		require.NoError(t, engines[0].write(func(ctx context.Context, tx *database.Tx) error {
			_, err := engines[0].Schedule(ctx, tx, Schedule{Name: "s", Cron: "* * * * *", Owner: "clockwork"}, preheat("https://o/scheduled"))
			return err
		}))
		engines[0].clock.pass(time.Minute)
		var fired atomic.Int64
		var mu sync.Mutex
		claims := map[string]int{}
		var group errgroup.Group
		for i, r := range engines {
			for k := range 2 {
				group.Go(func() error {
					n, err := r.Fire(t.Context())
					fired.Add(int64(n))
					if err != nil {
						return err
					}
					return race(t.Context(), r, fmt.Sprintf("%d-%d", i, k), &mu, claims)
				})
			}
		}
		require.NoError(t, group.Wait())
		require.EqualValues(t, 1, fired.Load())
		list, err := engines[1].List(t.Context(), Filter{Limit: 100})
		require.NoError(t, err)
		require.Len(t, list, count+1)
		for _, j := range list {
			require.Equal(t, darter.JobSucceeded, j.State, j.ID)
		}
		require.Len(t, claims, 2*(count+1), "a resolve and a dispatch step each")
		for what, n := range claims {
			require.Equal(t, 1, n, what)
		}
	})
}

func named(name string) func(*Config) { return func(c *Config) { c.Replica = name } }

// race claims and does whatever there is, until a while after nothing is left.
func race(ctx context.Context, r *rig, owner string, mu *sync.Mutex, claims map[string]int) error {
	for {
		idle := true
		for _, c := range []Claimer{{Owner: owner, Manager: true}, {Owner: owner, Cluster: 1}} {
			o, err := r.Claim(ctx, c)
			if err != nil {
				return err
			}
			if o == nil {
				continue
			}
			idle = false
			mu.Lock()
			claims[fmt.Sprint(o.Lease.Job, o.Lease.Step)]++
			mu.Unlock()
			if c.Manager {
				err = r.work(ctx, o)
			} else {
				err = r.Report(ctx, darter.OrderReport{Lease: o.Lease, Hosts: targets(2), Outcomes: outcomes(o, 2), Ended: true})
			}
			if err != nil {
				return err
			}
		}
		if left, err := r.List(ctx, Filter{States: []darter.JobState{darter.JobQueued, darter.JobResolving, darter.JobRunning}}); err != nil || idle && len(left) == 0 {
			return err
		}
	}
}

// Attaching and enqueueing race; one job comes of it.
func TestTheSameWorkAskedForAtOnceIsDoneOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		var group errgroup.Group
		ids := make([]darter.JobID, 8)
		for i := range ids {
			group.Go(func() error {
				return r.db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
					out, err := r.Enqueue(ctx, tx, preheat(urls(3)...))
					ids[i] = out.ID
					return err
				})
			})
		}
		require.NoError(t, group.Wait())
		for _, id := range ids {
			require.Equal(t, ids[0], id)
		}
	})
}

// crash breaks the n-th statement from now on and every one after it, as a process that dies does.
type crash struct {
	driver.Connector
	left *atomic.Int64
}

type crashingConn struct {
	driver.Conn
	left *atomic.Int64
}

var errDead = errors.New("the process is dead")

func (c crash) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return crashingConn{conn, c.left}, nil
}

func (c crashingConn) step() error {
	if c.left.Add(-1) < 0 {
		return errDead
	}
	return nil
}

func (c crashingConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return crashingTx{tx, c}, nil
}

type crashingTx struct {
	driver.Tx
	conn crashingConn
}

// Commit dies before or after the commit has happened; both are what crashes do.
func (t crashingTx) Commit() error {
	if err := t.conn.step(); err != nil {
		_ = t.Tx.Rollback()
		return err
	}
	if err := t.Tx.Commit(); err != nil {
		return err
	}
	return t.conn.step()
}

func (c crashingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.step(); err != nil {
		return nil, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c crashingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.step(); err != nil {
		return nil, err
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

// A manager dies at every statement of a job's life in turn; another one, and a scheduler that says again what it is
// not sure of, bring the job to the same end, with nothing counted twice.
func TestADeathAtAnyStatementLosesNothing(t *testing.T) {
	databasetest.EachURL(t, func(t *testing.T, url string) {
		var left atomic.Int64
		left.Store(1 << 40)
		cfg := database.DefaultConfig()
		cfg.URL, cfg.Migrations = url, []database.Migrations{Tables()}
		cfg.Connector = func(c driver.Connector) driver.Connector { return crash{c, &left} }
		r := newRig(t, databasetest.OpenWith(t, cfg))
		deaths := 0
		for point := int64(0); ; point++ {
			q := preheat("https://o/a", "https://o/b")
			q.RequestKey = fmt.Sprint("request ", point)
			left.Store(point)
			err := life(t.Context(), r, q)
			left.Store(1 << 40)
			if err == nil {
				break
			}
			require.ErrorIs(t, err, errDead, "point %d", point)
			deaths++
			r.clock.pass(25 * time.Second) // the lease of the dead runs out
			_, err = r.Tick(t.Context())
			require.NoError(t, err)
			require.NoError(t, life(t.Context(), r, q), "point %d", point)
			r.judge(q, point)
		}
		require.Greater(t, deaths, 50, "the life of a job has more statements than that")
		t.Logf("%d deaths", deaths)
	})
}

// judge checks that one job came of the request, with a whole story.
func (r *rig) judge(q Request, point int64) {
	r.t.Helper()
	in := r.enqueue(q)
	require.True(r.t, in.Replayed)
	j := r.get(in.ID)
	require.Equal(r.t, darter.JobSucceeded, j.State, "point %d: %s", point, j.Text)
	require.Equal(r.t, machine.Tally{Items: 2, Warm: 2, Complete: 2, Pairs: 4, Done: 4, Bytes: 40}, j.Tally, "point %d", point)
	story, err := r.Story(r.t.Context(), in.ID, 0)
	require.NoError(r.t, err)
	for i, ev := range story {
		require.EqualValues(r.t, i+1, ev.Sequence, "point %d", point)
	}
	var stray int
	require.NoError(r.t, r.db.Read(r.t.Context(), func(ctx context.Context, tx *database.Tx) error {
		return tx.NewRaw("SELECT count(*) FROM job_items WHERE job_id NOT IN (SELECT id FROM jobs) OR step NOT IN (SELECT number FROM job_steps s WHERE s.job_id = job_items.job_id)").Scan(ctx, &stray)
	}))
	require.Zero(r.t, stray)
}

// life enqueues a job and does all there is to do. A report that fails is said again until the lease is lost.
func life(ctx context.Context, r *rig, q Request) error {
	err := r.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error { _, err := r.Enqueue(ctx, tx, q); return err })
	if err != nil {
		return err
	}
	for {
		o, err := r.Claim(ctx, Claimer{Owner: "m", Manager: true})
		if err != nil || o == nil {
			if err != nil {
				return err
			}
			break
		}
		if err := r.work(ctx, o); err != nil {
			return err
		}
	}
	o, err := r.Claim(ctx, Claimer{Owner: "s", Cluster: 1})
	if err != nil || o == nil {
		return err
	}
	all := outcomes(o, 2)
	for _, rep := range []darter.OrderReport{{Lease: o.Lease, Hosts: targets(2), Outcomes: all[:len(all)/2]}, {Lease: o.Lease, Outcomes: all, Ended: true}} {
		if err := r.Report(ctx, rep); err != nil {
			return err
		}
	}
	return nil
}

// Claims, reports, crashes and wishes at random never lose an item, whatever the order.
func TestARandomLifeKeepsItsCounts(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		rng := rand.New(rand.NewPCG(7, 11))
		q := preheat(urls(5)...)
		q.MaxAttempts = 100
		in := r.enqueue(q)
		r.resolve()
		done := map[string]bool{}
		var o *darter.Order
		for range 60 {
			r.clock.pass(time.Duration(rng.IntN(12)) * time.Second)
			switch n := rng.IntN(8); {
			case o == nil:
				o = r.claim("s")
			case n == 0: // it falls silent
				r.clock.pass(time.Minute)
				_, err := r.Tick(t.Context())
				require.NoError(t, err)
				require.True(t, IsLost(r.Report(t.Context(), darter.OrderReport{Lease: o.Lease, Ended: true})))
				o = nil
			case n == 1:
				r.report(darter.OrderReport{Lease: o.Lease, Released: true})
				o = nil
			case n == 2:
				r.clock.pass(time.Second)
				_, err := r.Heartbeat(t.Context(), []darter.OrderLease{o.Lease})
				require.NoError(t, err)
			default:
				x := darter.OrderOutcome{Item: uint32(rng.IntN(5)), Host: uint32(rng.IntN(4)), Bytes: 1}
				if rng.IntN(3) == 0 {
					x.Failure = darter.FailedConnect
				} else {
					done[fmt.Sprint(x.Item, x.Host)] = true
				}
				r.report(darter.OrderReport{Lease: o.Lease, Hosts: targets(4), Outcomes: []darter.OrderOutcome{x}})
			}
			j := r.get(in.ID)
			require.EqualValues(t, len(done), j.Tally.Done)
			require.EqualValues(t, len(done), j.Tally.Bytes)
		}
		require.NotEmpty(t, done)
	})
}
