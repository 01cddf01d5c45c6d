package rpc

import (
	"context"
	"encoding/json"
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

// ListSchedulers answers with the schedulers that are alive; with all of one cluster when the caller
// names it, as the reference does. The caller's host name is not checked: nothing here depends on it.
func (s *Server) ListSchedulers(_ context.Context, m *managerv2.ListSchedulersRequest) (*managerv2.ListSchedulersResponse, error) {
	out := &managerv2.ListSchedulersResponse{}
	for _, l := range s.roster.list(m.GetSchedulerClusterId(), time.Now()) {
		if l.alive || m.GetSchedulerClusterId() != 0 {
			out.Schedulers = append(out.Schedulers, message(l.Scheduler, l.alive))
		}
	}
	if s.cfg.Events.Listed != nil {
		to, _ := netip.ParseAddr(m.GetIp())
		s.cfg.Events.Listed(to, len(out.GetSchedulers()))
	}
	return out, nil
}

// GetScheduler answers with one scheduler.
func (s *Server) GetScheduler(_ context.Context, m *managerv2.GetSchedulerRequest) (*managerv2.Scheduler, error) {
	const op = "get scheduler"
	if err := m.Validate(); err != nil {
		return nil, invalid(op, err)
	}
	if m.GetIp() == "" { // older callers name no address
		for _, l := range s.roster.list(m.GetSchedulerClusterId(), time.Now()) {
			if l.Hostname == m.GetHostname() {
				return message(l.Scheduler, l.alive), nil
			}
		}
		return nil, unknown(op, m.GetHostname())
	}
	k, err := keyOf(m.GetSchedulerClusterId(), m.GetHostname(), m.GetIp())
	if err != nil {
		return nil, invalid(op, err)
	}
	found, alive, known := s.roster.get(k, time.Now())
	if !known {
		return nil, unknown(op, m.GetHostname())
	}
	return message(found, alive), nil
}

// UpdateScheduler takes a scheduler's word about itself and lists it for the time to live.
func (s *Server) UpdateScheduler(_ context.Context, m *managerv2.UpdateSchedulerRequest) (*managerv2.Scheduler, error) {
	const op = "update scheduler"
	if err := m.Validate(); err != nil {
		return nil, invalid(op, err)
	}
	k, err := keyOf(m.GetSchedulerClusterId(), m.GetHostname(), m.GetIp())
	if err != nil {
		return nil, invalid(op, err)
	}
	sch := Scheduler{Cluster: k.cluster, Hostname: k.hostname, IP: k.ip, Port: uint16(m.GetPort()),
		IDC: m.GetIdc(), Location: m.GetLocation(), Features: m.GetFeatures()}
	if err := sch.Validate(); err != nil {
		return nil, wire.Status(err)
	}
	sch, joined, err := s.roster.announce(sch, time.Now(), s.cfg.TTL)
	if err != nil {
		return nil, wire.Status(err)
	}
	if joined {
		s.joined(sch)
	}
	return message(sch, true), nil
}

// KeepAlive notes each message as a sign of life of the scheduler it names. The stream may end at any
// time: the scheduler then lives on for the time to live, long enough to connect again.
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
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&emptypb.Empty{})
		}
		if err != nil {
			return err
		}
		if err := m.Validate(); err != nil {
			return invalid(op, err)
		}
		if m.GetSourceType() != managerv2.SourceType_SCHEDULER_SOURCE {
			return invalid(op, errNotScheduler)
		}
		k, err := keyOf(m.GetClusterId(), m.GetHostname(), m.GetIp())
		if err != nil {
			return invalid(op, err)
		}
		sch, known, rejoined := s.roster.touch(k, time.Now(), s.cfg.TTL)
		if !known {
			return unknown(op, m.GetHostname())
		}
		if rejoined {
			s.joined(sch)
		}
	}
}

// ListApplications answers with none: there is no table of applications here yet.
func (s *Server) ListApplications(context.Context, *managerv2.ListApplicationsRequest) (*managerv2.ListApplicationsResponse, error) {
	return &managerv2.ListApplicationsResponse{}, nil
}

// ListSeedPeers answers with none: seeds announce themselves to schedulers.
func (s *Server) ListSeedPeers(context.Context, *managerv2.ListSeedPeersRequest) (*managerv2.ListSeedPeersResponse, error) {
	return &managerv2.ListSeedPeersResponse{}, nil
}

func keyOf(cluster uint64, hostname, ip string) (key, error) {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return key{}, fmt.Errorf("%q is not an IP address", ip)
	}
	return key{max(cluster, 1), hostname, addr.Unmap()}, nil
}

// noConfig parses to "no rules" in a plain Dragonfly daemon; an empty text would be logged as an error.
const noConfig = "{}"

func message(s Scheduler, alive bool) *managerv2.Scheduler {
	state := "inactive"
	if alive {
		state = "active"
	}
	features, err := json.Marshal(s.Features)
	if err != nil { // texts always marshal
		features = []byte("[]")
	}
	return &managerv2.Scheduler{
		Id: s.ID, Hostname: s.Hostname, Idc: optional(s.IDC), Location: optional(s.Location), Ip: s.IP.String(), Port: int32(s.Port),
		State: state, SchedulerClusterId: s.Cluster, Features: features,
		SchedulerCluster: &managerv2.SchedulerCluster{
			Id: s.Cluster, Name: fmt.Sprintf("cluster-%d", s.Cluster),
			Config: []byte(noConfig), ClientConfig: []byte(noConfig), Scopes: []byte(noConfig), SeedClientConfig: []byte(noConfig),
		},
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
