package rpc

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// Config are the settings of the service.
type Config struct {
	Swarm swarm.Config
	// Seed makes the swarm's random choices repeatable.
	Seed uint64
	// Liveness decides what to think of hosts.
	Liveness liveness.Config
	// Lease are the settings of the lease service; its Leases and Events are filled in.
	Lease LeaseConfig
	// ResyncEvery is how often the inventory of a host is compared at most, when it says that it changed; default 10m.
	ResyncEvery time.Duration
	// Probes is how many hosts in doubt may be asked, or wait to be, at once; default 256.
	Probes int
	// Throttled reports whether this process did not get the processor time it wanted since it was asked last; nil: it always does.
	Throttled func() bool
	// Dial opens connections to seeds; default TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// TickEvery is the longest time between two looks at deadlines; default 5s.
	TickEvery time.Duration
	// HealthEvery is the time between two health checks of a seed; default 5s.
	HealthEvery time.Duration
	// HealthTimeout is how long a seed may take to answer one; default 2s.
	HealthTimeout time.Duration
	// Queue is how many answers may wait for a client that does not read; default 64.
	Queue int
	// SendTimeout is how long a client may take to read one answer; default 10s.
	SendTimeout time.Duration
	// Triggers is how many triggered downloads may be under way; default 1024.
	Triggers int
	// StopTimeout bounds the graceful end; default 5s.
	StopTimeout time.Duration
	// Events tells of what happened. Its functions may be called from any goroutine.
	Events Events
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Swarm: swarm.DefaultConfig(), Seed: 1, TickEvery: 5 * time.Second, HealthEvery: 5 * time.Second,
		HealthTimeout: 2 * time.Second, Queue: 64, SendTimeout: 10 * time.Second, Triggers: 1024, StopTimeout: 5 * time.Second,
		Liveness: liveness.DefaultConfig(), Lease: DefaultLeaseConfig(), ResyncEvery: 10 * time.Minute, Probes: 256}
}

// Validate says what is wrong with the settings.
func (c Config) Validate() error {
	if c.TickEvery <= 0 || c.HealthEvery <= 0 || c.HealthTimeout <= 0 || c.Queue <= 0 || c.SendTimeout <= 0 || c.Triggers <= 0 || c.StopTimeout <= 0 || c.ResyncEvery <= 0 || c.Probes <= 0 {
		return &darter.Error{Kind: darter.Invalid, Op: "check scheduler settings", Err: errors.New("every duration and limit must be above zero")}
	}
	return errors.Join(c.Swarm.Validate(), c.Liveness.Validate())
}
