package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	catalogrest "github.com/darter-p2p/darter/internal/manager/catalog/rest"
	"github.com/darter-p2p/darter/internal/rest"
)

// door lets everybody in, as somebody who may do all in the clusters named, or everywhere when there are none.
type door struct {
	*http.ServeMux
	only []string
}

func (d *door) Declare(string, rest.Access) {}
func (d *door) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	d.ServeMux.HandleFunc(pattern, handler)
}

func (d *door) Caller(context.Context) rest.Caller {
	return rest.Caller{Actor: darter.Actor{Kind: "user", ID: "u1"}, Request: "r1", Clusters: func(string) (bool, []string) { return len(d.only) == 0, d.only },
		May: func(_, cluster string) error {
			if len(d.only) == 0 || slices.Contains(d.only, cluster) {
				return nil
			}
			return &darter.Error{Kind: darter.Denied, Op: "use it", Err: errors.New("not yours")}
		}}
}

// orders notes what schedulers would be told.
type orders struct {
	got  []string
	fail error
}

func (o *orders) Drain(_ context.Context, h catalog.Host, on bool, reason string) error {
	o.got = append(o.got, h.ID+map[bool]string{true: " drain ", false: " undrain "}[on]+reason)
	return o.fail
}

func (o *orders) Forget(_ context.Context, h catalog.Host, force bool, reason string) error {
	o.got = append(o.got, h.ID+map[bool]string{true: " force ", false: " forget "}[force]+reason)
	return o.fail
}

type matcher struct{ clusters []string }

func (m matcher) Match(_ context.Context, a catalogrest.Asker) ([]catalogrest.Match, error) {
	var out []catalogrest.Match
	for _, id := range m.clusters {
		out = append(out, catalogrest.Match{Cluster: id, Name: a.IP.String(), Score: 1, Parts: []catalogrest.MatchPart{}})
	}
	return out, nil
}

// rig is a catalog of two clusters, each with a scheduler and a host.
type rig struct {
	t *testing.T
	*catalog.Catalog
	api      *rest.API
	door     *door
	orders   *orders
	clusters []string
}

func build(t *testing.T) *rig {
	db := databasetest.Open(t, databasetest.File(t), catalog.Migrations())
	c, err := catalog.New(catalog.Config{DB: db, Schedule: func(retention.Schedule) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, Catalog: c, door: &door{ServeMux: http.NewServeMux()}, orders: &orders{}}
	for i, name := range []string{"eu", "us"} {
		cluster, err := c.CreateCluster(t.Context(), catalog.ClusterSpec{Name: name}, catalog.Edit{Actor: darter.System("test")})
		if err == nil {
			_, err = c.Announce(t.Context(), catalog.Member{Kind: catalog.SchedulerMember, Cluster: cluster.ID, Hostname: "s-" + name, IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Port: 8002})
		}
		if err == nil {
			err = c.Sight(t.Context(), "s-"+name, []catalog.Sighting{{Host: "h-" + name, Cluster: cluster.ID, Hostname: "h", IP: "10.1.0.1", Kind: "normal", Epoch: 1, Verdict: catalog.Alive}})
		}
		if err != nil {
			t.Fatal(err)
		}
		r.clusters = append(r.clusters, cluster.ID)
	}
	r.api, err = rest.New(rest.Config{Journal: catalogrest.Journal{DB: db, Catalog: c}})
	if err != nil {
		t.Fatal(err)
	}
	r.api.Open(r.door)
	catalogrest.Register(r.api, catalogrest.Rooms{DB: db, Catalog: c, Orders: r.orders, Matcher: matcher{r.clusters}})
	return r
}

func (r *rig) ask(method, target, body string, status int, headers ...string) map[string]any {
	r.t.Helper()
	q := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.api.Handler().ServeHTTP(w, q)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if w.Code != status {
		r.t.Errorf("%s %s: %d, want %d: %s", method, target, w.Code, status, text)
	}
	var out map[string]any
	_ = json.Unmarshal(text, &out)
	return out
}

func (r *rig) ids(target string) []string {
	r.t.Helper()
	var out []string
	items, _ := r.ask("GET", target, "", 200)["items"].([]any)
	for _, i := range items {
		out = append(out, i.(map[string]any)["id"].(string))
	}
	return out
}

func TestHostsAreSeenAndOrdered(t *testing.T) {
	r := build(t)
	if got := r.ids("/v1/hosts"); !slices.Equal(got, []string{"h-eu", "h-us"}) {
		t.Errorf("%v", got)
	}
	if got := r.ids(`/v1/hosts?filter=verdict%3Dalive%20AND%20cluster%3D` + r.clusters[1]); !slices.Equal(got, []string{"h-us"}) {
		t.Errorf("%v", got)
	}
	if got := r.ids(`/v1/hosts?filter=verdict%3Doffline`); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if h := r.ask("GET", "/v1/hosts/h-eu", "", 200); h["verdict"] != "alive" || h["cluster"] != r.clusters[0] {
		t.Errorf("%v", h)
	}
	if got := r.ids("/v1/hosts/h-eu/events"); len(got) != 1 {
		t.Errorf("%v", got)
	}
	r.ask("POST", "/v1/hosts/h-eu:drain?reason=disk", "", 200)
	r.ask("POST", "/v1/hosts/h-eu:undrain", "", 200)
	r.ask("POST", "/v1/hosts/h-eu:forget?force=true", "", 200)
	r.ask("POST", "/v1/hosts/nobody:forget", "", 404)
	r.orders.fail = &darter.Error{Kind: darter.Unavailable, Op: "reach a scheduler", Err: errors.New("none is attached")}
	if p := r.ask("POST", "/v1/hosts/h-eu:forget", "", 503); p["code"] != "unavailable" {
		t.Errorf("%v", p)
	}
	if want := []string{"h-eu drain disk", "h-eu undrain ", "h-eu force ", "h-eu forget "}; !slices.Equal(r.orders.got, want) {
		t.Errorf("%v", r.orders.got)
	}
	var results []string
	items, _ := r.ask("GET", `/v1/audit-events?filter=resource%3D"hosts/h-eu"`, "", 200)["items"].([]any)
	for _, i := range items {
		e := i.(map[string]any)
		results = append(results, e["action"].(string)+" "+e["result"].(string))
	}
	if want := []string{"host.forget failed", "host.forget done", "host.undrain done", "host.drain done"}; !slices.Equal(results, want) {
		t.Errorf("%v", results)
	}
}

func TestSchedulersAreDrainedAndForgotten(t *testing.T) {
	r := build(t)
	all := r.ids("/v1/schedulers")
	if len(all) != 2 || len(r.ids("/v1/seed-peers")) != 0 {
		t.Fatalf("%v", all)
	}
	one := "/v1/schedulers/" + all[0]
	if m := r.ask("POST", one+":drain?dry_run=true", "", 200); m["draining"] != true {
		t.Errorf("%v", m)
	}
	if m := r.ask("GET", one, "", 200); m["draining"] != false {
		t.Errorf("a dry run drained it: %v", m)
	}
	r.ask("POST", one+":drain", "", 200)
	if m := r.ask("GET", one, "", 200); m["draining"] != true || m["state"] != "active" {
		t.Errorf("%v", m)
	}
	r.ask("POST", one+":resume", "", 200)
	r.ask("DELETE", one, "", 409) // it is active
	r.ask("GET", "/v1/seed-peers/"+all[0], "", 404)
}

// Who belongs to one cluster neither sees nor touches what lies in another.
func TestClustersAreKeptApart(t *testing.T) {
	r := build(t)
	schedulers := r.ids("/v1/schedulers")
	r.door.only = r.clusters[1:]
	if got := r.ids("/v1/hosts?page_size=1"); !slices.Equal(got, []string{"h-us"}) {
		t.Errorf("%v", got)
	}
	if got := r.ids("/v1/schedulers"); len(got) != 1 || got[0] != schedulers[1] {
		t.Errorf("%v", got)
	}
	r.ask("GET", "/v1/hosts/h-eu", "", 404)
	r.ask("GET", "/v1/hosts/h-eu/events", "", 404)
	r.ask("POST", "/v1/hosts/h-eu:forget", "", 403)
	r.ask("GET", "/v1/schedulers/"+schedulers[0], "", 404)
	r.ask("POST", "/v1/schedulers/"+schedulers[0]+":drain", "", 403)
	if len(r.orders.got) != 0 {
		t.Errorf("%v", r.orders.got)
	}
	m := r.ask("POST", "/v1/clusters:match", `{"ip":"10.0.0.1"}`, 200)
	if all, _ := m["matches"].([]any); len(all) != 1 {
		t.Errorf("%v", m)
	}
	r.ask("POST", "/v1/clusters:match", `{"ip":"10.0.0"}`, 422)
}

func TestApplications(t *testing.T) {
	r := build(t)
	made := r.ask("POST", "/v1/applications", `{"name":"shop","priority":{"value":3}}`, 201)
	one := "/v1/applications/" + made["id"].(string)
	if made["owner"] != "u1" {
		t.Errorf("%v", made)
	}
	r.ask("PATCH", one, `{"bio":"x"}`, 428)
	r.ask("PATCH", one, `{"bio":"x"}`, 412, "If-Match", `"7"`)
	if a := r.ask("PATCH", one, `{"bio":"x","priority":null}`, 200, "If-Match", `"1"`); a["bio"] != "x" || a["version"] != 2.0 {
		t.Errorf("%v", a)
	}
	r.ask("PUT", one, `{"name":"shop"}`, 200, "If-Match", "*")
	if a := r.ask("GET", "/v1/applications/shop", "", 200); a["id"] != made["id"] {
		t.Errorf("%v", a)
	}
	r.ask("POST", "/v1/applications", `{"name":"shop"}`, 409)
	r.ask("DELETE", one, "", 412, "If-Match", `"1"`)
	r.ask("DELETE", one, "", 204, "If-Match", `"3"`)
	r.ask("DELETE", one, "", 404, "If-Match", "*")
}

// TestJournalUndoes holds what a dry run and a refusal leave: nothing, neither of the effect nor of the key.
func TestJournalUndoes(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c, err := catalog.New(catalog.Config{DB: db, Schedule: func(retention.Schedule) error { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		j := catalogrest.Journal{DB: db, Catalog: c}
		create := func(ctx context.Context) error {
			_, err := c.CreateCluster(ctx, catalog.ClusterSpec{Name: "x"}, catalog.Edit{Actor: darter.System("test")})
			return err
		}
		there := func() int {
			all, err := c.Clusters(t.Context(), "", 10)
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		if err := j.Try(t.Context(), create); err != nil || there() != 0 {
			t.Errorf("tried: %v, %d", err, there())
		}
		boom := errors.New("boom")
		key := rest.Key{Principal: "u", Key: "k", Route: "POST /x", Hash: "h"}
		_, err = j.Once(t.Context(), key, func(ctx context.Context) (rest.Answer, error) { return rest.Answer{}, errors.Join(create(ctx), boom) })
		if !errors.Is(err, boom) || there() != 0 {
			t.Errorf("failed: %v, %d", err, there())
		}
		for i := range 2 {
			a, err := j.Once(t.Context(), key, func(ctx context.Context) (rest.Answer, error) {
				return rest.Answer{Status: 201, Body: "b"}, create(ctx)
			})
			if err != nil || a.Status != 201 || a.Body != "b" || a.Replayed != (i == 1) || there() != 1 {
				t.Errorf("%d: %+v, %v, %d", i, a, err, there())
			}
		}
		key.Hash = "other"
		if _, err := j.Once(t.Context(), key, func(context.Context) (rest.Answer, error) { return rest.Answer{}, nil }); !errors.Is(err, rest.ErrKeyReused) {
			t.Errorf("%v", err)
		}
	}, catalog.Migrations())
}

// TestJournalOfManyManagers sends one key through many managers at once, which know nothing of one another.
func TestJournalOfManyManagers(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c, err := catalog.New(catalog.Config{DB: db, Schedule: func(retention.Schedule) error { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		j := catalogrest.Journal{DB: db, Catalog: c}
		key := rest.Key{Principal: "u", Key: "k", Route: "POST /x", Hash: "h"}
		answers := make(chan rest.Answer, 20)
		var group errgroup.Group
		for range cap(answers) {
			group.Go(func() error {
				a, err := j.Once(t.Context(), key, func(ctx context.Context) (rest.Answer, error) {
					made, err := c.CreateCluster(ctx, catalog.ClusterSpec{Name: "x"}, catalog.Edit{Actor: darter.System("test")})
					return rest.Answer{Status: 201, Body: made.ID}, err
				})
				answers <- a
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
		close(answers)
		all, err := c.Clusters(t.Context(), "", 10)
		if err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		first := 0
		for a := range answers {
			if !a.Replayed {
				first++
			}
			if a.Body != all[0].ID || a.Status != 201 {
				t.Errorf("%+v, want %s", a, all[0].ID)
			}
		}
		if first != 1 {
			t.Errorf("%d did it themselves", first)
		}
	}, catalog.Migrations())
}
