package swarm

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

// TestAuditorMends: whatever in the records goes astray, a pass finds it, says so, and leaves them consistent.
func TestAuditorMends(t *testing.T) {
	for name, c := range map[string]struct {
		kind  string
		spoil func(s *Swarm)
	}{
		"a peer is not found by its id":        {"peer index", func(s *Swarm) { delete(s.peers, "a/1") }},
		"a peer is not found by host and task": {"peer of host and task", func(s *Swarm) { delete(s.parts, place{s.hosts["a"].slot, s.tasks["t"].slot}) }},
		"a copy is counted twice":              {"group counts", func(s *Swarm) { s.tasks["t"].groups[0].whole++ }},
		"a piece is counted that nobody holds": {"group counts", func(s *Swarm) { s.tasks["t"].groups[0].inc(3) }},
		"a peer counts that should not":        {"peer that counts", func(s *Swarm) { p := s.peers["a/1"]; p.group.uncount(p) }},
		"a host has lost count":                {"host counts", func(s *Swarm) { s.hosts["a"].open++; s.hosts["b"].copies-- }},
		"a host is in no index":                {"unknown host", func(s *Swarm) { delete(s.hosts, "b") }},
		"a task is in no index":                {"peer without task", func(s *Swarm) { delete(s.tasks, "t") }},
		"a location is not found":              {"location index", func(s *Swarm) { delete(s.index, place{s.hosts["b"].slot, s.tasks["u"].slot}) }},
		"a location counts that should not":    {"location that counts", func(s *Swarm) { s.uncountKept(s.hosts["b"].kept) }},
		"nobody frees a host that is forgotten": {"forgotten host", func(s *Swarm) {
			s.verdict(HostVerdict{Host: "b", Verdict: darter.Left})
			s.reviews.pop().review = false
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, now := audited(t)
			check(t, s)
			s.now = now
			c.spoil(s)
			kinds := pass(s, now.Add(time.Hour))
			if !slices.Contains(kinds, c.kind) {
				t.Errorf("repaired %v, not %q", kinds, c.kind)
			}
			if again := pass(s, now.Add(2*time.Hour)); len(again) > 0 {
				t.Errorf("the next pass still found %v", again)
			}
			if !strings.Contains(name, "task is in no index") {
				check(t, s)
			}
		})
	}
}

// audited is a swarm with a peer of host a, and a location of host b.
func audited(t *testing.T) (*Swarm, time.Time) {
	cfg := DefaultConfig()
	cfg.Linger, cfg.PeerTTL = 100*time.Hour, 200*time.Hour
	s, err := New(cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	layout := darter.LayoutOf(32<<20, 0)
	for i, id := range []darter.HostID{"a", "b", "c"} {
		s.Step(epoch, HostAnnounced{Host: darter.Host{ID: id, IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Port: 4000, Native: true, Epoch: 1}})
	}
	s.Step(epoch, Registered{Host: "a", Peer: "a/1", Task: "t", Want: darter.Want{LayoutKnown: true, Layout: layout, MetadataOnly: true}})
	s.Step(epoch, PeerFinished{Peer: "a/1"})
	s.Step(epoch, StreamEnded{Peer: "a/1"})
	s.Step(epoch, InventoryPage{Host: "b", Epoch: 1, Add: []darter.Location{{Task: "u", Layout: layout, Complete: true}}})
	s.Step(epoch, Tick{})
	return s, epoch
}

// pass runs one pass of the auditor and returns what it repaired.
func pass(s *Swarm, at time.Time) (kinds []string) {
	for range 3 {
		for _, e := range s.Step(at, Tick{}) {
			if r, is := e.(Repaired); is {
				kinds = append(kinds, r.Kind)
			}
		}
	}
	return kinds
}
