package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/rest"
)

// Member is a scheduler or a seed peer of a cluster.
type Member struct {
	ID           string    `json:"id"`
	CompatID     int64     `json:"compat_id" doc:"its number for Dragonfly's tools"`
	Cluster      string    `json:"cluster" doc:"id"`
	Hostname     string    `json:"hostname"`
	IP           string    `json:"ip"`
	Port         int       `json:"port"`
	DownloadPort int       `json:"download_port,omitempty"`
	IDC          string    `json:"idc"`
	Location     string    `json:"location"`
	Features     []string  `json:"features"`
	State        string    `json:"state" enum:"active,inactive"`
	Draining     bool      `json:"draining" doc:"alive, but gets no new work"`
	Seen         time.Time `json:"seen"`
	Version      int64     `json:"version"`
	Created      time.Time `json:"created"`
	Updated      time.Time `json:"updated"`
}

func member(m catalog.Member) Member {
	features := m.Features
	if features == nil {
		features = []string{}
	}
	return Member{ID: m.ID, CompatID: m.CompatID, Cluster: m.Cluster, Hostname: m.Hostname, IP: m.IP.String(), Port: m.Port, DownloadPort: m.DownloadPort, IDC: m.IDC,
		Location: m.Location, Features: features, State: string(m.State), Draining: m.Draining, Seen: m.Seen.UTC(), Version: m.Version, Created: m.Created.UTC(), Updated: m.Updated.UTC()}
}

// MemberID is the path of one scheduler or seed peer.
type MemberID struct {
	ID string `path:"id" maxLength:"64"`
}

type memberOut struct{ Body Member }

// Because is the body of an order.
type Because struct {
	Reason string `query:"reason" maxLength:"4096" doc:"why, for the history"`
}

func (s *shelf) members(path, noun string, kind catalog.MemberKind) {
	op := func(method, path, id, summary, permission string) rest.Operation {
		return rest.Operation{Method: method, Path: path, ID: id, Tag: noun + "s", Summary: summary, Access: rest.NeedSomewhere(permission)}
	}
	list := op("GET", path, "list-"+noun+"s", "List "+noun+"s", "scheduler.read")
	list.Doc = "Filter: `cluster`, `state`."
	rest.Add(s.api, list, func(ctx context.Context, in *listing) (*rest.Listed[Member], error) {
		return s.listMembers(ctx, in, kind)
	})
	rest.Add(s.api, op("GET", path+"/{id}", "get-"+noun, "Get a "+noun, "scheduler.read"), func(ctx context.Context, in *MemberID) (*memberOut, error) {
		m, err := s.member(ctx, in.ID, "scheduler.read", kind)
		return &memberOut{member(m)}, err
	})
	for _, order := range []struct {
		verb, summary string
		on            bool
	}{{"drain", "Give a " + noun + " no new work", true}, {"resume", "Give a " + noun + " work again", false}} {
		rest.Add(s.api, op("POST", path+"/{id}:"+order.verb, order.verb+"-"+noun, order.summary, "scheduler.write"), func(ctx context.Context, in *struct {
			MemberID
			Because
		}) (*memberOut, error) {
			if _, err := s.member(ctx, in.ID, "scheduler.write", kind); err != nil {
				return nil, err
			}
			caller := s.api.Caller(ctx)
			if err := s.Catalog.Drain(ctx, in.ID, order.on, catalog.Edit{Actor: caller.Actor, Request: caller.Request, Reason: in.Reason}); err != nil {
				return nil, err
			}
			m, err := s.Catalog.Member(ctx, in.ID)
			return &memberOut{member(m)}, err
		})
	}
	rest.Add(s.api, op("DELETE", path+"/{id}", "forget-"+noun, "Forget a "+noun+" that is inactive", "scheduler.write"), func(ctx context.Context, in *struct {
		MemberID
		Because
	}) (*none, error) {
		if _, err := s.member(ctx, in.ID, "scheduler.write", kind); err != nil {
			return nil, err
		}
		caller := s.api.Caller(ctx)
		return nil, s.Catalog.RemoveMember(ctx, in.ID, catalog.Edit{Actor: caller.Actor, Request: caller.Request, Reason: in.Reason})
	})
}

// member returns a member of the kind if the caller may.
func (s *shelf) member(ctx context.Context, id, permission string, kind catalog.MemberKind) (catalog.Member, error) {
	m, err := s.Catalog.Member(ctx, id)
	if err == nil && m.Kind != kind {
		err = rest.Refusal(http.StatusNotFound, rest.NotFound, "there is no such member")
	}
	if err == nil {
		err = s.in(ctx, permission, m.Cluster, "member")
	}
	return m, err
}

func (s *shelf) listMembers(ctx context.Context, in *listing, kind catalog.MemberKind) (*rest.Listed[Member], error) {
	f, err := rest.ParseFilter(in.Filter, "cluster", "state")
	if err != nil {
		return nil, err
	}
	caller := s.api.Caller(ctx)
	id := func(m Member) string { return m.ID }
	return rest.List(ctx, s.api, in.Page, seen(func(after string, limit int) ([]Member, error) {
		all, err := s.Catalog.Members(ctx, catalog.MemberFilter{Kind: kind, Cluster: f.Value("cluster"), State: catalog.MemberState(f.Value("state")), After: after, Limit: limit})
		out := make([]Member, len(all))
		for i, m := range all {
			out[i] = member(m)
		}
		return out, err
	}, id, func(m Member) bool { return caller.Sees("scheduler.read", m.Cluster) }), id)
}
