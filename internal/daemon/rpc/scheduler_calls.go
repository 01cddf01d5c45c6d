package rpc

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"sync"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

// call runs one plain call on m, bounded, and notes what it tells of the scheduler.
func (m *member) call(ctx context.Context, op string, ask func(context.Context, *grpc.ClientConn, ...grpc.CallOption) error) error {
	l, err := m.acquire()
	if err != nil {
		return err
	}
	defer m.release(l)
	limited, cancel := context.WithTimeout(ctx, m.callTimeout())
	defer cancel()
	var header metadata.MD
	began := time.Now()
	err = wire.FromStatus(schedulerOp(op, m.at), ask(limited, l.conn, grpc.Header(&header)))
	switch {
	case err == nil || len(header) > 0: // it answered, if only to refuse
		m.well(header)
		m.answered(began, time.Now())
	case ctx.Err() == nil && worthResting(err):
		m.failed(err)
	}
	return err
}

// each asks all members at once and returns the failures, joined.
func each(members []*member, ask func(*member) error) error {
	failed := make([]error, len(members))
	var asked sync.WaitGroup
	for i, m := range members {
		asked.Go(func() { failed[i] = ask(m) })
	}
	asked.Wait()
	return errors.Join(failed...)
}

// AnnounceHost tells one scheduler that this host is there.
func (s *Schedulers) AnnounceHost(ctx context.Context, at netip.AddrPort, h darter.Host) error {
	m, done := s.member(at)
	defer done()
	return m.call(withRun(ctx, h), "announce to", func(ctx context.Context, conn *grpc.ClientConn, options ...grpc.CallOption) error {
		request := &schedulerv2.AnnounceHostRequest{Host: wire.FromHost(h)}
		if h.Interval > 0 {
			request.Interval = durationpb.New(h.Interval)
		}
		_, err := schedulerv2.NewSchedulerClient(conn).AnnounceHost(ctx, request, options...)
		return err
	})
}

// DeleteHost tells one scheduler that this host leaves. A scheduler that does not know it is content already.
func (s *Schedulers) DeleteHost(ctx context.Context, at netip.AddrPort, id darter.HostID, e darter.Epoch) error {
	m, done := s.member(at)
	defer done()
	err := m.call(withEpoch(ctx, e), "take leave of", func(ctx context.Context, conn *grpc.ClientConn, options ...grpc.CallOption) error {
		_, err := schedulerv2.NewSchedulerClient(conn).DeleteHost(ctx, &schedulerv2.DeleteHostRequest{HostId: string(id)}, options...)
		return err
	})
	if err != nil && darter.KindOf(err) == darter.NotFound {
		return nil
	}
	return err
}

func withEpoch(ctx context.Context, e darter.Epoch) context.Context {
	if e == 0 {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, wire.MetaEpoch, strconv.FormatUint(uint64(e), 10))
}

// withRun says what of a host the API has no field for.
func withRun(ctx context.Context, h darter.Host) context.Context {
	ctx = withEpoch(ctx, h.Epoch)
	if h.Storage != 0 {
		ctx = metadata.AppendToOutgoingContext(ctx, wire.MetaStorage, strconv.FormatUint(uint64(h.Storage), 16))
	}
	if h.Keeps >= time.Second {
		ctx = metadata.AppendToOutgoingContext(ctx, wire.MetaKeeps, strconv.FormatInt(int64(h.Keeps/time.Second), 10))
	}
	return ctx
}

// Leave tells every scheduler in force that a host leaves. It returns the failures, joined.
func (s *Schedulers) Leave(ctx context.Context, id darter.HostID, e darter.Epoch) error {
	members, _ := s.snapshot()
	return each(members, func(m *member) error { return s.DeleteHost(ctx, m.at, id, e) })
}

// Health asks whether the scheduler at an address serves, in the set or not.
func (s *Schedulers) Health(ctx context.Context, at netip.AddrPort) error {
	m, done := s.member(at)
	defer done()
	const op = "ask the health of"
	return m.call(ctx, op, func(ctx context.Context, conn *grpc.ClientConn, options ...grpc.CallOption) error {
		ctx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
		defer cancel()
		answer, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}, options...)
		if err == nil && answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			return unavailable(schedulerOp(op, at), errors.New("it answers "+answer.GetStatus().String()))
		}
		return err
	})
}

// ListHosts asks the schedulers in turn for the hosts they know; the first that answers is believed.
func (s *Schedulers) ListHosts(ctx context.Context) ([]darter.Host, error) {
	members, _ := s.snapshot()
	var failed error
	for _, m := range members {
		var answer *schedulerv2.ListHostsResponse
		err := m.call(ctx, "list the hosts of", func(ctx context.Context, conn *grpc.ClientConn, options ...grpc.CallOption) (err error) {
			answer, err = schedulerv2.NewSchedulerClient(conn).ListHosts(ctx, &schedulerv2.ListHostsRequest{}, options...)
			return err
		})
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		hosts := make([]darter.Host, 0, len(answer.GetHosts()))
		for _, h := range answer.GetHosts() {
			if host, err := wire.ToHost(h); err == nil { // one odd host does not hide the others
				hosts = append(hosts, host)
			}
		}
		return hosts, nil
	}
	if failed == nil {
		failed = unavailable("list hosts", errors.New("no scheduler is known"))
	}
	return nil, failed
}

// StatTask asks the scheduler of a task what it knows of it. Plain Dragonfly schedulers answer with the request headers
// and the whole URL of whoever asked first: what may hold credentials is taken out.
func (s *Schedulers) StatTask(ctx context.Context, id darter.TaskID) (*commonv2.Task, error) {
	m, err := s.responsible(id)
	if err != nil {
		return nil, err
	}
	var answer *commonv2.Task
	err = m.call(ctx, "ask of task "+id.Short(), func(ctx context.Context, conn *grpc.ClientConn, options ...grpc.CallOption) (err error) {
		answer, err = schedulerv2.NewSchedulerClient(conn).StatTask(ctx, &schedulerv2.StatTaskRequest{HostId: string(s.cfg.Host), TaskId: string(id)}, options...)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer.RequestHeader = nil
	answer.Url = wire.PublicURL(answer.GetUrl())
	return answer, nil
}

// DeleteTask tells the scheduler of a task that this host no longer holds it. A scheduler that does not
// know the task, or the host, is content already.
func (s *Schedulers) DeleteTask(ctx context.Context, id darter.TaskID) error {
	m, err := s.responsible(id)
	if err != nil {
		return err
	}
	err = m.call(ctx, "withdraw task "+id.Short()+" from", func(ctx context.Context, conn *grpc.ClientConn, options ...grpc.CallOption) error {
		_, err := schedulerv2.NewSchedulerClient(conn).DeleteTask(ctx, &schedulerv2.DeleteTaskRequest{HostId: string(s.cfg.Host), TaskId: string(id)}, options...)
		return err
	})
	if err != nil && darter.KindOf(err) == darter.NotFound {
		return nil
	}
	return err
}
