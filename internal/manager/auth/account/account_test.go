package account_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/manager/auth/authtest"
)

const good = "correct horse battery"

var here = netip.MustParseAddr("192.0.2.7")

// house is accounts on one database, with a clock.
type house struct {
	*account.Accounts
	t     *testing.T
	db    *database.DB
	clock *authtest.Clock
	trail authtest.Trail
}

func cheap(clock *authtest.Clock) account.Config {
	cfg := account.DefaultConfig()
	cfg.Password.Memory, cfg.Password.Passes = 8<<10, 1
	cfg.Now = clock.Now
	return cfg
}

func open(t *testing.T, db *database.DB, clock *authtest.Clock) *house {
	t.Helper()
	a, err := account.New(db, authtest.Trail{}, cheap(clock))
	if err != nil {
		t.Fatal(err)
	}
	return &house{Accounts: a, t: t, db: db, clock: clock}
}

func each(t *testing.T, test func(t *testing.T, h *house)) {
	t.Helper()
	databasetest.Each(t, func(t *testing.T, db *database.DB) { test(t, open(t, db, authtest.NewClock())) }, auth.Migrations(), authtest.Trail{}.Migrations())
}

func anybody() auth.Caller { return auth.Caller{From: here, Request: "r-2"} }

func (h *house) user(name string, roles ...string) account.User {
	h.t.Helper()
	u, err := h.CreateUser(h.t.Context(), authtest.Admin(), account.Draft{Kind: auth.User, Name: name, Password: good})
	if err != nil {
		h.t.Fatal(err)
	}
	h.bind(u, roles...)
	return u
}

func (h *house) service(name string, roles ...string) account.User {
	h.t.Helper()
	u, err := h.CreateUser(h.t.Context(), authtest.Admin(), account.Draft{Kind: auth.Service, Name: name})
	if err != nil {
		h.t.Fatal(err)
	}
	h.bind(u, roles...)
	return u
}

// bind takes roles as "role" or "role@cluster".
func (h *house) bind(u account.User, roles ...string) {
	h.t.Helper()
	for _, r := range roles {
		role, cluster, _ := strings.Cut(r, "@")
		if _, err := h.Bind(h.t.Context(), authtest.Admin(), u.ID, role, cluster); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *house) signIn(name string) account.Opened {
	h.t.Helper()
	o, err := h.SignIn(h.t.Context(), anybody(), name, good, "browser")
	if err != nil {
		h.t.Fatal(err)
	}
	return o
}

// as returns the caller that a cookie stands for.
func (h *house) as(o account.Opened) auth.Caller {
	h.t.Helper()
	p, _, err := h.Session(h.t.Context(), o.Cookie, here)
	if err != nil {
		h.t.Fatal(err)
	}
	return auth.Caller{Principal: p, From: here}
}

func (h *house) token(c auth.Caller, owner string, scopes ...string) (account.Token, string) {
	h.t.Helper()
	t, text, err := h.CreateToken(h.t.Context(), c, account.Order{Owner: owner, Name: "ci", Scopes: scopes})
	if err != nil {
		h.t.Fatal(err)
	}
	return t, text
}

func wantKind(t *testing.T, what string, err error, kind darter.Kind) {
	t.Helper()
	if err == nil || darter.KindOf(err) != kind {
		t.Errorf("%s: %v (kind %v), want %v", what, err, darter.KindOf(err), kind)
	}
}

func TestSetupIsForTheFirstAdministratorOnly(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		first, needed, err := h.PrepareSetup(ctx, "")
		if err != nil || !needed || !strings.HasPrefix(first, "dtu_") {
			t.Fatalf("%q %v %v", first, needed, err)
		}
		second, _, err := h.PrepareSetup(ctx, "") // another manager, or a restart
		if err != nil || second == first {
			t.Fatalf("%v", err)
		}
		if _, err := h.CompleteSetup(ctx, anybody(), "dtu_wrong", "root", good); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("a wrong token: %v", err)
		}
		_, err = h.CompleteSetup(ctx, anybody(), first, "root", "short")
		wantKind(t, "a weak password", err, darter.Invalid)
		h.clock.Pass(59 * time.Minute)
		u, err := h.CompleteSetup(ctx, anybody(), first, "Root", good)
		if err != nil || u.Name != "root" {
			t.Fatalf("after 59 minutes: %v", err)
		}
		if _, err := h.CompleteSetup(ctx, anybody(), second, "mallory", good); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("another token after set-up: %v", err)
		}
		if show, needed, err := h.PrepareSetup(ctx, ""); err != nil || needed || show != "" {
			t.Errorf("set-up offered again: %q %v %v", show, needed, err)
		}
		p := h.as(h.signIn("root"))
		if err := p.May("user.write", ""); err != nil {
			t.Error(err)
		}
		events := h.trail.Events(t, h.db)
		if e := events[0]; len(events) != 2 || e.Action != "system.setup" || e.Actor.ID != u.ID || e.Actor.Address != here.String() {
			t.Errorf("%+v", events)
		}
	})
}

func TestSetupTokensRunOut(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		token, _, err := h.PrepareSetup(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		h.clock.Pass(time.Hour)
		if _, err := h.CompleteSetup(t.Context(), anybody(), token, "root", good); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("after an hour: %v", err)
		}
	})
}

func TestBroughtSetupSecrets(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		for _, weak := range []string{"short", strings.Repeat("a", 40), "ZHJhZ29uZmx5Cg==ZHJhZ29uZmx5Cg==", "dragonflydragonflydragonflychangeme", strings.Repeat("abc", 400)} {
			_, _, err := h.PrepareSetup(ctx, weak)
			wantKind(t, weak[:5], err, darter.Invalid)
			if err != nil && strings.Contains(err.Error(), weak) {
				t.Errorf("the error shows the secret: %v", err)
			}
		}
		const brought = "k3hR7vPq9ZxT2mWc8LsNfY4dGb6JaQeU"
		for range 2 { // every start brings it again
			if show, needed, err := h.PrepareSetup(ctx, brought+"\n"); err != nil || !needed || show != "" {
				t.Fatalf("%q %v %v", show, needed, err)
			}
		}
		if _, err := h.CompleteSetup(ctx, anybody(), brought, "root", good); err != nil {
			t.Fatal(err)
		}
		if _, err := h.CompleteSetup(ctx, anybody(), brought, "root2", good); err == nil {
			t.Error("used twice")
		}
	})
}

func TestWrongSignInsAreAllAlikeAndSlowDown(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("root", "admin")
		h.user("anna", "viewer")
		off := h.user("off")
		yes := true
		if _, err := h.EditUser(ctx, authtest.Admin(), off.ID, 1, account.Edit{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		h.service("robot")
		for _, name := range []string{"anna", "nobody", "off", "robot", ""} {
			password := "wrong"
			if name == "off" {
				password = good
			}
			waits := []time.Duration{0, 0, 1, 2, 4, 8, 16, 32, 64, 900, 900}
			for i, next := range waits {
				_, err := h.SignIn(ctx, anybody(), name, password, "")
				if !errors.Is(err, auth.ErrUnauthenticated) || !strings.Contains(err.Error(), "name or password is wrong") {
					t.Fatalf("%s, failure %d: %v", name, i+1, err)
				}
				if next == 0 {
					continue
				}
				throttled, ok := errors.AsType[*auth.Throttled](second(h.SignIn(ctx, anybody(), name, good, "")))
				if !ok || throttled.After != next*time.Second {
					t.Fatalf("%s after %d failures: %v, want %v s", name, i+1, throttled, int(next))
				}
				h.clock.Pass(next * time.Second)
			}
		}
		// From elsewhere anna signs in all the same, and at home once the lock has ended.
		elsewhere := auth.Caller{From: netip.MustParseAddr("198.51.100.1")}
		if _, err := h.SignIn(ctx, elsewhere, "anna", good, ""); err != nil {
			t.Error(err)
		}
		h.signIn("anna")
	})
}

func second[T any](_ T, err error) error { return err }

// Guesses from a hundred networks are stopped as well, later.
func TestGuessesFromManyPlacesLockTheName(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.user("anna")
		tries := 0
		for i := range 250 {
			from := netip.AddrFrom4([4]byte{198, 51, byte(i), 1})
			_, err := h.SignIn(t.Context(), auth.Caller{From: from}, "anna", "wrong", "")
			if _, throttled := errors.AsType[*auth.Throttled](err); throttled {
				break
			}
			tries++
		}
		if tries < 29 || tries > 120 {
			t.Errorf("%d guesses before the name slowed down", tries)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("root", "admin")
		ended := func(what string, o account.Opened) {
			t.Helper()
			if _, _, err := h.Session(ctx, o.Cookie, here); !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("%s: %v", what, err)
			}
		}
		idle := h.signIn("root")
		h.clock.Pass(8*time.Hour - time.Second)
		h.as(idle) // a use counts at once, not only when it is written
		h.clock.Pass(8*time.Hour - time.Second)
		h.as(idle)
		h.clock.Pass(8 * time.Hour)
		ended("idle for eight hours", idle)

		long := h.signIn("root")
		for range 7*24/6 - 1 {
			h.clock.Pass(6 * time.Hour)
			h.as(long)
		}
		h.clock.Pass(6 * time.Hour)
		ended("a week old", long)

		out, other := h.signIn("root"), h.signIn("root")
		me := h.as(out)
		if err := h.EndSession(ctx, me, out.ID); err != nil {
			t.Fatal(err)
		}
		ended("signed out", out)
		h.as(other)

		last, keep := h.signIn("root"), h.signIn("root")
		if err := h.EndSessions(ctx, h.as(keep), me.ID); err != nil {
			t.Fatal(err)
		}
		ended("ended with the others", last)
		h.as(keep)
		if list, err := h.Sessions(ctx, me.ID); err != nil || len(list) != 1 || list[0].ID != keep.ID || list[0].Agent != "browser" || list[0].Address != here.String() {
			t.Errorf("%+v, %v", list, err)
		}
		forged := keep
		forged.Cookie = keep.Cookie[:len(keep.Cookie)-4] + "aaaa"
		ended("a forged secret", forged)
		forged.Cookie = ""
		ended("no cookie", forged)
	})
}

func TestNobodyEndsSessionsOfOthersWithoutPermission(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.user("root", "admin")
		anna, eve := h.user("anna"), h.user("eve", "operator")
		o := h.signIn("anna")
		as := h.as(h.signIn("eve"))
		wantKind(t, "one session", h.EndSession(t.Context(), as, o.ID), darter.Denied)
		wantKind(t, "all sessions", h.EndSessions(t.Context(), as, anna.ID), darter.Denied)
		wantKind(t, "none", h.EndSession(t.Context(), as, eve.ID), darter.NotFound)
		h.as(o)
	})
}

func TestChangesOfRightsCountAtOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("root", "admin")
		anna := h.user("anna")
		o := h.signIn("anna")
		may := func(p auth.Permission, cluster string) bool { return h.as(o).May(p, cluster) == nil }
		if may("preheat.create", "") {
			t.Error("without a role")
		}
		b, err := h.Bind(ctx, authtest.Admin(), anna.ID, "preheater", "eu")
		if err != nil {
			t.Fatal(err)
		}
		if !may("preheat.create", "eu") || may("preheat.create", "us") || may("preheat.create", "") || may("user.read", "eu") {
			t.Error("the role in one cluster gives something else")
		}
		if err := h.Unbind(ctx, authtest.Admin(), b.ID); err != nil {
			t.Fatal(err)
		}
		if may("preheat.create", "eu") {
			t.Error("after the role was taken")
		}
		role, err := h.PutRole(ctx, authtest.Admin(), auth.Role{Name: "purger", Rights: auth.Rights{{Permission: "task.purge"}}})
		if err != nil {
			t.Fatal(err)
		}
		h.bind(anna, "purger")
		if !may("task.purge", "") {
			t.Error("custom role")
		}
		role.Rights = auth.Rights{{Permission: "task.read", Cluster: "eu"}}
		if _, err := h.PutRole(ctx, authtest.Admin(), role); err != nil {
			t.Fatal(err)
		}
		if may("task.purge", "") || !may("task.read", "eu") {
			t.Error("after the role was changed")
		}
		_, err = h.PutRole(ctx, authtest.Admin(), role)
		wantKind(t, "stale version", err, darter.Conflict)
		wantKind(t, "a role in use", h.DeleteRole(ctx, authtest.Admin(), "purger"), darter.Conflict)
		wantKind(t, "a built-in role", h.DeleteRole(ctx, authtest.Admin(), "admin"), darter.Conflict)
		yes := true
		if _, err := h.EditUser(ctx, authtest.Admin(), anna.ID, anna.Version, account.Edit{Disabled: &yes}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.Session(ctx, o.Cookie, here); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("disabled: %v", err)
		}
	})
}

// Two managers on one PostgreSQL: what one changes, the other knows after one look, and when it cannot look it
// trusts nothing that it remembers.
func TestChangesReachOtherManagers(t *testing.T) {
	url := databasetest.Postgres(t)
	rooms := []database.Migrations{auth.Migrations(), authtest.Trail{}.Migrations()}
	clock := authtest.NewClock()
	one, two := open(t, databasetest.Open(t, url, rooms...), clock), open(t, databasetest.Open(t, url, rooms...), clock)
	one.user("root", "admin")
	u := one.service("robot", "preheater")
	token, text := one.token(authtest.Admin(), u.ID, "*:*")
	for _, h := range []*house{one, two} {
		if p, err := h.Token(t.Context(), text, here); err != nil || p.May("preheat.create", "") != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- two.db.Run(ctx) }()
	go func() { ended <- two.Run(ctx) }()
	if err := one.RevokeToken(t.Context(), authtest.Admin(), token.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Token(t.Context(), text, here); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("where it was revoked: %v", err)
	}
	for range 1000 { // the clock stands still: only a look at the version can end it
		if _, err := two.Token(t.Context(), text, here); errors.Is(err, auth.ErrUnauthenticated) {
			stop()
			<-ended
			<-ended
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	t.Error("the other manager never heard of it")
}

func TestWhatIsRememberedDoesNotOutliveFresh(t *testing.T) {
	databasetest.EachURL(t, func(t *testing.T, url string) {
		if strings.HasPrefix(url, "sqlite") {
			return // one manager only
		}
		rooms := []database.Migrations{auth.Migrations(), authtest.Trail{}.Migrations()}
		clock := authtest.NewClock()
		one, two := open(t, databasetest.Open(t, url, rooms...), clock), open(t, databasetest.Open(t, url, rooms...), clock)
		u := one.service("robot")
		token, text := one.token(authtest.Admin(), u.ID, "*:*")
		if _, err := two.Token(t.Context(), text, here); err != nil {
			t.Fatal(err)
		}
		if err := one.RevokeToken(t.Context(), authtest.Admin(), token.ID); err != nil {
			t.Fatal(err)
		}
		clock.Pass(5 * time.Second)
		if _, err := two.Token(t.Context(), text, here); err != nil {
			t.Errorf("within five seconds memory counts: %v", err) // else this test proves nothing
		}
		clock.Pass(time.Millisecond)
		if _, err := two.Token(t.Context(), text, here); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("nobody looked for more than five seconds: %v", err)
		}
	})
}

func TestSomeAdministratorRemains(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx, admin, yes := t.Context(), authtest.Admin(), true
		root := h.user("root", "admin")
		h.service("robot", "admin") // does not count: nobody can sign in as it
		h.user("half", "admin@eu")
		bound, err := h.Bindings(ctx, root.ID)
		if err != nil {
			t.Fatal(err)
		}
		wantKind(t, "delete", h.DeleteUser(ctx, admin, root.ID), darter.Conflict)
		_, err = h.EditUser(ctx, admin, root.ID, root.Version, account.Edit{Disabled: &yes})
		wantKind(t, "disable", err, darter.Conflict)
		wantKind(t, "unbind", h.Unbind(ctx, admin, bound[0].ID), darter.Conflict)
		h.as(h.signIn("root"))
		h.user("second", "admin")
		if err := h.DeleteUser(ctx, admin, root.ID); err != nil {
			t.Errorf("with another one there: %v", err)
		}
	})
}

func TestNobodyGivesOrTakesOverMoreThanTheyHave(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		root := h.user("root", "admin")
		if _, err := h.PutRole(ctx, authtest.Admin(), auth.Role{Name: "staff", Rights: auth.Rights{{Permission: "user.*"}, {Permission: "role.*"}, {Permission: "job.read"}}}); err != nil {
			t.Fatal(err)
		}
		eve := h.user("eve", "staff")
		robot, weak := h.service("robot", "admin"), h.service("weak")
		c := h.as(h.signIn("eve"))
		display := "x"
		denied := func(what string, err error) { t.Helper(); wantKind(t, what, err, darter.Denied) }
		denied("gives herself admin", second(h.Bind(ctx, c, eve.ID, "admin", "")))
		denied("gives herself admin in a cluster", second(h.Bind(ctx, c, eve.ID, "admin", "eu")))
		denied("makes a stronger role", second(h.PutRole(ctx, c, auth.Role{Name: "mine", Rights: auth.Rights{{Permission: "*.*"}}})))
		denied("widens her role", second(h.PutRole(ctx, c, auth.Role{Name: "staff", Version: 1, Rights: auth.Rights{{Permission: "gc.run"}}})))
		denied("sets root's password", h.SetPassword(ctx, c, root.ID, "", "another fine password"))
		denied("deletes root", h.DeleteUser(ctx, c, root.ID))
		denied("edits root", second(h.EditUser(ctx, c, root.ID, 1, account.Edit{Display: &display})))
		_, _, err := h.CreateToken(ctx, c, account.Order{Owner: robot.ID, Name: "x", Scopes: []string{"*:*"}})
		denied("makes a token for a stronger account", err)
		_, _, err = h.CreateToken(ctx, c, account.Order{Owner: root.ID, Name: "x", Scopes: []string{"read:job"}})
		denied("makes a token for root", err)
		if _, err := h.Bind(ctx, c, weak.ID, "staff", ""); err != nil {
			t.Errorf("what she has she may give: %v", err)
		}
		h.token(c, weak.ID, "*:*")
	})
}

func TestPasswordChanges(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("root", "admin")
		anna, robot := h.user("anna"), h.service("robot")
		o := h.signIn("anna")
		me := h.as(o)
		if err := h.SetPassword(ctx, me, anna.ID, "wrong", "another fine password"); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("a wrong old password: %v", err)
		}
		wantKind(t, "a weak one", h.SetPassword(ctx, me, anna.ID, good, "anna anna anna"), darter.Invalid)
		wantKind(t, "a service account", h.SetPassword(ctx, authtest.Admin(), robot.ID, "", "another fine password"), darter.Conflict)
		if err := h.SetPassword(ctx, me, anna.ID, good, "another fine password"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.Session(ctx, o.Cookie, here); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("a session from before: %v", err)
		}
		if _, err := h.SignIn(ctx, anybody(), "anna", good, ""); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("the old password: %v", err)
		}
		if _, err := h.SignIn(ctx, anybody(), " Anna ", "another fine password", ""); err != nil {
			t.Errorf("the new password: %v", err)
		}
		if err := h.SetPassword(ctx, authtest.Admin(), anna.ID, "", good); err != nil {
			t.Errorf("an administrator needs no old password: %v", err)
		}
	})
}

func TestNoSecretInAnyRowOrEvent(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		setup, _, err := h.PrepareSetup(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		dump := func() string {
			return authtest.Dump(t, h.db, "users", "roles", "role_bindings", "sessions", "tokens", "setup_tokens", "sign_in_failures", "sign_in_flows", "trail")
		}
		before := dump()
		u, err := h.CompleteSetup(ctx, anybody(), setup, "root", good)
		if err != nil {
			t.Fatal(err)
		}
		o := h.signIn("root")
		_, text := h.token(h.as(o), u.ID, "*:*")
		_ = second(h.SignIn(ctx, anybody(), "my-password-typed-as-name", "mistyped-password", ""))
		all := before + dump()
		for name, s := range map[string]string{"set-up token": setup[31:], "password": good, "cookie": o.Cookie[31:], "CSRF token": o.CSRF, "API token": text[31:],
			"wrong password": "mistyped-password", "wrong name": "my-password-typed-as-name"} {
			if s == "" || strings.Contains(all, s) {
				t.Errorf("the %s is in a row", name)
			}
		}
		if !strings.Contains(all, "session.open") || !strings.Contains(all, "$argon2id$") {
			t.Error("the dump shows less than everything")
		}
	})
}

// A change whose audit event cannot be written does not happen.
func TestNoChangeWithoutItsEvent(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		a, err := account.New(db, mute{}, cheap(authtest.NewClock()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.CreateUser(t.Context(), authtest.Admin(), account.Draft{Kind: auth.User, Name: "anna", Password: good}); err == nil {
			t.Error("created")
		}
		if users, err := a.Users(t.Context(), "", 0); err != nil || len(users) > 0 {
			t.Errorf("%v, %v", users, err)
		}
	}, auth.Migrations(), authtest.Trail{}.Migrations())
}

type mute struct{}

func (mute) Record(context.Context, *database.Tx, darter.AuditEvent) error {
	return errors.New("no space")
}

func TestUsersAreChecked(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx, admin := t.Context(), authtest.Admin()
		h.user("anna")
		for name, d := range map[string]account.Draft{
			"no kind": {Name: "x"}, "a node": {Kind: auth.Node, Name: "x"}, "no name": {Kind: auth.User}, "odd name": {Kind: auth.User, Name: "a'; DROP TABLE users --"},
			"new line": {Kind: auth.User, Name: "x", Display: "a\nb"}, "bad e-mail": {Kind: auth.User, Name: "x", Email: "a@b@c"},
			"service with password": {Kind: auth.Service, Name: "x", Password: good}, "weak": {Kind: auth.User, Name: "x", Password: "123456789012"},
		} {
			wantKind(t, name, second(h.CreateUser(ctx, admin, d)), darter.Invalid)
		}
		wantKind(t, "taken", second(h.CreateUser(ctx, admin, account.Draft{Kind: auth.User, Name: "ANNA"})), darter.Conflict)
		display := "Robert'); DROP TABLE users;-- ? ?0 %"
		u, err := h.EditUser(ctx, admin, h.user("bob").ID, 1, account.Edit{Display: &display})
		if err != nil || u.Version != 2 {
			t.Fatal(u, err)
		}
		got, err := h.User(ctx, u.ID)
		if err != nil || got.Display != display || got.Version != 2 || !got.HasPassword {
			t.Errorf("%+v, %v", got, err)
		}
		wantKind(t, "stale", second(h.EditUser(ctx, admin, u.ID, 1, account.Edit{Display: &display})), darter.Conflict)
		wantKind(t, "absent", second(h.User(ctx, "nobody")), darter.NotFound)
		all, err := h.Users(ctx, "", 1)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		rest, err := h.Users(ctx, all[0].ID, 10)
		if err != nil || !slices.EqualFunc(rest, []string{"bob"}, func(u account.User, n string) bool { return u.Name == n }) {
			t.Errorf("%v, %v", rest, err)
		}
		wantKind(t, "unknown role", second(h.Bind(ctx, admin, u.ID, "emperor", "")), darter.NotFound)
		wantKind(t, "unknown user", second(h.Bind(ctx, admin, "nobody", "viewer", "")), darter.NotFound)
		wantKind(t, "unknown permission", second(h.PutRole(ctx, admin, auth.Role{Name: "r", Rights: auth.Rights{{Permission: "cake.eat"}}})), darter.Invalid)
		wantKind(t, "built-in name", second(h.PutRole(ctx, admin, auth.Role{Name: "admin", Rights: auth.Rights{{Permission: "job.read"}}})), darter.Invalid)
	})
}
