package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"time"

	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/rest"
)

// ClusterSpec is what is said of a cluster.
type ClusterSpec struct {
	Name      string        `json:"name" minLength:"1" maxLength:"100"`
	Bio       string        `json:"bio,omitempty" maxLength:"1000"`
	Default   bool          `json:"default,omitempty" doc:"where daemons go that no scope fits; one cluster is it"`
	Scopes    Scopes        `json:"scopes,omitempty"`
	Scheduler rest.Document `json:"scheduler,omitempty" doc:"configuration for its schedulers"`
	Client    rest.Document `json:"client,omitempty" doc:"configuration for its daemons"`
}

// Scopes say which daemons belong to a cluster.
type Scopes struct {
	IDC       string   `json:"idc,omitempty" maxLength:"1000" example:"eu-1|eu-2"`
	Location  string   `json:"location,omitempty" maxLength:"1000" example:"de|berlin|rack-7"`
	CIDRs     []string `json:"cidrs,omitempty" maxItems:"1000" example:"[\"10.0.0.0/8\"]"`
	Hostnames []string `json:"hostnames,omitempty" maxItems:"1000" doc:"regular expressions"`
}

// Cluster is a set of schedulers, seeds and daemons that know one another.
type Cluster struct {
	ID       string `json:"id"`
	CompatID int64  `json:"compat_id" doc:"its number for Dragonfly's tools"`
	ClusterSpec
	Version int64     `json:"version"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

func (s ClusterSpec) spec() catalog.ClusterSpec {
	return catalog.ClusterSpec{Name: s.Name, Bio: s.Bio, Default: s.Default, Scheduler: json.RawMessage(s.Scheduler), Client: json.RawMessage(s.Client),
		Scopes: catalog.Scopes{IDC: s.Scopes.IDC, Location: s.Scopes.Location, CIDRs: s.Scopes.CIDRs, Hostnames: s.Scopes.Hostnames}}
}

func cluster(c catalog.Cluster) Cluster {
	return Cluster{ID: c.ID, CompatID: c.CompatID, Version: c.Version, Created: c.Created.UTC(), Updated: c.Updated.UTC(),
		ClusterSpec: ClusterSpec{Name: c.Name, Bio: c.Bio, Default: c.Default, Scheduler: rest.Document(c.Scheduler), Client: rest.Document(c.Client),
			Scopes: Scopes{IDC: c.Scopes.IDC, Location: c.Scopes.Location, CIDRs: c.Scopes.CIDRs, Hostnames: c.Scopes.Hostnames}}}
}

type clusterOut struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     Cluster
}

func clusterAnswer(c catalog.Cluster, err error) (*clusterOut, error) {
	if err != nil {
		return nil, err
	}
	return &clusterOut{Location: "/v1/clusters/" + c.ID, ETag: rest.Quoted(c.ETag), Body: cluster(c)}, nil
}

// ClusterID is the path of one cluster.
type ClusterID struct {
	ID string `path:"cluster" maxLength:"64"`
}

func (c ClusterID) document() string { return c.ID }

type putCluster struct {
	ClusterID
	Change
	Body ClusterSpec
}

type patchCluster struct {
	ClusterID
	Change
	Body rest.Document `contentType:"application/merge-patch+json"`
}

type rollbackBody struct {
	Version int64 `json:"version" minimum:"1" doc:"what is to hold again"`
}

func (s *shelf) clusters() {
	const path, one = "/v1/clusters", "/v1/clusters/{cluster}"
	read, write := rest.NeedIn("cluster.read", "cluster"), rest.NeedIn("cluster.write", "cluster")
	op := func(method, path, id, summary string, access rest.Access) rest.Operation {
		return rest.Operation{Method: method, Path: path, ID: id, Tag: "clusters", Summary: summary, Access: access}
	}
	rest.Add(s.api, op("GET", path, "list-clusters", "List clusters", rest.NeedSomewhere("cluster.read")), s.listClusters)
	create := op("POST", path, "create-cluster", "Create a cluster", rest.Need("cluster.write"))
	create.Status = http.StatusCreated
	rest.Add(s.api, create, func(ctx context.Context, in *struct {
		Reason string `query:"reason" maxLength:"4096"`
		Body   ClusterSpec
	}) (*clusterOut, error) {
		caller := s.api.Caller(ctx)
		return clusterAnswer(s.Catalog.CreateCluster(ctx, in.Body.spec(), catalog.Edit{Actor: caller.Actor, Request: caller.Request, Reason: in.Reason}))
	})
	rest.Add(s.api, op("GET", one, "get-cluster", "Get a cluster", read), func(ctx context.Context, in *ClusterID) (*clusterOut, error) {
		return clusterAnswer(s.Catalog.Cluster(ctx, in.ID))
	})
	rest.Add(s.api, op("PUT", one, "put-cluster", "Replace what is said of a cluster", write), func(ctx context.Context, in *putCluster) (*clusterOut, error) {
		e, err := s.edit(ctx, in.Change)
		if err != nil {
			return nil, err
		}
		return clusterAnswer(s.Catalog.UpdateCluster(ctx, in.ID, in.Body.spec(), e))
	})
	rest.Add(s.api, op("PATCH", one, "patch-cluster", "Change what is said of a cluster", write), s.patchCluster)
	rest.Add(s.api, op("DELETE", one, "delete-cluster", "Delete a cluster without members", write), func(ctx context.Context, in *struct {
		ClusterID
		Change
	}) (*none, error) {
		e, err := s.edit(ctx, in.Change)
		if err != nil {
			return nil, err
		}
		return nil, s.Catalog.DeleteCluster(ctx, in.ID, e)
	})
	rest.Add(s.api, op("POST", one+":rollback", "roll-back-cluster", "Say of a cluster again what an earlier revision did", write), func(ctx context.Context, in *struct {
		ClusterID
		Change
		Body rollbackBody
	}) (*clusterOut, error) {
		e, err := s.edit(ctx, in.Change)
		if err != nil {
			return nil, err
		}
		return clusterAnswer(s.Catalog.RollbackCluster(ctx, in.ID, in.Body.Version, e))
	})
	match := op("POST", path+":match", "match-clusters", "Explain which cluster a daemon would be sent to", rest.NeedSomewhere("cluster.read"))
	match.Unrepeatable, match.NoDryRun = true, true
	rest.Add(s.api, match, s.match)
	history[clusterRevisions, clusterRevision, clusterDiff](s, one, "cluster", "clusters", catalog.ClusterClass, read)
}

type clusterRevisions struct {
	ClusterID
	Paged
}

type clusterRevision struct {
	ClusterID
	Numbered
}

type clusterDiff struct {
	ClusterID
	Numbered
	Compared
}

func (s *shelf) listClusters(ctx context.Context, in *rest.Page) (*rest.Listed[Cluster], error) {
	caller := s.api.Caller(ctx)
	id := func(c Cluster) string { return c.ID }
	return rest.List(ctx, s.api, *in, seen(func(after string, limit int) ([]Cluster, error) {
		all, err := s.Catalog.Clusters(ctx, after, limit)
		out := make([]Cluster, len(all))
		for i, c := range all {
			out[i] = cluster(c)
		}
		return out, err
	}, id, func(c Cluster) bool { return caller.Sees("cluster.read", c.ID) }), id)
}

func (s *shelf) patchCluster(ctx context.Context, in *patchCluster) (*clusterOut, error) {
	e, err := s.edit(ctx, in.Change)
	if err != nil {
		return nil, err
	}
	old, err := s.Catalog.Cluster(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	var spec ClusterSpec
	if err := patch(cluster(old).ClusterSpec, in.Body, &spec); err != nil {
		return nil, err
	}
	if e.IfMatch == "*" {
		e.IfMatch = old.ETag // what the patch was applied to is what it replaces
	}
	return clusterAnswer(s.Catalog.UpdateCluster(ctx, in.ID, spec.spec(), e))
}

type matchIn struct {
	Body struct {
		IP       string `json:"ip,omitempty" maxLength:"64" example:"10.1.2.3"`
		Hostname string `json:"hostname,omitempty" maxLength:"255"`
		IDC      string `json:"idc,omitempty" maxLength:"255"`
		Location string `json:"location,omitempty" maxLength:"1000"`
	}
}

type matchOut struct {
	Body struct {
		Matches []Match `json:"matches" doc:"the best first"`
	}
}

func (s *shelf) match(ctx context.Context, in *matchIn) (*matchOut, error) {
	if s.Matcher == nil {
		return nil, cannot("match clusters")
	}
	a := Asker{Hostname: in.Body.Hostname, IDC: in.Body.IDC, Location: in.Body.Location}
	if in.Body.IP != "" {
		ip, err := netip.ParseAddr(in.Body.IP)
		if err != nil {
			return nil, rest.Refusal(http.StatusUnprocessableEntity, rest.Invalid, "the address does not parse", rest.Detail{Pointer: "/ip", Code: "malformed", Detail: "an IPv4 or IPv6 address"})
		}
		a.IP = ip
	}
	all, err := s.Matcher.Match(ctx, a)
	if err != nil {
		return nil, err
	}
	out := &matchOut{}
	out.Body.Matches = []Match{}
	caller := s.api.Caller(ctx)
	for _, m := range all {
		if caller.Sees("cluster.read", m.Cluster) {
			out.Body.Matches = append(out.Body.Matches, m)
		}
	}
	return out, nil
}
