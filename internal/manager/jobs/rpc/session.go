package rpc

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/manager/jobs"
)

// Config is what the service needs.
type Config struct {
	Engine    *jobs.Engine                               // required
	Heartbeat time.Duration                              // how often schedulers say that they live; default 5s
	Poll      time.Duration                              // longest time between two looks for work; default 1s
	MaxSlots  uint32                                     // orders that one scheduler may have; default 64
	Permit    func(ctx context.Context, id string) error // whether the caller may be that scheduler; nil: anybody
	Events    Events
}

// Events tells what happened. Any may be nil.
type Events struct {
	Attached func(scheduler string, cluster uint64)
	Detached func(scheduler string, err error)
	Ordered  func(scheduler string, lease darter.OrderLease)
	Reported func(scheduler string, outcomes int, err error)
}

// Server is the manager's side of darter.v1.Control.
type Server struct {
	darterv1.UnimplementedControlServer
	cfg      Config
	stopping chan struct{}
	once     sync.Once
}

// New returns the service.
func New(cfg Config) (*Server, error) {
	if cfg.Engine == nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "check control settings", Err: errors.New("the engine is missing")}
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 5 * time.Second
	}
	if cfg.Poll == 0 {
		cfg.Poll = time.Second
	}
	if cfg.MaxSlots == 0 {
		cfg.MaxSlots = 64
	}
	if cfg.Heartbeat < 0 || cfg.Poll < 0 || cfg.Heartbeat*2 > cfg.Engine.LeaseTime() {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "check control settings", Err: errors.New("a heartbeat must come twice in a lease at least")}
	}
	return &Server{cfg: cfg, stopping: make(chan struct{})}, nil
}

// Register adds the service to a gRPC server.
func (s *Server) Register(g grpc.ServiceRegistrar) { darterv1.RegisterControlServer(g, s) }

// Stop ends all streams, so that they do not hold up the end of the gRPC server. Schedulers keep their leases and come
// back, or go to another manager.
func (s *Server) Stop() { s.once.Do(func() { close(s.stopping) }) }

// session is one scheduler's stream. Its handler is the only one that sends.
type session struct {
	s      *Server
	worker jobs.Worker
	stream darterv1.Control_AttachServer
	in     chan *darterv1.AttachRequest
	held   map[darter.OrderLease]time.Time // what the scheduler has, as far as this stream knows, and when it was ordered
	kinds  []darter.JobKind
}

// Attach serves one scheduler until its stream ends.
func (s *Server) Attach(stream darterv1.Control_AttachServer) error {
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	c := &session{s: s, stream: stream, in: make(chan *darterv1.AttachRequest), held: map[darter.OrderLease]time.Time{}}
	if err := c.hello(stream.Context(), m.GetHello()); err != nil {
		return wire.Status(err)
	}
	if s.cfg.Events.Attached != nil {
		s.cfg.Events.Attached(c.worker.ID, c.worker.Cluster)
	}
	s.startReader(c)
	err = c.serve(stream.Context())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(stream.Context()), 2*time.Second)
	defer cancel()
	if c.worker.Slots == 0 { // it took its leave: an order that crossed that word was never begun
		_ = s.cfg.Engine.Missing(ctx, c.worker.ID, nil) // else the leases run out
	}
	_ = s.cfg.Engine.Gone(ctx, c.worker.ID) // the row grows old by itself, too
	if s.cfg.Events.Detached != nil {
		s.cfg.Events.Detached(c.worker.ID, err)
	}
	return wire.Status(err)
}

// read passes on what the scheduler says. It ends with the stream, which ends with the handler.
func (c *session) read() {
	defer close(c.in)
	for {
		m, err := c.stream.Recv()
		if err != nil {
			return // the handler sees the stream's context, or the closed channel
		}
		select {
		case c.in <- m:
		case <-c.stream.Context().Done():
			return
		}
	}
}

// Bounds of what a scheduler may say of itself.
const (
	maxName = 256
	maxHeld = 4096
)

// hello takes the first message. Leases that are held already are renewed at once: the scheduler works on them.
func (c *session) hello(ctx context.Context, m *darterv1.Hello) error {
	if m == nil || m.GetSchedulerId() == "" || len(m.GetSchedulerId()) > maxName || len(m.GetVersion()) > maxName || m.GetSlots() == 0 || len(m.GetHeld()) > maxHeld || len(m.GetKinds()) > maxName {
		return &darter.Error{Kind: darter.Invalid, Op: "attach scheduler", Err: errors.New("the first message must say who it is and how much it can do")}
	}
	if c.s.cfg.Permit != nil {
		if err := c.s.cfg.Permit(ctx, m.GetSchedulerId()); err != nil {
			return err
		}
	}
	for _, k := range m.GetKinds() {
		c.kinds = append(c.kinds, darter.JobKind(k))
	}
	c.worker = jobs.Worker{ID: m.GetSchedulerId(), Cluster: m.GetClusterId(), Slots: min(m.GetSlots(), c.s.cfg.MaxSlots), Version: m.GetVersion()}
	welcome := &darterv1.Welcome{Heartbeat: durationpb.New(c.s.cfg.Heartbeat), Lease: durationpb.New(c.s.cfg.Engine.LeaseTime())}
	if err := c.stream.Send(&darterv1.AttachResponse{Message: &darterv1.AttachResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	held, err := wire.ToLeases(m.GetHeld())
	if err != nil {
		return err
	}
	if err := c.s.cfg.Engine.Missing(ctx, c.worker.ID, held); err != nil && !passing(err) {
		return err
	}
	return c.heartbeat(ctx, m.GetHeld())
}

// passing reports whether the database is away only for a moment: the stream need not break for that.
func passing(err error) bool {
	return darter.KindOf(err) == darter.Unavailable || darter.KindOf(err) == darter.TimedOut
}

// serve is the handler's loop.
func (c *session) serve(ctx context.Context) error {
	notes := c.s.cfg.Engine.Subscribe()
	defer notes.Close()
	tick := time.NewTicker(c.s.cfg.Poll)
	defer tick.Stop()
	silent := time.NewTimer(c.silence())
	defer silent.Stop()
	for {
		if err := c.offer(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.s.stopping:
			return &darter.Error{Kind: darter.Unavailable, Op: "hand out work", Err: errors.New("this manager stops"), Hint: "attach again, to another one"}
		case <-silent.C:
			return &darter.Error{Kind: darter.TimedOut, Op: "hand out work", Err: errors.New("the scheduler fell silent")}
		case <-tick.C:
		case n := <-notes.C():
			if n.Payload != c.worker.ID { // work may be there; else a word for somebody else
				continue
			}
			if err := c.words(ctx, c.leases()); err != nil {
				return err
			}
		case m, more := <-c.in:
			if !more {
				return nil
			}
			silent.Reset(c.silence())
			if err := c.take(ctx, m); err != nil {
				return err
			}
		}
	}
}

func (c *session) silence() time.Duration { return c.s.cfg.Engine.LeaseTime() }

// offer claims work while the scheduler has free slots.
func (c *session) offer(ctx context.Context) error {
	for len(c.held) < int(c.worker.Slots) {
		o, err := c.s.cfg.Engine.Claim(ctx, jobs.Claimer{Owner: c.worker.ID, Cluster: c.worker.Cluster, Kinds: c.kinds})
		if err != nil || o == nil {
			if err != nil && passing(err) {
				return nil // the database is away for a moment; the next look comes soon
			}
			return err
		}
		for _, part := range wire.FromOrder(*o) {
			if err := c.stream.Send(&darterv1.AttachResponse{Message: &darterv1.AttachResponse_Order{Order: part}}); err != nil {
				return err
			}
		}
		c.held[o.Lease] = time.Now()
		if c.s.cfg.Events.Ordered != nil {
			c.s.cfg.Events.Ordered(c.worker.ID, o.Lease)
		}
	}
	return nil
}

func (c *session) take(ctx context.Context, m *darterv1.AttachRequest) error {
	switch m := m.GetMessage().(type) {
	case *darterv1.AttachRequest_Heartbeat:
		if m.Heartbeat.GetLeaving() {
			c.worker.Slots = 0
		}
		return c.heartbeat(ctx, m.Heartbeat.GetHeld())
	case *darterv1.AttachRequest_Report:
		return c.report(ctx, m.Report)
	}
	return &darter.Error{Kind: darter.Invalid, Op: "serve scheduler " + c.worker.ID, Err: errors.New("the message is unknown, or comes too late")}
}

// heartbeat renews what the scheduler says that it holds; that is also what counts against its slots.
func (c *session) heartbeat(ctx context.Context, held []*darterv1.Lease) error {
	if len(held) > maxHeld {
		return &darter.Error{Kind: darter.Invalid, Op: "renew leases", Err: errors.New("it names too many")}
	}
	leases, err := wire.ToLeases(held)
	if err != nil {
		return err
	}
	if err := c.s.cfg.Engine.Seen(ctx, c.worker); err != nil && !passing(err) {
		return err
	}
	young := time.Now().Add(-2 * c.s.cfg.Heartbeat)
	maps.DeleteFunc(c.held, func(_ darter.OrderLease, ordered time.Time) bool { return ordered.Before(young) }) // a young one may have crossed this message
	for _, l := range leases {
		if _, known := c.held[l]; !known {
			c.held[l] = time.Time{}
		}
	}
	return c.words(ctx, leases)
}

func (c *session) leases() []darter.OrderLease {
	out := make([]darter.OrderLease, 0, len(c.held))
	for l := range c.held {
		out = append(out, l)
	}
	return out // the engine puts them in order
}

// words renews leases and passes on what their holder is to know.
func (c *session) words(ctx context.Context, leases []darter.OrderLease) error {
	words, err := c.s.cfg.Engine.Heartbeat(ctx, leases)
	if err != nil && !passing(err) {
		return err
	}
	for _, w := range words {
		if w.Lost {
			delete(c.held, w.Lease)
		}
		m := &darterv1.Word{Lease: wire.FromLease(w.Lease), Lost: w.Lost, Reason: w.Reason}
		if err := c.stream.Send(&darterv1.AttachResponse{Message: &darterv1.AttachResponse_Word{Word: m}}); err != nil {
			return err
		}
	}
	return nil
}

// report writes a report down and says so.
func (c *session) report(ctx context.Context, m *darterv1.Report) error {
	r, err := wire.ToOrderReport(m)
	if err == nil {
		err = c.s.cfg.Engine.Report(ctx, r)
	}
	if c.s.cfg.Events.Reported != nil {
		c.s.cfg.Events.Reported(c.worker.ID, len(r.Outcomes), err)
	}
	ack := &darterv1.Ack{Seq: m.GetSeq()}
	switch {
	case err == nil:
	case jobs.IsLost(err):
		ack.Lost = true
	case darter.KindOf(err) == darter.Invalid:
		ack.Refused = err.Error()
	case ctx.Err() != nil:
		return err
	default:
		ack.Again = true
	}
	if r.Ended || r.Released || ack.Lost {
		if !ack.Again {
			delete(c.held, r.Lease)
		}
	}
	return c.stream.Send(&darterv1.AttachResponse{Message: &darterv1.AttachResponse_Ack{Ack: ack}})
}
