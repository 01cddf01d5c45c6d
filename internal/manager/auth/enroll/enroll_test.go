package enroll_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/authtest"
	"github.com/darter-p2p/darter/internal/manager/auth/enroll"
	"github.com/darter-p2p/darter/internal/pki"
)

type office struct {
	*enroll.Desk
	t     *testing.T
	db    *database.DB
	clock *authtest.Clock
	ca    *pki.Authority
}

func each(t *testing.T, test func(t *testing.T, o *office)) {
	t.Helper()
	databasetest.Each(t, func(t *testing.T, db *database.DB) { test(t, start(t, db)) }, auth.Migrations(), authtest.Trail{}.Migrations())
}

func start(t *testing.T, db *database.DB) *office {
	t.Helper()
	clock := authtest.NewClock()
	ca, err := pki.Init(filepath.Join(t.TempDir(), "ca"), clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	cfg := enroll.DefaultConfig()
	cfg.Authority, cfg.Now = ca, clock.Now
	d, err := enroll.New(db, authtest.Trail{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &office{Desk: d, t: t, db: db, clock: clock, ca: ca}
}

var node = auth.Caller{From: netip.MustParseAddr("10.0.0.5")}

func (o *office) invite(i enroll.Invitation) string {
	o.t.Helper()
	t, text, err := o.Invite(o.t.Context(), authtest.Admin(), i)
	if err != nil {
		o.t.Fatal(err)
	}
	token, pin, err := pki.ParseJoin(text)
	if err != nil || pin != o.ca.Pin() || !strings.Contains(strings.ToUpper(token), t.ID) {
		o.t.Fatalf("%q, %v", text, err)
	}
	return token
}

func csr(t *testing.T, names ...string) []byte {
	t.Helper()
	var dns []string
	var addresses []netip.Addr
	for _, n := range names {
		if a, err := netip.ParseAddr(n); err == nil {
			addresses = append(addresses, a)
		} else {
			dns = append(dns, n)
		}
	}
	r, err := pki.NewRequest(dns, addresses)
	if err != nil {
		t.Fatal(err)
	}
	return r.CSR
}

func identity(t *testing.T, i pki.Issued) pki.Identity {
	t.Helper()
	block, _ := pem.Decode(i.Chain)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	id, err := pki.IdentityOf(c)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func second[T any](_ T, err error) error { return err }

var daemon = enroll.Invitation{Role: pki.Daemon, Cluster: "eu", Names: []string{"d.example"}}

func TestATokenLetsOneNodeInAsWhatItWasMadeFor(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ctx := t.Context()
		token := o.invite(daemon)
		for what, err := range map[string]error{
			"a name of its own choosing": second(o.Redeem(ctx, node, token, "d-1", csr(t, "manager.example"))),
			"somebody else's address":    second(o.Redeem(ctx, node, token, "d-1", csr(t, "10.0.0.6"))),
		} {
			if darter.KindOf(err) != darter.Denied {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := second(o.Redeem(ctx, node, token, "../d", csr(t))); darter.KindOf(err) != darter.Invalid {
			t.Errorf("an odd name: %v", err)
		}
		issued, err := o.Redeem(ctx, node, token, "d-1", csr(t, "d.example", "10.0.0.5"))
		if err != nil || identity(t, issued) != (pki.Identity{Role: pki.Daemon, Cluster: "eu", Node: "d-1"}) {
			t.Fatalf("%+v, %v", issued, err)
		}
		if err := second(o.Redeem(ctx, node, token, "d-2", csr(t))); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("twice: %v", err)
		}
		list, err := o.JoinTokens(ctx, "", 0)
		if err != nil || len(list) != 1 || list[0].Used.IsZero() || list[0].Serial != issued.Serial || list[0].Valid != 24*time.Hour {
			t.Errorf("%+v, %v", list, err)
		}
		events := authtest.Trail{}.Events(t, o.db)
		if len(events) != 2 || events[1].Action != "node.join" || events[1].Actor.Kind != "node" || events[1].Actor.Address != "10.0.0.5" {
			t.Errorf("%+v", events)
		}
		if rows := authtest.Dump(t, o.db, "join_tokens", "trail"); strings.Contains(rows, token[31:]) {
			t.Error("the token is in a row")
		}
	})
}

func TestBadTokensLetNobodyIn(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ctx := t.Context()
		no := func(what, token, name string) {
			t.Helper()
			if err := second(o.Redeem(ctx, node, token, name, csr(t))); darter.KindOf(err) != darter.Denied {
				t.Errorf("%s: %v", what, err)
			}
		}
		token := o.invite(daemon)
		no("forged", token[:len(token)-4]+"aaaa", "d-1")
		no("nonsense", "dtj_x", "d-1")
		fixed := daemon
		fixed.Node = "d-7"
		no("for another node", o.invite(fixed), "d-1")
		withdrawn, text, err := o.Invite(ctx, authtest.Admin(), daemon)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Withdraw(ctx, authtest.Admin(), withdrawn.ID); err != nil {
			t.Fatal(err)
		}
		text, _, _ = pki.ParseJoin(text)
		no("withdrawn", text, "d-1")
		if err := o.Withdraw(ctx, authtest.Admin(), "nothing"); darter.KindOf(err) != darter.NotFound {
			t.Errorf("withdraw nothing: %v", err)
		}
		o.clock.Pass(24 * time.Hour)
		no("a day old", token, "d-1")
		for _, i := range []enroll.Invitation{{}, {Role: pki.Daemon}, {Role: pki.Manager, Cluster: "eu"}, {Role: "root", Cluster: "eu"}, {Role: pki.Daemon, Cluster: "eu", Valid: 31 * 24 * time.Hour},
			{Role: pki.Daemon, Cluster: "eu", Life: 2 * pki.MaxLife}, {Role: pki.Daemon, Cluster: "eu", Names: make([]string, 65)}} {
			if _, _, err := o.Invite(ctx, authtest.Admin(), i); darter.KindOf(err) != darter.Invalid {
				t.Errorf("%+v: %v", i, err)
			}
		}
	})
}

// All of them have found the token good before the first one uses it up: the row is held until then.
func TestOfManyWhoRedeemAtOnceOneGetsIn(t *testing.T) {
	const many = 6
	databasetest.EachURL(t, func(t *testing.T, url string) {
		reads := make(chan struct{}, 100)
		cfg := database.DefaultConfig()
		cfg.URL, cfg.Migrations = url, []database.Migrations{auth.Migrations(), authtest.Trail{}.Migrations()}
		cfg.Events.Finished = func(write bool, _ database.Duration) {
			if !write {
				reads <- struct{}{}
			}
		}
		o := start(t, databasetest.OpenWith(t, cfg))
		token := o.invite(daemon)
		errs := make([]error, many)
		var wg sync.WaitGroup
		err := o.db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			if _, err := tx.ExecContext(ctx, "UPDATE join_tokens SET used_at = used_at"); err != nil {
				return err
			}
			for i := range errs {
				request := csr(t)
				wg.Go(func() { errs[i] = second(o.Redeem(t.Context(), node, token, "d-1", request)) })
			}
			for range many {
				<-reads
			}
			return nil
		})
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		in := 0
		for _, err := range errs {
			if err == nil {
				in++
			} else if !errors.Is(err, auth.ErrUnauthenticated) {
				t.Error(err)
			}
		}
		certs, err := o.Certificates(t.Context(), "", 0)
		if in != 1 || err != nil || len(certs) != 1 {
			t.Errorf("%d got in, %d certificates, %v", in, len(certs), err)
		}
	})
}

func TestRenewalAndRevocation(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ctx := t.Context()
		issued, err := o.Redeem(ctx, node, o.invite(daemon), "d-1", csr(t))
		if err != nil {
			t.Fatal(err)
		}
		id := identity(t, issued)
		as := func(serial string) auth.Caller {
			p, err := o.Principal(func(*tls.ConnectionState) (pki.Identity, string, error) { return id, serial, nil })(nil)
			if err != nil {
				return auth.Caller{From: node.From}
			}
			return auth.Caller{Principal: p, From: node.From}
		}
		o.clock.Pass(20 * 24 * time.Hour)
		next, err := o.Renew(ctx, as(issued.Serial), csr(t, "d.example"))
		if err != nil || identity(t, next) != id || next.Serial == issued.Serial || !next.NotAfter.After(issued.NotAfter) {
			t.Fatalf("%+v, %v", next, err)
		}
		impostor := as(issued.Serial)
		impostor.ID = pki.Identity{Role: pki.Scheduler, Cluster: "eu", Node: "d-1"}.String()
		for what, err := range map[string]error{
			"names beyond the invitation": second(o.Renew(ctx, as(next.Serial), csr(t, "manager.example"))),
			"another identity":            second(o.Renew(ctx, impostor, csr(t))),
			"an unknown certificate":      second(o.Renew(ctx, as("abc"), csr(t))),
			"no certificate":              second(o.Renew(ctx, node, csr(t))),
			"a user":                      second(o.Renew(ctx, authtest.Admin(), csr(t))),
		} {
			if darter.KindOf(err) != darter.Denied {
				t.Errorf("%s: %v", what, err)
			}
		}
		stale := as(next.Serial) // a connection from before the revocation
		if n, err := o.Revoke(ctx, authtest.Admin(), id); err != nil || n != 2 {
			t.Fatalf("%d, %v", n, err)
		}
		if !o.Revoked(issued.Serial) || !o.Revoked(next.Serial) || o.Revoked("abc") {
			t.Error("what is revoked")
		}
		if as(next.Serial).Kind != auth.Anonymous {
			t.Error("a revoked certificate still stands for somebody")
		}
		if err := second(o.Renew(ctx, stale, csr(t))); darter.KindOf(err) != darter.Denied {
			t.Errorf("renewed though revoked: %v", err)
		}
		if _, err := o.Revoke(ctx, authtest.Admin(), id); darter.KindOf(err) != darter.NotFound {
			t.Errorf("twice: %v", err)
		}
		o.clock.Pass(61 * 24 * time.Hour)
		if err := o.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if certs, err := o.Certificates(ctx, "", 0); err != nil || len(certs) != 0 {
			t.Errorf("%v, %v", certs, err)
		}
		if err := o.Look(ctx); err != nil || o.Revoked(next.Serial) {
			t.Errorf("run out and still listed: %v", err)
		}
	})
}
