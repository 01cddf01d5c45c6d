package gate

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/pki"
)

// CSRFHeader carries a session's CSRF token with changing requests.
const CSRFHeader = "X-Csrf-Token"

type dryKey struct{}

// Dry makes requests under ctx be admitted or refused without calling their handlers: an admitted one is answered
// with nothing. It is for tests that walk all routes.
func Dry(ctx context.Context) context.Context { return context.WithValue(ctx, dryKey{}, true) }

func (g *Gate) guard(pattern string, p Policy, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := g.admit(r, p)
		if err != nil {
			g.refuse(w, r, pattern, err)
			return
		}
		if r.Context().Value(dryKey{}) != nil {
			return
		}
		if c.Kind != auth.Anonymous {
			w.Header().Set("Cache-Control", "no-store")
		}
		most := p.body
		if most == 0 {
			most = defaultBody
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		next.ServeHTTP(w, r.WithContext(auth.With(r.Context(), c)))
	})
}

// admit decides. The order matters: cheap refusals first, and nothing about rights to who has not proved anything.
func (g *Gate) admit(r *http.Request, p Policy) (auth.Caller, error) {
	c := auth.From(r.Context())
	c.Principal = auth.Principal{}
	if p.kind == none {
		return c, &darter.Error{Kind: darter.Denied, Op: "serve request", Hint: "this is a mistake in Darter; report it", Err: fmt.Errorf("%w: the route has no policy", auth.ErrForbidden)}
	}
	now := g.cfg.Now()
	proof, err := g.prove(r, p, c, now)
	if err != nil && !(p.kind == public && !p.check && darter.KindOf(err) == darter.Denied) {
		return c, err
	}
	c.Principal = proof.principal
	if c.Kind == auth.Anonymous {
		if wait := g.address.take(network(c.From), now); wait > 0 {
			return c, throttled(wait)
		}
	} else if wait := g.principal.take(string(c.Kind)+"/"+c.ID, now); wait > 0 && !p.patient {
		return c, throttled(wait)
	}
	if err := g.sameSite(r, proof); err != nil {
		return c, err
	}
	return c, decide(r, p, c)
}

func decide(r *http.Request, p Policy, c auth.Caller) error {
	switch p.kind {
	case public:
		return nil
	case authenticated:
		if c.Kind == auth.User || c.Kind == auth.Service || c.Kind == auth.System {
			return nil
		}
	case nodes:
		if c.Kind == auth.Node {
			i, err := pki.ParseIdentity(c.ID)
			if err == nil && slices.Contains(p.roles, i.Role) {
				return nil
			}
			return &darter.Error{Kind: darter.Denied, Op: "serve request", Err: fmt.Errorf("%w: not for %s", auth.ErrForbidden, c.ID)}
		}
		return auth.Unauthenticated("serve request", errors.New("a node's certificate is needed"))
	case permission:
		if c.Kind == auth.Anonymous {
			break
		}
		if p.somewhere {
			if everywhere, in := c.Clusters(p.perm); everywhere || len(in) > 0 {
				return nil
			}
			return c.May(p.perm, "")
		}
		cluster := ""
		if p.path != "" {
			if cluster = r.PathValue(p.path); cluster == "" {
				return &darter.Error{Kind: darter.Invalid, Op: "serve request", Err: errors.New("the path names no cluster")}
			}
		}
		return c.May(p.perm, cluster)
	case none:
	}
	return auth.Unauthenticated("serve request", nil)
}

// proof is what a request has shown.
type proof struct {
	principal auth.Principal
	ambient   bool   // the browser sent it by itself
	csrf      string // what a changing request has to carry then
}

// prove looks for one credential: the first that is there counts, so that a wrong token is not made good by a
// cookie. Failures of a network are counted, and when there are too many no credential of it is looked at.
func (g *Gate) prove(r *http.Request, p Policy, c auth.Caller, now time.Time) (proof, error) {
	if g.cfg.Local != nil {
		if who, ok := g.cfg.Local(r.Context()); ok {
			return proof{principal: who}, nil
		}
	}
	header := r.Header.Get("Authorization")
	cookie, cookieErr := r.Cookie(g.cookieName())
	certificate := p.kind == nodes && r.TLS != nil && len(r.TLS.PeerCertificates) > 0
	if header == "" && cookieErr != nil && !certificate {
		return proof{}, nil
	}
	key := network(c.From)
	if wait := g.failures.empty(key, now); wait > 0 && !certificate {
		return proof{}, throttled(wait)
	}
	var out proof
	var err error
	switch {
	case certificate && header == "":
		if g.cfg.Node == nil {
			return out, auth.Unauthenticated("serve request", errors.New("certificates are not used here"))
		}
		out.principal, err = g.cfg.Node(r.TLS)
	case header != "":
		out.principal, err = g.header(r, p, c, header)
	default:
		out.ambient = true
		out.principal, out.csrf, err = g.cfg.Auth.Session(r.Context(), cookie.Value, c.From)
	}
	if err != nil {
		if errors.Is(err, auth.ErrUnauthenticated) {
			g.failures.take(key, now)
		}
		return proof{}, err
	}
	return out, nil
}

func (g *Gate) header(r *http.Request, p Policy, c auth.Caller, value string) (auth.Principal, error) {
	if len(r.Header.Values("Authorization")) > 1 {
		return auth.Principal{}, auth.Unauthenticated("serve request", errors.New("more than one Authorization header"))
	}
	scheme, rest, _ := strings.Cut(value, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return g.cfg.Auth.Token(r.Context(), strings.TrimSpace(rest), c.From)
	case strings.EqualFold(scheme, "Basic") && p.basic:
		if name, password, ok := r.BasicAuth(); ok {
			return g.cfg.Auth.Basic(r.Context(), name, password, c)
		}
	}
	return auth.Principal{}, auth.Unauthenticated("serve request", errors.New("the Authorization header is not one that this route takes"))
}

// sameSite refuses changing requests that another site makes a browser send. Callers with a header are no such
// thing: a page cannot set it for a browser that does not have it.
func (g *Gate) sameSite(r *http.Request, p proof) error {
	if safe(r.Method) || p.principal.Kind != auth.Anonymous && !p.ambient {
		return nil
	}
	if err := g.origin.Check(r); err != nil {
		return foreign(err)
	}
	if p.ambient && subtle.ConstantTimeCompare([]byte(r.Header.Get(CSRFHeader)), []byte(p.csrf)) != 1 {
		return foreign(errors.New("the CSRF token in " + CSRFHeader + " is missing or wrong"))
	}
	return nil
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

func foreign(err error) error {
	return &darter.Error{Kind: darter.Denied, Op: "serve request", Hint: "reload the console; scripts send a token instead of a cookie", Err: fmt.Errorf("%w: %w", ErrCSRF, err)}
}

// cookieName begins with __Host- where TLS allows it: browsers then take the cookie only from this very host.
func (g *Gate) cookieName() string {
	if g.cfg.Secure {
		return "__Host-darter"
	}
	return "darter"
}

// SetCookie gives the browser a session until it ends.
func (g *Gate) SetCookie(w http.ResponseWriter, value string, expires time.Time) {
	http.SetCookie(w, &http.Cookie{Name: g.cookieName(), Value: value, Path: "/", Expires: expires, HttpOnly: true, Secure: g.cfg.Secure, SameSite: http.SameSiteLaxMode})
}

// ClearCookie takes it away.
func (g *Gate) ClearCookie(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: g.cookieName(), Path: "/", MaxAge: -1, HttpOnly: true, Secure: g.cfg.Secure, SameSite: http.SameSiteLaxMode})
}
