package rpc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

// rig is a set of schedulers that live in memory, and the client under test.
type rig struct {
	t *testing.T
	*Schedulers

	mu      sync.Mutex
	doors   map[string]*bufconn.Listener
	servers []*grpc.Server
}

var one = netip.MustParseAddrPort("192.168.1.10:8002")

const testTask = darter.TaskID("5844f00000000000000000000000000000000000000000000000000000000000")

func newRig(t *testing.T, change func(*SchedulersConfig)) *rig {
	t.Helper()
	r := &rig{t: t, doors: make(map[string]*bufconn.Listener)}
	cfg := DefaultSchedulersConfig()
	cfg.Host = "10.0.0.1-child"
	cfg.Dial = r.dial
	if change != nil {
		change(&cfg)
	}
	s, err := NewSchedulers(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Schedulers = s
	return r
}

func (r *rig) dial(ctx context.Context, address string) (net.Conn, error) {
	r.mu.Lock()
	door := r.doors[address]
	r.mu.Unlock()
	if door == nil {
		return nil, errors.New("connection refused")
	}
	return door.DialContext(ctx)
}

// serve puts a scheduler at an address, and returns what takes it away again.
func (r *rig) serve(at netip.AddrPort, f *fakeScheduler) (stop func()) {
	door := bufconn.Listen(64 << 10)
	server := grpc.NewServer()
	schedulerv2.RegisterSchedulerServer(server, f)
	if !f.noHealth {
		healthv1.RegisterHealthServer(server, health.NewServer())
	}
	r.mu.Lock()
	r.doors[at.String()] = door
	r.servers = append(r.servers, server)
	r.mu.Unlock()
	go server.Serve(door)
	return func() {
		r.mu.Lock()
		delete(r.doors, at.String())
		r.mu.Unlock()
		server.Stop()
	}
}

func (r *rig) end() {
	r.Close()
	for _, s := range r.servers {
		s.Stop()
	}
}

type peerServer = schedulerv2.Scheduler_AnnouncePeerServer

// fakeScheduler follows the catalogue of messages as a plain Dragonfly scheduler does, unless told otherwise.
type fakeScheduler struct {
	schedulerv2.UnimplementedSchedulerServer
	native bool
	mute   bool // no headers before the first answer
	// noHealth makes it one that does not tell its health.
	noHealth bool
	talk     func(*fakeScheduler, peerServer) error

	mu       sync.Mutex
	got      []*schedulerv2.AnnouncePeerRequest
	known    map[string]bool
	deleted  []string
	metadata []metadata.MD
}

func (f *fakeScheduler) AnnouncePeer(stream peerServer) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	f.mu.Lock()
	f.metadata = append(f.metadata, md)
	f.mu.Unlock()
	if !f.mute {
		header := metadata.MD{}
		if f.native {
			header.Set(wire.MetaNative, "1")
		}
		if err := stream.SendHeader(header); err != nil {
			return err
		}
	}
	return f.talk(f, stream)
}

// read takes one message and holds it against the generated rules, as a Go scheduler does.
func (f *fakeScheduler) read(stream peerServer) (*schedulerv2.AnnouncePeerRequest, error) {
	m, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if err := m.ValidateAll(); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, m)
	return m, nil
}

// untilTerminal reads to the terminal message and ends the call, as every scheduler must.
func (f *fakeScheduler) untilTerminal(stream peerServer) error {
	for {
		m, err := f.read(stream)
		if err != nil {
			return err
		}
		switch m.GetRequest().(type) {
		case *schedulerv2.AnnouncePeerRequest_DownloadPeerFinishedRequest, *schedulerv2.AnnouncePeerRequest_DownloadPeerBackToSourceFinishedRequest,
			*schedulerv2.AnnouncePeerRequest_DownloadPeerFailedRequest, *schedulerv2.AnnouncePeerRequest_DownloadPeerBackToSourceFailedRequest:
			return nil
		}
	}
}

func (f *fakeScheduler) AnnounceHost(ctx context.Context, m *schedulerv2.AnnounceHostRequest) (*emptypb.Empty, error) {
	if err := m.ValidateAll(); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	md, _ := metadata.FromIncomingContext(ctx)
	if f.native {
		_ = grpc.SetHeader(ctx, metadata.Pairs(wire.MetaNative, "1"))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.metadata = append(f.metadata, md)
	if f.known == nil {
		f.known = make(map[string]bool)
	}
	f.known[m.GetHost().GetId()] = true
	return &emptypb.Empty{}, nil
}

func (f *fakeScheduler) DeleteHost(_ context.Context, m *schedulerv2.DeleteHostRequest) (*emptypb.Empty, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deleted = append(f.deleted, m.GetHostId())
	return &emptypb.Empty{}, nil
}

func (f *fakeScheduler) messages() []*schedulerv2.AnnouncePeerRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

// words names messages as the catalogue does.
func words(got []*schedulerv2.AnnouncePeerRequest) []string {
	var out []string
	for _, m := range got {
		field := m.ProtoReflect().WhichOneof(m.ProtoReflect().Descriptor().Oneofs().ByName("request"))
		out = append(out, string(field.Name()))
	}
	return out
}

func registration(held ...uint32) darter.Registration {
	return darter.Registration{Task: testTask, Peer: "10.0.0.1-child-1", Held: darter.Pieces(held...), Want: darter.Want{
		URL: "https://origin.example/file", Header: map[string]string{"Authorization": "Bearer canary"}, OutputPath: "/home/someone/file",
		Layout: darter.LayoutOf(5*darter.MinPieceLength, 0), LayoutKnown: true,
	}}
}

func candidate(n byte) *commonv2.Peer {
	ip := netip.AddrFrom4([4]byte{10, 0, 1, n})
	return wire.Candidate(darter.Parent{Peer: darter.PeerID("parent-" + string('a'+rune(n))), Host: darter.Host{
		ID: darter.HostID(ip.String() + "-p"), Hostname: "p", IP: ip, Port: 4000}}, "Running", wire.Public{ID: testTask, URL: "https://origin.example/file"})
}

func offer(stream peerServer, ns ...byte) error {
	var all []*commonv2.Peer
	for _, n := range ns {
		all = append(all, candidate(n))
	}
	return stream.Send(&schedulerv2.AnnouncePeerResponse{Response: &schedulerv2.AnnouncePeerResponse_NormalTaskResponse{
		NormalTaskResponse: &schedulerv2.NormalTaskResponse{CandidateParents: all}}})
}

func toSource(stream peerServer, description string) error {
	return stream.Send(&schedulerv2.AnnouncePeerResponse{Response: &schedulerv2.AnnouncePeerResponse_NeedBackToSourceResponse{
		NeedBackToSourceResponse: &schedulerv2.NeedBackToSourceResponse{Description: &description}}})
}

func piece(n uint32, parent darter.PeerID, traffic darter.Traffic) darter.Piece {
	return darter.Piece{Number: n, Offset: int64(n) * darter.MinPieceLength, Length: darter.MinPieceLength, CRC: 4294967295, HasCRC: true,
		Parent: parent, Traffic: traffic, Cost: time.Second, Created: time.Now()}
}

func (r *rig) register(held ...uint32) *Conversation {
	r.t.Helper()
	c, err := r.Register(r.t.Context(), registration(held...))
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}
