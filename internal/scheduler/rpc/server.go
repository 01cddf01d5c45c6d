package rpc

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// Server is the scheduler's service.
type Server struct {
	schedulerv2.UnimplementedSchedulerServer
	cfg     Config
	hub     *hub
	seeds   *seeds
	leases  *LeaseServer
	readers sync.WaitGroup
	over    chan struct{} // closed when the streams are to end
}

// New returns a service that knows nothing yet. Run serves it.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	h, err := newHub(cfg)
	if err != nil {
		return nil, err
	}
	cfg.Lease.Leases, cfg.Lease.Events = h, cfg.Events.Lease
	leases, err := NewLeaseServer(cfg.Lease)
	if err != nil {
		return nil, err
	}
	h.prompt = leases.Prompt
	return &Server{cfg: cfg, hub: h, seeds: newSeeds(cfg, h), leases: leases, over: make(chan struct{})}, nil
}

func (s *Server) roster() *rosterService {
	return &rosterService{shown: s.hub, send: s.send, over: s.over}
}

// Known is a host as it is to be known after a restart.
type Known struct {
	darter.Host
	Drained bool `json:",omitempty"` // an operator wants it to take nothing new on
}

// Remember takes hosts and tombstones that were there before a restart, or none at a first start. Call it once, before Run.
func (s *Server) Remember(hosts []Known, gone []liveness.Tombstone) { s.hub.recall(hosts, gone) }

// snapshotPage bounds how many records are read under one lock.
const snapshotPage = 512

// Snapshot returns what Remember takes. Hosts that come and go meanwhile may be missed.
func (s *Server) Snapshot() (hosts []Known, gone []liveness.Tombstone) {
	for from := 0; from >= 0; {
		var page []Known
		page, from = s.hub.knownFrom(from, snapshotPage)
		hosts = append(hosts, page...)
	}
	for from := 0; from >= 0; {
		var page []liveness.Tombstone
		page, from = s.hub.goneFrom(from, snapshotPage)
		gone = append(gone, page...)
	}
	return hosts, gone
}

// SetPolicy puts a liveness policy in force. Source and document are what people are shown.
func (s *Server) SetPolicy(p liveness.Policy, source, document string) error {
	return s.hub.setPolicy(p, source, document)
}

// PolicyRefused tells of a policy that could not be read: the one in force stays.
func (s *Server) PolicyRefused(source string, err error) {
	tell(s.cfg.Events.PolicyApplied, PolicyApplied{Number: s.hub.Policy().Number, Source: source, Err: err})
}

// Policy returns the liveness policy in force.
func (s *Server) Policy() darter.PolicyStatus { return s.hub.Policy() }

// Liveness returns what is counted of hosts: now, and since the start.
func (s *Server) Liveness() (liveness.Stats, []darter.ZoneStatus) {
	zones, _ := s.hub.Zones()
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.hub.mu.roster.Stats(), zones
}

// Swarm returns what is counted of offers and records.
func (s *Server) Swarm() (t swarm.Tally, locations int) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.hub.mu.swarm.Tally(), s.hub.mu.swarm.Locations()
}

// Hosts returns every host, in order of first announce.
func (s *Server) Hosts() []swarm.HostView { return view(s.hub, (*swarm.Swarm).Hosts) }

// Tasks returns up to limit tasks, the most recently touched first.
func (s *Server) Tasks(limit int) []swarm.TaskView {
	return view(s.hub, func(w *swarm.Swarm) []swarm.TaskView { return w.Tasks(limit) })
}

// Count returns how many hosts, tasks and peers are known.
func (s *Server) Count() (hosts, tasks, peers int) {
	c := view(s.hub, func(w *swarm.Swarm) [3]int { h, t, p := w.Count(); return [3]int{h, t, p} })
	return c[0], c[1], c[2]
}

// AnnounceHost takes a host's word that it is there.
func (s *Server) AnnounceHost(ctx context.Context, m *schedulerv2.AnnounceHostRequest) (*emptypb.Empty, error) {
	host, err := wire.ToHost(m.GetHost())
	if err != nil {
		tell(s.cfg.Events.HostAnnounced, HostAnnounced{Host: darter.Host{ID: darter.HostID(clip(m.GetHost().GetId()))}, Err: err})
		return nil, wire.Status(err)
	}
	md, _ := metadata.FromIncomingContext(ctx)
	host.Native = first(md, wire.MetaNative) == "1"
	host.Epoch, host.Storage, host.Keeps = epochOf(md), storageOf(md), keepsOf(md)
	promised := intervalOf(m.GetInterval())
	host.Interval = max(promised, 0)
	fresh, err := s.hub.announced(host, promised, connOf(ctx))
	tell(s.cfg.Events.HostAnnounced, HostAnnounced{Host: host, New: fresh && err == nil, Err: err})
	if err != nil {
		return nil, wire.Status(err)
	}
	if host.Kind == darter.Seed {
		signal(s.hub.look)
	}
	return &emptypb.Empty{}, nil
}

// maxInterval bounds how long a host may keep itself known without a word.
const maxInterval = 24 * time.Hour

// intervalOf reads an interval: 0 when none is named, below 0 when it makes no sense.
func intervalOf(m *durationpb.Duration) time.Duration {
	switch {
	case m == nil:
		return 0
	case !m.IsValid() || m.AsDuration() < 0:
		return -1
	}
	return min(m.AsDuration(), maxInterval)
}

// DeleteHost takes a host's farewell. One that is not known has left already.
func (s *Server) DeleteHost(ctx context.Context, m *schedulerv2.DeleteHostRequest) (*emptypb.Empty, error) {
	if err := m.Validate(); err != nil {
		return nil, invalid("delete host", err)
	}
	md, _ := metadata.FromIncomingContext(ctx)
	s.hub.judge(liveness.Leave{Host: darter.HostID(m.GetHostId()), Epoch: epochOf(md), Conn: connOf(ctx)})
	return &emptypb.Empty{}, nil
}

// ListHosts returns the known hosts, of one type when the request names it.
func (s *Server) ListHosts(_ context.Context, m *schedulerv2.ListHostsRequest) (*schedulerv2.ListHostsResponse, error) {
	out := &schedulerv2.ListHostsResponse{}
	for _, h := range s.Hosts() {
		if m.Type == nil || (m.GetType() != 0) == (h.Host.Kind == darter.Seed) {
			out.Hosts = append(out.Hosts, wire.FromHost(*h.Host))
		}
	}
	return out, nil
}

// StatTask returns what is known of a task: state, pieces that the swarm holds, number of peers.
func (s *Server) StatTask(_ context.Context, m *schedulerv2.StatTaskRequest) (*commonv2.Task, error) {
	if err := m.Validate(); err != nil {
		return nil, invalid("stat task", err)
	}
	t := view(s.hub, func(w *swarm.Swarm) *swarm.TaskView {
		if v, ok := w.Task(darter.TaskID(m.GetTaskId())); ok {
			return &v
		}
		return nil
	})
	if t == nil {
		return nil, notFound("stat task", "task "+clip(m.GetTaskId())+" is not known")
	}
	return fromTask(*t), nil
}

func fromTask(t swarm.TaskView) *commonv2.Task {
	out := wire.FromTask(wire.Public{ID: t.ID, URL: t.URL, Tag: t.Tag, Application: t.Application, Layout: t.Layout, LayoutKnown: t.LayoutKnown,
		State: t.State, Peers: len(t.Peers), Available: !t.Held.Empty(), Created: t.Created, Updated: t.Updated})
	for n := range t.Held.All() {
		span := t.Layout.Span(n)
		out.Pieces = append(out.Pieces, wire.FromPiece(darter.Piece{Number: n, Offset: span.Offset, Length: span.Length, Traffic: darter.FromPeer}))
	}
	return out
}

// DeleteTask takes a host's word that it no longer holds a task.
func (s *Server) DeleteTask(_ context.Context, m *schedulerv2.DeleteTaskRequest) (*emptypb.Empty, error) {
	if err := m.Validate(); err != nil {
		return nil, invalid("delete task", err)
	}
	if !s.knows(m.GetHostId()) {
		return nil, notFound("delete task", "host "+clip(m.GetHostId())+" is not known")
	}
	s.hub.step(swarm.TaskDeleted{Host: darter.HostID(m.GetHostId()), Task: darter.TaskID(m.GetTaskId())})
	return &emptypb.Empty{}, nil
}

// StatPeer returns what is known of a peer.
func (s *Server) StatPeer(_ context.Context, m *schedulerv2.StatPeerRequest) (*commonv2.Peer, error) {
	if err := m.Validate(); err != nil {
		return nil, invalid("stat peer", err)
	}
	type found struct {
		peer swarm.PeerView
		task swarm.TaskView
		ok   bool
	}
	f := view(s.hub, func(w *swarm.Swarm) (f found) {
		if f.peer, f.ok = w.Peer(darter.PeerID(m.GetPeerId())); f.ok {
			f.task, f.ok = w.Task(f.peer.Task)
		}
		return f
	})
	if !f.ok || string(f.peer.Task) != m.GetTaskId() || string(f.peer.Host.ID) != m.GetHostId() {
		return nil, notFound("stat peer", "peer "+clip(m.GetPeerId())+" is not known")
	}
	task := fromTask(f.task)
	task.Pieces = nil
	out := wire.CandidateOf(darter.Parent{Peer: f.peer.Peer, Host: *f.peer.Host}, f.peer.State, task)
	out.Priority = commonv2.Priority(f.peer.Priority)
	out.NeedBackToSource = f.peer.Assigned > 0
	out.CreatedAt, out.UpdatedAt = wire.FromTime(f.peer.Created), wire.FromTime(f.peer.Updated)
	out.Cost = durationpb.New(f.peer.Updated.Sub(f.peer.Created))
	return out, nil
}

// DeletePeer takes a host's word that a peer is gone.
func (s *Server) DeletePeer(_ context.Context, m *schedulerv2.DeletePeerRequest) (*emptypb.Empty, error) {
	if err := m.Validate(); err != nil {
		return nil, invalid("delete peer", err)
	}
	if !s.knows(m.GetHostId()) {
		return nil, notFound("delete peer", "host "+clip(m.GetHostId())+" is not known")
	}
	p, ok := s.peer(m.GetPeerId())
	if ok && string(p.Host.ID) == m.GetHostId() { // nobody takes back what is another's
		s.hub.step(swarm.PeerDeleted{Peer: p.Peer})
	}
	return &emptypb.Empty{}, nil
}

func (s *Server) peer(id string) (swarm.PeerView, bool) {
	p := view(s.hub, func(w *swarm.Swarm) *swarm.PeerView {
		if v, ok := w.Peer(darter.PeerID(id)); ok {
			return &v
		}
		return nil
	})
	if p == nil {
		return swarm.PeerView{}, false
	}
	return *p, true
}

func (s *Server) knows(host string) bool {
	return view(s.hub, func(w *swarm.Swarm) bool { _, ok := w.Host(darter.HostID(host)); return ok })
}

func epochOf(md metadata.MD) darter.Epoch {
	v, err := strconv.ParseUint(first(md, wire.MetaEpoch), 10, 64)
	if err != nil {
		return 0 // a plain Dragonfly daemon
	}
	return darter.Epoch(v)
}

func storageOf(md metadata.MD) darter.StorageID {
	v, err := strconv.ParseUint(first(md, wire.MetaStorage), 16, 64)
	if err != nil {
		return 0 // it does not say
	}
	return darter.StorageID(v)
}

// maxKeeps bounds for how long a word about content may count.
const maxKeeps = 365 * 24 * time.Hour

func keepsOf(md metadata.MD) time.Duration {
	v, err := strconv.ParseUint(first(md, wire.MetaKeeps), 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(v)*time.Second, maxKeeps)
}

func invalid(op string, err error) error {
	return wire.Status(&darter.Error{Kind: darter.Invalid, Op: op, Err: err})
}

func notFound(op, why string) error {
	return wire.Status(&darter.Error{Kind: darter.NotFound, Op: op, Err: errors.New(why)})
}

// clip keeps another's id fit for a message.
func clip(s string) string {
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return strings.ToValidUTF8(s, "")
}
