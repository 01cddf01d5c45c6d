package swarm

import (
	"slices"
	"time"

	"github.com/darter-p2p/darter"
)

// HostView is a host as it stands.
type HostView struct {
	Host     *darter.Host // never changes
	Evidence time.Time    // last sign of life
	Peers    int
	Unwell   bool // a seed whose health check fails
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
	Created     time.Time
	Updated     time.Time
}

// Hosts returns every host, in order of first announce.
func (s *Swarm) Hosts() []HostView {
	out := make([]HostView, len(s.roll))
	for i, h := range s.roll {
		out[i] = h.view()
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
	return HostView{Host: h.facts, Evidence: h.evidence, Peers: len(h.peers), Unwell: h.unwell}
}

// Task returns one task.
func (s *Swarm) Task(id darter.TaskID) (TaskView, bool) {
	t := s.tasks[id]
	if t == nil {
		return TaskView{}, false
	}
	return t.view(), true
}

// Tasks returns up to limit tasks, the most recently touched first.
func (s *Swarm) Tasks(limit int) []TaskView {
	all := make([]*task, 0, len(s.tasks))
	for _, t := range s.tasks { // sorted below
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *task) int {
		if c := b.updated.Compare(a.updated); c != 0 {
			return c
		}
		if a.id < b.id {
			return -1
		}
		return 1
	})
	out := make([]TaskView, 0, min(limit, len(all)))
	for _, t := range all[:min(limit, len(all))] {
		out = append(out, t.view())
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

func (t *task) view() TaskView {
	v := TaskView{ID: t.id, URL: t.url, Tag: t.tag, Application: t.app, State: "Pending", Created: t.created, Updated: t.updated}
	for _, p := range t.loose {
		v.Peers = append(v.Peers, p.view())
	}
	for i, g := range t.groups {
		for _, p := range g.peers {
			v.Peers = append(v.Peers, p.view())
		}
		if i == len(t.groups)-1 {
			v.Layout, v.LayoutKnown, v.Held = g.layout, true, g.held().Clone()
			if v.State = "Running"; g.active == 0 && g.held().Contains(g.all) {
				v.State = "Succeeded"
			}
		}
	}
	return v
}
