package rpc

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
)

// Roll is what a scheduler thinks of hosts, and what can be ordered of it. Errors of orders are darter.Errors.
type Roll interface {
	HostTable() []darter.HostStatus
	HostStatus(id darter.HostID) (darter.HostStatus, bool)
	// HostEventsAfter returns at most limit events after a sequence number, the number to go on with, and a channel that is
	// closed at the next one.
	HostEventsAfter(after uint64, limit int) (events []darter.HostEvent, next uint64, more <-chan struct{})

	DrainHost(id darter.HostID, undo bool, why string) error
	ForgetHost(id darter.HostID, force bool, why string) error
	ReleaseZone(zone string, confirm bool, lift time.Duration, why string) error
}

// TellConfig is what a teller needs.
type TellConfig struct {
	Roll    Roll                                                // required
	Dial    func(ctx context.Context) (*grpc.ClientConn, error) // required; to some manager. The teller closes it
	ID      string                                              // required; of the scheduler, as in its control stream
	Cluster uint64                                              // required
	Table   time.Duration                                       // between two whole tables; default 5m
	Vouch   time.Duration                                       // between two words that all still holds; default 30s
	Gather  time.Duration                                       // least time between two reports of changes; default 1s
	First   time.Duration                                       // wait after the first failure; default 500ms
	Most    time.Duration                                       // longest such wait; default 30s
	Events  TellEvents
}

// TellEvents tells what happened. Any may be nil.
type TellEvents struct {
	Broken  func(err error)                         // it is tried again
	Told    func(hosts int, whole bool)             // one report left
	Ordered func(what, whom, why string, err error) // an order of the manager was carried out, or not
}

// Teller keeps a manager informed of hosts, and carries out its orders.
type Teller struct {
	cfg TellConfig
}

// NewTeller checks the configuration. Run runs it.
func NewTeller(cfg TellConfig) (*Teller, error) {
	for _, d := range []struct {
		at *time.Duration
		by time.Duration
	}{{&cfg.Table, 5 * time.Minute}, {&cfg.Vouch, 30 * time.Second}, {&cfg.Gather, time.Second}, {&cfg.First, 500 * time.Millisecond}, {&cfg.Most, 30 * time.Second}} {
		if *d.at == 0 {
			*d.at = d.by
		}
		if *d.at < 0 {
			return nil, &darter.Error{Kind: darter.Invalid, Op: "check manager settings", Err: errors.New("a duration is negative")}
		}
	}
	if cfg.Roll == nil || cfg.Dial == nil || cfg.ID == "" || cfg.Cluster == 0 {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "check manager settings", Err: errors.New("hosts, dial function, id or cluster is missing")}
	}
	return &Teller{cfg: cfg}, nil
}

// Bounds of one report, and of what is read under the scheduler's lock.
const (
	reportHosts = 200
	eventPage   = 256
)

// telling is one stream.
type telling struct {
	t      *Teller
	stream darterv1.Hosts_TellClient
	after  uint64 // events up to here were told of
}

// table sends all hosts. What changes meanwhile is told afterwards: the events since before it began.
func (c *telling) table() error {
	_, c.after, _ = c.t.cfg.Roll.HostEventsAfter(c.after, 1<<30) // the table says what these led to
	all := c.t.cfg.Roll.HostTable()
	if len(all) == 0 {
		return c.send(nil, true)
	}
	for part := range slices.Chunk(all, reportHosts) {
		whole := &part[len(part)-1] == &all[len(all)-1]
		if err := c.send(part, whole); err != nil {
			return err
		}
	}
	return nil
}

// changes sends the hosts that something happened to since the last time, as they are now.
func (c *telling) changes() error {
	touched := map[darter.HostID]bool{}
	for {
		events, next, _ := c.t.cfg.Roll.HostEventsAfter(c.after, eventPage)
		for _, e := range events {
			touched[e.Host] = true
		}
		c.after = next
		if len(events) < eventPage {
			break
		}
	}
	var hosts []darter.HostStatus
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		if s, known := c.t.cfg.Roll.HostStatus(id); known {
			hosts = append(hosts, s)
		}
	}
	for part := range slices.Chunk(hosts, reportHosts) {
		if err := c.send(part, false); err != nil {
			return err
		}
	}
	return nil
}

// pending returns a channel that is closed once there is something to tell of: at once when there is already.
func (c *telling) pending() <-chan struct{} {
	events, _, more := c.t.cfg.Roll.HostEventsAfter(c.after, 1)
	if len(events) == 0 {
		return more
	}
	now := make(chan struct{})
	close(now)
	return now
}

func (c *telling) send(hosts []darter.HostStatus, whole bool) error {
	m := &darterv1.HostsReport{Whole: whole}
	for _, h := range hosts {
		m.Hosts = append(m.Hosts, wire.FromHostStatus(h))
	}
	if err := c.stream.Send(m); err != nil {
		return err
	}
	if c.t.cfg.Events.Told != nil {
		c.t.cfg.Events.Told(len(hosts), whole)
	}
	return nil
}

// obey carries out an order and answers.
func (c *telling) obey(m *darterv1.HostsOrder) error {
	what, whom, why, err := c.t.carryOut(m)
	if c.t.cfg.Events.Ordered != nil {
		c.t.cfg.Events.Ordered(what, whom, why, err)
	}
	answer := &darterv1.HostsAnswer{Id: m.GetId()}
	if err != nil {
		answer.Error = err.Error()
	}
	return c.stream.Send(&darterv1.HostsReport{Answers: []*darterv1.HostsAnswer{answer}})
}

func (t *Teller) carryOut(m *darterv1.HostsOrder) (what, whom, why string, err error) {
	switch o := m.GetWhat().(type) {
	case *darterv1.HostsOrder_Drain:
		return "drain", o.Drain.GetHostId(), o.Drain.GetReason(), t.cfg.Roll.DrainHost(darter.HostID(o.Drain.GetHostId()), o.Drain.GetUndo(), o.Drain.GetReason())
	case *darterv1.HostsOrder_Forget:
		return "forget", o.Forget.GetHostId(), o.Forget.GetReason(), t.cfg.Roll.ForgetHost(darter.HostID(o.Forget.GetHostId()), o.Forget.GetForce(), o.Forget.GetReason())
	case *darterv1.HostsOrder_Release:
		lift, err := wire.ToLift(o.Release)
		if err == nil {
			err = t.cfg.Roll.ReleaseZone(o.Release.GetZone(), o.Release.GetConfirm(), lift, o.Release.GetReason())
		}
		return "release", o.Release.GetZone(), o.Release.GetReason(), err
	}
	return "unknown", "", "", &darter.Error{Kind: darter.Invalid, Op: "carry out order", Err: errors.New("this scheduler does not know such orders")}
}
