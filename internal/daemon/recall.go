package daemon

import (
	"net/netip"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// A scheduler has to learn what this host holds, after this host's start and after its own. One of our own asks for the
// inventory on the lease. A plain one grants no lease: it is told each complete task by a registration.
//
//	returned ─▶ announced ─▶ leased                            it asks
//	                     └─▶ leaseEnded: it grants none ─▶ due ─▶ recallAll

// returned makes a scheduler that was away hear of this host at once, and then of what it holds.
func (d *Daemon) returned(at netip.AddrPort) {
	d.mu.Lock()
	delete(d.mu.knows, at)
	d.mu.Unlock()
	d.announcer.Kick(at)
	if f := d.cfg.Events.Schedulers.Returned; f != nil {
		f(at)
	}
}

// announced notes that a scheduler heard of this host for the first time.
func (d *Daemon) announced(at netip.AddrPort, took time.Duration) {
	d.mu.Lock()
	if !d.mu.knows[at] {
		d.mu.knows[at], d.mu.owed[at] = true, true
	}
	d.mu.Unlock()
	if f := d.cfg.Events.Announce.Announced; f != nil {
		f(at, took)
	}
}

func (d *Daemon) leased(at netip.AddrPort, next time.Duration) {
	d.mu.Lock()
	delete(d.mu.owed, at)
	d.mu.Unlock()
	if f := d.cfg.Events.Announce.Leased; f != nil {
		f(at, next)
	}
}

func (d *Daemon) leaseEnded(at netip.AddrPort, err error) {
	d.mu.Lock()
	tell := d.mu.owed[at] && darter.KindOf(err) == darter.NotFound
	if tell {
		delete(d.mu.owed, at)
		d.mu.due[at] = true
	}
	d.mu.Unlock()
	if tell {
		select {
		case d.recall <- struct{}{}:
		default: // one is due already
		}
	}
	if f := d.cfg.Events.Announce.LeaseEnded; f != nil {
		f(at, err)
	}
}

// toRecall returns the complete tasks that are to be told to schedulers that do not ask.
func (d *Daemon) toRecall() (out []store.Info) {
	d.mu.Lock()
	due := d.mu.due
	d.mu.due = map[netip.AddrPort]bool{}
	d.mu.Unlock()
	for _, i := range d.store.List() {
		if at, ok := d.holdings.Scheduler(i.ID); ok && due[at] && i.State == store.Complete && !d.engine.Running(i.ID) {
			out = append(out, i)
		}
	}
	return out
}
