package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

// maxMembers bounds how many members of a kind can announce themselves.
const maxMembers = 1024

// UpdateScheduler takes a scheduler's word about itself and lists it for the time to live.
func (s *Server) UpdateScheduler(ctx context.Context, m *managerv2.UpdateSchedulerRequest) (*managerv2.Scheduler, error) {
	const op = "update scheduler"
	if err := m.Validate(); err != nil {
		return nil, invalid(op, err)
	}
	known, err := s.announce(ctx, op, m.GetIp(), Member{Kind: SchedulerKind, Cluster: m.GetSchedulerClusterId(), Hostname: m.GetHostname(), Port: uint16(m.GetPort()),
		IDC: m.GetIdc(), Location: m.GetLocation(), Features: m.GetFeatures()})
	if err != nil {
		return nil, err
	}
	return s.view.Load().scheduler(known, true), nil
}

// UpdateSeedPeer takes a seed peer's word about itself.
func (s *Server) UpdateSeedPeer(ctx context.Context, m *managerv2.UpdateSeedPeerRequest) (*managerv2.SeedPeer, error) {
	const op = "update seed peer"
	if err := m.Validate(); err != nil {
		return nil, invalid(op, err)
	}
	known, err := s.announce(ctx, op, m.GetIp(), Member{Kind: SeedKind, Cluster: m.GetSeedPeerClusterId(), Hostname: m.GetHostname(), Port: uint16(m.GetPort()),
		DownloadPort: uint16(m.GetDownloadPort()), IDC: m.GetIdc(), Location: m.GetLocation()})
	if err != nil {
		return nil, err
	}
	return s.view.Load().seed(known), nil
}

func (s *Server) announce(ctx context.Context, op, ip string, m Member) (Member, error) {
	at, err := netip.ParseAddr(ip)
	if err != nil {
		return m, invalid(op, fmt.Errorf("%q is not an IP address", ip))
	}
	m.IP = at.Unmap()
	if err := m.Validate(); err != nil {
		return m, wire.Status(err)
	}
	if len(m.Features) > 64 || len(m.IDC) > 1024 || len(m.Location) > 1024 {
		return m, invalid(op, errors.New("it says too much of itself"))
	}
	v := s.view.Load()
	if _, known := v.find(m.Kind, m.Cluster, m.Hostname, m.IP.String()); !known && v.count(m.Kind) >= maxMembers {
		return m, wire.Status(&darter.Error{Kind: darter.Unavailable, Op: op, Err: fmt.Errorf("%d members are known already", maxMembers), Hint: "remove those that are gone"})
	}
	known, err := s.cfg.Book.Announce(ctx, m)
	if err != nil {
		return m, wire.Status(err)
	}
	_ = s.Renew(ctx) // Blind tells; it is written down all the same
	return known, nil
}

func (v *view) count(kind Kind) (n int) {
	for _, m := range v.Members {
		if m.Kind == kind {
			n++
		}
	}
	return n
}

// DeleteSeedPeer takes a seed peer's farewell. One that is not known has left already.
func (s *Server) DeleteSeedPeer(ctx context.Context, m *managerv2.DeleteSeedPeerRequest) (*emptypb.Empty, error) {
	const op = "delete seed peer"
	if err := m.Validate(); err != nil {
		return nil, invalid(op, err)
	}
	if found, known := s.fresh(ctx, SeedKind, m.GetSeedPeerClusterId(), m.GetHostname(), m.GetIp()); known {
		if err := s.cfg.Book.Remove(ctx, found.Key()); err != nil && darter.KindOf(err) != darter.NotFound {
			return nil, wire.Status(err)
		}
		_ = s.Renew(ctx) // Blind tells
	}
	return &emptypb.Empty{}, nil
}

// KeepAlive notes each message as a sign of life of the member it names. The stream may end at any time: the member
// then lives on for the time to live, long enough to connect again.
func (s *Server) KeepAlive(stream managerv2.Manager_KeepAliveServer) error {
	heard := make(chan error, 1)
	s.hearing.Go(func() { heard <- s.hear(stream) }) // ends with the stream, at the latest when this call returns
	select {
	case err := <-heard:
		return err
	case <-s.stopping:
		return wire.Status(&darter.Error{Kind: darter.Unavailable, Op: "keep alive", Err: errors.New("the manager is stopping")})
	}
}

func (s *Server) hear(stream managerv2.Manager_KeepAliveServer) error {
	const op = "keep alive"
	var last Key
	var written time.Time
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&emptypb.Empty{})
		}
		if err != nil {
			return err
		}
		k, err := s.speaker(stream.Context(), op, m)
		if err != nil {
			return err
		}
		if k == last && time.Since(written) < s.cfg.TTL/5 {
			continue // it is known to live: one row less to write
		}
		switch err := s.cfg.Book.KeepAlive(stream.Context(), k); {
		case err == nil:
			last, written = k, time.Now()
		case darter.KindOf(err) == darter.NotFound:
			return unknown(op, k.Kind, k.Hostname)
		case darter.KindOf(err) == darter.Unavailable || darter.KindOf(err) == darter.TimedOut:
			// The database is away for a moment: the next message is written.
		default:
			return wire.Status(err)
		}
	}
}

// speaker says whom a sign of life is of.
func (s *Server) speaker(ctx context.Context, op string, m *managerv2.KeepAliveRequest) (Key, error) {
	if err := m.Validate(); err != nil {
		return Key{}, invalid(op, err)
	}
	kind := SchedulerKind
	switch m.GetSourceType() {
	case managerv2.SourceType_SCHEDULER_SOURCE:
	case managerv2.SourceType_SEED_PEER_SOURCE:
		kind = SeedKind
	default:
		return Key{}, invalid(op, errNotMember)
	}
	if at, err := netip.ParseAddr(m.GetIp()); err == nil {
		return Key{kind, m.GetClusterId(), m.GetHostname(), at.Unmap()}, nil
	}
	found, known := s.fresh(ctx, kind, m.GetClusterId(), m.GetHostname(), "")
	if !known {
		return Key{}, unknown(op, kind, m.GetHostname())
	}
	return found.Key(), nil
}
