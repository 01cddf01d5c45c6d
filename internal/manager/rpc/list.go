package rpc

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"

	"github.com/darter-p2p/darter/internal/manager/affinity"
)

// usable reports whether daemons may be sent to a scheduler.
func (m Member) usable() bool {
	return m.Active && !m.Draining && (len(m.Features) == 0 || slices.Contains(m.Features, "schedule"))
}

// schedulers returns those of a cluster that daemons may be sent to.
func (v *view) schedulers(cluster uint64) (out []Member) {
	for _, m := range v.Members {
		if m.Kind == SchedulerKind && m.Cluster == cluster && m.usable() {
			out = append(out, m)
		}
	}
	return out
}

// ListSchedulers answers with the schedulers that daemons may use, those of the clusters that fit the caller best
// first. When the caller names its cluster it gets all of that one, with their states, as in the reference; only
// those that are drained are kept from it. The caller's host name is not checked: it is only compared.
func (s *Server) ListSchedulers(_ context.Context, m *managerv2.ListSchedulersRequest) (*managerv2.ListSchedulersResponse, error) {
	v, out := s.view.Load(), &managerv2.ListSchedulersResponse{}
	if cluster := m.GetSchedulerClusterId(); cluster != 0 {
		for _, member := range v.Members {
			if member.Kind == SchedulerKind && member.Cluster == cluster && !member.Draining {
				out.Schedulers = append(out.Schedulers, v.scheduler(member, false))
			}
		}
	} else {
		ip, _ := netip.ParseAddr(m.GetIp())
		for _, c := range v.searcher.Rank(affinity.Asker{IP: ip, Hostname: m.GetHostname(), IDC: m.GetIdc(), Location: m.GetLocation()}) {
			for _, member := range v.schedulers(c.Cluster) {
				out.Schedulers = append(out.Schedulers, v.scheduler(member, true))
			}
		}
	}
	if s.cfg.Events.Listed != nil {
		to, _ := netip.ParseAddr(m.GetIp())
		s.cfg.Events.Listed(to, len(out.GetSchedulers()))
	}
	return out, nil
}

// find returns a member. Older callers name no address.
func (v *view) find(kind Kind, cluster uint64, hostname, ip string) (Member, bool) {
	at, err := netip.ParseAddr(ip)
	for _, m := range v.Members {
		if m.Kind == kind && m.Cluster == max(cluster, 1) && m.Hostname == hostname && (ip == "" || err == nil && m.IP == at.Unmap()) {
			return m, true
		}
	}
	return Member{}, false
}

// GetScheduler answers with one scheduler.
func (s *Server) GetScheduler(ctx context.Context, m *managerv2.GetSchedulerRequest) (*managerv2.Scheduler, error) {
	const op = "get scheduler"
	if err := m.Validate(); err != nil {
		return nil, invalid(op, err)
	}
	found, known := s.fresh(ctx, SchedulerKind, m.GetSchedulerClusterId(), m.GetHostname(), m.GetIp())
	if !known {
		return nil, unknown(op, SchedulerKind, m.GetHostname())
	}
	return s.view.Load().scheduler(found, true), nil
}

// GetSeedPeer answers with one seed peer, and the schedulers of its cluster.
func (s *Server) GetSeedPeer(ctx context.Context, m *managerv2.GetSeedPeerRequest) (*managerv2.SeedPeer, error) {
	const op = "get seed peer"
	if err := m.Validate(); err != nil {
		return nil, invalid(op, err)
	}
	found, known := s.fresh(ctx, SeedKind, m.GetSeedPeerClusterId(), m.GetHostname(), m.GetIp())
	if !known {
		return nil, unknown(op, SeedKind, m.GetHostname())
	}
	v := s.view.Load()
	out := v.seed(found)
	for _, sch := range v.schedulers(found.Cluster) {
		out.Schedulers = append(out.Schedulers, v.scheduler(sch, false))
	}
	return out, nil
}

// fresh looks a second time, at the rows: the member may have announced itself to another manager a moment ago.
func (s *Server) fresh(ctx context.Context, kind Kind, cluster uint64, hostname, ip string) (Member, bool) {
	found, known := s.view.Load().find(kind, cluster, hostname, ip)
	if !known && s.Renew(ctx) == nil {
		found, known = s.view.Load().find(kind, cluster, hostname, ip)
	}
	return found, known
}

// ListSeedPeers answers with the active seed peers of all clusters.
func (s *Server) ListSeedPeers(_ context.Context, m *managerv2.ListSeedPeersRequest) (*managerv2.ListSeedPeersResponse, error) {
	if err := m.Validate(); err != nil {
		return nil, invalid("list seed peers", err)
	}
	v, out := s.view.Load(), &managerv2.ListSeedPeersResponse{}
	for _, member := range v.Members {
		if member.Kind == SeedKind && member.Active && !member.Draining {
			out.SeedPeers = append(out.SeedPeers, v.seed(member))
		}
	}
	return out, nil
}

// ListApplications answers with all applications.
func (s *Server) ListApplications(context.Context, *managerv2.ListApplicationsRequest) (*managerv2.ListApplicationsResponse, error) {
	out := &managerv2.ListApplicationsResponse{}
	for _, a := range s.view.Load().Applications {
		out.Applications = append(out.Applications, &managerv2.Application{Id: a.ID, Name: a.Name, Url: a.URL, Bio: a.Bio, Priority: priority(a.Priority)})
	}
	return out, nil
}

// priority reads a document that was checked when it was stored; what does not parse is the lowest urgency that
// Dragonfly has, which is its default.
func priority(raw json.RawMessage) *managerv2.ApplicationPriority {
	var doc struct {
		Value int32 `json:"value"`
		URLs  []struct {
			Regex string `json:"regex"`
			Value int32  `json:"value"`
		} `json:"urls"`
	}
	out := &managerv2.ApplicationPriority{}
	if len(raw) == 0 || json.Unmarshal(raw, &doc) != nil {
		return out
	}
	out.Value = level(doc.Value)
	for _, u := range doc.URLs {
		if u.Regex != "" {
			out.Urls = append(out.Urls, &managerv2.URLPriority{Regex: u.Regex, Value: level(u.Value)})
		}
	}
	return out
}

func level(n int32) commonv2.Priority {
	if _, known := commonv2.Priority_name[n]; !known {
		return commonv2.Priority_LEVEL0
	}
	return commonv2.Priority(n)
}
