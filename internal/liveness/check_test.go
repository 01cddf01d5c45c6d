package liveness

import (
	"testing"

	"github.com/darter-p2p/darter"
)

// fataler is a test, or a property of one.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// check looks at everything and says what does not fit together.
func check(t fataler, r *Roster) {
	t.Helper()
	if len(r.hosts) != len(r.roll) {
		t.Fatalf("%d hosts by name, %d in the roll", len(r.hosts), len(r.roll))
	}
	total, down, leased, timers := 0, 0, 0, 0
	zones := map[*zone][4]int{}
	var words [darter.Left + 1]int
	for i, h := range r.roll {
		switch {
		case int(h.pos) != i || r.hosts[h.id] != h || h.gone:
			t.Fatalf("%s is out of its place", h.id)
		case h.timer == 0 && !h.waiting:
			t.Fatalf("%s, %s, has no timer", h.id, h.state)
		case h.waiting && (h.state != darter.Offline || !h.queued):
			t.Fatalf("%s waits to be forgotten: %s, in line %v", h.id, h.state, h.queued)
		case h.state == darter.Left || h.state == darter.Forgotten || h.state == 0:
			t.Fatalf("%s is %s and still there", h.id, h.state)
		case r.zones[h.zone.name] != h.zone:
			t.Fatalf("%s is in a zone that is gone", h.id)
		case r.tombs.byID[h.id] != nil:
			t.Fatalf("%s has a tombstone and lives", h.id)
		}
		if h.timer != 0 {
			timers++
		}
		words[h.state]++
		z := zones[h.zone]
		z[0]++
		if h.state <= darter.Offline {
			z[1]++
			total++
		}
		if h.state == darter.Offline || h.state == darter.Suspect && !h.held {
			z[2]++
			down++
		}
		if h.state == darter.Late && !h.unknown || h.overdue {
			z[3]++
		}
		if h.overdue && (h.leased || h.state != darter.Alive) {
			t.Fatalf("%s is %s, and its announcement counts as overdue", h.id, h.state)
		}
		zones[h.zone] = z
		if h.leased && (h.state == darter.Alive || h.state == darter.Late) {
			leased++
		}
	}
	if total != r.total || down != r.down || leased != r.leased || timers != r.wheel.Len() || words != r.stats.Hosts {
		t.Fatalf("hosts %d/%d, down %d/%d, leased %d/%d, timers %d/%d, words %v/%v", r.total, total, r.down, down, r.leased, leased, r.wheel.Len(), timers,
			r.stats.Hosts, words)
	}
	if len(zones) != len(r.zones) || len(zones) != len(r.order) {
		t.Fatalf("%d zones are used, %d known, %d listed", len(zones), len(r.zones), len(r.order))
	}
	up := 0
	for z, n := range zones {
		if z.members != n[0] || z.hosts != n[1] || z.down != n[2] || z.overdue != n[3] {
			t.Fatalf("zone %s: %d %d %d %d, counted %v", z.name, z.members, z.hosts, z.down, z.overdue, n)
		}
		if z.isTripped {
			up += z.hosts - z.down
		}
		if z.isTripped != (z.guard.level != GuardOpen) || z.isTripped && r.tripped[z.atTripped] != z {
			t.Fatalf("zone %s: %s, listed %v", z.name, z.guard.level, z.isTripped)
		}
	}
	if up != r.guardedUp {
		t.Fatalf("%d hosts are up in guarded zones, counted %d", r.guardedUp, up)
	}
	if r.stats.Repairs > 0 {
		t.Fatalf("%d hosts had no timer", r.stats.Repairs)
	}
	if r.tombs.len() > r.policy.Forget.Tombstones || len(r.tombs.byID) > r.tombs.len() {
		t.Fatalf("%d tombstones, %d in order, at most %d", len(r.tombs.byID), r.tombs.len(), r.policy.Forget.Tombstones)
	}
}

var _ fataler = (*testing.T)(nil)
