package account_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/manager/auth/authtest"
)

func (h *house) works(text string) bool {
	h.t.Helper()
	_, err := h.Token(h.t.Context(), text, here)
	if err != nil && !errors.Is(err, auth.ErrUnauthenticated) {
		h.t.Fatal(err)
	}
	return err == nil
}

func TestATokenMayWhatScopesAndOwnerAllow(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		u := h.service("ci", "preheater@eu", "viewer")
		_, text := h.token(authtest.Admin(), u.ID, "create:preheat", "read:*:eu", "purge:task")
		p, err := h.Token(t.Context(), text, here)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			p       auth.Permission
			cluster string
			may     bool
		}{
			{"preheat.create", "eu", true},
			{"preheat.create", "us", false}, // not the owner's
			{"preheat.create", "", false},
			{"job.read", "eu", true},
			{"job.read", "us", false},    // the owner's, not the token's
			{"task.purge", "eu", false},  // the token's, not the owner's
			{"job.create", "eu", false},  // the owner's, not the token's
			{"audit.read", "eu", false},  // nobody's
			{"preheat.eat", "eu", false}, // nothing
		} {
			if got := p.May(c.p, c.cluster) == nil; got != c.may {
				t.Errorf("%s in %q: %v", c.p, c.cluster, got)
			}
		}
		if everywhere, in := p.Clusters("job.read"); everywhere || len(in) != 1 || in[0] != "eu" {
			t.Errorf("%v %v", everywhere, in)
		}
	})
}

func TestTokensAreChecked(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		u, person := h.service("ci"), h.user("anna")
		fine := account.Order{Owner: u.ID, Name: "x", Scopes: []string{"read:job"}}
		for name, c := range map[string]struct {
			change func(*account.Order)
			kind   darter.Kind
		}{
			"no scopes":     {func(o *account.Order) { o.Scopes = nil }, darter.Invalid},
			"unknown scope": {func(o *account.Order) { o.Scopes = []string{"eat:cake"} }, darter.Invalid},
			"no name":       {func(o *account.Order) { o.Name = " " }, darter.Invalid},
			"over a year":   {func(o *account.Order) { o.Life = 365*24*time.Hour + 1 }, darter.Invalid},
			"negative":      {func(o *account.Order) { o.Life = -time.Hour }, darter.Invalid},
			"no such owner": {func(o *account.Order) { o.Owner = "nobody" }, darter.NotFound},
		} {
			o := fine
			c.change(&o)
			_, text, err := h.CreateToken(t.Context(), authtest.Admin(), o)
			wantKind(t, name, err, c.kind)
			if text != "" {
				t.Errorf("%s: a text all the same", name)
			}
		}
		others := fine
		others.Owner = person.ID
		boss := authtest.Admin()
		boss.Kind, boss.ID = auth.User, "boss"
		if _, text, err := h.CreateToken(t.Context(), boss, others); darter.KindOf(err) != darter.Denied || text != "" {
			t.Errorf("an administrator for another person: %v", err)
		}
		if _, _, err := h.CreateToken(t.Context(), authtest.Admin(), others); err != nil {
			t.Errorf("whoever has the manager's files: %v", err)
		}
		if _, _, err := h.CreateToken(t.Context(), anybody(), fine); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("anonymous: %v", err)
		}
	})
}

func TestTokensEnd(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		u := h.service("ci")
		_, text := h.token(authtest.Admin(), u.ID, "read:job")
		h.clock.Pass(90*24*time.Hour - time.Second)
		if !h.works(text) {
			t.Error("before its end")
		}
		h.clock.Pass(time.Second)
		if h.works(text) {
			t.Error("after its end")
		}
		token, text := h.token(authtest.Admin(), u.ID, "read:job")
		forged := text[:len(text)-4] + "aaaa"
		if h.works(forged) || h.works("dtr_") || h.works("") || !h.works(text) || h.works(forged) {
			t.Error("forged")
		}
		for range 2 {
			if err := h.RevokeToken(ctx, authtest.Admin(), token.ID); err != nil {
				t.Fatal(err)
			}
		}
		if h.works(text) {
			t.Error("revoked")
		}
		wantKind(t, "revoke nothing", h.RevokeToken(ctx, authtest.Admin(), "nothing"), darter.NotFound)
		_, text = h.token(authtest.Admin(), u.ID, "read:job")
		if err := h.DeleteUser(ctx, authtest.Admin(), u.ID); err != nil {
			t.Fatal(err)
		}
		if h.works(text) {
			t.Error("its owner is gone")
		}
	})
}

func TestRotationOverlaps(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		u := h.service("ci", "viewer")
		old, text := h.token(authtest.Admin(), u.ID, "read:job")
		p, err := h.Token(ctx, text, here)
		if err != nil {
			t.Fatal(err)
		}
		self := auth.Caller{Principal: p, From: here} // a pipeline that renews its own token
		next, newText, err := h.RotateToken(ctx, self, old.ID, time.Hour, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if next.Owner != u.ID || next.Name != old.Name || len(next.Scopes) != 1 || !next.Expires.Equal(h.clock.Now().Add(24*time.Hour)) {
			t.Errorf("%+v", next)
		}
		_, _, err = h.RotateToken(ctx, self, old.ID, time.Hour, 0)
		wantKind(t, "rotate twice", err, darter.Conflict)
		_, _, err = h.RotateToken(ctx, self, next.ID, time.Hour, 0)
		wantKind(t, "rotate another token by token", err, darter.Denied)
		_, _, err = h.RotateToken(ctx, self, next.ID, 8*24*time.Hour, 0)
		wantKind(t, "too long an overlap", err, darter.Invalid)
		if !h.works(text) || !h.works(newText) {
			t.Error("within the overlap")
		}
		h.clock.Pass(time.Hour)
		if h.works(text) || !h.works(newText) {
			t.Error("after the overlap")
		}
		// An overlap does not prolong the old one.
		_, _, err = h.RotateToken(ctx, authtest.Admin(), next.ID, 7*24*time.Hour, 0)
		if err != nil {
			t.Fatal(err)
		}
		h.clock.Pass(24 * time.Hour)
		if h.works(newText) {
			t.Error("the overlap outlived the token")
		}
	})
}

func TestATokenMakesNoStrongerToken(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("root", "admin")
		me := h.as(h.signIn("root"))
		_, text := h.token(me, me.ID, "read:job")
		p, err := h.Token(ctx, text, here)
		if err != nil {
			t.Fatal(err)
		}
		c := auth.Caller{Principal: p, From: here}
		_, _, err = h.CreateToken(ctx, c, account.Order{Owner: me.ID, Name: "x", Scopes: []string{"*:*"}})
		wantKind(t, "wider", err, darter.Denied)
		if _, _, err := h.CreateToken(ctx, c, account.Order{Owner: me.ID, Name: "x", Scopes: []string{"read:job:eu"}}); err != nil {
			t.Errorf("narrower: %v", err)
		}
		if err := h.SetPassword(ctx, c, me.ID, good, "another fine password"); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("changes its owner's password: %v", err)
		}
	})
}

func TestUsesAreWritten(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		u := h.service("ci")
		token, text := h.token(authtest.Admin(), u.ID, "read:job")
		h.clock.Pass(time.Hour)
		if _, err := h.Token(t.Context(), text, netip.MustParseAddr("::ffff:198.51.100.9")); err != nil {
			t.Fatal(err)
		}
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := h.Tokens(t.Context(), u.ID, "", 0)
		if err != nil || len(list) != 1 || list[0].ID != token.ID || !list[0].Used.Equal(h.clock.Now()) || list[0].UsedFrom != "198.51.100.9" {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestBasic(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("root", "admin")
		u := h.user("harbor", "preheater")
		for range 3 {
			p, err := h.Basic(ctx, "harbor", good, anybody())
			if err != nil || p.ID != u.ID || p.Method != auth.ByBasic || p.May("preheat.create", "") != nil {
				t.Fatalf("%+v, %v", p, err)
			}
		}
		if _, err := h.Basic(ctx, "harbor", "wrong", anybody()); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%v", err)
		}
		_, text := h.token(auth.Caller{Principal: auth.Principal{Kind: auth.User, ID: u.ID}}, u.ID, "create:preheat")
		if p, err := h.Basic(ctx, "anything", text, anybody()); err != nil || p.Method != auth.ByToken || !p.Scoped {
			t.Errorf("a token as password: %+v, %v", p, err)
		}
		if err := h.SetPassword(ctx, authtest.Admin(), u.ID, "", "another fine password"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Basic(ctx, "harbor", good, anybody()); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("the old password is remembered: %v", err)
		}
	})
}

func TestFederatedUsers(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("root", "admin")
		local := h.user("anna", "operator")
		f := account.Federated{Issuer: "https://id.example", Subject: "42", Name: "Anna", Email: "anna@example.org",
			Bindings: []account.Binding{{Role: "viewer"}, {Role: "operator", Cluster: "eu"}}}
		o, err := h.SignInFederated(ctx, anybody(), f, "browser")
		if err != nil {
			t.Fatal(err)
		}
		p := h.as(o)
		if p.ID == local.ID || p.Name == "anna" || p.Method != auth.ByOIDC {
			t.Fatalf("somebody of the same name took over the local user: %+v", p)
		}
		if p.May("task.purge", "eu") != nil || p.May("task.purge", "us") == nil || p.May("job.read", "us") != nil {
			t.Error("groups")
		}
		h.bind(account.User{ID: p.ID}, "auditor")
		f.Name, f.Bindings = "renamed", f.Bindings[:1]
		again, err := h.SignInFederated(ctx, anybody(), f, "browser")
		if err != nil {
			t.Fatal(err)
		}
		if q := h.as(again); q.ID != p.ID || q.May("task.purge", "eu") == nil || q.May("audit.read", "") != nil {
			t.Errorf("after the group was lost: %+v", q)
		}
		bound, err := h.Bindings(ctx, p.ID)
		if err != nil || len(bound) != 2 {
			t.Fatal(bound, err)
		}
		wantKind(t, "take a group's role here", h.Unbind(ctx, authtest.Admin(), bound[1].ID), darter.Conflict)
		if _, err := h.SignIn(ctx, anybody(), p.Name, "", ""); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("with a password: %v", err)
		}
		yes := true
		u, err := h.User(ctx, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.EditUser(ctx, authtest.Admin(), u.ID, u.Version, account.Edit{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.SignInFederated(ctx, anybody(), f, ""); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("disabled: %v", err)
		}
		for _, odd := range []account.Federated{{Subject: "1"}, {Issuer: "https://id.example"}, {Issuer: account.Local, Subject: "1"}} {
			_, err := h.SignInFederated(ctx, anybody(), odd, "")
			wantKind(t, "no identity", err, darter.Invalid)
		}
		for _, wish := range []string{"", "../../root", "Ünïcode Näme", "root"} {
			f := account.Federated{Issuer: "https://id.example", Subject: "s" + wish, Name: wish, Display: "a\x00b", Email: "none"}
			if _, err := h.SignInFederated(ctx, anybody(), f, ""); err != nil {
				t.Errorf("name %q: %v", wish, err)
			}
		}
	})
}

func TestSweepKeepsWhatStillCounts(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.user("root", "admin")
		u := h.service("ci")
		h.signIn("root")
		h.token(authtest.Admin(), u.ID, "read:job")
		_ = second(h.SignIn(t.Context(), anybody(), "root", "wrong", ""))
		for _, step := range []struct {
			pass time.Duration
			gone int64
		}{{0, 0}, {25 * time.Hour, 2}, {36*24*time.Hour - time.Minute, 1}, {90 * 24 * time.Hour, 1}} {
			h.clock.Pass(step.pass)
			if n, err := h.Sweep(t.Context()); err != nil || n != step.gone {
				t.Errorf("after another %v: %d rows gone, want %d (%v)", step.pass, n, step.gone, err)
			}
		}
	})
}
