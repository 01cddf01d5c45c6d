package rest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/manager/auth/authtest"
	"github.com/darter-p2p/darter/internal/manager/auth/gate"
	"github.com/darter-p2p/darter/internal/manager/auth/oidc"
	"github.com/darter-p2p/darter/internal/manager/auth/oidctest"
	authrest "github.com/darter-p2p/darter/internal/manager/auth/rest"
	"github.com/darter-p2p/darter/internal/rest"
)

// nowhere keeps no answers: these tests send no keys.
type nowhere struct{}

func (nowhere) Once(ctx context.Context, _ rest.Key, effect func(context.Context) (rest.Answer, error)) (rest.Answer, error) {
	return effect(ctx)
}
func (nowhere) Try(ctx context.Context, effect func(context.Context) error) error { return effect(ctx) }

type rig struct {
	t        *testing.T
	api      *rest.API
	accounts *account.Accounts
	idp      *oidctest.Provider
	cookies  map[string]string
}

func build(t *testing.T, change func(*gate.Config)) *rig {
	db := databasetest.Open(t, databasetest.File(t), auth.Migrations(), authtest.Trail{}.Migrations())
	clock := authtest.NewClock()
	ac := account.DefaultConfig()
	ac.Now = clock.Now
	accounts, err := account.New(db, authtest.Trail{}, ac)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, accounts: accounts, idp: oidctest.Start(t, clock), cookies: make(map[string]string)}
	oc := oidc.DefaultConfig()
	oc.Issuer, oc.ClientID, oc.ClientSecret, oc.Redirect = r.idp.URL, "darter", "hush", "https://darter.example/v1/sessions/oidc/callback"
	oc.Client, oc.Insecure, oc.Now = r.idp.Client(), true, clock.Now
	oc.Roles = []oidc.Mapping{{Group: "ops", Role: "viewer"}}
	provider, err := oidc.New(db, oc)
	if err != nil {
		t.Fatal(err)
	}
	if r.api, err = rest.New(rest.Config{Journal: nowhere{}}); err != nil {
		t.Fatal(err)
	}
	gc := gate.DefaultConfig()
	gc.Auth, gc.Refuse, gc.Now, gc.Secure = accounts, r.api.Refuse, clock.Now, true
	if change != nil {
		change(&gc)
	}
	g, err := gate.New(gc)
	if err != nil {
		t.Fatal(err)
	}
	front := authrest.Front{Gate: g}
	r.api.Open(front)
	authrest.Register(r.api, front, authrest.Rooms{Accounts: accounts, Provider: provider, Secure: true})
	if err := r.api.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	return r
}

// browse asks as a browser does: it keeps cookies, and sends those that belong to the path.
func (r *rig) browse(method, target string) *http.Response {
	q := httptest.NewRequest(method, target, nil)
	for name, value := range r.cookies {
		if name != "darter-sign-in" || strings.HasPrefix(target, "/v1/sessions/oidc/callback") {
			q.AddCookie(&http.Cookie{Name: name, Value: value})
		}
	}
	w := httptest.NewRecorder()
	r.api.Handler().ServeHTTP(w, q)
	for _, c := range w.Result().Cookies() {
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode {
			r.t.Errorf("%+v", c)
		}
		if r.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(r.cookies, c.Name)
		}
	}
	return w.Result()
}

func TestSigningInAtAnIdentityProvider(t *testing.T) {
	r := build(t, nil)
	begun := r.browse("GET", "/v1/sessions/oidc?return_to=%2Fjobs%3Fstate%3Dfailed")
	if begun.StatusCode != http.StatusSeeOther || r.cookies["darter-sign-in"] == "" {
		t.Fatalf("%d %v", begun.StatusCode, begun.Header)
	}
	back := r.idp.Agree(begun.Header.Get("Location"))
	flow := r.cookies["darter-sign-in"]
	done := r.browse("GET", "/v1/sessions/oidc/callback?"+back.Encode())
	if done.StatusCode != http.StatusSeeOther || done.Header.Get("Location") != "/jobs?state=failed" || r.cookies["__Host-darter"] == "" || r.cookies["darter-sign-in"] != "" {
		t.Fatalf("%d %v", done.StatusCode, done.Header)
	}
	if who := r.browse("GET", "/v1/sessions/current"); who.StatusCode != http.StatusOK {
		t.Errorf("the session does not work: %d", who.StatusCode)
	}
	users, err := r.accounts.Users(t.Context(), "", 10)
	if err != nil || len(users) != 1 || users[0].Name != "anna" || users[0].Issuer != r.idp.URL {
		t.Errorf("%v, %v", users, err)
	}
	r.cookies = map[string]string{"darter-sign-in": flow}
	if again := r.browse("GET", "/v1/sessions/oidc/callback?"+back.Encode()); again.StatusCode != http.StatusUnauthorized || r.cookies["__Host-darter"] != "" {
		t.Errorf("twice: %d", again.StatusCode)
	}
	if strange := r.browse("GET", "/v1/sessions/oidc/callback?"+url.Values{"state": {"x"}, "code": {"y"}}.Encode()); strange.StatusCode != http.StatusUnauthorized {
		t.Errorf("a link from elsewhere: %d", strange.StatusCode)
	}
	r.idp.Down = true
	away := build(t, nil)
	away.idp.Down = true
	if a := away.browse("GET", "/v1/sessions/oidc"); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("a provider that is away: %d", a.StatusCode)
	}
}

func TestWhoAsksTooOftenWaits(t *testing.T) {
	r := build(t, func(c *gate.Config) { c.PerAddress = gate.Rate{PerSecond: 1, Burst: 3} })
	for range 3 {
		if a := r.browse("GET", "/v1/roles"); a.StatusCode != http.StatusUnauthorized {
			t.Fatalf("%d", a.StatusCode)
		}
	}
	a := r.browse("GET", "/v1/roles")
	if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") != "1" || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}

// TestAccessIsTranslatedWhole holds that no rule loses a part on its way to the gate.
func TestAccessIsTranslatedWhole(t *testing.T) {
	gc := gate.DefaultConfig()
	gc.Auth, gc.Refuse = (*account.Accounts)(nil), func(http.ResponseWriter, *http.Request, error) {}
	g, err := gate.New(gc)
	if err != nil {
		t.Fatal(err)
	}
	front := authrest.Front{Gate: g}
	want := make(map[string]string)
	for policy, a := range map[string]rest.Access{
		"public: why": {Public: "why"}, "authenticated": {SignedIn: true}, "job.read": rest.Need("job.read"), "job.read in {cluster}": rest.NeedIn("job.read", "cluster"),
		"job.read somewhere": rest.NeedSomewhere("job.read"), "nodes [daemon]": {Nodes: []string{"daemon"}}, "nobody": {},
	} {
		pattern := "GET /" + url.PathEscape(policy) + "/{cluster}"
		want[pattern] = policy
		front.Declare(pattern, a)
	}
	front.Declare("GET /both", rest.Access{Public: "why", Permission: "job.read"})
	want["GET /both"] = "nobody"
	for _, route := range g.Routes() {
		if route.Policy.String() != want[route.Pattern] {
			t.Errorf("%s: %s, want %s", route.Pattern, route.Policy, want[route.Pattern])
		}
	}
}
