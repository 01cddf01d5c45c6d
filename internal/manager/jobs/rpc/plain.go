package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	"github.com/darter-p2p/darter/internal/target"
)

// BridgeConfig is what a bridge needs.
type BridgeConfig struct {
	Engine     *jobs.Engine // required
	Owner      string       // required; names this manager as holder of leases
	Schedulers interface {  // required
		// PlainSchedulers returns the active schedulers of all clusters, by cluster.
		PlainSchedulers(ctx context.Context) (map[uint64][]netip.AddrPort, error)
	}
	Dial  func(ctx context.Context, addr string) (net.Conn, error) // nil: TCP
	Opts  []grpc.DialOption                                        // in place of plain transport
	Look  time.Duration                                            // between two looks for work; default 2s
	Poll  time.Duration                                            // first wait between two questions how far it is; default 2s, grows to 15s
	Limit int                                                      // orders at once; default 16
	Error func(what string, err error)                             // hears of turns that failed; may be nil
}

// Bridge does the work of clusters whose schedulers know no control stream.
type Bridge struct {
	cfg BridgeConfig
}

// NewBridge returns a bridge. Run runs it.
func NewBridge(cfg BridgeConfig) (*Bridge, error) {
	cfg.Look, cfg.Poll, cfg.Limit = cmp.Or(cfg.Look, 2*time.Second), cmp.Or(cfg.Poll, 2*time.Second), cmp.Or(cfg.Limit, 16)
	if cfg.Engine == nil || cfg.Owner == "" || cfg.Schedulers == nil || cfg.Look < 0 || cfg.Poll < 0 || cfg.Limit < 0 {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "check bridge settings", Err: errors.New("engine, owner or schedulers are missing, or a limit is negative")}
	}
	return &Bridge{cfg: cfg}, nil
}

// look claims one order for a cluster that has plain schedulers and none of ours attached; nil when there is none.
func (b *Bridge) look(ctx context.Context) (*darter.Order, []netip.AddrPort, error) {
	all, err := b.cfg.Schedulers.PlainSchedulers(ctx)
	if err != nil {
		return nil, nil, err
	}
	workers, err := b.cfg.Engine.Workers(ctx, 0)
	if err != nil {
		return nil, nil, err
	}
	for _, w := range workers {
		delete(all, w.Cluster)
	}
	for cluster, at := range all {
		o, err := b.cfg.Engine.Claim(ctx, jobs.Claimer{Owner: b.cfg.Owner, Cluster: cluster})
		if err != nil || o != nil {
			return o, at, err
		}
	}
	return nil, nil, nil
}

// serve does one order. What it could not do it reports; its error is of the reporting.
func (b *Bridge) serve(ctx context.Context, o *darter.Order, at []netip.AddrPort) error {
	return b.cfg.Engine.Hold(ctx, b.cfg.Owner, o.Lease, func(ctx context.Context) error {
		w := &plainWork{b: b, o: o}
		err := w.do(ctx, at)
		final := darter.OrderReport{Lease: o.Lease, Ended: true, Found: w.found}
		switch {
		case ctx.Err() != nil:
			final = darter.OrderReport{Lease: o.Lease, Released: true}
		case err != nil:
			final.Failure, final.Text = classOfPlain(err), err.Error()
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return b.cfg.Engine.Report(ctx, final)
	})
}

func classOfPlain(err error) darter.Failure {
	switch darter.KindOf(err) {
	case darter.Unavailable:
		return darter.FailedHostLost
	case darter.TimedOut:
		return darter.FailedTimeout
	case darter.Invalid:
		return darter.FailedInvalid
	}
	return darter.FailedInternal
}

// plainWork is one order at one plain scheduler.
type plainWork struct {
	b     *Bridge
	o     *darter.Order
	api   schedulerv2.SchedulerClient
	hosts []darter.Target
	found []darter.Host
}

// do takes the first scheduler that answers.
func (w *plainWork) do(ctx context.Context, at []netip.AddrPort) error {
	err := error(&darter.Error{Kind: darter.Unavailable, Op: "find scheduler", Err: errors.New("the cluster has none")})
	for _, addr := range at {
		conn, dialed := w.b.dial(addr)
		if dialed != nil {
			return dialed
		}
		defer func() { _ = conn.Close() }()
		w.api = schedulerv2.NewSchedulerClient(conn)
		if err = w.list(ctx); err == nil {
			return w.work(ctx)
		}
	}
	return err
}

func (b *Bridge) dial(at netip.AddrPort) (*grpc.ClientConn, error) {
	opts := append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, b.cfg.Opts...)
	if b.cfg.Dial != nil {
		opts = append(opts, grpc.WithContextDialer(b.cfg.Dial))
	}
	return grpc.NewClient("passthrough:///"+at.String(), opts...)
}

// question bounds one unary call.
const question = 30 * time.Second

func (w *plainWork) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, question)
	defer cancel()
	m, err := w.api.ListHosts(ctx, &schedulerv2.ListHostsRequest{})
	if err != nil {
		return wire.FromStatus("list hosts", err)
	}
	w.found = nil
	for _, h := range m.GetHosts() {
		host, err := wire.ToHost(h)
		if err != nil {
			continue // one odd host spoils no job
		}
		w.found = append(w.found, host)
	}
	return nil
}

func (w *plainWork) work(ctx context.Context) error {
	if w.o.Kind == darter.SyncHosts {
		self := darter.Target{ID: "scheduler", IP: netip.IPv4Unspecified()}
		return w.say(ctx, darter.OrderReport{Hosts: []darter.Target{self}, Outcomes: []darter.OrderOutcome{{}}})
	}
	w.hosts = target.Choose(w.o, w.found)
	w.found = nil
	if err := w.say(ctx, darter.OrderReport{Hosts: w.hosts}); err != nil || len(w.hosts) == 0 {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(int(max(w.o.TasksAtOnce, 1)))
	for _, it := range w.o.Items {
		group.Go(func() error {
			switch w.o.Kind {
			case darter.PreheatFiles, darter.PreheatImage:
				return w.preheat(ctx, it)
			}
			return w.everyHost(ctx, it)
		})
	}
	return group.Wait()
}

func (w *plainWork) say(ctx context.Context, r darter.OrderReport) error {
	r.Lease = w.o.Lease
	return w.b.cfg.Engine.Report(ctx, r)
}

// preheat asks for one content and then asks how far it is, until every host has it or the time is up: a plain
// scheduler says of a preheat only that it has begun.
func (w *plainWork) preheat(ctx context.Context, it darter.OrderItem) error {
	open := w.open(it)
	began, wait, asked := time.Now(), w.b.cfg.Poll, false
	for {
		there, err := w.stat(ctx, it)
		if err == nil {
			done, enough := w.seen(it, open, there, !asked)
			if err := w.say(ctx, darter.OrderReport{Outcomes: done}); err != nil || enough || len(open) == 0 {
				return err
			}
		}
		if !asked && err == nil {
			if err = w.ask(ctx, it); err == nil {
				asked = true
			}
		}
		if err != nil && (ctx.Err() != nil || darter.KindOf(err) == darter.Invalid || !asked) {
			return w.give(ctx, it, open, classOfPlain(err), err)
		}
		if time.Since(began) > w.o.Timeout {
			return w.give(ctx, it, open, darter.FailedTimeout, fmt.Errorf("after %s the scheduler does not show it there", w.o.Timeout))
		}
		if !rest(ctx, wait) {
			return context.Cause(ctx)
		}
		wait = min(wait*3/2, 15*time.Second)
	}
}

// open are the hosts of an item that are not done, by number.
func (w *plainWork) open(it darter.OrderItem) map[uint32]bool {
	out := make(map[uint32]bool, len(w.hosts))
	for i := range w.hosts {
		out[uint32(i)] = true
	}
	for _, n := range it.Done {
		delete(out, n)
	}
	return out
}

// seen takes what the scheduler shows; enough when an order for any one seed is fulfilled.
func (w *plainWork) seen(it darter.OrderItem, open map[uint32]bool, there map[string]bool, before bool) (done []darter.OrderOutcome, enough bool) {
	for i, t := range w.hosts {
		if open[uint32(i)] && there[t.IP.String()+"/"+t.Hostname] {
			done = append(done, darter.OrderOutcome{Item: it.Number, Host: uint32(i), Held: before})
			delete(open, uint32(i))
		}
	}
	return done, w.o.Targets.Scope == darter.OneSeed && len(done) > 0
}

// give reports the hosts that are still open as failed.
func (w *plainWork) give(ctx context.Context, it darter.OrderItem, open map[uint32]bool, class darter.Failure, why error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var out []darter.OrderOutcome
	for i := range w.hosts {
		if open[uint32(i)] {
			out = append(out, darter.OrderOutcome{Item: it.Number, Host: uint32(i), Failure: class, Text: why.Error()})
		}
	}
	return w.say(ctx, darter.OrderReport{Outcomes: out})
}

func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// ask begins a preheat.
func (w *plainWork) ask(ctx context.Context, it darter.OrderItem) error {
	d, s := wire.FromWant(it.Want), w.o.Targets
	m := &schedulerv2.PreheatFileRequest{Url: d.GetUrl(), PieceLength: d.PieceLength, Tag: d.Tag, Application: d.Application,
		FilteredQueryParams: d.GetFilteredQueryParams(), Header: d.GetRequestHeader(), Scope: string(s.Scope), Timeout: durationpb.New(w.o.Timeout),
		Priority: commonv2.Priority(it.Want.Priority)}
	if s.Scope != darter.OneSeed {
		for _, t := range w.hosts { // the very hosts that were chosen, so that who is asked and who is counted are the same
			m.Ips = append(m.Ips, t.IP.String())
		}
	}
	if n := int64(min(w.o.HostsAtOnce, 1000)); n > 0 {
		m.ConcurrentPeerCount = &n
	}
	ctx, cancel := context.WithTimeout(ctx, question)
	defer cancel()
	_, err := w.api.PreheatFile(ctx, m)
	return wire.FromStatus("preheat", err)
}

// stat asks the scheduler which hosts hold an item, as "ip/hostname".
func (w *plainWork) stat(ctx context.Context, it darter.OrderItem) (map[string]bool, error) {
	d := wire.FromWant(it.Want)
	ctx, cancel := context.WithTimeout(ctx, question)
	defer cancel()
	m, err := w.api.StatFile(ctx, &schedulerv2.StatFileRequest{Url: d.GetUrl(), PieceLength: d.PieceLength, Tag: d.Tag, Application: d.Application,
		FilteredQueryParams: d.GetFilteredQueryParams(), Header: d.GetRequestHeader(), Timeout: durationpb.New(question)})
	if err != nil {
		return nil, wire.FromStatus("ask how far the preheat is", err)
	}
	out := make(map[string]bool)
	for _, p := range m.GetPeers() {
		ip, err := netip.ParseAddr(p.GetIp())
		if err != nil {
			continue
		}
		for _, f := range p.GetCachedFiles() {
			if f.GetUrl() == it.Want.URL && f.GetIsFinished() {
				out[ip.Unmap().String()+"/"+p.GetHostname()] = true
			}
		}
	}
	return out, nil
}

// everyHost locates or purges: the daemons themselves are asked.
func (w *plainWork) everyHost(ctx context.Context, it darter.OrderItem) error {
	var group errgroup.Group
	group.SetLimit(int(max(min(w.o.HostsAtOnce, 64), 1)))
	outcomes := make([]darter.OrderOutcome, len(w.hosts))
	for i := range w.hosts {
		group.Go(func() error {
			outcomes[i] = w.oneHost(ctx, w.hosts[i], it.Task)
			outcomes[i].Item, outcomes[i].Host = it.Number, uint32(i)
			return nil
		})
	}
	_ = group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return w.say(ctx, darter.OrderReport{Outcomes: outcomes})
}

func (w *plainWork) oneHost(ctx context.Context, t darter.Target, task darter.TaskID) darter.OrderOutcome {
	conn, err := w.b.dial(netip.AddrPortFrom(t.IP, t.Port))
	if err != nil {
		return darter.OrderOutcome{Failure: darter.FailedHostLost, Text: err.Error()}
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, question)
	defer cancel()
	client := dfdaemonv2.NewDfdaemonUploadClient(conn)
	held, err := holds(ctx, client, task)
	if err == nil && w.o.Kind == darter.PurgeTask {
		if _, err = client.DeleteTask(ctx, &dfdaemonv2.DeleteTaskRequest{TaskId: string(task)}); err != nil &&
			(status.Code(err) == codes.NotFound || strings.Contains(status.Convert(err).Message(), "not found")) {
			err = nil
		}
		still := false
		if err == nil {
			still, err = holds(ctx, client, task)
		}
		if still {
			return darter.OrderOutcome{Failure: darter.FailedUnchecked, Text: "it says that it dropped the task, and holds it"}
		}
	}
	if err != nil {
		return darter.OrderOutcome{Failure: classOfPlain(wire.FromStatus("ask host", err)), Text: err.Error()}
	}
	return darter.OrderOutcome{Held: held}
}

func holds(ctx context.Context, client dfdaemonv2.DfdaemonUploadClient, task darter.TaskID) (bool, error) {
	m, err := client.StatLocalTask(ctx, &dfdaemonv2.StatLocalTaskRequest{TaskId: string(task)})
	if status.Code(err) == codes.NotFound {
		return false, nil
	}
	return m.GetFinishedAt() != nil, err
}
