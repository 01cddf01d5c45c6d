package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/records"
)

func newCatalog(t *testing.T, db *database.DB, change ...func(*catalog.Config)) *catalog.Catalog {
	t.Helper()
	cfg := catalog.Config{DB: db,
		Schedule: func(s retention.Schedule) error {
			_, err := records.Timetable(s)
			return err
		},
		Settings: map[string]func([]byte) ([]byte, error){"motd": func(b []byte) ([]byte, error) {
			if !json.Valid(b) {
				return nil, errors.New("no JSON")
			}
			return b, nil
		}}}
	for _, c := range change {
		c(&cfg)
	}
	c, err := catalog.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func each(t *testing.T, test func(t *testing.T, db *database.DB, c *catalog.Catalog)) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) { test(t, db, newCatalog(t, db)) }, catalog.Migrations())
}

func actor() darter.Actor {
	return darter.Actor{Kind: "user", ID: "u1", Name: "ann", Address: "10.0.0.1"}
}

func policy(body, etag string) catalog.Edit {
	return catalog.Edit{Class: catalog.GCPolicy, Name: retention.Job, Body: []byte(body), IfMatch: etag, Actor: actor(), Reason: "because"}
}

func TestPolicyLife(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB, c *catalog.Catalog) {
		ctx := t.Context()
		p, err := c.PolicyInForce(ctx, retention.Job)
		if err != nil || p.Version != 0 || p.Spec.KeepLast.Count != 100 {
			t.Fatalf("without any configuration: %+v, %v", p, err)
		}
		one, err := c.Put(ctx, policy(`{"keep_last":{"count":5}}`, ""))
		if err != nil || one.Number != 1 || !one.InForce || one.Author != actor() || one.Reason != "because" {
			t.Fatalf("%+v, %v", one, err)
		}
		draft, err := c.Draft(ctx, policy(`{"keep_last":{"count":6}}`, one.ETag()))
		if err != nil || draft.Number != 2 || draft.InForce || fmt.Sprint(draft.Diff) != `[{keep_last/count 5 6}]` {
			t.Fatalf("%+v, %v", draft, err)
		}
		if p, _ := c.PolicyInForce(ctx, retention.Job); p.Version != 1 || p.Spec.KeepLast.Count != 5 {
			t.Errorf("a draft is in force: %+v", p)
		}
		q := catalog.Choice{Class: catalog.GCPolicy, Name: retention.Job, Version: 2, IfMatch: one.ETag(), Actor: actor()}
		two, err := c.Publish(ctx, q)
		if err != nil || !two.InForce || two.Activated.IsZero() {
			t.Fatalf("%+v, %v", two, err)
		}
		if _, err := c.Publish(ctx, q); !errors.Is(err, catalog.ErrStale) {
			t.Errorf("published with a stale If-Match: %v", err)
		}
		if _, err := c.Put(ctx, policy(`{}`, one.ETag())); !errors.Is(err, catalog.ErrStale) || darter.KindOf(err) != darter.Conflict {
			t.Errorf("edited with a stale If-Match: %v", err)
		}
		if _, err := c.Put(ctx, policy(`{}`, "")); !errors.Is(err, catalog.ErrNoMatch) {
			t.Errorf("edited without If-Match: %v", err)
		}
		three, err := c.Rollback(ctx, catalog.Choice{Class: catalog.GCPolicy, Name: retention.Job, Version: 1, IfMatch: two.ETag(), Actor: actor(), Reason: "it was too much"})
		if err != nil || three.Number != 3 || three.RolledBackFrom != 1 || string(three.Body) != string(one.Body) {
			t.Fatalf("%+v, %v", three, err)
		}
		all, err := c.Versions(ctx, catalog.GCPolicy, retention.Job, 0, 0)
		if err != nil || len(all) != 3 || all[0].Number != 3 || !all[0].InForce || all[1].InForce {
			t.Errorf("versions %+v, %v", all, err)
		}
		events, err := c.AuditEvents(ctx, catalog.AuditFilter{Actor: "u1"})
		if err != nil {
			t.Fatal(err)
		}
		var actions []string
		for _, e := range events {
			actions = append(actions, e.Action)
		}
		if got := strings.Join(actions, " "); got != "gc_policy.rollback gc_policy.publish gc_policy.draft gc_policy.publish" || events[0].Before != two.Hash || events[0].After != three.Hash {
			t.Errorf("audit %s, %+v", got, events[0])
		}
	})
}

func TestVersionsNeverChange(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB, c *catalog.Catalog) {
		if _, err := c.Put(t.Context(), policy(`{}`, "")); err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{"UPDATE document_versions SET body = '{}'", "DELETE FROM document_versions", "UPDATE audit_events SET actor_id = 'nobody'"} {
			err := db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
				_, err := tx.ExecContext(ctx, sql)
				return err
			})
			if err == nil {
				t.Errorf("%s: done", sql)
			}
		}
	})
}

func TestBadDocuments(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB, c *catalog.Catalog) {
		for name, e := range map[string]catalog.Edit{
			"no such kind":     {Class: catalog.GCPolicy, Name: "users", Body: []byte(`{}`)},
			"no such class":    {Class: "x'; DROP TABLE documents; --", Name: "a", Body: []byte(`{}`)},
			"no such setting":  {Class: catalog.Setting, Name: "x", Body: []byte(`{}`)},
			"TTL 0":            policy(`{"rules":[{"after":"0s"}]}`, ""),
			"unknown section":  policy(`{"secion":{}}`, ""),
			"null section":     policy(`{"schedule":null}`, ""),
			"never due":        policy(`{"schedule":{"every":"0s","cron":"0 0 30 2 *"}}`, ""),
			"unknown zone":     policy(`{"schedule":{"zone":"Mars/Olympus"}}`, ""),
			"oversized":        policy(`{"notify":["`+strings.Repeat("a", 300_000)+`"]}`, ""),
			"oversized reason": {Class: catalog.GCPolicy, Name: retention.Job, Body: []byte(`{}`), Reason: strings.Repeat("a", 10_000)},
			"broken setting":   {Class: catalog.Setting, Name: "motd", Body: []byte(`{`)},
		} {
			e.Actor = actor()
			if _, err := c.Put(t.Context(), e); err == nil || darter.KindOf(err) != darter.Invalid && darter.KindOf(err) != darter.NotFound {
				t.Errorf("%s: %v", name, err)
			}
		}
		if events, err := c.AuditEvents(t.Context(), catalog.AuditFilter{}); err != nil || len(events) != 0 {
			t.Errorf("something was half done: %v, %v", events, err)
		}
	})
}

// TestEditorsDoNotOverwriteOneAnother lets three managers edit one policy at once, each from what it read.
func TestEditorsDoNotOverwriteOneAnother(t *testing.T) {
	databasetest.EachURL(t, func(t *testing.T, url string) {
		var editors []*catalog.Catalog
		for i := range 3 {
			if i == 0 || strings.HasPrefix(url, "postgres") {
				editors = append(editors, newCatalog(t, databasetest.Open(t, url, catalog.Migrations())))
			}
		}
		if _, err := editors[0].Put(t.Context(), policy(`{"rate":0}`, "")); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for _, c := range editors {
			for range 2 {
				group.Go(func() {
					for done := 0; done < 10; {
						d, err := c.Document(t.Context(), catalog.GCPolicy, retention.Job)
						if err != nil {
							t.Error(err)
							return
						}
						var body struct{ Rate int }
						if err := json.Unmarshal(d.Body, &body); err != nil {
							t.Error(err)
							return
						}
						_, err = c.Put(t.Context(), policy(fmt.Sprintf(`{"rate":%d}`, body.Rate+1), d.ETag()))
						switch {
						case err == nil:
							done++
						case !errors.Is(err, catalog.ErrStale):
							t.Error(err)
							return
						}
					}
				})
			}
		}
		group.Wait()
		p, err := editors[0].PolicyInForce(t.Context(), retention.Job)
		if want := int64(len(editors) * 20); err != nil || p.Spec.Rate != want || p.Version != want+1 {
			t.Errorf("rate %d in version %d, %v; want %d edits", p.Spec.Rate, p.Version, err, want)
		}
	})
}

func TestEveryManagerFollows(t *testing.T) {
	databasetest.EachURL(t, func(t *testing.T, url string) {
		here := databasetest.Open(t, url, catalog.Migrations())
		there := here
		if here.Dialect() == database.Postgres {
			there = databasetest.Open(t, url, catalog.Migrations())
		}
		applied := make(chan catalog.Document, 10)
		follower := newCatalog(t, there, func(c *catalog.Config) {
			c.Events.Applied = func(d catalog.Document, _ time.Duration) { applied <- d }
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- there.Run(ctx) }()
		go func() { ended <- follower.Run(ctx) }()
		d, err := newCatalog(t, here).Put(t.Context(), catalog.Edit{Class: catalog.Setting, Name: "motd", Body: []byte(`{"text":"hello"}`), Actor: actor()})
		if err != nil {
			t.Fatal(err)
		}
		if got := <-applied; got.Number != d.Number || string(got.Body) != `{"text":"hello"}` {
			t.Errorf("applied %+v", got)
		}
		if got, ok := follower.InForce(catalog.Setting, "motd"); !ok || got.Hash != d.Hash {
			t.Errorf("in force %+v", got)
		}
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestOnce(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB, c *catalog.Catalog) {
		calls := 0
		ask := func(k catalog.Key, fail error) (a catalog.Answer, err error) {
			err = db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
				a, err = c.Once(ctx, tx, k, func(context.Context, *database.Tx) (catalog.Answer, error) {
					calls++
					return catalog.Answer{Status: 201, Body: `{"id":1}`}, fail
				})
				return err
			})
			return a, err
		}
		k := catalog.Key{Principal: "u1", Key: "abc", Route: "POST /v1/jobs", Hash: "h1"}
		if _, err := ask(k, errors.New("no")); err == nil {
			t.Error("the effect's error is gone")
		}
		if a, err := ask(k, nil); err != nil || a.Replayed || a.Status != 201 {
			t.Errorf("%+v, %v", a, err)
		}
		if a, err := ask(k, nil); err != nil || !a.Replayed || a.Body != `{"id":1}` || calls != 2 {
			t.Errorf("again: %+v, %v, %d calls", a, err, calls)
		}
		k.Hash = "h2"
		if _, err := ask(k, nil); !errors.Is(err, catalog.ErrMismatch) {
			t.Errorf("for something else: %v", err)
		}
		k.Principal = "u2"
		if a, err := ask(k, nil); err != nil || a.Replayed {
			t.Errorf("somebody else's: %+v, %v", a, err)
		}
	})
}

func TestClustersAndMembers(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB, c *catalog.Catalog) {
		ctx, e := t.Context(), catalog.Edit{Actor: actor()}
		one, err := c.CreateCluster(ctx, catalog.ClusterSpec{Name: "one", Default: true, Scopes: catalog.Scopes{CIDRs: []string{"10.0.0.0/8"}}}, e)
		if err != nil || one.CompatID != 1 || one.Version != 1 {
			t.Fatalf("%+v, %v", one, err)
		}
		two, err := c.CreateCluster(ctx, catalog.ClusterSpec{Name: "two", Default: true}, e)
		if err != nil || two.CompatID != 2 {
			t.Fatalf("%+v, %v", two, err)
		}
		if _, err := c.CreateCluster(ctx, catalog.ClusterSpec{Name: "two"}, e); darter.KindOf(err) != darter.Conflict {
			t.Errorf("a name twice: %v", err)
		}
		if _, err := c.CreateCluster(ctx, catalog.ClusterSpec{Name: "x", Scopes: catalog.Scopes{CIDRs: []string{"10.0.0.0/99"}}}, e); darter.KindOf(err) != darter.Invalid {
			t.Errorf("a bad network: %v", err)
		}
		changed, err := c.UpdateCluster(ctx, one.ID, catalog.ClusterSpec{Name: "first"}, catalog.Edit{Actor: actor(), IfMatch: one.ETag})
		if err != nil || changed.Version != 2 || changed.Name != "first" {
			t.Fatalf("%+v, %v", changed, err)
		}
		if _, err := c.UpdateCluster(ctx, one.ID, catalog.ClusterSpec{Name: "lost"}, catalog.Edit{Actor: actor(), IfMatch: one.ETag}); !errors.Is(err, catalog.ErrStale) {
			t.Errorf("a lost update: %v", err)
		}
		back, err := c.RollbackCluster(ctx, one.ID, 1, catalog.Edit{Actor: actor(), IfMatch: changed.ETag})
		if err != nil || back.Name != "one" || !back.Default || back.Version != 3 {
			t.Fatalf("%+v, %v", back, err)
		}
		if two, err = c.Cluster(ctx, two.ID); err != nil || two.CompatID != 2 {
			t.Errorf("%+v, %v", two, err)
		}
		all, err := c.Clusters(ctx, "", 0)
		defaults := 0
		for _, one := range all {
			if row, err := c.Cluster(ctx, one.ID); err == nil && row.ID == back.ID {
				defaults++
			}
		}
		if err != nil || len(all) != 2 || defaults != 1 {
			t.Errorf("%+v, %v", all, err)
		}

		m := catalog.Member{Kind: catalog.SchedulerMember, Cluster: one.ID, Hostname: "s1", IP: netip.MustParseAddr("10.0.0.1"), Port: 8002, Features: []string{"preheat"}}
		first, err := c.Announce(ctx, m)
		if err != nil || first.State != catalog.MemberActive || first.CompatID != 1 {
			t.Fatalf("%+v, %v", first, err)
		}
		if again, err := c.Announce(ctx, m); err != nil || again.ID != first.ID || again.Version != first.Version {
			t.Errorf("announced again: %+v, %v", again, err)
		}
		if err := c.DeleteCluster(ctx, one.ID, catalog.Edit{Actor: actor(), IfMatch: "*"}); darter.KindOf(err) != darter.Conflict {
			t.Errorf("a cluster with members was deleted: %v", err)
		}
		if err := c.RemoveMember(ctx, first.ID, e); darter.KindOf(err) != darter.Conflict {
			t.Errorf("an active member was removed: %v", err)
		}
		if gone, err := c.Silence(ctx, -time.Second); err != nil || len(gone) != 1 || gone[0].State != catalog.MemberInactive {
			t.Errorf("silent %+v, %v", gone, err)
		}
		if err := c.KeepAlive(ctx, m.Kind, one.ID, "s1", m.IP); err != nil {
			t.Error(err)
		}
		if err := c.KeepAlive(ctx, m.Kind, one.ID, "s2", m.IP); darter.KindOf(err) != darter.NotFound {
			t.Errorf("an unknown member: %v", err)
		}
		if got, err := c.Members(ctx, catalog.MemberFilter{State: catalog.MemberActive}); err != nil || len(got) != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		if err := c.Drain(ctx, first.ID, true, e); err != nil {
			t.Error(err)
		}
		if got, err := c.Member(ctx, first.ID); err != nil || !got.Draining {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestApplications(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB, c *catalog.Catalog) {
		ctx, e := t.Context(), catalog.Edit{Actor: actor()}
		a, err := c.SaveApplication(ctx, catalog.Application{Name: "ci", Owner: "u1"}, e)
		if err != nil || a.CompatID != 1 || a.Version != 1 {
			t.Fatalf("%+v, %v", a, err)
		}
		a.Bio = "builds"
		b, err := c.SaveApplication(ctx, a, catalog.Edit{Actor: actor(), IfMatch: a.ETag()})
		if err != nil || b.Version != 2 {
			t.Fatalf("%+v, %v", b, err)
		}
		if _, err := c.SaveApplication(ctx, a, catalog.Edit{Actor: actor(), IfMatch: a.ETag()}); !errors.Is(err, catalog.ErrStale) {
			t.Errorf("a lost update: %v", err)
		}
		if got, err := c.Application(ctx, "ci"); err != nil || got.Bio != "builds" {
			t.Errorf("%+v, %v", got, err)
		}
		if err := c.DeleteApplication(ctx, a.ID, catalog.Edit{Actor: actor(), IfMatch: a.ETag()}); !errors.Is(err, catalog.ErrStale) {
			t.Errorf("deleted unseen: %v", err)
		}
		if err := c.DeleteApplication(ctx, a.ID, catalog.Edit{Actor: actor(), IfMatch: b.ETag()}); err != nil {
			t.Error(err)
		}
		if got, err := c.Applications(ctx, "", 0); err != nil || len(got) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestAClusterOfSeedsOnly(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB, c *catalog.Catalog) {
		made, err := c.CreateCluster(t.Context(), catalog.ClusterSpec{Name: "eu"}, catalog.Edit{Actor: actor()})
		if err != nil {
			t.Fatal(err)
		}
		holds := func(what string, want bool) {
			t.Helper()
			err := db.Read(t.Context(), func(ctx context.Context, tx *database.Tx) error {
				got, err := c.OnlySeeds(ctx, tx, uint64(made.CompatID))
				if got != want {
					t.Errorf("%s: %v", what, got)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		epoch := int64(0)
		say := func(host, cluster, kind string, v catalog.Verdict) {
			t.Helper()
			epoch++
			if err := c.Sight(t.Context(), "a", []catalog.Sighting{{Host: host, Cluster: cluster, Kind: kind, Epoch: epoch, Verdict: v}}); err != nil {
				t.Fatal(err)
			}
		}
		holds("nobody at all", false)
		say("other", "another", "normal", catalog.Alive)
		say("s", made.ID, "seed", catalog.Alive)
		holds("a seed", true)
		say("h", made.ID, "normal", catalog.Offline)
		holds("a host that cannot be reached", false)
		say("h", made.ID, "normal", catalog.Left)
		holds("a host that left", true)
		say("s", made.ID, "seed", catalog.Forgotten)
		holds("nobody any more", false)
	})
}

func TestHostsAreAsAliveAsTheirBestWitnessSays(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB, c *catalog.Catalog) {
		say := func(reporter string, epoch int64, v catalog.Verdict) catalog.Host {
			t.Helper()
			if err := c.Sight(t.Context(), reporter, []catalog.Sighting{{Host: "h1", Cluster: "c", Hostname: fmt.Sprint("name-", epoch), Epoch: epoch, Verdict: v}}); err != nil {
				t.Fatal(err)
			}
			h, err := c.Host(t.Context(), "h1")
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		for i, step := range []struct {
			reporter string
			epoch    int64
			verdict  catalog.Verdict
			want     catalog.Verdict
		}{
			{"a", 1, catalog.Alive, catalog.Alive}, {"b", 1, catalog.Alive, catalog.Alive},
			{"a", 1, catalog.Offline, catalog.Alive}, // b still hears it
			{"b", 1, catalog.Suspect, catalog.Suspect}, {"b", 1, catalog.Offline, catalog.Offline},
			{"a", 2, catalog.Alive, catalog.Alive}, // it is back, b has not noticed
			{"b", 1, catalog.Forgotten, catalog.Alive}, {"b", 1, catalog.Left, catalog.Alive},
			{"a", 2, catalog.Left, catalog.Left},
		} {
			if got := say(step.reporter, step.epoch, step.verdict); got.Verdict != step.want {
				t.Errorf("step %d: %s, want %s", i, got.Verdict, step.want)
			}
		}
		if h := say("b", 1, catalog.Alive); h.Hostname != "name-2" || h.Epoch != 2 {
			t.Errorf("an old process changed what the host says of itself: %+v", h)
		}
		events, err := c.HostEvents(t.Context(), "h1", "", 0)
		var line []string
		for _, e := range events {
			line = append(line, string(e.Verdict))
		}
		if got := strings.Join(line, " "); err != nil || got != "left alive offline suspect alive" {
			t.Errorf("timeline %s, %v", got, err)
		}
		if err := c.Sight(t.Context(), "a", []catalog.Sighting{{Host: "h2", Verdict: "sleepy"}}); darter.KindOf(err) != darter.Invalid {
			t.Errorf("an unknown verdict: %v", err)
		}
		if got, err := c.Hosts(t.Context(), catalog.HostFilter{Verdict: catalog.Left}); err != nil || len(got) != 1 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
