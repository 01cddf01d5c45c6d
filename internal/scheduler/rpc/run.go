package rpc

import (
	"context"
	"errors"
	"net"
	"path"
	"time"

	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// maxMessage bounds what one message may make us read.
const maxMessage = 8 << 20

// Run serves the listener until ctx ends, then ends the streams gracefully, within the limit that the settings name.
func (s *Server) Run(ctx context.Context, listen net.Listener, opts ...grpc.ServerOption) error {
	server, up := s.grpcServer(opts)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listen); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return &darter.Error{Kind: darter.Unavailable, Op: "serve scheduler on " + listen.Addr().String(), Err: err}
		}
		return nil
	})
	group.Go(func() error { return s.keepTime(ctx) })
	group.Go(func() error { return s.seeds.watch(ctx) })
	group.Go(func() error { return s.triggers(ctx) })
	group.Go(func() error { return s.probes(ctx) })
	group.Go(func() error {
		<-ctx.Done()
		up.Shutdown()
		s.shutdown(server)
		return nil
	})
	err := group.Wait()
	s.readers.Wait()
	s.leases.Wait()
	s.seeds.close()
	return err
}

// RunOperator serves orders on a listener of their own until ctx ends.
func (s *Server) RunOperator(ctx context.Context, listen net.Listener) error {
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(s.unary), grpc.MaxRecvMsgSize(maxMessage))
	darterv1.RegisterOperatorServer(server, &operatorService{changed: s.hub})
	darterv1.RegisterRosterServer(server, s.roster())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listen); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return &darter.Error{Kind: darter.Unavailable, Op: "take orders on " + listen.Addr().String(), Err: err}
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		cut := time.AfterFunc(s.cfg.StopTimeout, server.Stop)
		defer cut.Stop()
		server.GracefulStop()
		return nil
	})
	return group.Wait()
}

func (s *Server) grpcServer(opts []grpc.ServerOption) (*grpc.Server, *health.Server) {
	server := grpc.NewServer(append([]grpc.ServerOption{
		grpc.ReadBufferSize(8 << 10), grpc.WriteBufferSize(8 << 10),
		grpc.StaticStreamWindowSize(1 << 20), grpc.StaticConnWindowSize(1 << 20), // no ping per message to find a better one
		grpc.MaxConcurrentStreams(10_000), grpc.MaxRecvMsgSize(maxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.StatsHandler(&connections{}),
		grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(stream),
	}, opts...)...)
	schedulerv2.RegisterSchedulerServer(server, s)
	s.leases.Register(server)
	darterv1.RegisterRosterServer(server, s.roster())
	up := health.NewServer()
	healthv1.RegisterHealthServer(server, up)
	return server, up
}

// shutdown ends the streams and waits for their handlers, for a while.
func (s *Server) shutdown(server *grpc.Server) {
	close(s.over)
	s.leases.Stop()
	s.hub.stop(&darter.Error{Kind: darter.Unavailable, Op: "schedule", Err: errors.New("the scheduler stops"), Hint: "register with another scheduler, or go to the source"})
	cut := time.AfterFunc(s.cfg.StopTimeout, server.Stop)
	server.GracefulStop()
	cut.Stop()
}

// keepTime gives the roster its turns, a slice each, and ticks the swarm when it asked for it and at least every so often.
func (s *Server) keepTime(ctx context.Context) error {
	now := time.Now()
	turn, tick, facts := now.Add(s.cfg.Liveness.Tick), now.Add(s.cfg.TickEvery), now
	timer := time.NewTimer(s.cfg.Liveness.Tick)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.hub.wakeUp:
		}
		now = time.Now()
		if due := !turn.After(now); due || s.hub.wantsMore() {
			lag := max(now.Sub(turn), 0)
			if due && now.Sub(facts) >= healthEvery {
				s.hub.judge(liveness.Health{Lag: lag, Throttled: s.cfg.Throttled != nil && s.cfg.Throttled()})
				facts = now
			}
			s.hub.turn(lag)
			if due {
				turn = now.Add(s.cfg.Liveness.Tick)
			}
		}
		if !tick.After(now) || s.hub.untilTick(s.cfg.TickEvery) <= 0 {
			s.hub.tick()
			tick = now.Add(s.cfg.TickEvery)
		}
		wait := min(time.Until(turn), time.Until(tick), s.hub.untilTick(s.cfg.TickEvery))
		if s.hub.wantsMore() {
			wait = 0
		}
		timer.Reset(max(wait, 0))
	}
}

// healthEvery is how often the roster hears how this process itself fares.
const healthEvery = time.Second

// probes asks the hosts in doubt.
func (s *Server) probes(ctx context.Context) error {
	var group errgroup.Group
	group.SetLimit(s.cfg.Probes)
	for {
		select {
		case <-ctx.Done():
			return group.Wait()
		case p := <-s.hub.doubts:
			group.Go(func() error { s.probe(ctx, p); return nil })
		}
	}
}

// triggers carries out what the hub queued. A trigger lasts as long as the seed's download.
func (s *Server) triggers(ctx context.Context) error {
	var group errgroup.Group
	group.SetLimit(s.cfg.Triggers)
	for {
		select {
		case <-ctx.Done():
			return group.Wait()
		case j := <-s.hub.jobs:
			if !group.TryGo(func() error { s.seeds.trigger(ctx, j); return nil }) {
				s.hub.ended(j, swarm.SeedFailed{Task: j.task, Host: j.host.ID})
			}
		}
	}
}

// startReader reads a stream beside its handler. It ends when the handler has returned, because gRPC then ends
// the stream; Run waits for it.
func (s *Server) startReader(c *conversation, in schedulerv2.Scheduler_AnnouncePeerServer) {
	s.readers.Add(1)
	go func() {
		defer s.readers.Done()
		c.read(in)
	}()
}

// startWriter writes a stream beside its handler. What it returns is closed when the writer has ended.
func (s *Server) startWriter(c *conversation, out schedulerv2.Scheduler_AnnouncePeerServer) <-chan struct{} {
	written := make(chan struct{})
	s.readers.Add(1)
	go func() {
		defer s.readers.Done()
		defer close(written)
		c.write(out, s.cfg.SendTimeout)
	}()
	return written
}

// send runs what sends on a stream. When its caller does not read for too long, it returns all the same: the end of the handler
// then frees what sends.
func (s *Server) send(do func() error) error {
	ended := make(chan error, 1)
	s.readers.Add(1)
	go func() {
		defer s.readers.Done()
		ended <- do()
	}()
	late := time.NewTimer(s.cfg.SendTimeout)
	defer late.Stop()
	select {
	case err := <-ended:
		return err
	case <-late.C:
		return wire.Status(&darter.Error{Kind: darter.Unavailable, Op: "send what was asked for", Err: errors.New("the caller does not read it"),
			Hint: "ask again, and read while it comes"})
	}
}

// unary reports calls, and says clearly what is not served.
func (s *Server) unary(ctx context.Context, m any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	out, err := next(ctx, m)
	err = clearly(info.FullMethod, err)
	tell(s.cfg.Events.Called, Called{Method: path.Base(info.FullMethod), Err: err})
	return out, err
}

func stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return clearly(info.FullMethod, next(srv, ss))
}

func clearly(method string, err error) error {
	if status.Code(err) != codes.Unimplemented {
		return err
	}
	return status.Errorf(codes.Unimplemented, "%s is not served by this scheduler: persistent tasks, cache tasks and preheat are not built yet", method)
}
