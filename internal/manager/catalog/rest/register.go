package rest

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/rest"
)

// Matcher says which clusters a daemon would be sent to, the best first, and why.
type Matcher interface {
	Match(ctx context.Context, a Asker) ([]Match, error)
}

// Asker is a daemon that looks for its cluster.
type Asker struct {
	IP       netip.Addr
	Hostname string
	IDC      string
	Location string
}

// Match is how well a cluster fits.
type Match struct {
	Cluster string      `json:"cluster" doc:"id"`
	Name    string      `json:"name"`
	Score   float64     `json:"score" doc:"0 to 1"`
	Parts   []MatchPart `json:"parts"`
}

// MatchPart is one reason.
type MatchPart struct {
	Name   string  `json:"name" doc:"network, hostname, idc, location, default"`
	Weight float64 `json:"weight"`
	Score  float64 `json:"score" doc:"0 to 1"`
	Why    string  `json:"why"`
}

// Orders reach the schedulers that know a host. Unavailable means that none of them can be reached now.
type Orders interface {
	Drain(ctx context.Context, h catalog.Host, on bool, reason string) error
	Forget(ctx context.Context, h catalog.Host, force bool, reason string) error
}

// Rooms are what the operations are about.
type Rooms struct {
	DB      *database.DB     // required
	Catalog *catalog.Catalog // required
	Matcher Matcher          // nil: :match says that it cannot be done
	Orders  Orders           // nil: orders say that they cannot be given
}

// shelf is the operations' common ground.
type shelf struct {
	api *rest.API
	Rooms
}

// Register adds the operations.
func Register(api *rest.API, rooms Rooms) {
	s := &shelf{api: api, Rooms: rooms}
	api.Explain(Explain)
	s.clusters()
	s.members("/v1/schedulers", "scheduler", catalog.SchedulerMember)
	s.members("/v1/seed-peers", "seed-peer", catalog.SeedMember)
	s.hosts()
	s.applications()
	s.settings()
	s.audit()
}

// Change is what each change of configuration says beside itself.
type Change struct {
	rest.Match
	Reason string `query:"reason" maxLength:"4096" doc:"why, for the history"`
}

// edit says who changes what, and from which version.
func (s *shelf) edit(ctx context.Context, c Change) (catalog.Edit, error) {
	version, err := c.Version()
	caller := s.api.Caller(ctx)
	return catalog.Edit{IfMatch: version, Actor: caller.Actor, Reason: c.Reason, Request: caller.Request}, err
}

type none struct{}

// listing is what the lists take that know a filter.
type listing struct {
	rest.Page
	Filter string `query:"filter" maxLength:"1000" example:"cluster = \"01J…\""`
}

// seen returns a page of what the caller may see, and reads on until it is full: a page that is not full is the last.
func seen[T any](fetch func(after string, limit int) ([]T, error), key func(T) string, sees func(T) bool) func(after string, limit int) ([]T, error) {
	return func(after string, limit int) ([]T, error) {
		var out []T
		for {
			all, err := fetch(after, limit)
			if err != nil {
				return nil, err
			}
			for _, one := range all {
				if sees(one) {
					out = append(out, one)
				}
				if after = key(one); len(out) == limit {
					return out, nil
				}
			}
			if len(all) < limit {
				return out, nil
			}
		}
	}
}

// in refuses what lies in a cluster that the caller may not use; what cannot be seen is not there.
func (s *shelf) in(ctx context.Context, permission, cluster, what string) error {
	err := s.api.Caller(ctx).May(permission, cluster)
	if err != nil && strings.HasSuffix(permission, ".read") {
		return &darter.Error{Kind: darter.NotFound, Op: "read " + what, Err: errors.New("there is no such " + what)}
	}
	return err
}

// cannot is what an operation says whose other side is not connected.
func cannot(what string) error {
	return rest.Refusal(http.StatusNotImplemented, "not_implemented", "this manager cannot "+what)
}
