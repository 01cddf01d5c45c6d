package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/darter-p2p/darter"
)

// Kind is what sort of principal it is.
type Kind string

// Kinds of principals, as darter.Actor has them.
const (
	Anonymous Kind = ""
	User      Kind = "user"
	Service   Kind = "service"
	Node      Kind = "node"
	System    Kind = "system" // whoever has the files of a manager: darter admin on its machine
)

// How a principal proved itself, as darter.Actor has it.
const (
	ByPassword = "password"
	ByOIDC     = "oidc"
	ByToken    = "token"
	ByMTLS     = "mtls"
	ByLocal    = "local"
	ByBasic    = "basic" // name and password with every request, on compatibility routes
	BySetup    = "setup"
)

// Principal is who asks, as proved by a credential. The zero value is Anonymous and may do nothing.
type Principal struct {
	Kind       Kind
	ID         string // of the user or service account; for a node its URI
	Name       string
	Method     string
	Credential string // id of the session or token, or serial of the certificate; never a secret
	Rights     Rights // from roles
	Scopes     Rights // of a token; counts only when Scoped
	Scoped     bool
}

// Local is whoever runs a command on the manager's own files. It may do everything: it could change the rows by hand.
func Local(name string) Principal {
	admin, _ := BuiltIn(AdminRole)
	return Principal{Kind: System, ID: name, Name: name, Method: ByLocal, Rights: admin.Rights}
}

// Why somebody is refused, for errors.Is. Both come inside a darter.Error of kind Denied.
var (
	ErrUnauthenticated = errors.New("no valid credential")
	ErrForbidden       = errors.New("the credential does not allow it")
)

// Throttled is in the chain of a refusal that ends by itself.
type Throttled struct{ After time.Duration }

func (t *Throttled) Error() string {
	return "too many requests; wait " + strconv.Itoa(int((t.After+time.Second-1)/time.Second)) + " s"
}

// May returns nil when p may use the permission in cluster; cluster "" asks for everywhere. Otherwise the
// error is of kind Denied with ErrUnauthenticated or ErrForbidden.
func (p Principal) May(perm Permission, cluster string) error {
	switch {
	case p.Kind == Anonymous:
		return Unauthenticated("use "+string(perm), nil)
	case !perm.Known() || !p.Rights.Allows(perm, cluster):
		return forbidden(p, perm, cluster, "none of its roles gives it")
	case p.Scoped && !p.Scopes.Allows(perm, cluster):
		return forbidden(p, perm, cluster, "the token's scopes do not have it")
	}
	return nil
}

// Clusters returns where p may use the permission: everywhere, or in the clusters named, in order.
func (p Principal) Clusters(perm Permission) (everywhere bool, clusters []string) {
	if p.May(perm, "") == nil {
		return true, nil
	}
	for _, g := range slices.Concat(p.Rights, p.Scopes) {
		if g.Cluster != "" && !slices.Contains(clusters, g.Cluster) && p.May(perm, g.Cluster) == nil {
			clusters = append(clusters, g.Cluster)
		}
	}
	slices.Sort(clusters)
	return false, clusters
}

// MayGrant returns nil when p itself has all of rights, with this credential: nobody gives what they do not have.
func (p Principal) MayGrant(rights Rights) error {
	if p.Rights.Covers(rights) && (!p.Scoped || p.Scopes.Covers(rights)) {
		return nil
	}
	return &darter.Error{Kind: darter.Denied, Op: "give rights", Hint: "ask somebody who has them", Err: fmt.Errorf("%w: %s does not have all of them", ErrForbidden, p.Name)}
}

// Unauthenticated is the error for whoever has not proved who they are.
func Unauthenticated(op string, err error) error {
	if err == nil {
		err = ErrUnauthenticated
	} else {
		err = fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	return &darter.Error{Kind: darter.Denied, Op: op, Hint: "sign in, or send a token in the Authorization header", Err: err}
}

func forbidden(p Principal, perm Permission, cluster, why string) error {
	where := ""
	if cluster != "" {
		where = " in cluster " + cluster
	}
	return &darter.Error{Kind: darter.Denied, Op: "use " + string(perm) + where, Hint: "ask an administrator for a role that has " + string(perm),
		Err: fmt.Errorf("%w: %s %s, %s", ErrForbidden, p.Kind, p.Name, why)}
}

// Caller is a principal in one request.
type Caller struct {
	Principal
	From    netip.Addr
	Request string // id of the request
}

// Actor returns the caller as audit events have it.
func (c Caller) Actor() darter.Actor {
	a := darter.Actor{Kind: string(c.Kind), ID: c.ID, Name: c.Name, Method: c.Method}
	if a.Kind == "" {
		a.Kind = "anonymous"
	}
	if c.Method == ByToken {
		a.Token = c.Credential
	}
	if c.From.IsValid() {
		a.Address = c.From.String()
	}
	return a
}

type callerKey struct{}

// With puts the caller into a context.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// From returns the caller that the gate put there; Anonymous when there is none.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
