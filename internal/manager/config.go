package manager

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/darter-p2p/darter/internal/manager/rpc"
)

// Scheduler is one scheduler as daemons are told of it.
type Scheduler = rpc.Scheduler

// Config is what a manager needs.
type Config struct {
	GRPC       net.Listener  // required; manager.v2.Manager and health
	HTTP       net.Listener  // required; health and /v1/system
	Schedulers []Scheduler   // listed always, beside those that announce themselves
	TTL        time.Duration // an announced scheduler that says nothing for so long is not listed; default 20s
	Drain      time.Duration // how long calls may take to end at a stop; default 3s
	Version    string        // of the build
	Commit     string        // of the build
	Log        *slog.Logger  // default: no log
	Events     Events
}

// Events tells what happened. Any may be nil.
type Events struct {
	SchedulerJoined func(Scheduler)                 // it announced itself, or came back
	SchedulerLost   func(Scheduler)                 // it said nothing for TTL
	Listed          func(to netip.Addr, listed int) // a daemon asked
}

// DefaultConfig returns the defaults. GRPC and HTTP are still to be set.
func DefaultConfig() Config {
	return Config{TTL: 20 * time.Second, Drain: 3 * time.Second, Log: slog.New(slog.DiscardHandler)}
}

// Validate fills what was left out and checks the rest.
func (c *Config) Validate() error {
	d := DefaultConfig()
	if c.TTL == 0 {
		c.TTL = d.TTL
	}
	if c.Drain == 0 {
		c.Drain = d.Drain
	}
	if c.Log == nil {
		c.Log = d.Log
	}
	switch {
	case c.GRPC == nil || c.HTTP == nil:
		return errors.New("manager: GRPC and HTTP listeners are required")
	case c.TTL < time.Second:
		return errors.New("manager: TTL is below 1s, less than schedulers take between two signs of life")
	case c.Drain < 0:
		return errors.New("manager: Drain is negative")
	}
	for _, s := range c.Schedulers {
		if err := s.Validate(); err != nil {
			return err
		}
	}
	return nil
}
