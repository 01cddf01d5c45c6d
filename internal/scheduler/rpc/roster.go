package rpc

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
)

// shown is what the Roster service reads.
type shown interface {
	// HostPage returns hosts from a place on, at most limit, and the place to go on with; -1 at the end.
	HostPage(from, limit int) ([]darter.HostStatus, int)
	// HostStatus also knows hosts of which only a tombstone is left.
	HostStatus(darter.HostID) (darter.HostStatus, bool)
	// EventPage returns events that are kept after a sequence number. Of all hosts it returns at most limit; of one
	// host whatever is kept.
	EventPage(host darter.HostID, after uint64, limit int) eventPage
	Zones() (zones []darter.ZoneStatus, selfHealth float64)
	Policy() darter.PolicyStatus
}

// eventPage is a part of the timeline.
type eventPage struct {
	events []darter.HostEvent
	next   uint64          // the number to go on with
	missed uint64          // events of all hosts that were dropped before the first of these
	run    uint64          // of this scheduler
	more   <-chan struct{} // closed at the next event
}

// changed is what the Operator service changes.
type changed interface {
	DrainHost(id darter.HostID, undo bool, why string) (darter.HostStatus, error)
	ForgetHost(id darter.HostID, force bool, why string) (darter.HostStatus, error)
	ReleaseZone(zone string, confirm bool, lift time.Duration, why string) (darter.ZoneStatus, error)
}

// Bounds of what is read under one lock, and sent within one limit.
const (
	eventsAtOnce = 256
	hostsAtOnce  = 256
)

// rosterService answers what people and the manager ask about hosts.
type rosterService struct {
	darterv1.UnimplementedRosterServer
	shown shown
	// send runs what sends, and gives a caller up who does not read.
	send func(func() error) error
	over <-chan struct{} // closed when streams are to end
}

func (s *rosterService) HostTable(_ *darterv1.HostTableRequest, out grpc.ServerStreamingServer[darterv1.HostStatus]) error {
	for from := 0; from >= 0; {
		var page []darter.HostStatus
		page, from = s.shown.HostPage(from, hostsAtOnce)
		err := s.send(func() error {
			for _, h := range page {
				if err := out.Send(wire.FromHostStatus(h)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *rosterService) ShowHost(_ context.Context, m *darterv1.ShowHostRequest) (*darterv1.HostStatus, error) {
	h, ok := s.shown.HostStatus(darter.HostID(m.GetHostId()))
	if !ok {
		return nil, notFound("show host", "host "+clip(m.GetHostId())+" is not known, and has no tombstone")
	}
	return wire.FromHostStatus(h), nil
}

func (s *rosterService) HostEvents(m *darterv1.HostEventsRequest, out grpc.ServerStreamingServer[darterv1.HostEvent]) error {
	host, after, sent := darter.HostID(m.GetHostId()), m.GetAfter(), false
	resumed := after > 0 // who begins anew misses nothing
	page := s.shown.EventPage(host, after, eventsAtOnce)
	if m.GetRun() != 0 && m.GetRun() != page.run { // the number is of an earlier run
		page = s.shown.EventPage(host, 0, eventsAtOnce)
		page.events = slices.Insert(page.events, 0, darter.HostEvent{Gap: true, Seq: page.missed})
		resumed = false
	}
	for {
		if resumed && page.missed > 0 {
			page.events = slices.Insert(page.events, 0, darter.HostEvent{Gap: true, Seq: after + page.missed, Missed: page.missed})
		}
		if err := s.tell(out, page.run, page.events); err != nil {
			return err
		}
		sent = sent || len(page.events) > 0
		full := host == "" && len(page.events) >= eventsAtOnce
		if !full && !m.GetFollow() {
			if _, known := s.shown.HostStatus(host); host != "" && !sent && !known {
				return notFound("show events", "host "+clip(m.GetHostId())+" is not known, and nothing is noted of it")
			}
			return nil
		}
		if !full {
			select {
			case <-page.more:
			case <-s.over:
				return wire.Status(errStopping())
			case <-out.Context().Done():
				return nil
			}
		}
		after, resumed = page.next, true
		page = s.shown.EventPage(host, after, eventsAtOnce)
	}
}

// tell sends events of a run.
func (s *rosterService) tell(out grpc.ServerStreamingServer[darterv1.HostEvent], run uint64, events []darter.HostEvent) error {
	return s.send(func() error {
		for _, e := range events {
			e.Run = run
			if err := out.Send(wire.FromHostEvent(e)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *rosterService) ListZones(context.Context, *darterv1.ListZonesRequest) (*darterv1.ListZonesResponse, error) {
	zones, health := s.shown.Zones()
	out := &darterv1.ListZonesResponse{SelfHealth: health}
	for _, z := range zones {
		out.Zones = append(out.Zones, wire.FromZoneStatus(z))
	}
	return out, nil
}

func (s *rosterService) ShowPolicy(context.Context, *darterv1.ShowPolicyRequest) (*darterv1.ShowPolicyResponse, error) {
	return wire.FromPolicyStatus(s.shown.Policy()), nil
}

// operatorService carries out what an operator asks. It is served on the scheduler's own socket only: who may open that
// file may ask.
type operatorService struct {
	darterv1.UnimplementedOperatorServer
	changed changed
}

func (s *operatorService) DrainHost(_ context.Context, m *darterv1.DrainHostRequest) (*darterv1.HostStatus, error) {
	h, err := s.changed.DrainHost(darter.HostID(m.GetHostId()), m.GetUndo(), clip(m.GetReason()))
	if err != nil {
		return nil, wire.Status(err)
	}
	return wire.FromHostStatus(h), nil
}

func (s *operatorService) ForgetHost(_ context.Context, m *darterv1.ForgetHostRequest) (*darterv1.HostStatus, error) {
	h, err := s.changed.ForgetHost(darter.HostID(m.GetHostId()), m.GetForce(), clip(m.GetReason()))
	if err != nil {
		return nil, wire.Status(err)
	}
	return wire.FromHostStatus(h), nil
}

func (s *operatorService) ReleaseZone(_ context.Context, m *darterv1.ReleaseZoneRequest) (*darterv1.ZoneStatus, error) {
	lift, err := wire.ToLift(m)
	if err != nil {
		return nil, wire.Status(err)
	}
	z, err := s.changed.ReleaseZone(m.GetZone(), m.GetConfirm(), lift, clip(m.GetReason()))
	if err != nil {
		return nil, wire.Status(err)
	}
	return wire.FromZoneStatus(z), nil
}
