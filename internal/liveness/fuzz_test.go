package liveness

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

// FuzzStep feeds a roster with whatever evidence in whatever order, with a clock that leaps both ways. Nothing may break, and
// nothing may grow past its bounds.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 1, 1, 0, 0, 18, 0, 200, 0, 7, 1, 2, 0, 9, 1, 0, 0})
	f.Add([]byte{0, 1, 9, 0, 4, 1, 9, 0, 0, 1, 3, 0, 13, 1, 0, 0, 14, 1, 1, 0, 18, 255, 255, 0})
	f.Add([]byte{10, 1, 9, 0, 11, 0, 0, 0, 18, 4, 4, 2, 16, 0, 0, 0, 17, 0, 0, 0, 12, 9, 9, 9, 15, 2, 7, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		data = data[:min(len(data), 2000)]
		cfg := DefaultConfig()
		p := &cfg.Policy
		p.Limit.Hosts, p.Forget.Tombstones, p.Limit.Feed, p.Limit.Timeline, p.Guard.Hosts = 6, 3, 16, 4, 2
		r, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		now, known := epoch, map[darter.HostID]darter.Verdict{}
		buried := map[darter.HostID]bool{} // told of by a snapshot: the verdict before is not one of this roster's
		for ; len(data) >= 4 && !t.Failed(); data = data[4:] {
			ev, leap := evidenceOf(data[:4])
			now = now.Add(leap)
			if b, is := ev.(Buried); is {
				buried[b.Host] = true
			}
			frozen := r.clock.frozen
			for _, e := range r.Step(now, ev) {
				_ = e.String()
				v, is := e.(Verdict)
				if !is {
					continue
				}
				if v.From != known[v.Host] && v.From != 0 && !buried[v.Host] {
					t.Fatalf("%s after %s", v, known[v.Host])
				}
				if _, forced := ev.(Forget); frozen && v.To >= darter.Offline && v.Sign == Silence && !forced {
					t.Fatalf("%s while the fault is sought here", v)
				}
				known[v.Host] = v.To
				delete(buried, v.Host)
			}
			check(t, r)
			if len(r.feed.entries) > 16 || r.probes.len() > 6 || len(r.roll) > 6 {
				t.Fatalf("%d events, %d to probe, %d hosts", len(r.feed.entries), r.probes.len(), len(r.roll))
			}
			for id := range known {
				if n := len(r.Events(id)); n > 4 {
					t.Fatalf("%d events of %s", n, id)
				}
			}
			r.Feed(uint64(data[3]), 100)
			r.Hosts(int(data[3])-3, 100)
			r.Zones()
			r.Stats()
		}
	})
}

// evidenceOf makes evidence of four bytes: kind, host and another, a number, a leap of the clock.
func evidenceOf(b []byte) (Evidence, time.Duration) {
	host, by := darter.HostID(fmt.Sprint("h", b[1]&7)), darter.HostID(fmt.Sprint("h", b[1]>>3&7))
	n := b[2]
	e := darter.Epoch(n & 15)
	leap := [...]time.Duration{0, 0, 250 * time.Millisecond, time.Second, 2 * time.Second, time.Hour, -time.Hour, 250 * time.Millisecond}[b[3]&7]
	a := Announced{Host: host, Epoch: e, Native: n&16 != 0, Interval: time.Duration(int8(n)) * time.Second, Zone: ZoneOf(0, fmt.Sprint(n>>5&1), ""),
		Conn: uint64(n), Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, n & 3}), 1), Storage: fmt.Sprint(n >> 6)}
	switch b[0] % 20 {
	case 0:
		return a, leap
	case 1:
		return Renewed{Host: host, Epoch: e, Conn: uint64(n)}, leap
	case 2:
		return Heard{Host: host}, leap
	case 3:
		return Served{Host: host, By: by}, leap
	case 4:
		return Leave{Host: host, Epoch: e, Conn: uint64(n), Draining: n&32 != 0}, leap
	case 5:
		return StreamReset{Host: host, Conn: uint64(n)}, leap
	case 6:
		return ChildFailed{Host: host, By: by}, leap
	case 7:
		return Hinted{Host: host}, leap
	case 8:
		return Probed{Host: host, OK: n&1 == 1}, leap
	case 9:
		return Restored{Announced: a}, leap
	case 10:
		return Restarted{}, leap
	case 11:
		return Health{Lag: time.Duration(n) * 100 * time.Millisecond, Jumped: n&1 == 1, Throttled: n&2 == 2}, leap
	case 12:
		p := DefaultPolicy()
		p.Limit.Hosts, p.Forget.Tombstones, p.Limit.Feed, p.Limit.Timeline, p.Guard.Hosts = 6, 3, 16, 4, 2
		p.Forget.After = Duration(time.Duration(binary.LittleEndian.Uint16(b[1:])) * time.Millisecond)
		p.Lease.SuspectAfter = float64(n) / 10
		return PolicyChanged{p}, leap
	case 13:
		return Drain{Host: host, Undo: n&1 == 1}, leap
	case 14:
		return Forget{Host: host, Force: n&1 == 1}, leap
	case 15:
		return Confirm{Zone: a.Zone, All: n&1 == 1}, leap
	case 16:
		return Override{Zone: a.Zone, All: n&1 == 1, Until: epoch.Add(time.Duration(n) * time.Hour)}, leap
	case 17:
		return Buried{Tombstone{Host: host, Epoch: e, Verdict: darter.Verdict(b[1] >> 4), At: epoch.Add(time.Duration(int8(n)) * time.Minute), Drained: n&1 == 1}}, leap
	}
	return Tick{}, leap
}
