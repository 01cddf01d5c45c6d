package gatetest

import (
	"hash/fnv"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/gate"
)

// Visitors give the Authorization header of somebody, always fresh enough to work.
type Visitors struct {
	Guest  func(t testing.TB) string                  // authenticated, without any role
	Scoped func(t testing.TB, scopes []string) string // an administrator's token with these scopes
}

// Scopes returns scopes for everything but one permission.
func Scopes(but auth.Permission) []string {
	var out []string
	for _, p := range auth.Permissions() {
		if p != but {
			out = append(out, auth.Grant{Permission: p}.Scope())
		}
	}
	return out
}

// outcome is how a gate took a request.
type outcome string

const (
	passed          outcome = "passed"
	unauthenticated outcome = "unauthenticated"
	forbidden       outcome = "forbidden"
	other           outcome = "refused otherwise"
)

// Recorder is Config.Refuse for a walk over a gate that stands alone: it notes the kind of refusal in a header. One that
// refuses with statuses, 401 and 403, needs none.
func Recorder(w http.ResponseWriter, _ *http.Request, err error) {
	w.Header().Set("X-Outcome", string(classify(err)))
	w.WriteHeader(http.StatusForbidden)
}

// Walk fails the test for every route that lets in whom it must not, or keeps out an administrator. publics are the
// patterns that may be public: a new one has to be added there on purpose.
func Walk(t *testing.T, g *gate.Gate, v Visitors, publics ...string) {
	t.Helper()
	if err := g.Check(); err != nil {
		t.Error(err)
	}
	admin := v.Scoped(t, []string{"*:*"})
	for _, route := range g.Routes() {
		p := route.Policy
		expect := func(who, header string, want outcome) {
			t.Helper()
			if got := visit(t, g, route.Pattern, header); got != want {
				t.Errorf("%s (%s) as %s: %s, want %s", route.Pattern, p, who, got, want)
			}
		}
		if p.IsPublic() {
			if !slices.Contains(publics, route.Pattern) {
				t.Errorf("%s is public, and nobody said that it may be", route.Pattern)
			}
			expect("nobody", "", passed)
			continue
		}
		expect("nobody", "", unauthenticated)
		expect("somebody with a wrong token", "Bearer dtr_01jd3kaaaaaaaaaaaaaaaaaaaa_"+strings.Repeat("a", 51)+"q", unauthenticated)
		expect("somebody with nonsense", "Bearer x", unauthenticated)
		perm := p.Permission()
		if perm == "" {
			continue // authenticated, nodes
		}
		expect("a guest", v.Guest(t), forbidden)
		expect("a token with all scopes but "+string(perm), v.Scoped(t, Scopes(perm)), forbidden)
		if !strings.HasSuffix(p.String(), "somewhere") {
			expect("a token for another cluster", v.Scoped(t, []string{"*:*:elsewhere"}), forbidden)
		}
		expect("an administrator", admin, passed)
	}
	for _, pattern := range publics {
		if !slices.ContainsFunc(g.Routes(), func(r gate.Route) bool { return r.Pattern == pattern && r.Policy.IsPublic() }) {
			t.Errorf("%s is listed as public, and is not", pattern)
		}
	}
}

// wildcard is {name} and {name...} of a pattern.
var wildcard = regexp.MustCompile(`\{([a-z_A-Z0-9]+)(\.\.\.)?\}`)

func visit(t *testing.T, g *gate.Gate, pattern, header string) outcome {
	t.Helper()
	method, path, found := strings.Cut(pattern, " ")
	if !found {
		method, path = http.MethodGet, pattern
	}
	path = strings.TrimSuffix(wildcard.ReplaceAllString(path, "x"), "{$}")
	r := httptest.NewRequest(method, path, strings.NewReader("{}"))
	r = r.WithContext(gate.Dry(t.Context()))
	from := fnv.New32a()
	_, _ = from.Write([]byte(pattern + header)) // never fails
	n := from.Sum32()
	r.RemoteAddr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 9).String() // nobody's rate is used up
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	o := outcome(w.Header().Get("X-Outcome"))
	switch {
	case o != "":
		return o
	case w.Code == http.StatusOK:
		return passed
	case w.Code == http.StatusUnauthorized:
		return unauthenticated
	case w.Code == http.StatusForbidden:
		return forbidden
	}
	return other
}
