package announce

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Announcer tells every scheduler in force that this host is there.
type Announcer struct {
	cfg Config

	mu struct {
		sync.Mutex
		kicks  map[netip.AddrPort]chan struct{} // one per scheduler that is being spoken to
		leased map[netip.AddrPort]bool          // a lease is held: announcements are rare, and say so
	}
}

// New checks the configuration. Nothing is sent before Run.
func New(cfg Config) (*Announcer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &Announcer{cfg: cfg}
	a.mu.kicks, a.mu.leased = make(map[netip.AddrPort]chan struct{}), make(map[netip.AddrPort]bool)
	return a, nil
}

// Kick makes Run announce to one scheduler at once: it came back, or it does not know us. An invalid
// address means all of them. It never blocks.
func (a *Announcer) Kick(at netip.AddrPort) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for to, kick := range a.mu.kicks {
		if at.IsValid() && at != to {
			continue
		}
		select {
		case kick <- struct{}{}:
		default: // one is waiting already
		}
	}
}

// Introduce announces to one scheduler and waits for its answer, for whoever was told that this host is
// not known and wants to try again.
func (a *Announcer) Introduce(ctx context.Context, at netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Limit)
	defer cancel()
	began := time.Now()
	h := a.cfg.Host()
	h.Interval = a.interval(at)
	err := a.cfg.Schedulers.AnnounceHost(ctx, at, h)
	switch {
	case err != nil && a.cfg.Events.Failed != nil:
		a.cfg.Events.Failed(at, err)
	case err == nil && a.cfg.Events.Announced != nil:
		a.cfg.Events.Announced(at, time.Since(began))
	}
	return err
}

// interval returns the time between two announcements as it is now, which is what an announcement promises.
func (a *Announcer) interval(at netip.AddrPort) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.leased[at] {
		return a.cfg.LeaseAnnounce
	}
	return a.cfg.Interval
}

// lease notes whether a lease with a scheduler is held.
func (a *Announcer) lease(at netip.AddrPort, held bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if held {
		a.mu.leased[at] = true
	} else {
		delete(a.mu.leased, at)
	}
}

// Leave tells every scheduler in force that this host leaves, and waits until all answered or ctx ends.
// Call it after Run has returned, else a late announcement may undo it.
func (a *Announcer) Leave(ctx context.Context) {
	h := a.cfg.Host()
	ctx, cancel := context.WithTimeout(ctx, a.cfg.LeaveLimit)
	defer cancel()
	var told sync.WaitGroup
	for _, at := range a.cfg.Members.Current() {
		told.Go(func() {
			err := a.cfg.Schedulers.DeleteHost(ctx, at, h.ID, h.Epoch)
			if a.cfg.Events.Left != nil {
				a.cfg.Events.Left(at, err)
			}
		})
	}
	told.Wait()
}

func (a *Announcer) openKick(at netip.AddrPort) chan struct{} {
	kick := make(chan struct{}, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.kicks[at] = kick
	return kick
}

func (a *Announcer) closeKick(at netip.AddrPort, kick chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.kicks[at] == kick { // else the scheduler is back in the set already
		delete(a.mu.kicks, at)
	}
}
