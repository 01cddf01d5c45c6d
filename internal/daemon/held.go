package daemon

import (
	"context"
	"net/netip"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon/announce"
	"github.com/darter-p2p/darter/internal/daemon/fetch"
	"github.com/darter-p2p/darter/internal/daemon/rpc"
	"github.com/darter-p2p/darter/internal/store"
)

// leaser makes rpc's leases announce's.
type leaser struct{ *rpc.Schedulers }

func (l leaser) Lease(ctx context.Context, at netip.AddrPort) (announce.Lease, error) {
	lease, err := l.Schedulers.Lease(ctx, at)
	if err != nil {
		return nil, err // not a nil *Lease in an interface
	}
	return lease, nil
}

// noted is a store whose removals are noted, so that no scheduler is told of what is gone.
type noted struct {
	store.Store
	removed func(darter.TaskID)
}

// Remove deletes a task and notes it.
func (n noted) Remove(id darter.TaskID) error {
	err := n.Store.Remove(id)
	if err == nil {
		n.removed(id)
	}
	return err
}

// note puts into the holdings what the store has of a task: all of it, or the part that is at rest. While a download runs,
// its own conversation tells the scheduler what is here.
func (d *Daemon) note(id darter.TaskID) {
	t, err := d.disk.Open(id)
	if err != nil {
		d.holdings.Remove(id)
		return
	}
	i := t.Info()
	if i.State != store.Complete && d.engine.Running(id) {
		d.holdings.Remove(id)
		return
	}
	l := darter.Location{Task: id, Layout: i.Layout, Complete: i.State == store.Complete}
	if !l.Complete {
		l.Pieces = i.Pieces
	}
	d.holdings.Put(l)
	if t.Removed() { // meanwhile, and noted before this
		d.holdings.Remove(id)
	}
}

// noteAll puts everything into the holdings. What a crash made doubtful is checked on the way.
func (d *Daemon) noteAll(ctx context.Context) error {
	for _, i := range d.disk.List() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d.note(i.ID)
	}
	d.holdings.Known()
	return d.disk.Recheck(ctx) // only to say what could not be checked
}

// begun notes that a download may change what is at rest.
func (d *Daemon) begun(b fetch.Begun) {
	d.note(b.Task)
	if f := d.cfg.Events.Fetch.Started; f != nil {
		f(b)
	}
}

// load is what this host does at the moment.
func (d *Daemon) load() darter.Load {
	n := d.facts.Host().Network
	return darter.Load{Downloads: uint32(d.engine.Active()), Rx: n.Rx, Tx: n.Tx}
}
