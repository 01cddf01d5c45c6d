package jobs

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
)

// fewHosts is a cluster whose hosts are seeds, or not.
type fewHosts struct{ onlySeeds bool }

func (f *fewHosts) OnlySeeds(context.Context, *database.Tx, uint64) (bool, error) {
	return f.onlySeeds, nil
}

func (*fewHosts) SyncHosts(context.Context, *database.Tx, uint64, string, []darter.Host) error {
	return nil
}

// TestSeedsAreThePeersOfAClusterWithoutOthers holds that all_peers means somebody on a machine on its own, and that an
// attempt that has chosen its hosts keeps to them.
func TestSeedsAreThePeersOfAClusterWithoutOthers(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		hosts := &fewHosts{}
		r := newRig(t, db, func(c *Config) { c.Hosts = hosts })
		in := r.enqueue(preheat(urls(1)...))
		r.resolve()
		o := r.mustClaim("s")
		require.Equal(t, darter.AllPeers, o.Targets.Scope, "there are others")
		r.report(darter.OrderReport{Lease: o.Lease, Ended: true}) // which nobody sees now
		require.Equal(t, darter.JobQueued, r.state(in.ID))

		hosts.onlySeeds = true
		r.clock.pass(time.Minute)
		o = r.mustClaim("s")
		require.Equal(t, darter.AllSeeds, o.Targets.Scope)
		r.report(darter.OrderReport{Lease: o.Lease, Hosts: targets(1), Ended: true, Outcomes: []darter.OrderOutcome{{Failure: darter.FailedConnect}}})
		require.Equal(t, darter.AllPeers, r.get(in.ID).Spec.Targets.Scope, "what was asked for stays")

		r.clock.pass(time.Minute)
		o = r.mustClaim("s")
		require.Equal(t, darter.AllPeers, o.Targets.Scope)
		require.Len(t, o.Hosts, 1)
		r.report(darter.OrderReport{Lease: o.Lease, Hosts: o.Hosts, Ended: true, Outcomes: outcomes(o, 1)})
		require.Equal(t, darter.JobSucceeded, r.state(in.ID))

		q := preheat(urls(1)...)
		q.Spec.Targets.Scope = darter.OneSeed
		r.enqueue(q)
		r.resolve()
		require.Equal(t, darter.OneSeed, r.mustClaim("s").Targets.Scope)
	}, Tables())
}
