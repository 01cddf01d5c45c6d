package rpc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/stats"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// Tasks is what this host holds, as the upload side needs it. serve.Shelf is one.
type Tasks interface {
	// Await returns the task as soon as it is here; darter.NotFound when ctx ends before.
	Await(ctx context.Context, id darter.TaskID) (store.Task, error)
	// Find returns a task that is here, else darter.NotFound.
	Find(id darter.TaskID) (store.Task, error)
	// Remove deletes a task that is here, else darter.NotFound.
	Remove(id darter.TaskID) error
	// OnFailure calls do, which does not block, whenever this host's download of a task fails, until stop.
	OnFailure(id darter.TaskID, do func(error)) (stop func())
	// Uploads returns how many pieces of a task are being sent, and how many were sent.
	Uploads(id darter.TaskID) (running, done uint64)
}

// TaskScheduler is what the upload side asks the scheduler of a task. Schedulers is one.
type TaskScheduler interface {
	StatTask(ctx context.Context, id darter.TaskID) (*commonv2.Task, error)
	DeleteTask(ctx context.Context, id darter.TaskID) error
}

// UploadConfig is what an Upload is made of.
type UploadConfig struct {
	Listener  net.Listener       // required; Run closes it
	Downloads Downloads          // required
	Tasks     Tasks              // required
	Scheduler TaskScheduler      // nil without schedulers
	Host      func() darter.Host // required; network figures are sent to children
	Pieces    netip.AddrPort     // required; where this host's piece server is reached

	// Recall tells the scheduler of a task that this host holds it whole: a trigger for such a task means that
	// the scheduler forgot. Nil: nobody is told.
	Recall func(ctx context.Context, id darter.TaskID, w darter.Want) error

	AppearTimeout time.Duration // how long a child may wait for a task to appear; default 5s
	HostInterval  time.Duration // between two reports of network figures; default 1s
	DrainTimeout  time.Duration // how long running calls may take when Run is to end; default 5s
	RequestRate   float64       // requests per second; more are refused; default 400
	RequestBurst  int           // default 400
	MaxStreams    int           // open streams of all children together; default 8192

	Stats  stats.Handler // tracing; may be nil
	Events UploadEvents
}

// UploadEvents tell what was served. Functions may be nil, and must not block.
type UploadEvents struct {
	Served func(method string, took time.Duration, err error)
}

// DefaultUploadConfig returns the defaults; what is required is missing.
func DefaultUploadConfig() UploadConfig {
	return UploadConfig{AppearTimeout: 5 * time.Second, HostInterval: time.Second, DrainTimeout: 5 * time.Second,
		RequestRate: 400, RequestBurst: 400, MaxStreams: 8192}
}

// Validate reports the first setting that makes no sense.
func (c *UploadConfig) Validate() error {
	var why string
	switch {
	case c.Listener == nil || c.Downloads == nil || c.Tasks == nil || c.Host == nil:
		why = "Listener, Downloads, Tasks and Host are required"
	case !c.Pieces.IsValid() || c.Pieces.Port() == 0 || c.Pieces.Addr().IsUnspecified():
		why = "Pieces must be an address that children can reach, " + c.Pieces.String() + " is none"
	case c.AppearTimeout <= 0 || c.HostInterval <= 0 || c.DrainTimeout <= 0:
		why = "time limits must be positive"
	case c.RequestRate <= 0 || c.RequestBurst < 1 || c.MaxStreams < 1:
		why = "limits on requests must be positive"
	default:
		return nil
	}
	return &darter.Error{Kind: darter.Invalid, Op: "upload server configuration", Err: errors.New(why)}
}

// Upload serves other hosts: children that look for pieces, and schedulers that trigger downloads.
type Upload struct {
	dfdaemonv2.UnimplementedDfdaemonUploadServer
	cfg      UploadConfig
	server   *grpc.Server
	health   *health.Server
	requests *rate.Limiter
	draining chan struct{} // closed when streams are to end
	drain    func()
	triggers sync.WaitGroup // downloads that run for schedulers

	mu struct {
		sync.Mutex
		streams int
		stopped bool
		onDrain map[*func()]struct{} // called, without blocking, when draining begins
	}
}

// NewUpload returns an upload server; Run makes it serve.
func NewUpload(cfg UploadConfig) (*Upload, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	u := &Upload{cfg: cfg, health: health.NewServer(), draining: make(chan struct{}),
		requests: rate.NewLimiter(rate.Limit(cfg.RequestRate), cfg.RequestBurst)}
	u.drain = sync.OnceFunc(u.stop)
	u.mu.onDrain = map[*func()]struct{}{}
	options := []grpc.ServerOption{grpc.MaxRecvMsgSize(8 << 20),
		grpc.ChainUnaryInterceptor(u.countUnary, clearUnary), grpc.ChainStreamInterceptor(u.countStream, clearStream)}
	if cfg.Stats != nil {
		options = append(options, grpc.StatsHandler(cfg.Stats))
	}
	u.server = grpc.NewServer(options...)
	dfdaemonv2.RegisterDfdaemonUploadServer(u.server, u)
	healthv1.RegisterHealthServer(u.server, u.health)
	return u, nil
}

// Drain ends the streams of children, so that they look elsewhere, and refuses new ones. Run does it
// when its context ends.
func (u *Upload) Drain() { u.drain() }

func (u *Upload) stop() {
	u.mu.Lock()
	u.mu.stopped = true
	for do := range u.mu.onDrain {
		(*do)()
	}
	u.mu.Unlock()
	u.health.Shutdown()
	close(u.draining)
}

// onDrain calls do when the server drains; stop undoes that.
func (u *Upload) onDrain(do func()) (stop func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.stopped {
		do()
		return func() {}
	}
	u.mu.onDrain[&do] = struct{}{}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.mu.onDrain, &do)
	}
}
