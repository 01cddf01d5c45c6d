package swarm

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

// world sends random but possible events, and follows what the effects ask for.
type world struct {
	t      testing.TB
	s      *Swarm
	rng    *rand.Rand
	now    time.Time
	live   []darter.PeerID
	hosts  int
	serial int
	log    []string
	epochs map[int]darter.Epoch
	hidden map[darter.HostID]bool // as a bystander sees it, from the verdicts alone
}

func TestSimulation(t *testing.T) {
	seeds := 300
	if n, err := strconv.Atoi(os.Getenv("SEEDS")); err == nil {
		seeds = n
	}
	from := uint64(1)
	if n, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		from, seeds = n, 1
	}
	for seed := from; seed < from+uint64(seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			if log := simulate(t, seed, 250); seeds == 1 && testing.Verbose() {
				fmt.Println(strings.Join(log, "\n"))
			}
		})
	}
}

func simulate(t *testing.T, seed uint64, steps int) []string {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 2)), now: epoch, epochs: map[int]darter.Epoch{}, hidden: map[darter.HostID]bool{}}
	cfg := DefaultConfig()
	if w.rng.IntN(2) == 0 { // so little that reviews and looks at neighbours take many steps
		cfg.StepItems = 1 + w.rng.IntN(6)
	}
	if w.rng.IntN(2) == 0 {
		cfg.Linger, cfg.AuditEvery, cfg.AuditItems = 5*time.Second, 5*time.Second, 3
	}
	if w.rng.IntN(4) == 0 {
		cfg.MaxPeers, cfg.MaxLocations = 20+w.rng.IntN(20), 4+w.rng.IntN(10)
	}
	s, err := New(cfg, seed)
	if err != nil {
		t.Fatal(err)
	}
	w.s = s
	defer func() {
		if t.Failed() {
			for _, l := range w.log[max(0, len(w.log)-40):] {
				t.Log(l)
			}
		}
	}()
	w.hosts = 3 + w.rng.IntN(14)
	for i := range w.hosts {
		w.announce(i)
	}
	if w.rng.IntN(4) == 0 {
		w.step(Restarted{})
	}
	for range steps {
		w.once()
	}
	w.calm()
	return w.log
}

// calm lets everything that is put off be done, and checks that nothing is left to do.
func (w *world) calm() {
	for range 10_000 {
		if hosts, peers := w.s.Backlog(); hosts+peers+len(w.s.groups) == 0 {
			return
		}
		w.step(Tick{})
	}
	w.t.Fatal("the backlog does not end")
}

func (w *world) name(i int) darter.HostID { return darter.HostID(fmt.Sprintf("h%d", i)) }

func (w *world) announce(i int) {
	h := darter.Host{ID: w.name(i), IP: netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), Port: 4000, Native: i%4 != 3, IDC: fmt.Sprint(i % 3), NoSharing: i == 11}
	if i%5 == 0 {
		h.Kind = darter.Seed
	}
	if h.Native {
		h.Epoch, h.Storage = w.epochs[i]+1, darter.StorageID(i%2) // with and without a store that is known again
	}
	delete(w.hidden, h.ID)
	w.step(HostAnnounced{Host: h})
	w.step(HostVerdict{Host: h.ID, Epoch: h.Epoch, Verdict: darter.Alive})
}

func (w *world) step(ev Event) {
	w.log = append(w.log, fmt.Sprintf("%s %T%+v", w.now.Format(time.TimeOnly), ev, ev))
	if v, is := ev.(HostVerdict); is {
		if h, known := w.s.Host(v.Host); known && (v.Epoch == 0 || h.Host.Epoch == 0 || v.Epoch == h.Host.Epoch) {
			w.hidden[v.Host] = v.Verdict.Hidden()
		}
	}
	effects := w.s.Step(w.now, ev)
	for _, e := range effects {
		w.log = append(w.log, "    "+e.String())
		switch e := e.(type) {
		case Repaired:
			w.t.Fatalf("the auditor found something: %s", e)
		case Offer:
			for _, n := range e.Parents {
				if w.hidden[n.Host.ID] {
					w.t.Fatalf("%s was offered %s, whose host is hidden", e.Peer, n.Peer)
				}
			}
		}
	}
	check(w.t, w.s)
	for _, e := range effects {
		if c, is := e.(CloseStream); is {
			w.forget(c.Peer)
		}
	}
}

func (w *world) forget(id darter.PeerID) {
	for i, p := range w.live {
		if p == id {
			w.live = append(w.live[:i], w.live[i+1:]...)
			return
		}
	}
}

func (w *world) register() {
	w.serial++
	i := w.rng.IntN(w.hosts)
	want := darter.Want{URL: "http://o/", LayoutKnown: true, Layout: darter.LayoutOf(int64(1+w.rng.IntN(2))*40<<20, 0),
		DisableSource: w.rng.IntN(10) == 0, NeedSource: i%5 == 0, MetadataOnly: w.rng.IntN(12) == 0, Priority: darter.Priority(w.rng.IntN(7))}
	if w.rng.IntN(4) == 0 {
		want.Range = &darter.Range{Start: int64(w.rng.IntN(60)) << 20, Length: int64(1+w.rng.IntN(30)) << 20}
	}
	var held darter.PieceSet
	if w.rng.IntN(5) == 0 && i%4 != 3 {
		held.AddRange(uint32(w.rng.IntN(5)), uint32(5+w.rng.IntN(6)))
	}
	id := darter.PeerID(fmt.Sprintf("%s/%d", w.name(i), w.serial))
	w.live = append(w.live, id)
	w.step(Registered{Host: w.name(i), Peer: id, Task: darter.TaskID(fmt.Sprint("t", w.rng.IntN(2))), Want: want, Held: held})
}

func (w *world) once() {
	w.now = w.now.Add(time.Duration(w.rng.IntN(400)) * time.Millisecond)
	if len(w.live) == 0 || w.rng.IntN(6) == 0 {
		w.register()
		return
	}
	if w.rng.IntN(6) == 0 {
		w.judged()
		return
	}
	id := w.live[w.rng.IntN(len(w.live))]
	p := w.s.peers[id]
	if p == nil {
		w.forget(id)
		return
	}
	switch n := w.rng.IntN(40); {
	case n < 6:
		w.step(PeerStarted{Peer: id})
	case n < 9:
		if !p.assigned.Empty() {
			w.step(SourceStarted{Peer: id})
		}
	case n < 24:
		w.progress(id, p)
	case n < 26:
		if len(p.links) > 0 {
			w.step(PieceFailed{Peer: id, Parent: p.links[w.rng.IntN(len(p.links))].to.id, Temporary: w.rng.IntN(3) > 0, Missing: w.rng.IntN(4) == 0})
		}
	case n < 28:
		w.reschedule(id, p)
	case n < 29:
		if !p.assigned.Empty() {
			w.step(PieceSourceFailed{Peer: id, Piece: p.assigned.Numbers()[0], Fault: Fault{Status: []int{404, 503, 0, 403}[w.rng.IntN(4)]}})
		}
	case n < 30:
		w.end(SourceFailed{Peer: id, Fault: Fault{Status: []int{404, 503, 0}[w.rng.IntN(3)]}}, id)
	case n < 31:
		w.end(PeerFailed{Peer: id}, id)
	case n < 33:
		w.end(StreamEnded{Peer: id}, id)
	case n < 34:
		w.end(PeerFinished{Peer: id}, id)
	default:
		w.rare(id, p)
	}
}

// judged is what happens to hosts as a whole.
func (w *world) judged() {
	i := w.rng.IntN(w.hosts)
	id := w.name(i)
	v, known := w.s.Host(id)
	switch n := w.rng.IntN(16); {
	case !known:
		w.announce(i)
	case n < 7:
		e := v.Host.Epoch
		if w.rng.IntN(8) == 0 && e > 0 {
			e-- // of an earlier run
		}
		w.step(HostVerdict{Host: id, Epoch: e, Verdict: darter.Verdict(1 + w.rng.IntN(int(darter.Left)))})
	case n < 9:
		w.step(HostVerdict{Host: id, Verdict: darter.Alive})
	case n < 10:
		w.epochs[i]++
		w.announce(i)
	case n < 13:
		page := InventoryPage{Host: id, Epoch: v.Host.Epoch, Complete: w.rng.IntN(2) == 0}
		for range w.rng.IntN(3) {
			l := darter.Location{Task: darter.TaskID(fmt.Sprint("t", w.rng.IntN(3))), Layout: darter.LayoutOf(int64(1+w.rng.IntN(2))*40<<20, 0), Complete: w.rng.IntN(2) == 0}
			if !l.Complete {
				l.Pieces.AddRange(uint32(w.rng.IntN(5)), uint32(w.rng.IntN(12)))
			}
			page.Add = append(page.Add, l)
		}
		if w.rng.IntN(3) == 0 {
			page.Remove = append(page.Remove, darter.TaskID(fmt.Sprint("t", w.rng.IntN(3))))
		}
		w.step(page)
	case n < 14:
		w.now = w.now.Add(6 * time.Second)
		w.step(Tick{})
	default:
		w.step(Tick{})
	}
}

func (w *world) reschedule(id darter.PeerID, p *peer) {
	var lost []darter.PeerID
	for _, l := range p.links {
		if l.told && (!p.native() || w.rng.IntN(3) == 0) {
			lost = append(lost, l.to.id)
		}
	}
	if p.native() || !p.awaiting {
		w.step(Rescheduled{Peer: id, Lost: lost})
	}
}

// progress moves one piece along a way that exists.
func (w *world) progress(id darter.PeerID, p *peer) {
	if !p.assigned.Empty() && w.rng.IntN(2) == 0 {
		n := p.assigned.Numbers()
		w.step(PieceDone{Peer: id, Piece: n[w.rng.IntN(len(n))], Traffic: darter.FromSource})
		return
	}
	for _, l := range p.links {
		if can := l.to.holding(); l.told {
			if n := p.missing().Intersect(can).Numbers(); len(n) > 0 {
				w.step(PieceDone{Peer: id, Piece: n[w.rng.IntN(len(n))], Parent: l.to.id, Traffic: darter.FromPeer})
				break
			}
		}
	}
	if p.group != nil && p.missing().Empty() {
		w.end(PeerFinished{Peer: id}, id)
	}
}

func (w *world) end(ev Event, id darter.PeerID) {
	w.forget(id)
	w.step(ev)
	w.step(StreamEnded{Peer: id})
}

func (w *world) rare(id darter.PeerID, p *peer) {
	i := w.rng.IntN(w.hosts)
	switch w.rng.IntN(12) {
	case 0:
		w.step(HostVerdict{Host: w.name(i), Verdict: darter.Left})
		w.announce(i)
	case 1:
		w.step(TaskDeleted{Host: w.name(i), Task: "t0"})
	case 2:
		w.now = w.now.Add(12 * time.Second)
		w.step(Tick{})
	case 3:
		w.step(SeedHealth{Host: w.name(i), OK: w.rng.IntN(2) == 0})
	case 4, 5:
		if p.group != nil && len(p.group.pending) > 0 {
			w.step(SeedFailed{Task: p.task.id, Host: p.group.pending[0].host.facts.ID, Fault: Fault{Status: []int{404, 500, 0}[w.rng.IntN(3)]}})
		}
	case 6, 7, 8, 9:
		if p.group != nil && len(p.group.pending) > 0 {
			h := p.group.pending[0].host.facts.ID
			w.serial++
			seed := darter.PeerID(fmt.Sprintf("%s/%d", h, w.serial))
			w.live = append(w.live, seed)
			w.step(Registered{Host: h, Peer: seed, Task: p.task.id, Want: darter.Want{URL: "http://o/", LayoutKnown: true, Layout: p.group.layout, NeedSource: true}})
		}
	case 10:
		w.step(PeerDeleted{Peer: id})
		w.forget(id)
	default:
		w.step(Tick{})
	}
}

func TestSameSeedSameEffects(t *testing.T) {
	a, b := simulate(t, 7, 400), simulate(t, 7, 400)
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("line %d differs:\n%s\n%s", i, a[i], b[i])
		}
	}
	if len(a) != len(b) {
		t.Fatalf("%d and %d lines", len(a), len(b))
	}
}
