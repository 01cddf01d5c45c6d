package manager

import (
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/jobs"
)

// TestAMachineOnItsOwnIsPreheated asks for all_peers where the only host is a seed: its scheduler gets an order for it.
func TestAMachineOnItsOwnIsPreheated(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		root := s.admin(t)
		s.live(t)
		all, err := s.rooms.Catalog.Clusters(t.Context(), "", 1)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		seed := catalog.Sighting{Host: "only", Cluster: all[0].ID, Hostname: "only", IP: "127.0.0.1", Kind: darter.Seed.String(), Epoch: 1, Verdict: catalog.Alive}
		if err := s.rooms.Catalog.Sight(t.Context(), "s", []catalog.Sighting{seed}); err != nil {
			t.Fatal(err)
		}
		made := s.ask(t, "POST", "/v1/preheats", `{"kind":"files","urls":["https://origin.example/x"],"targets":{"scope":"all_peers"}}`, "Authorization", root).want(t, "preheat", 202)
		order := s.order(t)
		if string(order.Lease.Job) != made.text1("id") || order.Targets.Scope != darter.AllSeeds {
			t.Errorf("%+v", order)
		}
	})
}

// order waits for what a scheduler of the first cluster is to do.
func (s *site) order(t *testing.T) *darter.Order {
	t.Helper()
	deadline := time.After(2 * time.Minute) // for what never comes
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		o, err := s.rooms.Jobs.Claim(t.Context(), jobs.Claimer{Owner: "s", Cluster: 1})
		if err != nil {
			t.Fatal(err)
		}
		if o != nil {
			return o
		}
		select {
		case <-deadline:
			t.Fatal("there is nothing to do")
		case <-tick.C:
		}
	}
}
