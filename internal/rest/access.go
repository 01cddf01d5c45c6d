package rest

import (
	"context"
	"net/http"

	"github.com/darter-p2p/darter"
)

// Access says who may use an operation. The zero Access lets nobody.
type Access struct {
	Public     string   // everybody; the reason why, for whoever reviews the list of routes
	SignedIn   bool     // every user and service account
	Permission string   // "job.read": who has it
	Cluster    string   // in the cluster that this wildcard of the path names
	Somewhere  bool     // in some cluster at least: the handler shows only what lies in Caller.Clusters
	Nodes      []string // processes of the cluster with these roles, by certificate
	Checked    bool     // public, but a credential that is wrong is refused
	Basic      bool     // takes name and password in the Authorization header
	Patient    bool     // never answers "too many requests" to who has proved who they are
	Body       int64    // largest body in bytes; default 1 MiB
}

// Need asks for a permission everywhere.
func Need(permission string) Access { return Access{Permission: permission} }

// NeedIn asks for a permission in the cluster that a wildcard of the path names.
func NeedIn(permission, wildcard string) Access {
	return Access{Permission: permission, Cluster: wildcard}
}

// NeedSomewhere asks for a permission in some cluster. The handler sees to the rest.
func NeedSomewhere(permission string) Access { return Access{Permission: permission, Somewhere: true} }

// Gate admits requests. Every pattern is declared before it is added; what is added undeclared refuses everybody.
type Gate interface {
	http.Handler
	Declare(pattern string, a Access)
	HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request))
	// Caller returns who was admitted under ctx.
	Caller(ctx context.Context) Caller
}

// Caller is who asks.
type Caller struct {
	Actor   darter.Actor
	Request string // id of the request

	// May returns nil when the caller may use the permission in cluster; cluster "" asks for everywhere.
	May func(permission, cluster string) error
	// Clusters returns where the caller may use the permission.
	Clusters func(permission string) (everywhere bool, in []string)
}

// Principal names the caller among all others.
func (c Caller) Principal() string { return c.Actor.Kind + "/" + c.Actor.ID }

// Sees reports whether something of a cluster may be shown to the caller.
func (c Caller) Sees(permission, cluster string) bool { return c.May(permission, cluster) == nil }
