package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/store"
)

// Swarm is what the download socket asks schedulers. Schedulers is one.
type Swarm interface {
	StatTask(ctx context.Context, id darter.TaskID) (*commonv2.Task, error)
	DeleteTask(ctx context.Context, id darter.TaskID) error
	Leave(ctx context.Context, id darter.HostID, e darter.Epoch) error
}

// SocketConfig is what the server on the download socket needs.
type SocketConfig struct {
	Listener  net.Listener  // required; see ListenSocket
	Downloads Downloads     // required
	Store     store.Store   // required
	Swarm     Swarm         // required
	Host      darter.HostID // required; who this daemon is
	Epoch     darter.Epoch
	// Owner is the user whose files this daemon may write and whose content it may delete, beside root; default the user it
	// runs as.
	Owner  *uint32
	Drain  time.Duration                              // how long running calls may take at a stop; default 5s
	Served func(id darter.TaskID) (now, total uint64) // uploads of a task; nil counts as none
	// Schedulers are those in force, which local tools are told; nil tells nothing.
	Schedulers func() []Status
	Events     SocketEvents
}

// SocketEvents tells what happened. Any may be nil.
type SocketEvents struct {
	Refused func(method string, uid uint32, err error) // an asker wanted more than its user may
}

// Validate fills what was left out and checks the rest.
func (c *SocketConfig) Validate() error {
	if c.Owner == nil {
		uid := uint32(os.Getuid())
		c.Owner = &uid
	}
	if c.Drain == 0 {
		c.Drain = 5 * time.Second
	}
	if c.Listener == nil || c.Downloads == nil || c.Store == nil || c.Swarm == nil || c.Host == "" {
		return errors.New("rpc: the download socket needs Listener, Downloads, Store, Swarm and Host")
	}
	return nil
}

// Socket serves local clients on the download socket: DfdaemonDownload and health.
type Socket struct {
	dfdaemonv2.UnimplementedDfdaemonDownloadServer
	cfg    SocketConfig
	server *grpc.Server
	health *health.Server
}

// NewSocket checks the configuration. Nothing is served before Run.
func NewSocket(cfg SocketConfig) (*Socket, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Socket{cfg: cfg, health: health.NewServer()}
	s.server = grpc.NewServer(
		grpc.Creds(askers{}), grpc.MaxRecvMsgSize(4<<20), grpc.MaxConcurrentStreams(1024), grpc.ConnectionTimeout(5*time.Second),
		grpc.ReadBufferSize(8<<10), grpc.WriteBufferSize(64<<10),
		// Requests are small: a window that grows would cost a ping and an answer for each.
		grpc.StaticStreamWindowSize(64<<10), grpc.StaticConnWindowSize(1<<20),
		grpc.ChainUnaryInterceptor(s.tellSchedulers, clearUnary), grpc.StreamInterceptor(clearStream),
		// Plain Dragonfly's tools ping while idle; that is no attack.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	dfdaemonv2.RegisterDfdaemonDownloadServer(s.server, s)
	healthv1.RegisterHealthServer(s.server, s.health)
	return s, nil
}

// Run serves until ctx ends, then lets running calls end within Drain.
func (s *Socket) Run(ctx context.Context) error {
	stopped := make(chan struct{})
	undo := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.health.Shutdown()
		hard := time.AfterFunc(s.cfg.Drain, s.server.Stop)
		defer hard.Stop()
		s.server.GracefulStop()
	})
	err := s.server.Serve(s.cfg.Listener)
	if !undo() { // ctx ended: Serve returned because of the stop
		<-stopped
		return context.Cause(ctx)
	}
	return &darter.Error{Kind: darter.Unavailable, Op: "serve the download socket", Err: err}
}

// tellSchedulers has whoever checks this daemon's health know which schedulers it asks.
func (s *Socket) tellSchedulers(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if s.cfg.Schedulers != nil && info.FullMethod == healthv1.Health_Check_FullMethodName {
		var at []string
		for _, status := range s.cfg.Schedulers() {
			at = append(at, status.At.String())
		}
		if err := grpc.SetHeader(ctx, metadata.Pairs(wire.MetaSchedulers, strings.Join(at, ","))); err != nil {
			return nil, err
		}
	}
	return handle(ctx, request)
}

// permit refuses an asker whose user may not do what it asks for.
func (s *Socket) permit(ctx context.Context, method, what, hint string) error {
	a := askerOf(ctx)
	if a.known && (a.uid == 0 || a.uid == *s.cfg.Owner) {
		return nil
	}
	who := "an unknown user"
	if a.known {
		who = fmt.Sprintf("user %d", a.uid)
	}
	err := &darter.Error{Kind: darter.Denied, Op: method, Hint: hint,
		Err: fmt.Errorf("%s may not %s: this daemon runs as user %d", who, what, *s.cfg.Owner)}
	if s.cfg.Events.Refused != nil {
		s.cfg.Events.Refused(method, a.uid, err)
	}
	return err
}
