package gate_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/manager/auth/authtest"
	"github.com/darter-p2p/darter/internal/manager/auth/gate"
	"github.com/darter-p2p/darter/internal/manager/auth/gatetest"
	"github.com/darter-p2p/darter/internal/pki"
)

const good = "correct horse battery"

// door is a gate over real accounts, and what it said last.
type door struct {
	*gate.Gate
	t     *testing.T
	a     *account.Accounts
	clock *authtest.Clock
	err   error
	root  account.User
}

func build(t *testing.T, change func(*gate.Config)) *door {
	t.Helper()
	d := &door{t: t, clock: authtest.NewClock()}
	db := databasetest.Open(t, databasetest.File(t), auth.Migrations(), authtest.Trail{}.Migrations())
	cfg := account.DefaultConfig()
	cfg.Password.Memory, cfg.Password.Passes, cfg.Now = 8<<10, 1, d.clock.Now
	var err error
	if d.a, err = account.New(db, authtest.Trail{}, cfg); err != nil {
		t.Fatal(err)
	}
	gc := gate.DefaultConfig()
	gc.Auth, gc.Now = d.a, d.clock.Now
	gc.Refuse = func(w http.ResponseWriter, r *http.Request, err error) {
		d.err = err
		gatetest.Recorder(w, r, err)
	}
	if change != nil {
		change(&gc)
	}
	if d.Gate, err = gate.New(gc); err != nil {
		t.Fatal(err)
	}
	if d.root, err = d.a.CreateUser(t.Context(), authtest.Admin(), account.Draft{Kind: auth.User, Name: "root", Password: good}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.a.Bind(t.Context(), authtest.Admin(), d.root.ID, "admin", ""); err != nil {
		t.Fatal(err)
	}
	return d
}

func who(w http.ResponseWriter, r *http.Request) {
	c := auth.From(r.Context())
	_, _ = io.WriteString(w, string(c.Kind)+" "+c.Name+" "+c.Method+" from "+c.From.String())
}

func (d *door) route(pattern string, p gate.Policy) { d.Handle(pattern, p, http.HandlerFunc(who)) }

// ask sends a request and returns what the handler said, or "" and d.err.
func (d *door) ask(method, path string, change func(*http.Request)) string {
	d.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader("{}"))
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	d.err = nil
	d.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return ""
	}
	if w.Header().Get(gate.RequestID) == "" {
		d.t.Error("no request id")
	}
	return w.Body.String()
}

func bearer(text string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+text) }
}

func (d *door) token(owner string, scopes ...string) string {
	d.t.Helper()
	c := auth.Caller{Principal: auth.Principal{Kind: auth.User, ID: owner}}
	t, text, err := d.a.CreateToken(d.t.Context(), c, account.Order{Owner: owner, Name: "x", Scopes: scopes})
	if err != nil || t.ID == "" {
		d.t.Fatal(err)
	}
	return text
}

func (d *door) visitors() gatetest.Visitors {
	guest, err := d.a.CreateUser(d.t.Context(), authtest.Admin(), account.Draft{Kind: auth.Service, Name: "guest"})
	if err != nil {
		d.t.Fatal(err)
	}
	texts := make(map[string]string)
	return gatetest.Visitors{
		Guest: func(testing.TB) string { return "Bearer " + d.token(guest.ID, "*:*") },
		Scoped: func(_ testing.TB, scopes []string) string {
			key := strings.Join(scopes, " ")
			if texts[key] == "" {
				texts[key] = "Bearer " + d.token(d.root.ID, scopes...)
			}
			return texts[key]
		},
	}
}

func loose(c *gate.Config) {
	c.PerAddress, c.PerPrincipal, c.Failures = gate.Rate{PerSecond: 1, Burst: 1e6}, gate.Rate{PerSecond: 1, Burst: 1e6}, gate.Rate{PerSecond: 1, Burst: 1e6}
}

func TestEveryRouteIsWalked(t *testing.T) {
	d := build(t, loose)
	d.route("GET /livez", gate.Public("probes"))
	d.route("GET /healthy", gate.Public("Harbor's connection test").Checked().Basic())
	d.route("GET /v1/me", gate.Authenticated())
	d.route("GET /v1/jobs", gate.NeedSomewhere("job.read"))
	d.route("POST /v1/preheats", gate.Need("preheat.create"))
	d.route("DELETE /v1/clusters/{cluster}", gate.NeedIn("cluster.write", "cluster"))
	d.route("GET /v1/users/{user}/sessions/{rest...}", gate.Need("session.read"))
	d.route("POST /v1/certificates:renew", gate.Nodes(pki.Daemon, pki.Scheduler))
	gatetest.Walk(t, d.Gate, d.visitors(), "GET /livez", "GET /healthy")
}

func TestARouteWithoutPolicyLetsNobody(t *testing.T) {
	d := build(t, nil)
	d.HandleFunc("GET /v1/forgotten", who)
	if got := d.ask("GET", "/v1/forgotten", bearer(d.token(d.root.ID, "*:*"))); got != "" || !errors.Is(d.err, auth.ErrForbidden) {
		t.Errorf("%q, %v", got, d.err)
	}
	if err := d.Check(); err == nil || !strings.Contains(err.Error(), "GET /v1/forgotten has no policy") {
		t.Errorf("%v", err)
	}
	for name, add := range map[string]func(*door){
		"exist":     func(d *door) { d.route("GET /a", gate.Need("cake.eat")) },
		"no policy": func(d *door) { d.route("GET /a", gate.Policy{}) },
		"reason":    func(d *door) { d.route("GET /a", gate.Public("")) },
		"not in it": func(d *door) { d.route("GET /a", gate.NeedIn("job.read", "cluster")) },
		"no role":   func(d *door) { d.route("GET /a", gate.Nodes()) },
		"checked":   func(d *door) { d.route("GET /a", gate.Need("job.read").Checked()) },
		"twice":     func(d *door) { d.route("GET /a", gate.Authenticated()); d.route("GET /a", gate.Public("x")) },
		"not there": func(d *door) { d.Declare("GET /a", gate.Authenticated()) },
	} {
		d := build(t, nil)
		add(d)
		if err := d.Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCookiesNeedTheCSRFToken(t *testing.T) {
	d := build(t, func(c *gate.Config) { c.Secure = true })
	d.route("POST /v1/x", gate.Authenticated())
	d.route("GET /v1/x", gate.Authenticated())
	d.route("POST /v1/session", gate.Public("sign-in"))
	o, err := d.a.SignIn(t.Context(), auth.Caller{}, "root", good, "")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	d.SetCookie(w, o.Cookie, o.Expires)
	cookie := w.Result().Cookies()[0]
	if cookie.Name != "__Host-darter" || !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" {
		t.Errorf("%+v", cookie)
	}
	set := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			r.AddCookie(cookie)
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Set(pairs[i], pairs[i+1])
			}
		}
	}
	for name, c := range map[string]struct {
		method string
		change func(*http.Request)
		fine   bool
	}{
		"reading":             {"GET", set(), true},
		"changing":            {"POST", set(gate.CSRFHeader, o.CSRF), true},
		"without the token":   {"POST", set(), false},
		"with a wrong one":    {"POST", set(gate.CSRFHeader, o.CSRF+"x"), false},
		"from another site":   {"POST", set(gate.CSRFHeader, o.CSRF, "Sec-Fetch-Site", "cross-site"), false},
		"from another origin": {"POST", set(gate.CSRFHeader, o.CSRF, "Origin", "https://evil.example"), false},
		"a token needs none":  {"POST", bearer(d.token(d.root.ID, "*:*")), true},
		"a wrong token is not made good by a cookie": {"POST", set("Authorization", "Bearer x", gate.CSRFHeader, o.CSRF), false},
		"an odd scheme neither":                      {"GET", set("Authorization", "Basic cm9vdDpjb3JyZWN0IGhvcnNlIGJhdHRlcnk="), false},
	} {
		if got := d.ask(c.method, "/v1/x", c.change); (got != "") != c.fine {
			t.Errorf("%s: %q, %v", name, got, d.err)
		}
	}
	if got := d.ask("POST", "/v1/session", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); got != "" || !errors.Is(d.err, gate.ErrCSRF) {
		t.Errorf("sign-in from another site: %q, %v", got, d.err)
	}
	w = httptest.NewRecorder()
	d.ClearCookie(w)
	if last := w.Result().Cookies(); last[len(last)-1].MaxAge >= 0 {
		t.Errorf("%+v", last)
	}
}

func TestCredentialsInTheURLAreNotLookedAt(t *testing.T) {
	d := build(t, nil)
	d.route("GET /v1/x", gate.Authenticated())
	text := d.token(d.root.ID, "*:*")
	for _, path := range []string{"/v1/x?token=" + text, "/v1/x?access_token=" + text, "/v1/x?authorization=Bearer+" + text} {
		if got := d.ask("GET", path, nil); got != "" || !errors.Is(d.err, auth.ErrUnauthenticated) {
			t.Errorf("%q, %v", got, d.err)
		}
	}
}

// What Harbor does: a connection test, then polls, in each of its ways to authenticate.
func TestHarborsWays(t *testing.T) {
	d := build(t, func(c *gate.Config) { c.PerPrincipal = gate.Rate{PerSecond: 1, Burst: 5} })
	d.route("GET /healthy", gate.Public("connection test").Checked().Basic())
	d.route("POST /oapi/v1/jobs", gate.Need("preheat.create").Basic().Patient())
	u, err := d.a.CreateUser(t.Context(), authtest.Admin(), account.Draft{Kind: auth.User, Name: "harbor", Password: good})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.a.Bind(t.Context(), authtest.Admin(), u.ID, "preheater", ""); err != nil {
		t.Fatal(err)
	}
	basic := func(name, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(name, password) }
	}
	text := d.token(u.ID, "create:preheat")
	for name, c := range map[string]struct {
		change        func(*http.Request)
		healthy, jobs bool
	}{
		"NONE": {nil, true, false}, "BASIC": {basic("harbor", good), true, true}, "BASIC, wrong": {basic("harbor", "wrong"), false, false}, "OAUTH": {bearer(text), true, true},
		"OAUTH, wrong": {bearer(text + "x"), false, false}, "BASIC with a token": {basic("x", text), true, true}, "nonsense": {func(r *http.Request) { r.Header.Set("Authorization", "Basic ???") }, false, false},
	} {
		if got := d.ask("GET", "/healthy", c.change); (got != "") != c.healthy {
			t.Errorf("%s: healthy %q, %v", name, got, d.err)
		}
		if got := d.ask("POST", "/oapi/v1/jobs", c.change); (got != "") != c.jobs {
			t.Errorf("%s: jobs %q, %v", name, got, d.err)
		}
	}
	for range 100 { // a burst is never turned away
		if got := d.ask("POST", "/oapi/v1/jobs", bearer(text)); got == "" {
			t.Fatal(d.err)
		}
	}
}

func TestRates(t *testing.T) {
	d := build(t, func(c *gate.Config) {
		c.PerAddress, c.PerPrincipal, c.Failures = gate.Rate{PerSecond: 1, Burst: 3}, gate.Rate{PerSecond: 1, Burst: 5}, gate.Rate{PerSecond: 1, Burst: 4}
	})
	d.route("GET /livez", gate.Public("probes"))
	d.route("GET /v1/x", gate.Authenticated())
	text := d.token(d.root.ID, "*:*")
	from := func(addr string, change func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			r.RemoteAddr = addr
			if change != nil {
				change(r)
			}
		}
	}
	most := func(what string, want int, ask func() string) {
		t.Helper()
		for i := range 20 {
			if ask() != "" {
				continue
			}
			throttled, ok := errors.AsType[*auth.Throttled](d.err)
			if !ok {
				continue // refused for what it is, not for how often
			}
			if i != want || throttled.After <= 0 || throttled.After > time.Second {
				t.Errorf("%s: turned away at %d, wait %v, want at %d", what, i, throttled.After, want)
			}
			return
		}
		t.Errorf("%s: never turned away", what)
	}
	most("an address", 3, func() string { return d.ask("GET", "/livez", from("198.51.100.1:1", nil)) })
	most("an address, no such route", 3, func() string { return d.ask("GET", "/nope", from("198.51.100.2:1", nil)) })
	n := 0
	most("an IPv6 network", 3, func() string {
		n++
		return d.ask("GET", "/livez", from("[2001:db8::"+string(rune('a'+n%6))+"]:1", nil))
	})
	most("a principal from many places", 5, func() string {
		n++
		return d.ask("GET", "/v1/x", from("203.0.113."+string(rune('0'+n%10))+":1", bearer(text)))
	})
	most("wrong credentials", 4, func() string { return d.ask("GET", "/v1/x", from("198.51.100.3:1", bearer("x"))) })
	d.clock.Pass(time.Second)
	if d.ask("GET", "/livez", from("198.51.100.1:1", nil)) == "" || d.ask("GET", "/v1/x", bearer(text)) == "" {
		t.Errorf("a second later: %v", d.err)
	}
}

func TestProxiesAreBelievedOnlyWhenTrusted(t *testing.T) {
	for _, c := range []struct{ peer, forwarded, want string }{
		{"198.51.100.1:9", "1.2.3.4", "198.51.100.1"}, {"10.0.0.1:9", "1.2.3.4", "1.2.3.4"}, {"10.0.0.1:9", "6.6.6.6, 1.2.3.4", "1.2.3.4"},
		{"10.0.0.1:9", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"}, {"10.0.0.1:9", "", "10.0.0.1"}, {"10.0.0.1:9", "nonsense, 1.2.3.4", "1.2.3.4"},
		{"10.0.0.1:9", "1.2.3.4, nonsense", "10.0.0.1"}, {"[::ffff:10.0.0.1]:9", "::ffff:1.2.3.4", "1.2.3.4"},
	} {
		d := build(t, func(c *gate.Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
		d.route("GET /livez", gate.Public("probes"))
		got := d.ask("GET", "/livez", func(r *http.Request) {
			r.RemoteAddr = c.peer
			if c.forwarded != "" {
				r.Header.Set("X-Forwarded-For", c.forwarded)
			}
		})
		if !strings.HasSuffix(got, "from "+c.want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestNodesComeWithCertificates(t *testing.T) {
	id := pki.Identity{Role: pki.Daemon, Cluster: "c", Node: "d-1"}
	d := build(t, func(c *gate.Config) {
		c.Node = func(*tls.ConnectionState) (auth.Principal, error) {
			return auth.Principal{Kind: auth.Node, ID: id.String(), Name: id.Node, Method: auth.ByMTLS}, nil
		}
	})
	d.route("POST /renew", gate.Nodes(pki.Daemon))
	d.route("POST /schedulers", gate.Nodes(pki.Scheduler))
	d.route("GET /v1/x", gate.Authenticated())
	d.route("GET /v1/jobs", gate.Need("job.read"))
	shown := func(r *http.Request) { r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}} }
	if got := d.ask("POST", "/renew", shown); !strings.HasPrefix(got, "node d-1 mtls") {
		t.Errorf("%q, %v", got, d.err)
	}
	for path, why := range map[string]error{"/schedulers": auth.ErrForbidden, "/v1/x": auth.ErrUnauthenticated, "/v1/jobs": auth.ErrUnauthenticated} {
		method := "GET"
		if path == "/schedulers" {
			method = "POST"
		}
		if got := d.ask(method, path, shown); got != "" || !errors.Is(d.err, why) {
			t.Errorf("%s: %q, %v", path, got, d.err)
		}
	}
	if got := d.ask("POST", "/renew", bearer(d.token(d.root.ID, "*:*"))); got != "" {
		t.Errorf("an administrator is not a node: %q", got)
	}
}

func TestUnknownRoutesAndMethods(t *testing.T) {
	d := build(t, nil)
	d.route("GET /v1/x", gate.Authenticated())
	if d.ask("GET", "/v1/y", nil); darter.KindOf(d.err) != darter.NotFound {
		t.Errorf("%v", d.err)
	}
	if d.ask("DELETE", "/v1/x", nil); !errors.Is(d.err, gate.ErrMethod) || !strings.Contains(darter.HintOf(d.err), "GET") {
		t.Errorf("%v, %q", d.err, darter.HintOf(d.err))
	}
}

func TestBodiesAreLimited(t *testing.T) {
	d := build(t, nil)
	var read error
	d.Handle("POST /v1/x", gate.Public("test").Body(10), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, read = io.ReadAll(r.Body) }))
	for body, fine := range map[string]bool{"0123456789": true, "0123456789a": false} {
		r := httptest.NewRequest("POST", "/v1/x", strings.NewReader(body))
		d.ServeHTTP(httptest.NewRecorder(), r)
		if _, tooLong := errors.AsType[*http.MaxBytesError](read); tooLong == fine {
			t.Errorf("%d bytes: %v", len(body), read)
		}
	}
}

// When the database is away nobody is let in, and nobody is told that their token is wrong.
func TestNoAnswerIsNoPermission(t *testing.T) {
	d := build(t, func(c *gate.Config) { c.Auth = away{} })
	d.route("GET /v1/x", gate.Authenticated())
	d.route("GET /livez", gate.Public("probes"))
	if got := d.ask("GET", "/v1/x", bearer("x")); got != "" || darter.KindOf(d.err) != darter.Unavailable || errors.Is(d.err, auth.ErrUnauthenticated) {
		t.Errorf("%q, %v", got, d.err)
	}
	if got := d.ask("GET", "/livez", nil); got == "" {
		t.Error(d.err)
	}
}

type away struct{}

var errAway = &darter.Error{Kind: darter.Unavailable, Op: "use token", Err: database.ErrGone}

func (away) Token(context.Context, string, netip.Addr) (auth.Principal, error) {
	return auth.Principal{}, errAway
}
func (away) Session(context.Context, string, netip.Addr) (auth.Principal, string, error) {
	return auth.Principal{}, "", errAway
}
func (away) Basic(context.Context, string, string, auth.Caller) (auth.Principal, error) {
	return auth.Principal{}, errAway
}
