package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/darter-p2p/darter"
)

// Role is what a process is in the cluster.
type Role string

// The roles.
const (
	Manager   Role = "manager"
	Scheduler Role = "scheduler"
	Daemon    Role = "daemon"
)

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { return r == Manager || r == Scheduler || r == Daemon }

const (
	trustDomain = "darter"
	maxName     = 128
)

// Identity is whom a certificate names.
type Identity struct {
	Role    Role
	Cluster string // empty for managers only
	Node    string
}

// Validate says whether the identity can be put into a certificate.
func (i Identity) Validate() error {
	switch {
	case !i.Role.Valid():
		return fmt.Errorf("role %q is none of manager, scheduler, daemon", i.Role)
	case i.Role == Manager && i.Cluster != "":
		return errors.New("a manager belongs to no cluster")
	case i.Role != Manager && !goodName(i.Cluster):
		return fmt.Errorf("cluster %q is not 1 to %d letters, digits, dots, dashes or underscores", i.Cluster, maxName)
	case !goodName(i.Node):
		return fmt.Errorf("node %q is not 1 to %d letters, digits, dots, dashes or underscores", i.Node, maxName)
	}
	return nil
}

func goodName(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > maxName {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// URI returns the name as it stands in a certificate.
func (i Identity) URI() *url.URL {
	path := "/role/" + string(i.Role)
	if i.Cluster != "" {
		path += "/cluster/" + i.Cluster
	}
	return &url.URL{Scheme: "spiffe", Host: trustDomain, Path: path + "/node/" + i.Node}
}

func (i Identity) String() string { return i.URI().String() }

// ParseIdentity reads what URI wrote, and nothing else.
func ParseIdentity(s string) (Identity, error) {
	rest, ours := strings.CutPrefix(s, "spiffe://"+trustDomain+"/")
	parts := strings.Split(rest, "/")
	var i Identity
	switch {
	case ours && len(parts) == 4 && parts[0] == "role" && parts[2] == "node":
		i = Identity{Role: Role(parts[1]), Node: parts[3]}
	case ours && len(parts) == 6 && parts[0] == "role" && parts[2] == "cluster" && parts[4] == "node":
		i = Identity{Role: Role(parts[1]), Cluster: parts[3], Node: parts[5]}
	default:
		return Identity{}, fmt.Errorf("%q does not name a node of a Darter cluster", clip(s))
	}
	if err := i.Validate(); err != nil {
		return Identity{}, fmt.Errorf("%q: %w", clip(s), err)
	}
	return i, nil
}

func clip(s string) string { return s[:min(len(s), 200)] }

// IdentityOf returns whom a certificate names: its only URI.
func IdentityOf(c *x509.Certificate) (Identity, error) {
	if len(c.URIs) != 1 {
		return Identity{}, &darter.Error{Kind: darter.Denied, Op: "read certificate", Hint: "let the node join with a token of darter admin join-token create",
			Err: fmt.Errorf("%d URI names instead of one", len(c.URIs))}
	}
	i, err := ParseIdentity(c.URIs[0].String())
	if err != nil {
		return i, &darter.Error{Kind: darter.Denied, Op: "read certificate", Hint: "let the node join with a token of darter admin join-token create", Err: err}
	}
	return i, nil
}
