package rest

import (
	"context"
	"errors"
	"net/http"

	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/gate"
	"github.com/darter-p2p/darter/internal/pki"
	"github.com/darter-p2p/darter/internal/rest"
)

// Front is a gate as the API wants one.
type Front struct{ *gate.Gate }

// Declare gives a pattern its policy.
func (f Front) Declare(pattern string, a rest.Access) { f.Gate.Declare(pattern, policy(a)) }

// policy says an access rule in the gate's words. What is contradictory becomes the policy that lets nobody, and the
// gate's Check finds it.
func policy(a rest.Access) gate.Policy {
	var out gate.Policy
	switch {
	case a.Public != "" && (a.SignedIn || a.Permission != "" || len(a.Nodes) > 0):
		return out
	case a.Public != "":
		out = gate.Public(a.Public)
	case a.SignedIn:
		out = gate.Authenticated()
	case len(a.Nodes) > 0:
		roles := make([]pki.Role, len(a.Nodes))
		for i, r := range a.Nodes {
			roles[i] = pki.Role(r)
		}
		out = gate.Nodes(roles...)
	case a.Cluster != "":
		out = gate.NeedIn(auth.Permission(a.Permission), a.Cluster)
	case a.Somewhere:
		out = gate.NeedSomewhere(auth.Permission(a.Permission))
	case a.Permission != "":
		out = gate.Need(auth.Permission(a.Permission))
	}
	if a.Checked {
		out = out.Checked()
	}
	if a.Basic {
		out = out.Basic()
	}
	if a.Patient {
		out = out.Patient()
	}
	if a.Body > 0 {
		out = out.Body(a.Body)
	}
	return out
}

// Caller returns whom the gate has admitted.
func (f Front) Caller(ctx context.Context) rest.Caller {
	c := auth.From(ctx)
	return rest.Caller{Actor: c.Actor(), Request: c.Request,
		May:      func(permission, cluster string) error { return c.May(auth.Permission(permission), cluster) },
		Clusters: func(permission string) (bool, []string) { return c.Clusters(auth.Permission(permission)) }}
}

// Explain says what refusals of the gate and of accounts mean to a caller.
func Explain(err error) (rest.Verdict, bool) {
	if t, ok := errors.AsType[*auth.Throttled](err); ok {
		return rest.Verdict{Status: http.StatusTooManyRequests, Code: rest.RateLimited, RetryAfter: t.After}, true
	}
	switch {
	case errors.Is(err, gate.ErrMethod):
		return rest.Verdict{Status: http.StatusMethodNotAllowed, Code: rest.MethodNotAllowed}, true
	case errors.Is(err, gate.ErrCSRF):
		return rest.Verdict{Status: http.StatusForbidden, Code: "csrf"}, true
	case errors.Is(err, auth.ErrUnauthenticated):
		return rest.Verdict{Status: http.StatusUnauthorized, Code: rest.Unauthenticated}, true
	case errors.Is(err, auth.ErrForbidden):
		return rest.Verdict{Status: http.StatusForbidden, Code: rest.Forbidden}, true
	}
	return rest.Verdict{}, false
}
