package liveness

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"pgregory.net/rapid"
)

// model is the dumb roster: no wheel, no counters. At every tick it looks at every host and reads the table of states from
// top to bottom. Guards, flaps and own health are left out; the policy of the test never lets them act.
type model struct {
	p     Policy
	hosts map[darter.HostID]*modelHost
}

type modelHost struct {
	state                   darter.Verdict
	epoch                   darter.Epoch
	leased                  bool
	interval, told          time.Duration
	heard, since, lastRenew time.Duration
	reports                 []modelReport
	broke, hinted, failed   bool
	brokeAt, hintedAt       time.Duration
	doubted                 bool
	wrong                   []time.Duration
}

type modelReport struct {
	by darter.HostID
	at time.Duration
}

func (m *model) silence(h *modelHost) time.Duration {
	if h.leased {
		return time.Duration(float64(h.interval) * m.p.Lease.SuspectAfter)
	}
	return time.Duration(float64(h.interval) * m.p.Plain.SuspectAfter)
}

func (m *model) recent(h *modelHost, now time.Duration) int {
	n := 0
	for _, r := range h.reports {
		if now-r.at <= m.p.Suspicion.Within.Std() {
			n++
		}
	}
	return n
}

func (m *model) tick(now time.Duration) {
	for id, h := range m.hosts {
		quiet := now - h.heard
		switch h.state {
		case darter.Alive, darter.Late:
			switch {
			case quiet >= m.silence(h):
				h.suspect(now)
			case h.leased && quiet >= time.Duration(float64(h.interval)*m.p.Lease.LateAfter):
				h.state = darter.Late
			}
		case darter.Suspect:
			signs := len(h.reports)
			for _, is := range []bool{h.broke, h.hinted, h.failed, quiet >= m.silence(h)} {
				if is {
					signs++
				}
			}
			s := m.p.Suspicion
			k := float64(s.Confirmations)
			c := math.Min(math.Max(float64(signs-1), 0), k)
			span := float64(s.Longest - s.Shortest)
			wait := s.Longest.Std() - time.Duration(span*(math.Log(c+1)/math.Log(k+1)))
			until := max(h.since, h.heard) + wait
			if !h.leased {
				until = min(until, h.heard+time.Duration(float64(h.interval)*m.p.Plain.OfflineAfter))
			}
			if now >= until {
				h.state, h.since = darter.Offline, now
				h.clear()
			}
		case darter.Offline:
			if now >= h.since+m.p.Forget.After.Std() {
				delete(m.hosts, id)
			}
		}
	}
}

func (h *modelHost) suspect(now time.Duration) {
	h.state, h.since, h.doubted = darter.Suspect, now, true
}
func (h *modelHost) clear() {
	h.reports, h.broke, h.hinted, h.failed, h.doubted = nil, false, false, false, false
}

func (m *model) sign(h *modelHost, s Sign, now time.Duration) {
	h.heard = now
	settles := s == Answer || s == Child || s == Announce || m.recent(h, now) == 0
	switch h.state {
	case darter.Alive, darter.Suspect:
		if settles {
			h.state = darter.Alive
			h.clear()
		}
	case darter.Late, darter.Offline:
		if h.state == darter.Offline || h.state == darter.Late {
			h.state = darter.Alive
		}
	}
}

func (m *model) doubtable(id darter.HostID) *modelHost {
	h := m.hosts[id]
	if h == nil || h.state == darter.Offline {
		return nil
	}
	return h
}

func (m *model) apply(ev Evidence, now time.Duration) {
	switch e := ev.(type) {
	case Tick:
		m.tick(now)
	case Announced:
		h := m.hosts[e.Host]
		if h == nil || e.Epoch > h.epoch {
			h = &modelHost{state: darter.Alive, epoch: e.Epoch, interval: e.Interval, told: e.Interval, heard: now, since: now, wrong: wrongs(h)}
			m.hosts[e.Host] = h
			return
		}
		if h.leased && now-h.lastRenew > m.silence(h) {
			h.leased = false
		}
		if h.told = e.Interval; !h.leased {
			h.interval = e.Interval
		}
		m.sign(h, Announce, now)
	case Renewed:
		if h := m.hosts[e.Host]; h != nil && h.epoch == e.Epoch {
			h.leased, h.lastRenew = true, now
			m.sign(h, Renewal, now)
			h.interval = m.p.Lease.Interval.Std()
		}
	case Heard:
		if h := m.hosts[e.Host]; h != nil {
			m.sign(h, Word, now)
		}
	case Served:
		if by := m.hosts[e.By]; by != nil {
			m.sign(by, Word, now)
			if h := m.hosts[e.Host]; h != nil && h != by {
				m.sign(h, Child, now)
			}
		}
	case Leave:
		if h := m.hosts[e.Host]; h != nil && h.epoch == e.Epoch {
			delete(m.hosts, e.Host)
		}
	case StreamReset:
		if h := m.doubtable(e.Host); h != nil {
			h.doubted, h.broke, h.brokeAt = true, true, now
		}
	case Hinted:
		if h := m.doubtable(e.Host); h != nil {
			h.doubted, h.hinted, h.hintedAt = true, true, now
		}
	case ChildFailed:
		m.childFailed(e, now)
	case Probed:
		m.probed(e, now)
	}
}

func wrongs(h *modelHost) []time.Duration {
	if h == nil {
		return nil
	}
	return h.wrong
}

func (m *model) childFailed(e ChildFailed, now time.Duration) {
	by := m.hosts[e.By]
	if by != nil {
		m.sign(by, Word, now)
	}
	h := m.doubtable(e.Host)
	if h == nil || e.By == e.Host {
		return
	}
	h.doubted = true
	if by != nil && (by.state == darter.Alive || by.state == darter.Late) {
		i := slices.IndexFunc(h.reports, func(r modelReport) bool { return r.by == e.By })
		if i >= 0 {
			h.reports = slices.Delete(h.reports, i, i+1)
		}
		if h.reports = append(h.reports, modelReport{e.By, now}); len(h.reports) > maxReporters {
			slices.SortStableFunc(h.reports, func(a, b modelReport) int { return int(a.at - b.at) })
			h.reports = h.reports[1:]
		}
	}
	if h.state != darter.Suspect && m.recent(h, now) >= m.p.Suspicion.Reports {
		h.suspect(now)
	}
}

func (m *model) probed(e Probed, now time.Duration) {
	h := m.hosts[e.Host]
	if h == nil {
		return
	}
	if e.OK {
		h.reports = nil
		m.sign(h, Answer, now)
		return
	}
	if !h.doubted || h.state == darter.Offline {
		return
	}
	h.failed = true
	within := m.p.Suspicion.Within.Std()
	if h.state != darter.Suspect && (h.broke && now-h.brokeAt <= within || h.hinted && now-h.hintedAt <= within || m.recent(h, now) > 0) {
		h.suspect(now)
	}
}

// calm is a policy under which guards, flaps and own health never act.
func calm() Config {
	cfg := DefaultConfig()
	p := &cfg.Policy
	p.Lease.Jitter, p.Lease.HastyBelow = 0, 0
	p.Guard.Hosts, p.Flap.Count, p.Flap.Within, p.Health.Most, p.Suspicion.WrongReports = 1_000_000, 100, 0, 1, 100
	p.Suspicion.Disbelief = 0
	p.Forget.After = Duration(time.Minute)
	cfg.Tick, cfg.MaxGap = time.Second, 4*time.Second
	return cfg
}

// TestLikeTheTable: whatever the evidence, the roster gives the words that a scan of all hosts by the table gives.
func TestLikeTheTable(t *testing.T) {
	names := []darter.HostID{"a", "b", "c", "d", "e"}
	rapid.Check(t, func(t *rapid.T) {
		cfg := calm()
		r, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		m := &model{p: cfg.Policy, hosts: map[darter.HostID]*modelHost{}}
		at, last := time.Duration(0), ""
		next := darter.Epoch(1) // of a new run: never one that is known
		r.Step(epoch, Tick{})
		both := func(ev Evidence) {
			r.Step(epoch.Add(at), ev)
			m.apply(ev, at)
			last = fmt.Sprintf("%T%+v", ev, ev)
		}
		host := rapid.SampledFrom(names)
		known := func(id darter.HostID) darter.Epoch {
			if h := m.hosts[id]; h != nil {
				return h.epoch
			}
			return 0
		}
		t.Repeat(map[string]func(*rapid.T){
			"pass": func(t *rapid.T) {
				for range rapid.OneOf(rapid.IntRange(1, 5), rapid.IntRange(1, 80)).Draw(t, "seconds") {
					at = at/time.Second*time.Second + time.Second
					both(Tick{})
				}
				at += time.Duration(rapid.IntRange(0, 3).Draw(t, "quarters")) * time.Second / 4
			},
			"announce": func(t *rapid.T) {
				id := host.Draw(t, "host")
				e := known(id)
				if e == 0 || rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
					e, next = next, next+1
				}
				both(Announced{Host: id, Epoch: e, Interval: time.Duration(rapid.SampledFrom([]int{4, 20, 60}).Draw(t, "interval")) * time.Second})
			},
			"renew":  func(t *rapid.T) { id := host.Draw(t, "host"); both(Renewed{Host: id, Epoch: known(id)}) },
			"heard":  func(t *rapid.T) { both(Heard{Host: host.Draw(t, "host")}) },
			"served": func(t *rapid.T) { both(Served{Host: host.Draw(t, "host"), By: host.Draw(t, "by")}) },
			"fails":  func(t *rapid.T) { both(ChildFailed{Host: host.Draw(t, "host"), By: host.Draw(t, "by")}) },
			"reset":  func(t *rapid.T) { both(StreamReset{Host: host.Draw(t, "host")}) },
			"hint":   func(t *rapid.T) { both(Hinted{Host: host.Draw(t, "host")}) },
			"probed": func(t *rapid.T) { both(Probed{Host: host.Draw(t, "host"), OK: rapid.Bool().Draw(t, "ok")}) },
			"leave": func(t *rapid.T) {
				id := host.Draw(t, "host")
				both(Leave{Host: id, Epoch: known(id) + darter.Epoch(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "off"))})
			},
			"": func(t *rapid.T) {
				check(t, r)
				for _, id := range names {
					got, is := r.Host(id)
					h := m.hosts[id]
					switch {
					case h == nil && is && !got.Tombstone, h != nil && (!is || got.Tombstone):
						t.Fatalf("at %s after %s: %s known %v, the table says %v", at, last, id, is && !got.Tombstone, h != nil)
					case h != nil && (got.Verdict != h.state || got.Epoch != h.epoch):
						t.Fatalf("at %s after %s: %s is %s epoch %d, by the table %s epoch %d", at, last, id, got.Verdict, got.Epoch, h.state, h.epoch)
					}
				}
			},
		})
	})
}
