package egress

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/darter-p2p/darter"
)

// plainHeaders say nothing about who asks; only they follow a redirect to another origin.
var plainHeaders = map[string]bool{"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Content-Type": true,
	"If-Match": true, "If-Modified-Since": true, "If-None-Match": true, "If-Range": true, "Range": true, "User-Agent": true}

// Client returns a client that checks every URL and every redirect. Set its Timeout, or use contexts.
func (g *Guard) Client(base *http.Transport) *http.Client {
	return &http.Client{Transport: checked{guard: g, next: g.Transport(base)}, CheckRedirect: g.CheckRedirect}
}

// CheckRedirect is for http.Client: it checks the next hop, counts, refuses the way from https to http, and
// leaves all but plain headers behind once the chain has left the first origin, also when it comes back.
func (g *Guard) CheckRedirect(next *http.Request, via []*http.Request) error {
	if len(via) > g.cfg.Hops {
		return denied(next.URL.Host, fmt.Errorf("more than %d redirects", g.cfg.Hops))
	}
	if _, _, err := g.readURL(next.URL); err != nil {
		return err
	}
	last := via[len(via)-1]
	if last.URL.Scheme == "https" && next.URL.Scheme != "https" {
		return denied(next.URL.Host, errors.New("a redirect from https to "+next.URL.Scheme))
	}
	foreign := !sameOrigin(via[0].URL, next.URL)
	for _, r := range via {
		foreign = foreign || !sameOrigin(via[0].URL, r.URL)
	}
	if foreign {
		for name := range next.Header {
			if !plainHeaders[http.CanonicalHeaderKey(name)] {
				delete(next.Header, name)
			}
		}
		next.URL.User = nil
	}
	return nil
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// checked refuses URLs before a connection is looked for: one that is idle from an earlier request has been
// checked for its address, but not for this request's scheme.
type checked struct {
	guard *Guard
	next  http.RoundTripper
}

func (c checked) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, _, err := c.guard.readURL(r.URL); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	return c.next.RoundTrip(r)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport.
func (c checked) CloseIdleConnections() {
	if t, ok := c.next.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// IsDenied reports whether err is a refusal by policy, also inside the *url.Error of a client.
func IsDenied(err error) bool {
	return errors.Is(err, ErrDenied) && darter.KindOf(err) == darter.Denied
}
