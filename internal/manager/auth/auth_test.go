package auth_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/darter-p2p/darter/internal/manager/auth"
)

func TestScopeRoundTrip(t *testing.T) {
	for _, s := range []string{"read:job", "create:preheat:eu-1", "*:gc", "read:*", "*:*", "*:*:eu"} {
		g, err := auth.ParseScope(s)
		if err != nil || g.Scope() != s {
			t.Errorf("%q: %q, %v", s, g.Scope(), err)
		}
	}
	for _, s := range []string{"", "read", ":", "read:", ":job", "job:read", "read:job:", "read:job:a:b", "read:job: a", "eat:cake", "read:job.read", "read:jo*", "**:job", "read:job:" + strings.Repeat("x", 129)} {
		if g, err := auth.ParseScope(s); err == nil {
			t.Errorf("%q is taken as %+v", s, g)
		}
	}
}

func FuzzScope(f *testing.F) {
	f.Add("create:preheat:eu-1")
	f.Add("*:*")
	f.Fuzz(func(t *testing.T, s string) {
		if g, err := auth.ParseScope(s); err == nil && g.Scope() != s {
			t.Fatalf("%q reads as %q", s, g.Scope())
		}
	})
}

// set is the dumb second implementation: every permission in every cluster, one by one. "" is everywhere.
type set map[[2]string]bool

var places = []string{"", "eu", "us"}

func flatten(rights auth.Rights) set {
	out := make(set)
	for _, g := range rights {
		resource, verb, _ := strings.Cut(string(g.Permission), ".")
		for _, p := range auth.Permissions() {
			r, v, _ := strings.Cut(string(p), ".")
			if (resource == "*" || resource == r) && (verb == "*" || verb == v) {
				for _, place := range places {
					if g.Cluster == "" || g.Cluster == place {
						out[[2]string{string(p), place}] = true
					}
				}
			}
		}
	}
	return out
}

func anyRights(r *rapid.T, label string) auth.Rights {
	patterns := append(auth.Permissions(), "*.*", "*.read", "gc.*", "user.*")
	return rapid.SliceOfN(rapid.Custom(func(r *rapid.T) auth.Grant {
		return auth.Grant{Permission: rapid.SampledFrom(patterns).Draw(r, "permission"), Cluster: rapid.SampledFrom(places).Draw(r, "cluster")}
	}), 0, 5).Draw(r, label)
}

func TestRightsAreWhatTheyAreWrittenOutAs(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		mine, other := anyRights(r, "mine"), anyRights(r, "other")
		a, b := flatten(mine), flatten(other)
		covers := true
		p := auth.Principal{Kind: auth.User, Rights: mine, Scopes: other, Scoped: true}
		for _, perm := range auth.Permissions() {
			for _, place := range places {
				key := [2]string{string(perm), place}
				if mine.Allows(perm, place) != a[key] {
					r.Fatalf("%v allows %v: %v", mine, key, !a[key])
				}
				covers = covers && (a[key] || !b[key])
				if (p.May(perm, place) == nil) != (a[key] && b[key]) {
					r.Fatalf("rights %v, scopes %v: %v", mine, other, key)
				}
			}
			everywhere, in := p.Clusters(perm)
			for _, place := range places[1:] {
				if (everywhere || slices.Contains(in, place)) != (p.May(perm, place) == nil) {
					r.Fatalf("clusters of %s: %v %v", perm, everywhere, in)
				}
			}
		}
		if mine.Covers(other) != covers {
			r.Fatalf("%v covers %v: %v", mine, other, !covers)
		}
		bound := flatten(mine.In("eu"))
		for key := range bound {
			if key[1] != "eu" || !a[key] {
				r.Fatalf("bound to eu, %v gives %v", mine, key)
			}
		}
	})
}

func TestRolesGiveWhatTheirNamesSay(t *testing.T) {
	for _, r := range auth.BuiltInRoles() {
		if err := r.Rights.Validate(); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		p := auth.Principal{Kind: auth.User, Rights: r.Rights}
		for _, c := range []struct {
			p    auth.Permission
			held string // names of roles
		}{
			{"user.write", "admin"}, {"role.write", "admin"}, {"setting.write", "admin"}, {"gc.write", "admin"}, {"gc.confirm", "admin"}, {"certificate.write", "admin"},
			{"registry.write", "admin"}, {"cluster.write", "admin"}, {"token.revoke", "admin"}, {"audit.read", "admin auditor"}, {"user.read", "admin auditor"},
			{"gc.run", "admin operator"}, {"task.purge", "admin operator"}, {"preheat.create", "admin operator preheater"}, {"gc.plan", "admin auditor operator viewer"},
			{"job.read", "admin auditor operator preheater viewer"}, {"system.read", "admin auditor operator preheater viewer"},
		} {
			if may := p.May(c.p, "") == nil; may != slices.Contains(strings.Fields(c.held), r.Name) {
				t.Errorf("%s has %s: %v", r.Name, c.p, may)
			}
		}
	}
	admin, _ := auth.BuiltIn("admin")
	if !admin.Rights.Covers(auth.Rights{{Permission: "*.*"}}) {
		t.Error("admin lacks something")
	}
}

func TestAnonymousMayNothing(t *testing.T) {
	p := auth.Principal{Rights: auth.Rights{{Permission: "*.*"}}}
	for _, perm := range auth.Permissions() {
		if err := p.May(perm, ""); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Fatalf("%s: %v", perm, err)
		}
	}
	if err := auth.Local("cli").May("job.eat", ""); !errors.Is(err, auth.ErrForbidden) {
		t.Errorf("an unknown permission: %v", err)
	}
	if c := auth.From(t.Context()); c.Kind != auth.Anonymous || c.Actor().Kind != "anonymous" {
		t.Errorf("%+v", c)
	}
}
