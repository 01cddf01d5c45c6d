package oidc_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/authtest"
	"github.com/darter-p2p/darter/internal/manager/auth/oidc"
	"github.com/darter-p2p/darter/internal/manager/auth/oidctest"
)

type rig struct {
	*oidc.Provider
	idp   *oidctest.Provider
	db    *database.DB
	clock *authtest.Clock
}

func each(t *testing.T, change func(*oidc.Config), test func(t *testing.T, r *rig)) {
	t.Helper()
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		clock := authtest.NewClock()
		p := oidctest.Start(t, clock)
		cfg := oidc.DefaultConfig()
		cfg.Issuer, cfg.ClientID, cfg.ClientSecret, cfg.Redirect = p.URL, "darter", "hush", "https://darter.example/v1/sign-in/oidc"
		cfg.Client, cfg.Insecure, cfg.Now = p.Client(), true, clock.Now
		cfg.Roles = []oidc.Mapping{{Group: "ops", Role: "operator", Cluster: "eu"}, {Group: "boss", Role: "admin"}, {Group: "*", Role: "viewer"}}
		if change != nil {
			change(&cfg)
		}
		made, err := oidc.New(db, cfg)
		if err != nil {
			t.Fatal(err)
		}
		test(t, &rig{Provider: made, idp: p, db: db, clock: clock})
	}, auth.Migrations())
}

func (r *rig) begin(t *testing.T) oidc.Started {
	t.Helper()
	s, err := r.Begin(t.Context(), "/jobs?state=failed")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignIn(t *testing.T) {
	each(t, nil, func(t *testing.T, r *rig) {
		s := r.begin(t)
		id, err := r.Finish(t.Context(), r.idp.Agree(s.URL), s.Cookie)
		if err != nil {
			t.Fatal(err)
		}
		if id.Issuer != r.idp.URL || id.Subject != "42" || id.Name != "anna" || id.Display != "Anna A." || id.Email != "anna@example.org" || id.ReturnTo != "/jobs?state=failed" ||
			len(id.Roles) != 2 || id.Roles[0].Role != "operator" || id.Roles[0].Cluster != "eu" || id.Roles[1].Role != "viewer" {
			t.Errorf("%+v", id)
		}
		if rows := authtest.Dump(t, r.db, "sign_in_flows"); strings.TrimSpace(rows) != "null" && strings.TrimSpace(rows) != "[]" {
			t.Errorf("left behind: %s", rows)
		}
	})
}

func TestFlowsAreBoundToTheirBrowserAndUsedOnce(t *testing.T) {
	each(t, nil, func(t *testing.T, r *rig) {
		ctx := t.Context()
		no := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("%s: %v", what, err)
			}
		}
		finish := func(q url.Values, cookie string) error { _, err := r.Finish(ctx, q, cookie); return err }
		mine, mallory := r.begin(t), r.begin(t)
		no("no cookie", finish(r.idp.Agree(mine.URL), ""))
		no("a link from somebody else's sign-in", finish(r.idp.Agree(mallory.URL), mine.Cookie))
		no("after a failure the flow is gone", finish(r.idp.Agree(mine.URL), mine.Cookie))

		mine = r.begin(t)
		stolen := r.idp.Agree(mallory.URL)
		stolen.Set("state", r.idp.Agree(mine.URL).Get("state"))
		no("somebody else's code under one's own state", finish(stolen, mine.Cookie))

		for _, state := range []string{"", "x"} {
			mine = r.begin(t)
			own := r.idp.Agree(mine.URL)
			own.Set("state", state)
			no("one's own code, and state "+state, finish(own, mine.Cookie))
		}

		mine = r.begin(t)
		q := r.idp.Agree(mine.URL)
		if err := finish(q, mine.Cookie); err != nil {
			t.Fatal(err)
		}
		no("twice", finish(q, mine.Cookie))

		mine = r.begin(t)
		r.clock.Pass(10 * time.Minute)
		no("ten minutes later", finish(r.idp.Agree(mine.URL), mine.Cookie))

		mine = r.begin(t)
		q = r.idp.Agree(mine.URL)
		no("the person did not agree", finish(url.Values{"state": q["state"], "error": {"access_denied"}}, mine.Cookie))

		mine = r.begin(t)
		rows := authtest.Dump(t, r.db, "sign_in_flows")
		to, err := url.Parse(mine.URL)
		if err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]string{"cookie": mine.Cookie[31:], "state": to.Query().Get("state"), "nonce": to.Query().Get("nonce")} {
			if strings.Contains(rows, s) || s == "" {
				t.Errorf("the %s is in a row", name)
			}
			if name == "cookie" && strings.Contains(mine.URL, s) {
				t.Error("the cookie is in the URL")
			}
		}
	})
}

func TestBadIDTokensAreRefused(t *testing.T) {
	stranger := oidctest.NewKey(t)
	lies := map[string]func(p *oidctest.Provider){
		"other audience": func(p *oidctest.Provider) { p.Lie = func(c map[string]any) { c["aud"] = "somebody-else" } },
		"other issuer":   func(p *oidctest.Provider) { p.Lie = func(c map[string]any) { c["iss"] = "https://evil.example" } },
		"other nonce":    func(p *oidctest.Provider) { p.Lie = func(c map[string]any) { c["nonce"] = "x" } },
		"no nonce":       func(p *oidctest.Provider) { p.Lie = func(c map[string]any) { delete(c, "nonce") } },
		"run out": func(p *oidctest.Provider) {
			p.Lie = func(c map[string]any) { c["exp"] = p.Clock.Now().Add(-time.Hour).Unix() }
		},
		"not yet valid": func(p *oidctest.Provider) {
			p.Lie = func(c map[string]any) { c["nbf"] = p.Clock.Now().Add(time.Hour).Unix() }
		},
		"other key": func(p *oidctest.Provider) { p.Signer = func() *ecdsa.PrivateKey { return stranger } },
	}
	each(t, nil, func(t *testing.T, r *rig) {
		for name, lie := range lies {
			r.idp.Lie, r.idp.Signer = nil, func() *ecdsa.PrivateKey { return r.idp.Key }
			lie(r.idp)
			s := r.begin(t)
			_, err := r.Finish(t.Context(), r.idp.Agree(s.URL), s.Cookie)
			if !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("%s: %v", name, err)
			} else if strings.Contains(err.Error(), "eyJ") {
				t.Errorf("%s: the error shows the token: %v", name, err)
			}
		}
	})
}

func TestClaims(t *testing.T) {
	each(t, func(c *oidc.Config) { c.Require = []string{"all"} }, func(t *testing.T, r *rig) {
		sign := func() (oidc.Identity, error) {
			s := r.begin(t)
			return r.Finish(t.Context(), r.idp.Agree(s.URL), s.Cookie)
		}
		r.idp.Claims["email_verified"], r.idp.Claims["groups"] = false, "all"
		if id, err := sign(); err != nil || id.Email != "" || len(id.Roles) != 1 {
			t.Errorf("one group as a text, e-mail not verified: %+v, %v", id, err)
		}
		for _, odd := range []any{nil, "ops", []string{"ops"}, 7, map[string]any{"all": true}, []any{7, nil}} {
			r.idp.Claims["groups"] = odd
			if _, err := sign(); !errors.Is(err, auth.ErrForbidden) {
				t.Errorf("groups %v: %v", odd, err)
			}
		}
	})
}

// A provider that is away at the start is found later; one that goes away makes signing in impossible, no more.
func TestProviderAway(t *testing.T) {
	each(t, nil, func(t *testing.T, r *rig) {
		r.idp.Down = true
		if _, err := r.Begin(t.Context(), "/"); darter.KindOf(err) != darter.Unavailable {
			t.Errorf("%v", err)
		}
		r.idp.Down = false
		s := r.begin(t)
		q := r.idp.Agree(s.URL)
		r.idp.Down = true
		if _, err := r.Finish(t.Context(), q, s.Cookie); darter.KindOf(err) != darter.Unavailable {
			t.Errorf("%v", err)
		}
	})
}

func TestOneReturnsToThisHostOnly(t *testing.T) {
	each(t, nil, func(t *testing.T, r *rig) {
		for _, to := range []string{"https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "", "jobs", "/a\nb", "http:/a", "/" + strings.Repeat("x", 1000)} {
			s, err := r.Begin(context.WithoutCancel(t.Context()), to)
			if err != nil {
				t.Fatal(err)
			}
			if id, err := r.Finish(t.Context(), r.idp.Agree(s.URL), s.Cookie); err != nil || id.ReturnTo != "/" {
				t.Errorf("%q: %q, %v", to, id.ReturnTo, err)
			}
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	fine := oidc.DefaultConfig()
	fine.Issuer, fine.ClientID, fine.Redirect, fine.Client = "https://id.example", "x", "https://darter.example/cb", http.DefaultClient
	if _, err := oidc.New(nil, fine); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*oidc.Config){
		"plain issuer": func(c *oidc.Config) { c.Issuer = "http://id.example" }, "no issuer": func(c *oidc.Config) { c.Issuer = "" },
		"no client": func(c *oidc.Config) { c.ClientID = "" }, "no redirect": func(c *oidc.Config) { c.Redirect = "/cb" }, "no HTTP": func(c *oidc.Config) { c.Client = nil },
		"no openid": func(c *oidc.Config) { c.Scopes = []string{"email"} }, "no group": func(c *oidc.Config) { c.Roles = []oidc.Mapping{{Role: "admin"}} },
		"odd cluster": func(c *oidc.Config) { c.Roles = []oidc.Mapping{{Group: "a", Role: "admin", Cluster: "a b"}} },
	} {
		c := fine
		change(&c)
		if _, err := oidc.New(nil, c); darter.KindOf(err) != darter.Invalid || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
