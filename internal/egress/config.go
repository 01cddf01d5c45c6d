package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"context"
)

// Config says where one may go.
type Config struct {
	Schemes []string // schemes of URLs; default http and https
	Allow   []Rule   // when not empty, only these hosts
	Deny    []Rule   // these never, also when allowed; prefixes count for what a name resolves to
	Private []Rule   // hosts that may have private addresses: the registries and origins that are configured

	// Exempt are prefixes that may be reached although their class is refused, such as 127.0.0.0/8 for an
	// origin on the same machine. Empty by default. Metadata services and Own stay refused.
	Exempt []netip.Prefix

	// Own returns what this process listens on; may be nil. An unspecified address stands for every address
	// of this machine, which Interfaces returns (by default net.InterfaceAddrs).
	Own        func() []netip.AddrPort
	Interfaces func() ([]netip.Addr, error)

	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)      // default net.DefaultResolver
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error) // default net.Dialer with Timeout
	Timeout time.Duration                                                     // for resolving, and for each address dialled; default 10 s
	Hops    int                                                               // redirects followed; default 5, at most 10
}

// DefaultConfig lets one go anywhere public over http and https.
func DefaultConfig() Config {
	return Config{Schemes: []string{"http", "https"}, Timeout: 10 * time.Second, Hops: 5}
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	if len(c.Schemes) == 0 {
		errs = append(errs, errors.New("egress: no scheme: nothing could be reached; name at least https"))
	}
	for _, s := range c.Schemes {
		if s == "" || s != strings.ToLower(s) {
			errs = append(errs, fmt.Errorf("egress: scheme %q is not in lower case", s))
		}
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("egress: timeout %v is not positive", c.Timeout))
	}
	if c.Hops < 0 || c.Hops > 10 {
		errs = append(errs, fmt.Errorf("egress: %d redirects are not between 0 and 10", c.Hops))
	}
	for _, p := range c.Exempt {
		if !p.IsValid() || p.Addr().Is4In6() {
			errs = append(errs, fmt.Errorf("egress: exempt prefix %v is not valid; write IPv4 ones as 127.0.0.0/8", p))
		}
	}
	return errors.Join(errs...)
}

func interfaces() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	out := make([]netip.Addr, 0, len(all))
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out, nil
}

func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
