package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"github.com/darter-p2p/darter"
)

// ErrDenied is in the chain of every refusal by policy, so that a border can give it a code of its own.
var ErrDenied = errors.New("refused by the egress policy")

// maxAddresses bounds what a name may resolve to: more is no host but an attack on whoever dials them all.
const maxAddresses = 64

// Guard applies one Config. It is safe for concurrent use; a changed policy is a new Guard.
type Guard struct {
	cfg Config
}

// New checks the configuration.
func New(cfg Config) (*Guard, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Resolve == nil {
		cfg.Resolve = resolve
	}
	if cfg.Interfaces == nil {
		cfg.Interfaces = interfaces
	}
	if cfg.Dial == nil {
		d := &net.Dialer{Timeout: cfg.Timeout}
		cfg.Dial = d.DialContext
	}
	return &Guard{cfg: cfg}, nil
}

// CheckURL says whether a URL that a client gave may be used, as far as one can say now: it reads the URL and
// resolves its host. A nil error is no permission for later: connections are checked again when they are made.
//
// Errors: Invalid for what is no usable URL; Denied with ErrDenied for what the policy refuses; Unavailable
// when the name does not resolve.
func (g *Guard) CheckURL(ctx context.Context, u *url.URL) error {
	host, port, err := g.readURL(u)
	if err != nil {
		return err
	}
	_, err = g.addresses(ctx, host, port)
	return err
}

// readURL checks what can be checked without the network.
func (g *Guard) readURL(u *url.URL) (host string, port uint16, err error) {
	if u == nil || u.Host == "" || u.Opaque != "" {
		return "", 0, invalid("go to a URL", errors.New("no host in it"))
	}
	if !slices.Contains(g.cfg.Schemes, u.Scheme) {
		return "", 0, denied(u.Host, fmt.Errorf("scheme %q is not one of %v", u.Scheme, g.cfg.Schemes))
	}
	port = map[string]uint16{"http": 80, "https": 443}[u.Scheme]
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", 0, invalid("go to "+u.Host, fmt.Errorf("port %q is not a number from 1 to 65535", p))
		}
		port = uint16(n)
	}
	if port == 0 {
		return "", 0, invalid("go to "+u.Host, errors.New("the scheme has no default port; name one"))
	}
	host = u.Hostname()
	return host, port, g.checkName(host, port)
}

// checkName applies the rules for names. For a host that is an address, addresses does it.
func (g *Guard) checkName(host string, port uint16) error {
	name, addr, err := Host(host)
	if err != nil {
		return invalid("go to "+host, err)
	}
	for _, r := range g.cfg.Deny {
		if r.matchesName(name, port) {
			return denied(host, fmt.Errorf("the deny list has %s", r))
		}
	}
	if len(g.cfg.Allow) == 0 {
		return nil
	}
	matches := func(r Rule) bool { return r.matchesName(name, port) || addr.IsValid() && r.matchesAddr(addr, port) }
	if !slices.ContainsFunc(g.cfg.Allow, matches) && (addr.IsValid() || !slices.ContainsFunc(g.cfg.Allow, Rule.isPrefix)) {
		return denied(host, errors.New("the allow list does not have it"))
	}
	return nil
}

func (r Rule) isPrefix() bool { return r.host == "" }

// addresses resolves host once and returns its addresses, all of them allowed.
func (g *Guard) addresses(ctx context.Context, host string, port uint16) ([]netip.Addr, error) {
	name, addr, err := Host(host)
	if err != nil {
		return nil, invalid("go to "+host, err)
	}
	found := []netip.Addr{addr}
	if !addr.IsValid() {
		ctx, cancel := context.WithTimeout(ctx, g.cfg.Timeout)
		defer cancel()
		if found, err = g.cfg.Resolve(ctx, name); err == nil && len(found) == 0 {
			err = errors.New("no address")
		}
		if err != nil {
			return nil, &darter.Error{Kind: darter.Unavailable, Op: "resolve " + name, Hint: "check the name, and this machine's resolver", Err: err}
		}
	}
	if len(found) > maxAddresses {
		return nil, denied(host, fmt.Errorf("it resolves to %d addresses, more than %d", len(found), maxAddresses))
	}
	for i, a := range found {
		a = a.Unmap()
		if err := g.checkAddr(name, a, port); err != nil {
			return nil, denied(host, err)
		}
		found[i] = a
	}
	return found, nil
}

// checkAddr returns why port at a may not be dialled for a host of that name ("" when the URL names the address).
func (g *Guard) checkAddr(name string, a netip.Addr, port uint16) error {
	own, err := g.isOwn(a, port)
	switch class := Classify(a); {
	case err != nil:
		return fmt.Errorf("cannot tell which addresses are this machine's: %w", err)
	case own:
		return fmt.Errorf("%s is a listener of this process", netip.AddrPortFrom(a, port))
	case class == Metadata:
		return fmt.Errorf("%s is a %s address", a, class)
	case g.listed(g.cfg.Deny, "", a, port):
		return fmt.Errorf("the deny list has %s", a)
	case len(g.cfg.Allow) > 0 && !g.listed(g.cfg.Allow, name, a, port):
		return fmt.Errorf("the allow list has neither the host nor %s", a)
	case class == Public, class == Private && g.listed(g.cfg.Private, name, a, port), g.exempt(a):
		return nil
	case class == Private:
		return fmt.Errorf("%s is a %s address, and the host is not configured as a registry or origin that may have one", a, class)
	default:
		return fmt.Errorf("%s is a %s address", a, class)
	}
}

func (g *Guard) listed(rules []Rule, name string, a netip.Addr, port uint16) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool {
		return name != "" && r.matchesName(name, port) || r.matchesAddr(a, port)
	})
}

func (g *Guard) exempt(a netip.Addr) bool {
	return a.Zone() == "" && slices.ContainsFunc(g.cfg.Exempt, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (g *Guard) isOwn(a netip.Addr, port uint16) (bool, error) {
	if g.cfg.Own == nil {
		return false, nil
	}
	for _, o := range g.cfg.Own() {
		if o.Port() != port {
			continue
		}
		at := o.Addr().Unmap()
		if at == a {
			return true, nil
		}
		if !at.IsUnspecified() {
			continue
		}
		if a.IsLoopback() || a.IsUnspecified() {
			return true, nil
		}
		ours, err := g.cfg.Interfaces()
		if err != nil || slices.Contains(ours, a) {
			return true, err
		}
	}
	return false, nil
}

// DialContext resolves, checks and dials, for http.Transport and gRPC. Addresses are tried in the resolver's
// order, each for at most Config.Timeout.
func (g *Guard) DialContext(ctx context.Context, network, hostport string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, denied(hostport, fmt.Errorf("network %q is not tcp", network))
	}
	host, service, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, invalid("dial "+hostport, err)
	}
	n, err := strconv.ParseUint(service, 10, 16)
	if err != nil || n == 0 {
		return nil, invalid("dial "+hostport, fmt.Errorf("port %q is not a number from 1 to 65535", service))
	}
	port := uint16(n)
	if err := g.checkName(host, port); err != nil {
		return nil, err
	}
	addrs, err := g.addresses(ctx, host, port)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, a := range addrs {
		conn, err := g.dialOne(ctx, network, netip.AddrPortFrom(a, port))
		if err == nil {
			return conn, nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, &darter.Error{Kind: darter.Unavailable, Op: "dial " + hostport, Err: errors.Join(failed...)}
}

func (g *Guard) dialOne(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Timeout)
	defer cancel()
	return g.cfg.Dial(ctx, network, to.String())
}

// Transport returns a copy of base (nil: http.DefaultTransport) that dials through the guard and through
// nothing else.
func (g *Guard) Transport(base *http.Transport) *http.Transport {
	var t *http.Transport
	if base != nil {
		t = base.Clone()
	} else if d, ok := http.DefaultTransport.(*http.Transport); ok {
		t = d.Clone()
	} else {
		t = &http.Transport{}
	}
	t.Proxy = nil // see doc.go
	t.DialContext = g.DialContext
	t.DialTLSContext = nil // would pass by the guard
	return t
}

func denied(host string, err error) error {
	return &darter.Error{Kind: darter.Denied, Op: "go to " + host,
		Hint: "if this is right, an administrator can list the host in the egress policy",
		Err:  fmt.Errorf("%w: %w", ErrDenied, err)}
}

func invalid(op string, err error) error {
	return &darter.Error{Kind: darter.Invalid, Op: op, Hint: "name the host as a DNS name or a plain address", Err: err}
}
