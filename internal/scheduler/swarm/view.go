package swarm

import (
	"time"

	"github.com/darter-p2p/darter"
)

// HostView is a host as it stands.
type HostView struct {
	Host     *darter.Host // never changes
	Evidence time.Time    // last sign of life that came to the swarm
	Peers    int
	Copies   int  // tasks of which only the location is kept
	Unwell   bool // a seed whose health check fails
	Verdict  darter.Verdict
	Since    time.Time // of the verdict
	Verified bool      // what it held before its last restart was confirmed, or dropped
	Children int       // peers at work that were told of one of its peers
}

// HoldingView is what a host holds of one task, as far as is known.
type HoldingView struct {
	darter.Location
	Peer     darter.PeerID
	Seen     time.Time // when it was last said
	Open     bool      // a stream is open: what it holds changes
	Verified bool      // it was said in the present run of the host, or confirmed since
	Counts   bool      // it is counted as a copy
}

// PeerView is a peer as it stands.
type PeerView struct {
	Peer     darter.PeerID
	Task     darter.TaskID
	Host     *darter.Host
	State    string
	Held     int
	Wanted   int
	Assigned int // pieces it is to fetch from the source
	Parents  int
	Children int
	Priority darter.Priority
	Created  time.Time
	Updated  time.Time
}

// TaskView is a task as it stands. Where peers disagree on the layout, it shows the newest.
type TaskView struct {
	ID          darter.TaskID
	URL         string
	Tag         string
	Application string
	Layout      darter.Layout
	LayoutKnown bool
	State       string          // Pending, Running, Succeeded, as Dragonfly names it
	Held        darter.PieceSet // what sharing peers hold together
	Peers       []PeerView
	Copies      int // locations that count, besides the peers
	Created     time.Time
	Updated     time.Time
}

// Hosts returns every host, in order of first announce.
func (s *Swarm) Hosts() []HostView {
	out := make([]HostView, 0, s.roll.live)
	for h := s.roll.first; h != nil; h = h.after {
		out = append(out, h.view())
	}
	return out
}

// HostPage returns hosts from a place on, at most limit, and the place to go on with; -1 at the end. A host that comes back
// between two pages may be missed, or be in both.
func (s *Swarm) HostPage(from, limit int) (out []HostView, next int) {
	for i := max(from, 0); i < len(s.machines.list); i++ {
		if len(out) == limit {
			return out, i
		}
		if h := s.machines.list[i]; h != nil && !h.gone {
			out = append(out, h.view())
		}
	}
	return out, -1
}

// Seeds returns the seeds among the hosts.
func (s *Swarm) Seeds() []HostView {
	out := make([]HostView, 0, s.seeds.live)
	for _, h := range s.seeds.list {
		if h != nil {
			out = append(out, h.view())
		}
	}
	return out
}

// Host returns one host.
func (s *Swarm) Host(id darter.HostID) (HostView, bool) {
	h := s.hosts[id]
	if h == nil {
		return HostView{}, false
	}
	return h.view(), true
}

func (h *host) view() HostView {
	return HostView{Host: h.facts, Evidence: h.evidence, Peers: h.peers, Copies: h.copies, Unwell: h.unwell, Verdict: h.verdict, Since: h.since,
		Verified: h.agreed, Children: h.children}
}

// Task returns one task.
func (s *Swarm) Task(id darter.TaskID) (TaskView, bool) {
	t := s.tasks[id]
	if t == nil {
		return TaskView{}, false
	}
	return s.viewTask(t), true
}

// Tasks returns up to limit tasks, the most recently touched first.
func (s *Swarm) Tasks(limit int) []TaskView {
	out := make([]TaskView, 0, min(limit, len(s.tasks)))
	for t := s.freshest; t != nil && len(out) < limit; t = t.older {
		out = append(out, s.viewTask(t))
	}
	return out
}

// Peer returns one peer of a task.
func (s *Swarm) Peer(id darter.PeerID) (PeerView, bool) {
	p := s.peers[id]
	if p == nil {
		return PeerView{}, false
	}
	return p.view(), true
}

// Count returns how many hosts, tasks and peers there are.
func (s *Swarm) Count() (hosts, tasks, peers int) { return len(s.hosts), len(s.tasks), len(s.peers) }

// Locations returns how many copies are kept of which nothing but the location is known.
func (s *Swarm) Locations() int { return s.records.live }

// Tally returns what was counted.
func (s *Swarm) Tally() Tally { return s.tally }

// Backlog returns how many hosts await that their peers follow their verdict, and how many peers a look at their neighbours.
func (s *Swarm) Backlog() (hosts, peers int) { return s.urgent.len() + s.reviews.len(), s.later.len() }

func (p *peer) view() PeerView {
	v := PeerView{Peer: p.id, Task: p.task.id, Host: p.host.facts, State: p.state(), Children: p.children,
		Assigned: p.assigned.Len(), Priority: p.priority, Created: p.created, Updated: p.updated}
	if p.group != nil {
		v.Held, v.Wanted = p.holding().Len(), p.wanted.Len()
	}
	for _, l := range p.links {
		if l.told {
			v.Parents++
		}
	}
	return v
}

func (s *Swarm) viewTask(t *task) TaskView {
	v := TaskView{ID: t.id, URL: t.url, Tag: t.tag, Application: t.app, State: "Pending", Created: t.created, Updated: t.updated}
	add := func(list []*peer) {
		for _, p := range list {
			if p != nil {
				v.Peers = append(v.Peers, p.view())
			}
		}
	}
	add(t.loose.list)
	for i, g := range t.groups {
		add(g.peers.list)
		v.Copies += g.known
		if i == len(t.groups)-1 {
			v.Layout, v.LayoutKnown, v.Held = g.layout, true, g.held().Clone()
			if v.State = "Running"; g.work.live == 0 && g.held().Contains(g.all) {
				v.State = "Succeeded"
			}
		}
	}
	return v
}
