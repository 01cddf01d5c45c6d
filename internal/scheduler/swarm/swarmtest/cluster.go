package swarmtest

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// Load is the shape of a cluster. Peers spread evenly over the tasks.
type Load struct {
	Hosts     int
	PeersEach int // per host
	Tasks     int
	// Running is how many of a hundred tasks have downloads under way on half of their hosts; of the others, all
	// peers have finished.
	Running int
	Zones   int
}

// Figures is what a series of events cost.
type Figures struct {
	Events   int           // steps for the events themselves
	First    time.Duration // until the last event was taken: from then on everything is hidden
	Total    time.Duration // until nothing was left to do
	Longest  time.Duration // of all steps
	Clock    time.Duration // of all steps, the longest on the cluster's own clock
	Steps    int
	P99      time.Duration
	Offers   int // parents that children were told of meanwhile
	Bad      int // of them, hosts that were hidden
	Messages int // effects
}

func (f Figures) String() string {
	return fmt.Sprintf("%d events taken in %s, all done in %s; %d steps, p99 %s, longest %s; %d parents offered, %d of them hidden; %d effects",
		f.Events, f.First.Round(time.Microsecond), f.Total.Round(time.Microsecond), f.Steps, f.P99, f.Longest, f.Offers, f.Bad, f.Messages)
}

// Cluster is a swarm under load.
type Cluster struct {
	Swarm *swarm.Swarm
	// Clock, when set, measures steps a second time: on processor time, say, which others on the machine do not lengthen.
	Clock func() time.Duration
	load  Load
	now   time.Time
	dead  map[darter.HostID]bool
	took  []time.Duration
	f     Figures
}

// began is when every cluster begins.
const began = 1_800_000_000

// Build makes a cluster: its hosts announce themselves and its peers register, download and finish.
func Build(load Load, cfg swarm.Config) (*Cluster, error) {
	s, err := swarm.New(cfg, 1)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Swarm: s, load: load, now: time.Unix(began, 0), dead: map[darter.HostID]bool{}}
	for i := range load.Hosts {
		c.step(swarm.HostAnnounced{Host: darter.Host{ID: host(i), IP: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Port: 4000,
			Native: true, Epoch: 1, IDC: fmt.Sprint(i % max(load.Zones, 1))}})
	}
	for k := range load.PeersEach {
		for i := range load.Hosts {
			c.register(i, k)
		}
	}
	c.drain()
	return c, nil
}

func host(i int) darter.HostID {
	return darter.HostID(fmt.Sprintf("10.%d.%d.%d-host", i>>16, i>>8&255, i&255))
}

func task(n int) darter.TaskID { return darter.TaskID(fmt.Sprintf("%064x", n)) }

// Layout is that of every content of a cluster: sixteen pieces.
func Layout() darter.Layout { return darter.LayoutOf(16*darter.MinPieceLength, 0) }

func (c *Cluster) register(i, k int) {
	n := (i*c.load.PeersEach + k) % c.load.Tasks
	id := darter.PeerID(fmt.Sprintf("%s-%d", host(i), k))
	running := n%100 < c.load.Running && (i+k)%2 == 1
	want := darter.Want{URL: "http://origin/" + string(task(n)), LayoutKnown: true, Layout: Layout(), MetadataOnly: !running}
	c.step(swarm.Registered{Host: host(i), Peer: id, Task: task(n), Want: want})
	if !running {
		c.step(swarm.PeerFinished{Peer: id})
		c.step(swarm.StreamEnded{Peer: id})
		return
	}
	c.step(swarm.PeerStarted{Peer: id})
	for piece := range uint32(i % 8) {
		c.step(swarm.PieceDone{Peer: id, Piece: piece, Traffic: darter.FromPeer})
	}
}

// step takes one event and notes what it cost.
func (c *Cluster) step(ev swarm.Event) []swarm.Effect {
	if v, is := ev.(swarm.HostVerdict); is {
		c.dead[v.Host] = v.Verdict.Hidden()
	}
	var clock time.Duration
	if c.Clock != nil {
		clock = c.Clock()
	}
	at := time.Now()
	effects := c.Swarm.Step(c.now, ev)
	c.took = append(c.took, time.Since(at))
	if c.Clock != nil {
		c.f.Clock = max(c.f.Clock, c.Clock()-clock)
	}
	c.f.Messages += len(effects)
	for _, e := range effects {
		if o, is := e.(swarm.Offer); is {
			c.f.Offers += len(o.Parents)
			for _, n := range o.Parents {
				if c.dead[n.Host.ID] {
					c.f.Bad++
				}
			}
		}
	}
	return effects
}

// drain ticks until nothing is left to do.
func (c *Cluster) drain() {
	for hosts, peers := c.Swarm.Backlog(); hosts+peers > 0; hosts, peers = c.Swarm.Backlog() {
		c.step(swarm.Tick{})
	}
}

// begin starts new figures, and end closes them.
func (c *Cluster) begin() { c.took, c.f = c.took[:0], Figures{} }

func (c *Cluster) end(began time.Time) Figures {
	c.drain()
	c.f.Total, c.f.Steps = time.Since(began), len(c.took)
	sorted := slices.Sorted(slices.Values(c.took))
	c.f.Longest, c.f.P99 = sorted[len(sorted)-1], sorted[len(sorted)*99/100]
	return c.f
}

// Judge gives one verdict of the first n hosts, all at one moment, and lets the swarm follow.
func (c *Cluster) Judge(n int, verdict darter.Verdict) Figures {
	c.begin()
	start := time.Now()
	for i := range n {
		c.step(swarm.HostVerdict{Host: host(i), Epoch: 1, Verdict: verdict})
	}
	c.f.Events, c.f.First = n, time.Since(start)
	return c.end(start)
}

// Linger lets time pass until every finished peer is but a location.
func (c *Cluster) Linger() Figures {
	c.begin()
	start := time.Now()
	for _, _, before := c.Swarm.Count(); ; {
		c.now = c.now.Add(time.Minute)
		c.step(swarm.Tick{})
		_, _, peers := c.Swarm.Count()
		if c.now.Sub(time.Unix(began, 0)) > 20*time.Minute && peers == before {
			break
		}
		before = peers
	}
	c.f.Events = 1
	return c.end(start)
}

// Fill has the first n hosts send the inventories of a thousand tasks each, in pages, as fast as the swarm's rate
// allows; the virtual time that this takes is returned, too.
func (c *Cluster) Fill(n, each, page int) (Figures, time.Duration) {
	c.begin()
	start, from := time.Now(), c.now
	for at := 0; at < each; at += page {
		for i := range n {
			p := swarm.InventoryPage{Host: host(i), Epoch: 1, Complete: at+page >= each}
			for k := at; k < min(at+page, each); k++ {
				p.Add = append(p.Add, darter.Location{Task: task(1_000_000 + (i*7+k)%(4*each)), Layout: Layout(), Complete: true})
			}
			for _, e := range c.step(p) {
				if t, is := e.(swarm.InventoryTaken); is && t.Resume.After(c.now) {
					c.now = t.Resume
				}
			}
			c.f.Events++
		}
	}
	c.f.First = time.Since(start)
	return c.end(start), c.now.Sub(from)
}
