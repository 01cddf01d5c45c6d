package rpc_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/internal/daemon/announce"
	daemonrpc "github.com/darter-p2p/darter/internal/daemon/rpc"
	"github.com/darter-p2p/darter/internal/scheduler/rpc"
)

const host = darter.HostID("10.0.0.7-worker-7")

var door = netip.MustParseAddrPort("10.0.0.1:8002")

// book is what a scheduler knows of one host: it grants, and writes down.
type book struct {
	mu       sync.Mutex
	grant    darter.Grant // given to each renewal
	renewals []darter.Renewal
	times    []time.Time
	conns    map[uint64]int
	broken   []error
	known    []darter.Location
	gained   []darter.Location
	lost     []darter.TaskID
	pages    int
	compared int
}

func (b *book) Renewed(r darter.Renewal, c rpc.LeaseConn) darter.Grant {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.renewals, b.times = append(b.renewals, r), append(b.times, time.Now())
	if b.conns == nil {
		b.conns = map[uint64]int{}
	}
	b.conns[c.ID]++
	return b.grant
}

func (b *book) StreamBroken(_ darter.HostID, _ darter.Epoch, _ rpc.LeaseConn, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = append(b.broken, err)
}

func (b *book) Holdings(darter.HostID) []darter.Location {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known
}

func (b *book) InventoryPage(_ darter.HostID, _ darter.Epoch, p rpc.InventoryPage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gained, b.lost = append(b.gained, p.Gained...), append(b.lost, p.Lost...)
	b.pages = max(b.pages, len(p.Gained)+len(p.Lost))
	if p.Last {
		b.compared++
	}
}

func (b *book) change(f func(*book)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b)
}

// read returns a copy of what is written down.
func (b *book) read() *book {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &book{renewals: slices.Clone(b.renewals), times: slices.Clone(b.times), broken: slices.Clone(b.broken),
		gained: slices.Clone(b.gained), lost: slices.Clone(b.lost), pages: b.pages, compared: b.compared}
}

// plain is the part of a scheduler that Dragonfly has words for: it counts announcements.
type plain struct {
	schedulerv2.UnimplementedSchedulerServer
	mu        sync.Mutex
	intervals []time.Duration
}

func (p *plain) AnnounceHost(_ context.Context, m *schedulerv2.AnnounceHostRequest) (*emptypb.Empty, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.intervals = append(p.intervals, m.GetInterval().AsDuration())
	return &emptypb.Empty{}, nil
}

func (p *plain) announced() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.intervals)
}

// site is a scheduler's gRPC server in memory that can go away and come back, and counts what travels.
type site struct {
	t     *testing.T
	book  *book
	plain *plain
	bytes atomic.Int64 // both ways, as the host sees them

	mu     sync.Mutex
	listen *bufconn.Listener
	conns  []net.Conn
	lease  *rpc.LeaseServer
	stop   func()
	ended  []error // as LeaseEvents.Ended tells
	done   []rpc.Compared
}

func newSite(t *testing.T) *site {
	return &site{t: t, book: &book{grant: darter.Grant{Next: 50 * time.Second}}, plain: &plain{}}
}

// open starts the server; without leases it is a plain Dragonfly scheduler.
func (s *site) open(leases bool, change func(*rpc.LeaseConfig)) {
	s.t.Helper()
	listen := bufconn.Listen(64 << 10)
	server := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}))
	schedulerv2.RegisterSchedulerServer(server, s.plain)
	cfg := rpc.DefaultLeaseConfig()
	cfg.Leases = s.book
	cfg.Events.Ended = func(_ darter.HostID, _ rpc.LeaseConn, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = append(s.ended, err)
	}
	cfg.Events.Compared = func(c rpc.Compared) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.done = append(s.done, c)
	}
	if change != nil {
		change(&cfg)
	}
	service, err := rpc.NewLeaseServer(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	if leases {
		service.Register(server)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listen) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listen, s.lease = listen, service
	s.stop = func() {
		service.Stop()
		server.Stop()
		service.Wait()
		<-served
		if n := service.Streams(); n != 0 {
			s.t.Errorf("%d streams are open after the end", n)
		}
	}
}

// close takes the server away.
func (s *site) close() {
	s.mu.Lock()
	stop := s.stop
	s.stop, s.listen = nil, nil
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// cut breaks every connection as a machine that loses its power does.
func (s *site) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

func (s *site) endings() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ended)
}

type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.n.Add(int64(n))
	return n, err
}

func (s *site) dial(ctx context.Context, _ string) (net.Conn, error) {
	s.mu.Lock()
	listen := s.listen
	s.mu.Unlock()
	if listen == nil {
		return nil, errors.New("connection refused")
	}
	c, err := listen.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	return counted{c, &s.bytes}, nil
}

// leaser is what the daemon's role makes of rpc.Schedulers.
type leaser struct{ *daemonrpc.Schedulers }

func (l leaser) Lease(ctx context.Context, at netip.AddrPort) (announce.Lease, error) {
	lease, err := l.Schedulers.Lease(ctx, at)
	if err != nil {
		return nil, err
	}
	return lease, nil
}

type members struct{}

func (members) Current() []netip.AddrPort { return []netip.AddrPort{door} }
func (members) Changed() <-chan struct{}  { return nil }

// speaker is the daemon's side: the real announcer over the real client.
type speaker struct {
	*announce.Announcer
	stop func()

	mu         sync.Mutex
	host       darter.Host
	leased     int
	lost       []error
	superseded []darter.Epoch
}

func (s *site) speak(change func(*announce.Config)) *speaker {
	s.t.Helper()
	p := &speaker{host: darter.Host{ID: host, Hostname: "worker-7", IP: netip.MustParseAddr("10.0.0.7"), Port: 4000, Epoch: 41}}
	sc := daemonrpc.DefaultSchedulersConfig()
	sc.Host, sc.Dial = host, s.dial
	schedulers, err := daemonrpc.NewSchedulers(sc)
	if err != nil {
		s.t.Fatal(err)
	}
	schedulers.Set([]netip.AddrPort{door})
	cfg := announce.DefaultConfig()
	cfg.Interval = time.Minute
	cfg.Members, cfg.Schedulers, cfg.Leases = members{}, schedulers, leaser{schedulers}
	cfg.Host = func() darter.Host { p.mu.Lock(); defer p.mu.Unlock(); return p.host }
	cfg.Events.Leased = func(netip.AddrPort, time.Duration) { p.mu.Lock(); defer p.mu.Unlock(); p.leased++ }
	cfg.Events.LeaseEnded = func(_ netip.AddrPort, err error) { p.mu.Lock(); defer p.mu.Unlock(); p.lost = append(p.lost, err) }
	cfg.Events.Superseded = func(_ netip.AddrPort, e darter.Epoch) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.superseded = append(p.superseded, e)
	}
	if change != nil {
		change(&cfg)
	}
	if p.Announcer, err = announce.New(cfg); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	ran := make(chan error, 2)
	go func() { ran <- p.Run(ctx) }()
	go func() { ran <- schedulers.Run(ctx) }()
	p.stop = func() {
		cancel()
		for range 2 {
			<-ran
		}
		schedulers.Close()
	}
	return p
}

func (p *speaker) news() (leased int, lost []error, superseded []darter.Epoch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leased, slices.Clone(p.lost), slices.Clone(p.superseded)
}

// raw opens a stream without the daemon's manners.
func (s *site) raw(ctx context.Context) (darterv1.Liveness_LeaseClient, func()) {
	s.t.Helper()
	conn, err := grpc.NewClient("passthrough:///scheduler", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(s.dial))
	if err != nil {
		s.t.Fatal(err)
	}
	stream, err := darterv1.NewLivenessClient(conn).Lease(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	return stream, func() { _ = conn.Close() }
}

func renewal(seq uint64) *darterv1.LeaseRequest {
	return &darterv1.LeaseRequest{Word: &darterv1.LeaseRequest_Renewal{Renewal: &darterv1.Renewal{HostId: string(host), Epoch: 41, Seq: seq}}}
}
