package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
)

// shown is what the Roster service reads.
type shown interface {
	HostTable() []darter.HostStatus
	// HostStatus also knows hosts of which only a tombstone is left.
	HostStatus(darter.HostID) (darter.HostStatus, bool)
	// EventsAfter returns events that are kept after a sequence number, the number to go on with, and a channel that is
	// closed at the next event. Of all hosts it returns at most limit; of one host whatever is kept.
	EventsAfter(host darter.HostID, after uint64, limit int) (events []darter.HostEvent, next uint64, more <-chan struct{})
	Zones() (zones []darter.ZoneStatus, selfHealth float64)
	Policy() darter.PolicyStatus
}

// changed is what the Operator service changes.
type changed interface {
	DrainHost(id darter.HostID, undo bool, why string) (darter.HostStatus, error)
	ForgetHost(id darter.HostID, force bool, why string) (darter.HostStatus, error)
	ReleaseZone(zone string, confirm bool, lift time.Duration, why string) (darter.ZoneStatus, error)
}

// eventPage bounds how many events are read under one lock.
const eventPage = 256

// rosterService answers what people and the manager ask about hosts.
type rosterService struct {
	darterv1.UnimplementedRosterServer
	shown shown
}

func (s *rosterService) HostTable(_ *darterv1.HostTableRequest, out grpc.ServerStreamingServer[darterv1.HostStatus]) error {
	for _, h := range s.shown.HostTable() {
		if err := out.Send(wire.FromHostStatus(h)); err != nil {
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
	after, sent := m.GetAfter(), false
	for {
		events, next, more := s.shown.EventsAfter(darter.HostID(m.GetHostId()), after, eventPage)
		for _, e := range events {
			if err := out.Send(wire.FromHostEvent(e)); err != nil {
				return err
			}
			sent = true
		}
		after = next
		if m.GetHostId() == "" && len(events) == eventPage {
			continue
		}
		if !m.GetFollow() {
			if _, known := s.shown.HostStatus(darter.HostID(m.GetHostId())); m.GetHostId() != "" && !sent && !known {
				return notFound("show events", "host "+clip(m.GetHostId())+" is not known, and nothing is noted of it")
			}
			return nil
		}
		select {
		case <-more:
		case <-out.Context().Done():
			return nil
		}
	}
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
