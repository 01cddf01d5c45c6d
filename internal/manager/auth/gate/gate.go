package gate

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/auth"
)

// Authenticator says whom a credential stands for. A credential that is none is Denied with
// auth.ErrUnauthenticated; Unavailable means that one cannot tell now.
type Authenticator interface {
	Token(ctx context.Context, text string, from netip.Addr) (auth.Principal, error)
	Session(ctx context.Context, cookie string, from netip.Addr) (p auth.Principal, csrf string, err error)
	Basic(ctx context.Context, name, password string, c auth.Caller) (auth.Principal, error)
}

// Config is what a gate needs.
type Config struct {
	Auth Authenticator // required
	// Refuse answers a request that is not let in; required. The error is a darter.Error with, for errors.Is
	// and errors.AsType, auth.ErrUnauthenticated, auth.ErrForbidden, auth.Throttled, ErrCSRF or ErrMethod.
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
	// Node says whom a client certificate stands for; nil refuses nodes.
	Node func(*tls.ConnectionState) (auth.Principal, error)

	// Local says whom a request stands for that came over the manager's own socket, from what the connection put
	// into the context; nil, and false, mean that it came another way. It counts before every credential.
	Local func(ctx context.Context) (auth.Principal, bool)

	Secure  bool           // requests come over TLS, here or at a proxy: cookies are for TLS only then
	Proxies []netip.Prefix // whose X-Forwarded-For counts; none by default
	Origins []string       // other origins whose pages may send changing requests, such as https://console.example

	PerAddress   Rate // requests without a credential, of one network; default 20 a second, 100 at once
	PerPrincipal Rate // requests of one principal; default 50 a second, 200 at once
	Failures     Rate // wrong credentials from one network; default 10 a second, 100 at once

	Now    func() time.Time // default time.Now
	Events Events
}

// Events tells what happened. Any may be nil.
type Events struct {
	Refused func(pattern string, err error)
}

// DefaultConfig returns the defaults. Auth and Refuse are still to be set.
func DefaultConfig() Config {
	return Config{PerAddress: Rate{20, 100}, PerPrincipal: Rate{50, 200}, Failures: Rate{10, 100}, Now: time.Now}
}

// Why a request is refused that has a valid credential, for errors.Is.
var (
	ErrCSRF   = errors.New("the request does not come from the console")
	ErrMethod = errors.New("the route does not take this method")
)

const defaultBody = 1 << 20

// Route is a route and its policy.
type Route struct {
	Pattern string
	Policy  Policy
}

// Gate is an http.Handler, and takes routes as a mux does. Add all routes before the first request.
type Gate struct {
	cfg      Config
	mux      *http.ServeMux
	origin   *http.CrossOriginProtection
	policies map[string]Policy
	served   map[string]bool
	faults   []error

	address, principal, failures *buckets
}

// New checks the configuration.
func New(cfg Config) (*Gate, error) {
	bad := func(r Rate) bool { return r.PerSecond <= 0 || r.Burst < 1 }
	if cfg.Auth == nil || cfg.Refuse == nil || cfg.Now == nil || bad(cfg.PerAddress) || bad(cfg.PerPrincipal) || bad(cfg.Failures) {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "build gate", Err: errors.New("an authenticator, a way to refuse, a clock and positive rates are required")}
	}
	g := &Gate{cfg: cfg, mux: http.NewServeMux(), origin: http.NewCrossOriginProtection(), policies: make(map[string]Policy), served: make(map[string]bool),
		address: newBuckets(cfg.PerAddress), principal: newBuckets(cfg.PerPrincipal), failures: newBuckets(cfg.Failures)}
	for _, o := range cfg.Origins {
		if err := g.origin.AddTrustedOrigin(o); err != nil {
			return nil, &darter.Error{Kind: darter.Invalid, Op: "build gate", Err: err}
		}
	}
	return g, nil
}

// Declare gives a pattern its policy, for a route that HandleFunc will bring. Mistakes come out of Check.
func (g *Gate) Declare(pattern string, p Policy) {
	if err := p.validate(pattern); err != nil {
		g.faults = append(g.faults, fmt.Errorf("route %s %w", pattern, err))
	}
	if _, twice := g.policies[pattern]; twice {
		g.faults = append(g.faults, fmt.Errorf("route %s is declared twice", pattern))
		return
	}
	g.policies[pattern] = p
}

// HandleFunc adds a route that was declared. It makes Gate a mux for libraries that register routes. One that was
// not declared refuses everybody.
func (g *Gate) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	if g.served[pattern] {
		g.faults = append(g.faults, fmt.Errorf("route %s is there twice", pattern))
		return
	}
	g.served[pattern] = true
	p, declared := g.policies[pattern]
	if !declared {
		g.faults = append(g.faults, fmt.Errorf("route %s has no policy", pattern))
	}
	g.mux.Handle(pattern, g.guard(pattern, p, http.HandlerFunc(handler)))
}

// Handle declares and adds a route.
func (g *Gate) Handle(pattern string, p Policy, handler http.Handler) {
	g.Declare(pattern, p)
	g.HandleFunc(pattern, handler.ServeHTTP)
}

// Check says what is wrong with the routes; a manager does not start then.
func (g *Gate) Check() error {
	out := slices.Clone(g.faults)
	for _, r := range g.Routes() {
		if !g.served[r.Pattern] {
			out = append(out, fmt.Errorf("route %s is declared and not there", r.Pattern))
		}
	}
	if len(out) == 0 {
		return nil
	}
	return &darter.Error{Kind: darter.Internal, Op: "check routes", Err: errors.Join(out...)}
}

// Routes returns all routes in order.
func (g *Gate) Routes() []Route {
	var out []Route
	for pattern, p := range g.policies {
		out = append(out, Route{Pattern: pattern, Policy: p})
	}
	for pattern := range g.served {
		if _, declared := g.policies[pattern]; !declared {
			out = append(out, Route{Pattern: pattern})
		}
	}
	slices.SortFunc(out, func(a, b Route) int { return strings.Compare(a.Pattern, b.Pattern) })
	return out
}

// RequestID is the header that carries a request's id back.
const RequestID = "X-Request-Id"

// ServeHTTP answers a request, or refuses it.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := newID()
	w.Header().Set(RequestID, id)
	c := auth.Caller{From: g.from(r), Request: id}
	r = r.WithContext(auth.With(r.Context(), c))
	handler, pattern := g.mux.Handler(r)
	if pattern != "" {
		g.mux.ServeHTTP(w, r)
		return
	}
	if wait := g.address.take(network(c.From), g.cfg.Now()); wait > 0 {
		g.refuse(w, r, "", throttled(wait))
		return
	}
	// No such route, or not with this method. The mux knows; its plain text is not our kind of answer.
	var tried refusal
	handler.ServeHTTP(&tried, r)
	err := &darter.Error{Kind: darter.NotFound, Op: r.Method + " " + clip(r.URL.Path), Err: errors.New("no such route")}
	if allow := tried.Header().Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		err = &darter.Error{Kind: darter.Invalid, Op: r.Method + " " + clip(r.URL.Path), Hint: "allowed: " + allow, Err: ErrMethod}
	}
	g.refuse(w, r, "", err)
}

func newID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func clip(s string) string { return s[:min(len(s), 200)] }

// refusal swallows the mux's own answer.
type refusal struct{ header http.Header }

func (f *refusal) Header() http.Header {
	if f.header == nil {
		f.header = make(http.Header)
	}
	return f.header
}
func (f *refusal) Write(b []byte) (int, error) { return len(b), nil }
func (f *refusal) WriteHeader(int)             {}

func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, pattern string, err error) {
	if g.cfg.Events.Refused != nil {
		g.cfg.Events.Refused(pattern, err)
	}
	w.Header().Set("Cache-Control", "no-store")
	g.cfg.Refuse(w, r, err)
}

func throttled(wait time.Duration) error {
	return &darter.Error{Kind: darter.Denied, Op: "serve request", Hint: "wait as long as Retry-After says", Err: &auth.Throttled{After: wait}}
}

// from returns the address of the client: the peer's, or what a trusted proxy says, read from the right: what lies
// further left anybody can have written.
func (g *Gate) from(r *http.Request) netip.Addr {
	peer := netip.Addr{}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		peer = ap.Addr().Unmap()
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && g.trusts(peer); i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		peer = a.Unmap()
	}
	return peer
}

func (g *Gate) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(g.cfg.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}
