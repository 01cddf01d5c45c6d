package rest

import (
	"context"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/rest"
)

// Host is a host as all schedulers together see it.
type Host struct {
	ID        string        `json:"id"`
	Cluster   string        `json:"cluster" doc:"id"`
	Hostname  string        `json:"hostname"`
	IP        string        `json:"ip"`
	Kind      string        `json:"kind" enum:"normal,seed"`
	Verdict   string        `json:"verdict" enum:"alive,late,suspect,draining,offline,left,forgotten"`
	Since     time.Time     `json:"since" doc:"of the verdict"`
	Epoch     int64         `json:"epoch" doc:"one run of its daemon; 0 when not told"`
	FirstSeen time.Time     `json:"first_seen"`
	Seen      time.Time     `json:"seen" doc:"last sign of life"`
	Body      rest.Document `json:"body" doc:"what it says of itself"`
}

func host(h catalog.Host) Host {
	return Host{ID: h.ID, Cluster: h.Cluster, Hostname: h.Hostname, IP: h.IP, Kind: h.Kind, Verdict: string(h.Verdict), Since: h.Since.UTC(), Epoch: h.Epoch,
		FirstSeen: h.FirstSeen.UTC(), Seen: h.Seen.UTC(), Body: rest.Document(h.Body)}
}

// HostEvent is one step of a host's life.
type HostEvent struct {
	ID       string    `json:"id"`
	Host     string    `json:"host"`
	At       time.Time `json:"at"`
	Epoch    int64     `json:"epoch"`
	Verdict  string    `json:"verdict"`
	Before   string    `json:"before,omitempty"`
	Reporter string    `json:"reporter" doc:"the scheduler that said so"`
	Detail   string    `json:"detail,omitempty"`
}

// HostID is the path of one host.
type HostID struct {
	ID string `path:"id" maxLength:"255"`
}

type hostOut struct{ Body Host }

func (s *shelf) hosts() {
	op := func(method, path, id, summary, permission string) rest.Operation {
		return rest.Operation{Method: method, Path: path, ID: id, Tag: "hosts", Summary: summary, Access: rest.NeedSomewhere(permission)}
	}
	list := op("GET", "/v1/hosts", "list-hosts", "List hosts", "host.read")
	list.Doc = "Filter: `cluster`, `verdict`, `kind`."
	rest.Add(s.api, list, s.listHosts)
	rest.Add(s.api, op("GET", "/v1/hosts/{id}", "get-host", "Get a host", "host.read"), func(ctx context.Context, in *HostID) (*hostOut, error) {
		h, err := s.host(ctx, in.ID, "host.read")
		return &hostOut{host(h)}, err
	})
	rest.Add(s.api, op("GET", "/v1/hosts/{id}/events", "list-host-events", "List what happened to a host, the newest first", "host.read"), s.listHostEvents)
	for _, o := range []struct {
		verb, summary string
		on            bool
	}{{"drain", "Offer a host as a parent no more", true}, {"undrain", "Offer a host as a parent again", false}} {
		order := op("POST", "/v1/hosts/{id}:"+o.verb, o.verb+"-host", o.summary, "host.write")
		order.NoDryRun = true
		rest.Add(s.api, order, func(ctx context.Context, in *struct {
			HostID
			Because
		}) (*hostOut, error) {
			return s.order(ctx, in.ID, o.verb, in.Reason, func(h catalog.Host) error { return s.Orders.Drain(ctx, h, o.on, in.Reason) })
		})
	}
	forget := op("POST", "/v1/hosts/{id}:forget", "forget-host", "Forget a host that is gone", "host.write")
	forget.NoDryRun = true
	rest.Add(s.api, forget, func(ctx context.Context, in *struct {
		HostID
		Because
		Force bool `query:"force" doc:"also one that is still heard of"`
	}) (*hostOut, error) {
		return s.order(ctx, in.ID, "forget", in.Reason, func(h catalog.Host) error { return s.Orders.Forget(ctx, h, in.Force, in.Reason) })
	})
}

func (s *shelf) host(ctx context.Context, id, permission string) (catalog.Host, error) {
	h, err := s.Catalog.Host(ctx, id)
	if err == nil {
		err = s.in(ctx, permission, h.Cluster, "host")
	}
	return h, err
}

// order gives an order and records what came of it.
func (s *shelf) order(ctx context.Context, id, verb, reason string, give func(catalog.Host) error) (*hostOut, error) {
	h, err := s.host(ctx, id, "host.write")
	if err != nil {
		return nil, err
	}
	if s.Orders == nil {
		return nil, cannot("give orders to hosts")
	}
	result, caller := darter.AuditDone, s.api.Caller(ctx)
	given := give(h)
	if given != nil {
		result = darter.AuditFailed
	}
	err = s.DB.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		return s.Catalog.Record(ctx, tx, darter.AuditEvent{Actor: caller.Actor, Action: "host." + verb, Resource: "hosts/" + id, Result: result, Request: caller.Request, Reason: reason})
	})
	if given != nil {
		return nil, given
	}
	if err != nil {
		return nil, err
	}
	h, err = s.Catalog.Host(ctx, id)
	return &hostOut{host(h)}, err
}

func (s *shelf) listHosts(ctx context.Context, in *listing) (*rest.Listed[Host], error) {
	f, err := rest.ParseFilter(in.Filter, "cluster", "verdict", "kind")
	if err != nil {
		return nil, err
	}
	caller := s.api.Caller(ctx)
	id := func(h Host) string { return h.ID }
	return rest.List(ctx, s.api, in.Page, seen(func(after string, limit int) ([]Host, error) {
		all, err := s.Catalog.Hosts(ctx, catalog.HostFilter{Cluster: f.Value("cluster"), Verdict: catalog.Verdict(f.Value("verdict")), Kind: f.Value("kind"), After: after, Limit: limit})
		out := make([]Host, len(all))
		for i, h := range all {
			out[i] = host(h)
		}
		return out, err
	}, id, func(h Host) bool { return caller.Sees("host.read", h.Cluster) }), id)
}

func (s *shelf) listHostEvents(ctx context.Context, in *struct {
	HostID
	rest.Page
}) (*rest.Listed[HostEvent], error) {
	if _, err := s.host(ctx, in.ID, "host.read"); err != nil {
		return nil, err
	}
	return rest.List(ctx, s.api, in.Page, func(after string, limit int) ([]HostEvent, error) {
		all, err := s.Catalog.HostEvents(ctx, in.ID, after, limit)
		out := make([]HostEvent, len(all))
		for i, e := range all {
			out[i] = HostEvent{ID: e.ID, Host: e.Host, At: e.At.UTC(), Epoch: e.Epoch, Verdict: string(e.Verdict), Before: string(e.Before), Reporter: e.Reporter, Detail: e.Detail}
		}
		return out, err
	}, func(e HostEvent) string { return e.ID })
}
