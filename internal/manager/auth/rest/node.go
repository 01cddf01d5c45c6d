package rest

import (
	"context"
	"errors"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/auth/enroll"
	"github.com/darter-p2p/darter/internal/pki"
	"github.com/darter-p2p/darter/internal/rest"
)

// noAuthority is what operations on certificates say without one.
func (d *door) noAuthority() error {
	if d.Desk != nil {
		return nil
	}
	return &darter.Error{Kind: darter.Conflict, Op: "use the certificate authority", Hint: "make one with darter admin ca init, and start the manager with it",
		Err: errors.New("this manager has no certificate authority")}
}

// JoinToken lets one node into the cluster, once.
type JoinToken struct {
	ID        string        `json:"id"`
	Role      string        `json:"role"`
	Cluster   string        `json:"cluster,omitempty"`
	Node      string        `json:"node,omitempty"`
	Names     []string      `json:"names,omitempty"`
	Life      rest.Duration `json:"life" doc:"of the certificate"`
	CreatedBy string        `json:"created_by"`
	Created   time.Time     `json:"created"`
	Expires   time.Time     `json:"expires"`
	Used      *time.Time    `json:"used,omitempty"`
	Serial    string        `json:"serial,omitempty" doc:"of the certificate that it made"`
	Revoked   *time.Time    `json:"revoked,omitempty"`
}

func joinToken(t enroll.JoinToken) JoinToken {
	return JoinToken{ID: t.ID, Role: string(t.Role), Cluster: t.Cluster, Node: t.Node, Names: t.Names, Life: rest.Duration(t.Life), CreatedBy: t.CreatedBy,
		Created: t.Created.UTC(), Expires: t.Expires.UTC(), Used: when(t.Used), Serial: t.Serial, Revoked: when(t.Revoked)}
}

type joinOut struct {
	Body struct {
		JoinToken
		Secret string `json:"secret,omitempty" doc:"what is carried to the node; it is shown this once"`
	}
}

func (d *door) joinTokens() {
	rest.Add(d.api, rest.Operation{Method: "GET", Path: "/v1/join-tokens", ID: "list-join-tokens", Tag: "nodes", Summary: "List join tokens", Access: rest.Need("certificate.read")},
		func(ctx context.Context, in *rest.Page) (*rest.Listed[JoinToken], error) {
			if err := d.noAuthority(); err != nil {
				return nil, err
			}
			return rest.List(ctx, d.api, *in, func(after string, limit int) ([]JoinToken, error) {
				all, err := d.Desk.JoinTokens(ctx, after, limit)
				return each(all, joinToken), err
			}, func(t JoinToken) string { return t.ID })
		})
	rest.Add(d.api, rest.Operation{Method: "POST", Path: "/v1/join-tokens", ID: "create-join-token", Tag: "nodes", Summary: "Invite a node into the cluster",
		Access: rest.Need("certificate.write"), Status: 201, Secret: []string{"secret"}},
		func(ctx context.Context, in *struct {
			Body struct {
				Role    string        `json:"role" enum:"manager,scheduler,daemon"`
				Cluster string        `json:"cluster,omitempty" maxLength:"128"`
				Node    string        `json:"node,omitempty" maxLength:"128" doc:"only this node"`
				Names   []string      `json:"names,omitempty" maxItems:"64" doc:"DNS names and addresses that its certificate may hold"`
				Life    rest.Duration `json:"life,omitempty" doc:"of the certificate; default 30 days"`
				Valid   rest.Duration `json:"valid,omitempty" doc:"of the token; default a day"`
			}
		}) (*joinOut, error) {
			if err := d.noAuthority(); err != nil {
				return nil, err
			}
			b := in.Body
			t, secret, err := d.Desk.Invite(ctx, own(ctx), enroll.Invitation{Role: pki.Role(b.Role), Cluster: b.Cluster, Node: b.Node, Names: b.Names,
				Life: time.Duration(b.Life), Valid: time.Duration(b.Valid)})
			out := &joinOut{}
			out.Body.JoinToken, out.Body.Secret = joinToken(t), secret
			return out, err
		})
	rest.Add(d.api, rest.Operation{Method: "DELETE", Path: "/v1/join-tokens/{id}", ID: "withdraw-join-token", Tag: "nodes", Summary: "Take a join token back", Access: rest.Need("certificate.write")},
		func(ctx context.Context, in *ByID) (*none, error) {
			if err := d.noAuthority(); err != nil {
				return nil, err
			}
			return nil, d.Desk.Withdraw(ctx, own(ctx), in.ID)
		})
}

// Certificate is one that was signed here.
type Certificate struct {
	Serial   string     `json:"serial"`
	Role     string     `json:"role"`
	Cluster  string     `json:"cluster,omitempty"`
	Node     string     `json:"node"`
	Names    []string   `json:"names,omitempty"`
	Previous string     `json:"previous,omitempty" doc:"serial of the one that it renewed"`
	Issued   time.Time  `json:"issued"`
	Expires  time.Time  `json:"expires"`
	Revoked  *time.Time `json:"revoked,omitempty"`
}

func certificate(c enroll.Certificate) Certificate {
	return Certificate{Serial: c.Serial, Role: string(c.Identity.Role), Cluster: c.Identity.Cluster, Node: c.Identity.Node, Names: c.Names, Previous: c.Previous,
		Issued: c.Issued.UTC(), Expires: c.Expires.UTC(), Revoked: when(c.Revoked)}
}

// issued is what a node gets.
type issued struct {
	Body struct {
		Serial   string    `json:"serial"`
		Chain    string    `json:"chain" doc:"PEM"`
		Trust    string    `json:"trust" doc:"PEM: certificates to be trusted"`
		NotAfter time.Time `json:"not_after"`
	}
}

func issuedAnswer(i pki.Issued, err error) (*issued, error) {
	if err != nil {
		return nil, err
	}
	out := &issued{}
	out.Body.Serial, out.Body.Chain, out.Body.Trust, out.Body.NotAfter = i.Serial, string(i.Chain), string(i.Trust), i.NotAfter.UTC()
	return out, nil
}

func (d *door) certificates() {
	rest.Add(d.api, rest.Operation{Method: "GET", Path: "/v1/certificates", ID: "list-certificates", Tag: "nodes", Summary: "List certificates", Access: rest.Need("certificate.read")},
		func(ctx context.Context, in *rest.Page) (*rest.Listed[Certificate], error) {
			if err := d.noAuthority(); err != nil {
				return nil, err
			}
			return rest.List(ctx, d.api, *in, func(after string, limit int) ([]Certificate, error) {
				all, err := d.Desk.Certificates(ctx, after, limit)
				return each(all, certificate), err
			}, func(c Certificate) string { return c.Serial })
		})
	rest.Add(d.api, rest.Operation{Method: "POST", Path: "/v1/certificates:revoke", ID: "revoke-certificates", Tag: "nodes", Summary: "Take back all certificates of a node",
		Access: rest.Need("certificate.write"), Doc: "The node joins again with a new token."},
		func(ctx context.Context, in *struct {
			Body struct {
				Role    string `json:"role" enum:"manager,scheduler,daemon"`
				Cluster string `json:"cluster,omitempty" maxLength:"128"`
				Node    string `json:"node" maxLength:"128"`
			}
		}) (*struct {
			Body struct {
				Revoked int64 `json:"revoked"`
			}
		}, error) {
			if err := d.noAuthority(); err != nil {
				return nil, err
			}
			n, err := d.Desk.Revoke(ctx, own(ctx), pki.Identity{Role: pki.Role(in.Body.Role), Cluster: in.Body.Cluster, Node: in.Body.Node})
			out := &struct {
				Body struct {
					Revoked int64 `json:"revoked"`
				}
			}{}
			out.Body.Revoked = n
			return out, err
		})
	rest.Add(d.api, rest.Operation{Method: "POST", Path: "/v1/certificates:join", ID: "join", Tag: "nodes", Summary: "Redeem a join token: for nodes", Unrepeatable: true, NoDryRun: true,
		Access: rest.Access{Public: "a node that joins has a join token and no certificate yet"}, Status: 201},
		func(ctx context.Context, in *struct {
			Body struct {
				Token   string `json:"token" maxLength:"200" doc:"the part of the join text before the dot"`
				Node    string `json:"node" maxLength:"128"`
				Request string `json:"request" maxLength:"16384" doc:"certificate request, PEM"`
			}
		}) (*issued, error) {
			if err := d.noAuthority(); err != nil {
				return nil, err
			}
			return issuedAnswer(d.Desk.Redeem(ctx, own(ctx), in.Body.Token, in.Body.Node, []byte(in.Body.Request)))
		})
	rest.Add(d.api, rest.Operation{Method: "POST", Path: "/v1/certificates:renew", ID: "renew-certificate", Tag: "nodes", Summary: "Renew a certificate: for nodes", Unrepeatable: true, NoDryRun: true,
		Access: rest.Access{Nodes: []string{"manager", "scheduler", "daemon"}}, Status: 201},
		func(ctx context.Context, in *struct {
			Body struct {
				Request string `json:"request" maxLength:"16384" doc:"certificate request, PEM"`
			}
		}) (*issued, error) {
			if err := d.noAuthority(); err != nil {
				return nil, err
			}
			return issuedAnswer(d.Desk.Renew(ctx, own(ctx), []byte(in.Body.Request)))
		})
}
