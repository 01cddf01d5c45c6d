package rest

import (
	"context"
	"time"

	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/rest"
)

// Role is a named list of grants.
type Role struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Grants      []string `json:"grants" doc:"verb:resource[:cluster]; either of the first two may be *"`
	BuiltIn     bool     `json:"built_in"`
	Version     int64    `json:"version"`
}

func role(r auth.Role) Role {
	return Role{Name: r.Name, Description: r.Description, Grants: scopes(r.Rights), BuiltIn: r.BuiltIn, Version: r.Version}
}

type roleOut struct {
	ETag string `header:"ETag"`
	Body Role
}

type putRole struct {
	Name string `path:"name" maxLength:"64"`
	rest.Match
	IfNoneMatch string `header:"If-None-Match" enum:"*" doc:"create it, and refuse when it is there"`
	Body        struct {
		Description string   `json:"description,omitempty" maxLength:"200"`
		Grants      []string `json:"grants" minItems:"1" maxItems:"500"`
	}
}

func (d *door) roles() {
	rest.Add(d.api, rest.Operation{Method: "GET", Path: "/v1/roles", ID: "list-roles", Tag: "users", Summary: "List roles", Access: rest.Need("role.read")},
		func(ctx context.Context, _ *none) (*rest.Listed[Role], error) {
			all, err := d.Accounts.Roles(ctx)
			return &rest.Listed[Role]{Body: rest.Items[Role]{Items: each(all, role)}}, err
		})
	rest.Add(d.api, rest.Operation{Method: "PUT", Path: "/v1/roles/{name}", ID: "put-role", Tag: "users", Summary: "Create or replace a role", Access: rest.Need("role.write"),
		Doc: "A role is created with `If-None-Match: *` and replaced with `If-Match`. Nobody can put a right into a role that they do not have."}, d.putRole)
	rest.Add(d.api, rest.Operation{Method: "DELETE", Path: "/v1/roles/{name}", ID: "delete-role", Tag: "users", Summary: "Delete a role that nobody has", Access: rest.Need("role.write")},
		func(ctx context.Context, in *struct {
			Name string `path:"name" maxLength:"64"`
			rest.Match
		}) (*none, error) {
			r, err := d.role(ctx, in.Name)
			if err != nil {
				return nil, err
			}
			v, err := version(in.Match, func() (int64, error) { return r.Version, nil })
			if err == nil && v != r.Version {
				err = stale(r.Version)
			}
			if err != nil {
				return nil, err
			}
			return nil, d.Accounts.DeleteRole(ctx, own(ctx), in.Name)
		})
}

func (d *door) role(ctx context.Context, name string) (auth.Role, error) {
	all, err := d.Accounts.Roles(ctx)
	for _, r := range all {
		if r.Name == name {
			return r, err
		}
	}
	if err == nil {
		err = rest.Refusal(404, rest.NotFound, "there is no such role")
	}
	return auth.Role{}, err
}

func (d *door) putRole(ctx context.Context, in *putRole) (*roleOut, error) {
	r := auth.Role{Name: in.Name, Description: in.Body.Description}
	for i, text := range in.Body.Grants {
		g, err := auth.ParseScope(text)
		if err != nil {
			return nil, rest.Refusal(422, rest.Invalid, err.Error(), rest.Detail{Pointer: "/grants/" + itoa(i), Code: "malformed", Detail: err.Error()})
		}
		r.Rights = append(r.Rights, g)
	}
	if in.IfNoneMatch == "" {
		old, err := d.role(ctx, in.Name)
		if err != nil {
			return nil, err
		}
		if r.Version, err = version(in.Match, func() (int64, error) { return old.Version, nil }); err != nil {
			return nil, err
		}
		if r.Version != old.Version && !old.BuiltIn {
			return nil, stale(old.Version)
		}
	}
	r, err := d.Accounts.PutRole(ctx, own(ctx), r)
	if err != nil {
		return nil, err
	}
	return &roleOut{ETag: etag(r.Version), Body: role(r)}, nil
}

// Binding gives a user a role.
type Binding struct {
	ID        string    `json:"id"`
	User      string    `json:"user" doc:"id"`
	Role      string    `json:"role"`
	Cluster   string    `json:"cluster" doc:"empty: everywhere"`
	Source    string    `json:"source" doc:"local, or the issuer whose groups say so"`
	CreatedBy string    `json:"created_by"`
	Created   time.Time `json:"created"`
}

func binding(b account.Binding) Binding {
	return Binding{ID: b.ID, User: b.User, Role: b.Role, Cluster: b.Cluster, Source: b.Source, CreatedBy: b.CreatedBy, Created: b.Created.UTC()}
}

func (d *door) bindings() {
	rest.Add(d.api, rest.Operation{Method: "GET", Path: "/v1/role-bindings", ID: "list-role-bindings", Tag: "users", Summary: "List what roles a user has", Access: rest.Need("user.read")},
		func(ctx context.Context, in *struct {
			User string `query:"user" required:"true" maxLength:"64" doc:"id"`
		}) (*rest.Listed[Binding], error) {
			if _, err := d.Accounts.User(ctx, in.User); err != nil {
				return nil, err
			}
			all, err := d.Accounts.Bindings(ctx, in.User)
			return &rest.Listed[Binding]{Body: rest.Items[Binding]{Items: each(all, binding)}}, err
		})
	rest.Add(d.api, rest.Operation{Method: "POST", Path: "/v1/role-bindings", ID: "bind-role", Tag: "users", Summary: "Give a user a role", Access: rest.Need("user.write"), Status: 201,
		Doc: "Nobody can give rights that they do not have. Giving twice is the same as once."},
		func(ctx context.Context, in *struct {
			Body struct {
				User    string `json:"user" maxLength:"64" doc:"id"`
				Role    string `json:"role" maxLength:"64"`
				Cluster string `json:"cluster,omitempty" maxLength:"128" doc:"empty: everywhere"`
			}
		}) (*struct{ Body Binding }, error) {
			b, err := d.Accounts.Bind(ctx, own(ctx), in.Body.User, in.Body.Role, in.Body.Cluster)
			return &struct{ Body Binding }{binding(b)}, err
		})
	rest.Add(d.api, rest.Operation{Method: "DELETE", Path: "/v1/role-bindings/{id}", ID: "unbind-role", Tag: "users", Summary: "Take a role from a user", Access: rest.Need("user.write")},
		func(ctx context.Context, in *ByID) (*none, error) {
			return nil, d.Accounts.Unbind(ctx, own(ctx), in.ID)
		})
}
