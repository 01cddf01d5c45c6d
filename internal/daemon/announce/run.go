package announce

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Run tells of the set there is, then looks for schedulers until ctx ends: soon again, with growing waits, while something is
// missing, else once per Refresh.
func (m *Membership) Run(ctx context.Context) error {
	m.recall()
	if set := m.Current(); len(set) > 0 { // of a static list, or of the file
		m.enforce(set)
	}
	wait := firstRecheck
	for {
		next := m.cfg.Refresh
		if m.look(ctx) {
			wait = firstRecheck
		} else {
			next = min(wait, m.cfg.Recheck)
			wait = min(2*wait, m.cfg.Recheck)
		}
		if !pause(ctx, jittered(next), nil) {
			return context.Cause(ctx)
		}
	}
}

// firstRecheck is short because at start a manager on the same machine may be a moment behind.
const firstRecheck = 100 * time.Millisecond

// Run speaks to every scheduler in force, one goroutine each, until ctx ends.
func (a *Announcer) Run(ctx context.Context) error {
	var speakers sync.WaitGroup
	defer speakers.Wait()
	hush := make(map[netip.AddrPort]context.CancelFunc)
	defer func() {
		for _, stop := range hush {
			stop()
		}
	}()
	for {
		changed := a.cfg.Members.Changed()
		current := a.cfg.Members.Current()
		for at, stop := range hush {
			if !slices.Contains(current, at) {
				stop()
				delete(hush, at)
			}
		}
		for _, at := range current {
			if hush[at] != nil {
				continue
			}
			each, stop := context.WithCancel(ctx)
			hush[at] = stop
			kick := a.openKick(at)
			speakers.Add(1)
			go func() {
				defer speakers.Done()
				defer a.closeKick(at, kick)
				a.speak(each, at, kick)
			}()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// speak speaks to one scheduler until ctx ends.
func (a *Announcer) speak(ctx context.Context, at netip.AddrPort, kick <-chan struct{}) {
	s := &speaker{a: a, at: at, kick: kick, wait: a.cfg.First, leaseWait: a.cfg.First}
	s.run(ctx)
}

// pause waits for d or a kick, and reports whether ctx still runs.
func pause(ctx context.Context, d time.Duration, kick <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-kick:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// jittered spreads d by a quarter to both sides, so that many hosts do not speak in step.
func jittered(d time.Duration) time.Duration {
	return d - d/4 + rand.N(d/2+1)
}
