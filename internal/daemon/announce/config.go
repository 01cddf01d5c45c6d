package announce

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/darter-p2p/darter"
)

// Lister asks a manager which schedulers there are. Implemented over gRPC by daemon/rpc.
type Lister interface {
	// ListSchedulers calls listed for each scheduler, in the manager's order, which is its preference.
	ListSchedulers(ctx context.Context, listed func(at netip.AddrPort, cluster uint64)) error
}

// MembershipConfig says where schedulers are found.
type MembershipConfig struct {
	Static  []string      // "host:port" each; used when Manager is nil
	Manager Lister        // asked instead of Static when set
	Health  Health        // required; asks one scheduler whether it serves
	Resolve Resolve       // names to addresses; default the system's resolver
	Refresh time.Duration // time between two looks when all is well; default 60s
	Recheck time.Duration // longest time between two looks when something is not; default 5s
	Limit   time.Duration // longest time for one look; default 15s
	File    string        // where the last good set is kept; empty keeps none
	Events  MembershipEvents
}

// Health asks whether the scheduler at an address serves. It is bounded by ctx.
type Health func(ctx context.Context, at netip.AddrPort) error

// Resolve turns a host name into addresses.
type Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

// MembershipEvents tells what happened. Any may be nil.
type MembershipEvents struct {
	Changed  func(set []netip.AddrPort)              // a set is in force: the first, also when it was known before Run, and each new one
	Failed   func(err error)                         // a look gave nothing; the last set stays
	Unwell   func(at netip.AddrPort, err error)      // a scheduler does not serve
	FromFile func(set []netip.AddrPort, file string) // started from the set that an earlier run kept
}

// DefaultMembershipConfig returns the defaults. Health is still to be set.
func DefaultMembershipConfig() MembershipConfig {
	return MembershipConfig{Refresh: time.Minute, Recheck: 5 * time.Second, Limit: 15 * time.Second, Resolve: systemResolve}
}

// Validate checks what New relies on.
func (c *MembershipConfig) Validate() error {
	switch {
	case c.Health == nil:
		return errors.New("announce: Health is required")
	case c.Refresh <= 0 || c.Recheck <= 0 || c.Limit <= 0:
		return errors.New("announce: Refresh, Recheck and Limit must be above 0")
	}
	for _, s := range c.Static {
		if _, _, err := splitHostPort(s); err != nil {
			return err
		}
	}
	return nil
}

func systemResolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// Schedulers speaks to schedulers. Implemented over gRPC by daemon/rpc.
type Schedulers interface {
	AnnounceHost(ctx context.Context, at netip.AddrPort, h darter.Host) error
	DeleteHost(ctx context.Context, at netip.AddrPort, id darter.HostID, e darter.Epoch) error
}

// Members is the set of schedulers in force. Membership is one.
type Members interface {
	Current() []netip.AddrPort
	// Changed returns a channel that is closed at the next change. Take it before Current.
	Changed() <-chan struct{}
}

// Config says what is announced, to whom and how often.
type Config struct {
	Host       func() darter.Host // required; called for every announcement
	Members    Members            // required
	Schedulers Schedulers         // required
	Interval   time.Duration      // time between two announcements; default 5m, at least 1s
	First      time.Duration      // wait after the first failure; default 1s
	Max        time.Duration      // longest wait after a failure; default 30s
	Limit      time.Duration      // longest time for one announcement; default 10s
	LeaveLimit time.Duration      // longest time for saying goodbye to all; default 2s
	Events     Events
}

// Events tells what happened. Any may be nil.
type Events struct {
	Announced func(at netip.AddrPort, took time.Duration) // a scheduler took the announcement
	Failed    func(at netip.AddrPort, err error)          // it did not; it is tried again
	Left      func(at netip.AddrPort, err error)          // it was told that this host leaves
}

// DefaultConfig returns the defaults. Host, Members and Schedulers are still to be set.
func DefaultConfig() Config {
	return Config{Interval: 5 * time.Minute, First: time.Second, Max: 30 * time.Second, Limit: 10 * time.Second, LeaveLimit: 2 * time.Second}
}

// Validate checks what New relies on.
func (c *Config) Validate() error {
	switch {
	case c.Host == nil || c.Members == nil || c.Schedulers == nil:
		return errors.New("announce: Host, Members and Schedulers are required")
	case c.Interval < time.Second:
		return errors.New("announce: Interval is below 1s; schedulers would hear little else")
	case c.First <= 0 || c.Max < c.First || c.Limit <= 0 || c.LeaveLimit <= 0:
		return errors.New("announce: First, Limit and LeaveLimit must be above 0, Max not below First")
	}
	return nil
}
