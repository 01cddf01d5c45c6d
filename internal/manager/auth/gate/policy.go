package gate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/pki"
)

type kind uint8

const (
	none kind = iota // what a route without a policy has
	public
	authenticated
	permission
	nodes
)

// Policy says who may use a route. The zero Policy lets nobody.
type Policy struct {
	kind      kind
	reason    string // public: why
	perm      auth.Permission
	path      string // the wildcard of the route that names the cluster
	somewhere bool
	roles     []pki.Role
	check     bool
	basic     bool
	patient   bool
	body      int64
}

// Public lets everybody; the reason is for whoever reviews the list of routes.
func Public(reason string) Policy { return Policy{kind: public, reason: reason} }

// Authenticated lets every user and service account.
func Authenticated() Policy { return Policy{kind: authenticated} }

// Need asks for a permission everywhere.
func Need(p auth.Permission) Policy { return Policy{kind: permission, perm: p} }

// NeedIn asks for a permission in the cluster that a wildcard of the route names: "cluster" for
// /v1/clusters/{cluster}.
func NeedIn(p auth.Permission, wildcard string) Policy {
	return Policy{kind: permission, perm: p, path: wildcard}
}

// NeedSomewhere asks for a permission in some cluster. The handler shows only what lies in Principal.Clusters, and
// checks the cluster of what it changes with Principal.May.
func NeedSomewhere(p auth.Permission) Policy {
	return Policy{kind: permission, perm: p, somewhere: true}
}

// Nodes lets processes of the cluster, by certificate.
func Nodes(roles ...pki.Role) Policy { return Policy{kind: nodes, roles: roles} }

// Checked makes a public route refuse a credential that is wrong, so that a connection test tells the truth.
func (p Policy) Checked() Policy { p.check = true; return p }

// Basic takes names and passwords in the Authorization header as well: for programs that know nothing else.
func (p Policy) Basic() Policy { p.basic = true; return p }

// Patient never answers an authenticated caller that it asks too often: for programs that take that for a failure.
func (p Policy) Patient() Policy { p.patient = true; return p }

// Body sets the largest body in bytes; default 1 MiB.
func (p Policy) Body(most int64) Policy { p.body = most; return p }

// IsPublic reports whether everybody may use the route.
func (p Policy) IsPublic() bool { return p.kind == public }

// Permission returns what the route asks for, empty when it asks for none.
func (p Policy) Permission() auth.Permission { return p.perm }

// Cluster returns the wildcard that names the cluster, empty when there is none.
func (p Policy) Cluster() string { return p.path }

func (p Policy) String() string {
	switch p.kind {
	case public:
		return "public: " + p.reason
	case authenticated:
		return "authenticated"
	case permission:
		switch {
		case p.path != "":
			return string(p.perm) + " in {" + p.path + "}"
		case p.somewhere:
			return string(p.perm) + " somewhere"
		}
		return string(p.perm)
	case nodes:
		return fmt.Sprintf("nodes %v", p.roles)
	}
	return "nobody"
}

// validate says what is wrong with a policy for a pattern.
func (p Policy) validate(pattern string) error {
	switch {
	case p.kind == none:
		return errors.New("has no policy")
	case p.kind == public && p.reason == "":
		return errors.New("is public without a reason")
	case p.kind == permission && !p.perm.Known():
		return fmt.Errorf("needs permission %q, which does not exist", p.perm)
	case p.path != "" && !strings.Contains(pattern, "{"+p.path+"}"):
		return fmt.Errorf("takes the cluster from {%s}, which is not in it", p.path)
	case p.kind == nodes && (len(p.roles) == 0 || slices.ContainsFunc(p.roles, func(r pki.Role) bool { return !r.Valid() })):
		return errors.New("is for nodes of no role")
	case p.check && p.kind != public:
		return errors.New("is checked and not public; every other route is checked anyway")
	case p.body < 0:
		return errors.New("has a negative limit of bodies")
	}
	return nil
}
