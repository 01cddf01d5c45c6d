package rpc

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/manager/fleet"
)

// Book takes what schedulers think of hosts.
type Book interface {
	// See takes a scheduler's word on hosts of its cluster.
	See(ctx context.Context, scheduler string, cluster uint64, hosts []darter.HostStatus) error
	// Vouch takes its word that all it said before still holds.
	Vouch(ctx context.Context, scheduler string) error
	// Seen returns the hosts that the scheduler spoke of and did not call gone, in order.
	Seen(ctx context.Context, scheduler string) ([]darter.HostID, error)
}

// Config is what the service needs.
type Config struct {
	Book   Book                                       // required
	Orders *fleet.Orders                              // required
	Permit func(ctx context.Context, id string) error // whether the caller may be that scheduler; nil: anybody
	Silent time.Duration                              // a stream on which nothing comes for so long is ended; default 2m
}

// Server is the manager's side of darter.v1.Hosts.
type Server struct {
	darterv1.UnimplementedHostsServer
	cfg      Config
	stopping chan struct{}
	once     sync.Once
}

// New returns the service.
func New(cfg Config) *Server {
	if cfg.Silent == 0 {
		cfg.Silent = 2 * time.Minute
	}
	return &Server{cfg: cfg, stopping: make(chan struct{})}
}

// Register adds the service to a gRPC server.
func (s *Server) Register(g grpc.ServiceRegistrar) { darterv1.RegisterHostsServer(g, s) }

// Stop ends all streams. Schedulers come back, or go to another manager.
func (s *Server) Stop() { s.once.Do(func() { close(s.stopping) }) }

// word is what of a host's status is worth writing again when it differs.
type word struct {
	verdict darter.Verdict
	epoch   darter.Epoch
	reason  string
	host    darter.Host
}

// session is one scheduler's stream. Its handler is the only one that sends.
type session struct {
	s       *Server
	stream  darterv1.Hosts_TellServer
	in      chan *darterv1.HostsReport
	id      string
	cluster uint64

	said    map[darter.HostID]word // what was written
	table   map[darter.HostID]bool // of the table that is coming in
	missing map[darter.HostID]bool // from the last whole table
	sent    map[string]bool        // orders on this stream
}

// maxHosts bounds one report.
const maxHosts = 1000

// Tell serves one scheduler until its stream ends.
func (s *Server) Tell(stream darterv1.Hosts_TellServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	c := &session{s: s, stream: stream, in: make(chan *darterv1.HostsReport), id: first.GetSchedulerId(), cluster: first.GetClusterId(),
		said: map[darter.HostID]word{}, table: map[darter.HostID]bool{}, sent: map[string]bool{}}
	if c.id == "" || len(c.id) > 255 || c.cluster == 0 {
		return wire.Status(&darter.Error{Kind: darter.Invalid, Op: "hear of hosts", Err: errors.New("the first message must name the scheduler and its cluster")})
	}
	if s.cfg.Permit != nil {
		if err := s.cfg.Permit(stream.Context(), c.id); err != nil {
			return wire.Status(err)
		}
	}
	s.startReader(c)
	return wire.Status(c.serve(stream.Context(), first))
}

// read passes on what the scheduler says. It ends with the stream, which ends with the handler.
func (c *session) read() {
	defer close(c.in)
	for {
		m, err := c.stream.Recv()
		if err != nil {
			return // the handler sees the closed channel
		}
		select {
		case c.in <- m:
		case <-c.stream.Context().Done():
			return
		}
	}
}

func (c *session) serve(ctx context.Context, first *darterv1.HostsReport) error {
	notes := c.s.cfg.Orders.Subscribe()
	defer notes.Close()
	silent := time.NewTimer(c.s.cfg.Silent)
	defer silent.Stop()
	if err := c.take(ctx, first); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.s.stopping:
			return &darter.Error{Kind: darter.Unavailable, Op: "hear of hosts", Err: errors.New("this manager stops")}
		case <-silent.C:
			return &darter.Error{Kind: darter.TimedOut, Op: "hear of hosts", Err: errors.New("the scheduler fell silent")}
		case <-notes.C():
			if err := c.order(ctx); err != nil && !passing(err) {
				return err
			}
		case m, more := <-c.in:
			if !more {
				return nil
			}
			silent.Reset(c.s.cfg.Silent)
			if err := c.take(ctx, m); err != nil {
				return err
			}
		}
	}
}

// passing reports whether the database is away only for a moment.
func passing(err error) bool {
	return darter.KindOf(err) == darter.Unavailable || darter.KindOf(err) == darter.TimedOut
}

func (c *session) take(ctx context.Context, m *darterv1.HostsReport) error {
	if len(m.GetHosts()) > maxHosts || len(m.GetAnswers()) > maxHosts {
		return &darter.Error{Kind: darter.Invalid, Op: "hear of hosts", Err: errors.New("a report speaks of at most 1000 hosts")}
	}
	for _, a := range m.GetAnswers() {
		if err := c.s.cfg.Orders.Answer(ctx, a.GetId(), c.id, a.GetError()); err != nil {
			return err
		}
	}
	if err := c.see(ctx, m.GetHosts()); err != nil {
		return err
	}
	switch {
	case m.GetWhole():
		return c.compare(ctx)
	case len(m.GetHosts()) == 0 && len(m.GetAnswers()) == 0:
		return c.s.cfg.Book.Vouch(ctx, c.id)
	}
	return nil
}

// see writes what differs from what was said before.
func (c *session) see(ctx context.Context, hosts []*darterv1.HostStatus) error {
	var news []darter.HostStatus
	for _, m := range hosts {
		h, err := wire.ToHostStatus(m)
		if err != nil {
			return err
		}
		c.table[h.Host.ID] = true
		if w := wordOf(h); c.said[h.Host.ID] != w {
			news = append(news, h)
		}
	}
	if len(news) == 0 {
		return nil
	}
	if err := c.s.cfg.Book.See(ctx, c.id, c.cluster, news); err != nil {
		return err
	}
	for _, h := range news {
		c.said[h.Host.ID] = wordOf(h)
	}
	return nil
}

func wordOf(h darter.HostStatus) word {
	host := h.Host
	host.Interval = 0 // it moves with the number of hosts
	return word{verdict: h.Verdict, epoch: h.Host.Epoch, reason: h.Reason, host: host}
}

// compare looks, after a whole table, for hosts of which the scheduler spoke once and no longer does.
func (c *session) compare(ctx context.Context) error {
	seen, err := c.s.cfg.Book.Seen(ctx, c.id)
	if err != nil {
		return err
	}
	missing, gone := map[darter.HostID]bool{}, []darter.HostStatus(nil)
	for _, id := range seen {
		if c.table[id] {
			continue
		}
		if missing[id] = true; c.missing[id] {
			gone = append(gone, darter.HostStatus{Host: darter.Host{ID: id}, Verdict: darter.Forgotten, Reason: "missing from two tables in a row", Gone: true})
		}
	}
	c.missing, c.table = missing, map[darter.HostID]bool{}
	for part := range slices.Chunk(gone, maxHosts) {
		if err := c.s.cfg.Book.See(ctx, c.id, c.cluster, part); err != nil {
			return err
		}
		for _, h := range part {
			delete(c.said, h.Host.ID)
		}
	}
	return c.s.cfg.Book.Vouch(ctx, c.id)
}

// order sends what the scheduler is to do.
func (c *session) order(ctx context.Context) error {
	open, err := c.s.cfg.Orders.Open(ctx, c.id)
	if err != nil {
		return err
	}
	for _, o := range open {
		if c.sent[o.ID] {
			continue
		}
		if err := c.stream.Send(message(o)); err != nil {
			return err
		}
		c.sent[o.ID] = true
	}
	return nil
}

func message(o fleet.Order) *darterv1.HostsOrder {
	m := &darterv1.HostsOrder{Id: o.ID}
	switch o.Verb {
	case fleet.Drain, fleet.Undrain:
		m.What = &darterv1.HostsOrder_Drain{Drain: &darterv1.DrainHostRequest{HostId: o.Whom, Undo: o.Verb == fleet.Undrain, Reason: o.Reason}}
	case fleet.Forget:
		m.What = &darterv1.HostsOrder_Forget{Forget: &darterv1.ForgetHostRequest{HostId: o.Whom, Force: o.Force, Reason: o.Reason}}
	case fleet.Confirm, fleet.Lift:
		m.What = &darterv1.HostsOrder_Release{Release: &darterv1.ReleaseZoneRequest{Zone: o.Whom, Confirm: o.Verb == fleet.Confirm, Lift: durationpb.New(o.Lift), Reason: o.Reason}}
	}
	return m
}
