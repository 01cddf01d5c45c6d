package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// checksAtOnce bounds concurrent health checks.
const checksAtOnce = 16

// seeds triggers seeds and watches their health, over one connection per seed.
type seeds struct {
	cfg Config
	hub *hub

	mu struct {
		sync.Mutex
		links  map[netip.AddrPort]*grpc.ClientConn
		fails  map[darter.HostID]int
		unwell map[darter.HostID]bool
	}
}

func newSeeds(cfg Config, h *hub) *seeds {
	s := &seeds{cfg: cfg, hub: h}
	s.mu.links, s.mu.fails, s.mu.unwell = map[netip.AddrPort]*grpc.ClientConn{}, map[darter.HostID]int{}, map[darter.HostID]bool{}
	return s
}

// conn returns the connection to a seed; dialling happens on first use.
func (s *seeds) conn(to netip.AddrPort) (*grpc.ClientConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.mu.links[to]; c != nil {
		return c, nil
	}
	c, err := s.dial(to)
	if err == nil {
		s.mu.links[to] = c
	}
	return c, err
}

func (s *seeds) dial(to netip.AddrPort) (*grpc.ClientConn, error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithReadBufferSize(8 << 10), grpc.WithWriteBufferSize(8 << 10),
		grpc.WithStaticStreamWindowSize(1 << 20), grpc.WithStaticConnWindowSize(1 << 20), // no ping per message to find a better one
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
	}
	if s.cfg.Dial != nil {
		opts = append(opts, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return s.cfg.Dial(ctx, addr) }))
	}
	return grpc.NewClient("passthrough:///"+to.String(), opts...)
}

// trigger has a seed fetch a task, and reads its stream to the end. What the seed does is told by its own
// conversation; here only failure to begin counts.
func (s *seeds) trigger(ctx context.Context, j job) {
	began := time.Now()
	fault, err := s.download(ctx, j)
	tell(s.cfg.Events.SeedEnded, SeedEnded{Task: j.task, Host: j.host.ID, Took: time.Since(began), Err: err})
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		s.hub.ended(j, swarm.SeedFailed{Task: j.task, Host: j.host.ID, Fault: fault})
		signal(s.hub.look)
		return
	}
	s.hub.ended(j, swarm.SeedDone{Task: j.task, Host: j.host.ID})
}

func (s *seeds) download(ctx context.Context, j job) (swarm.Fault, error) {
	op := "trigger seed " + string(j.host.ID)
	c, err := s.conn(j.host.Endpoint())
	if err != nil {
		return swarm.Fault{}, wire.FromStatus(op, err)
	}
	ctx = metadata.AppendToOutgoingContext(ctx, wire.MetaNative, "1")
	stream, err := dfdaemonv2.NewDfdaemonUploadClient(c).DownloadTask(ctx, &dfdaemonv2.DownloadTaskRequest{Download: j.download})
	if err != nil {
		return swarm.Fault{}, wire.FromStatus(op, err)
	}
	for {
		if _, err = stream.Recv(); err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		return swarm.Fault{}, nil
	}
	return faultOf(stream.Trailer(), err), wire.FromStatus(op, err)
}

// faultOf reads what the origin told the seed, from the raw trailer: the details are JSON, which gRPC's own
// reading of them refuses.
func faultOf(trailer metadata.MD, err error) swarm.Fault {
	if status.Code(err) == codes.Unavailable {
		return swarm.Fault{} // the seed, not the origin
	}
	if raw := first(trailer, wire.BackendTrailer); raw != "" {
		if b, err := wire.ParseBackend([]byte(raw)); err == nil && b.Status != 0 {
			return swarm.Fault{Status: b.Status, Text: oneLine(b.Message)}
		}
	}
	return swarm.Fault{}
}

// watch checks the seeds now and then, and at once when one announces or fails.
func (s *seeds) watch(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.HealthEvery)
	defer tick.Stop()
	for {
		s.checkAll(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-s.hub.look:
		}
	}
}

func (s *seeds) checkAll(ctx context.Context) {
	var group errgroup.Group
	group.SetLimit(checksAtOnce)
	known := map[netip.AddrPort]bool{}
	ids := map[darter.HostID]bool{}
	for _, h := range view(s.hub, (*swarm.Swarm).Seeds) {
		known[h.Host.Endpoint()], ids[h.Host.ID] = true, true
		group.Go(func() error {
			s.check(ctx, h.Host)
			return nil
		})
	}
	_ = group.Wait() // checks report by themselves
	s.prune(known, ids)
}

// check asks one seed. A refused connection counts at once, a slow answer only when it happens twice: a
// seed whose uplink is full is not dead.
func (s *seeds) check(ctx context.Context, h *darter.Host) {
	err := s.ask(ctx, h)
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	if err == nil {
		s.mu.fails[h.ID] = 0
	} else {
		s.mu.fails[h.ID]++
	}
	ok := err == nil || (s.mu.fails[h.ID] < 2 && status.Code(err) == codes.DeadlineExceeded)
	changed := s.mu.unwell[h.ID] == ok
	s.mu.unwell[h.ID] = !ok
	s.mu.Unlock()
	if !changed {
		return
	}
	s.hub.step(swarm.SeedHealth{Host: h.ID, OK: ok})
	if !ok {
		s.hub.judge(liveness.StreamReset{Host: h.ID}) // a probe of its own decides
	}
	tell(s.cfg.Events.SeedHealth, SeedHealth{Host: h.ID, OK: ok, Err: err})
}

func (s *seeds) ask(ctx context.Context, h *darter.Host) error {
	c, err := s.conn(h.Endpoint())
	if err != nil {
		return err
	}
	return s.askOver(ctx, c, h)
}

// askOnce asks any host, over a connection of its own: that it can be connected is part of the question.
func (s *seeds) askOnce(ctx context.Context, h *darter.Host) error {
	c, err := s.dial(h.Endpoint())
	if err != nil {
		return err
	}
	defer c.Close()
	return s.askOver(ctx, c, h)
}

func (s *seeds) askOver(ctx context.Context, c *grpc.ClientConn, h *darter.Host) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.HealthTimeout)
	defer cancel()
	answer, err := healthv1.NewHealthClient(c).Check(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		return err
	}
	if answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("host %s says %s", h.ID, answer.GetStatus())
	}
	return nil
}

// prune closes what belongs to seeds that are gone.
func (s *seeds) prune(known map[netip.AddrPort]bool, ids map[darter.HostID]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for to, c := range s.mu.links {
		if !known[to] {
			_ = c.Close() // its streams end with Canceled
			delete(s.mu.links, to)
		}
	}
	for id := range s.mu.unwell {
		if !ids[id] {
			delete(s.mu.unwell, id)
			delete(s.mu.fails, id)
		}
	}
}

func (s *seeds) close() {
	s.prune(nil, nil)
}
