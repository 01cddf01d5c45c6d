package announce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/inventory"
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

// Leaser opens leases. Implemented over gRPC by daemon/rpc.
type Leaser interface {
	// Lease returns once the scheduler has taken the lease. darter.NotFound means that it grants none, as plain Dragonfly
	// schedulers do; any other error that it may do so later. ctx bounds the whole lease.
	Lease(ctx context.Context, at netip.AddrPort) (Lease, error)
}

// Lease is an open lease. One goroutine sends while another receives.
type Lease interface {
	Renew(darter.Renewal) error
	Answer(inventory.Answer) error
	// Receive waits for a grant, or for questions when there are any. It is called until it fails.
	Receive() (darter.Grant, []inventory.Question, error)
	// Close ends the lease in order, so that the scheduler does not take it for a crash. Receive fails soon after.
	Close()
}

// Inventory is what this host holds of the tasks that a scheduler answers for. Holdings is one.
type Inventory interface {
	// Digest sums it up; false when that is not known for this scheduler.
	Digest(at netip.AddrPort) (darter.InventoryDigest, bool)
	Answer(at netip.AddrPort, q inventory.Question) (inventory.Answer, error)
}

// Members is the set of schedulers in force. Membership is one.
type Members interface {
	Current() []netip.AddrPort
	// Changed returns a channel that is closed at the next change. Take it before Current.
	Changed() <-chan struct{}
}

// Config says what is announced, to whom and how often.
type Config struct {
	Host       func() darter.Host // required; called for every announcement and renewal
	Members    Members            // required
	Schedulers Schedulers         // required
	Interval   time.Duration      // time between two announcements where no lease is held; default 5m, at least 50ms
	First      time.Duration      // wait after the first failure; default 1s
	Max        time.Duration      // longest wait after a failure; default 30s
	Limit      time.Duration      // longest time for one announcement, and for the grant of one renewal; default 10s
	LeaveLimit time.Duration      // longest time for saying goodbye to all; default 2s

	// Leases makes a daemon that schedulers of our own hear of by leases: a few bytes at each interval that the scheduler
	// grants, and a whole announcement only when something changed, when the scheduler wants one, and each LeaseAnnounce. Nil:
	// announcements only, as towards plain Dragonfly schedulers.
	Leases        Leaser
	LeaseAnnounce time.Duration      // time between two announcements while a lease is held; default 10m
	LeaseRecheck  time.Duration      // time until a scheduler that grants no leases is asked again; default 10m
	Load          func() darter.Load // told in each renewal; nil tells of none
	Inventory     Inventory          // told and asked for on leases; nil says nothing of what is held
	LocationRate  int                // locations per second that one scheduler is told; default 20,000

	Events Events
}

// Events tells what happened. Any may be nil.
type Events struct {
	Announced  func(at netip.AddrPort, took time.Duration) // a scheduler took the announcement
	Failed     func(at netip.AddrPort, err error)          // it did not; it is tried again
	Left       func(at netip.AddrPort, err error)          // it was told that this host leaves
	Leased     func(at netip.AddrPort, next time.Duration) // it granted the first renewal of a lease
	Renewed    func(at netip.AddrPort)                     // it granted any renewal
	LeaseEnded func(at netip.AddrPort, err error)          // a lease is over or could not be had; darter.NotFound: it grants none
	Superseded func(at netip.AddrPort, later darter.Epoch) // it listens to a later run of a host of the same id
	Told       func(at netip.AddrPort, locations int)      // it asked what this host holds, and was told so many tasks
}

// DefaultConfig returns the defaults. Host, Members and Schedulers are still to be set.
func DefaultConfig() Config {
	return Config{Interval: 5 * time.Minute, First: time.Second, Max: 30 * time.Second, Limit: 10 * time.Second, LeaveLimit: 2 * time.Second,
		LeaseAnnounce: 10 * time.Minute, LeaseRecheck: 10 * time.Minute, LocationRate: 20_000}
}

// MinInterval is the least time between two announcements: tests are quick, schedulers are not to be drowned.
const MinInterval = 50 * time.Millisecond

// Validate checks what New relies on.
func (c *Config) Validate() error {
	switch {
	case c.Host == nil || c.Members == nil || c.Schedulers == nil:
		return errors.New("announce: Host, Members and Schedulers are required")
	case c.Interval < MinInterval || c.LeaseAnnounce < MinInterval:
		return fmt.Errorf("announce: Interval and LeaseAnnounce must be at least %s; schedulers would hear little else", MinInterval)
	case c.First <= 0 || c.Max < c.First || c.Limit <= 0 || c.LeaveLimit <= 0:
		return errors.New("announce: First, Limit and LeaveLimit must be above 0, Max not below First")
	case c.LeaseRecheck <= 0 || c.LocationRate <= 0:
		return errors.New("announce: LeaseRecheck and LocationRate must be above 0")
	}
	return nil
}
