package rest

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/rest"
)

var errNoProvider = errors.New("no identity provider is configured")

// User is a person or a service account.
type User struct {
	ID          string     `json:"id"`
	Kind        string     `json:"kind" enum:"user,service"`
	Name        string     `json:"name"`
	Display     string     `json:"display"`
	Email       string     `json:"email"`
	Issuer      string     `json:"issuer,omitempty" doc:"of the identity provider; local users have none"`
	HasPassword bool       `json:"has_password"`
	Disabled    bool       `json:"disabled"`
	Version     int64      `json:"version"`
	Created     time.Time  `json:"created"`
	Updated     time.Time  `json:"updated"`
	Seen        *time.Time `json:"seen,omitempty" doc:"last sign-in"`
}

func user(u account.User) User {
	return User{ID: u.ID, Kind: string(u.Kind), Name: u.Name, Display: u.Display, Email: u.Email, Issuer: u.Issuer, HasPassword: u.HasPassword,
		Disabled: u.Disabled, Version: u.Version, Created: u.Created.UTC(), Updated: u.Updated.UTC(), Seen: when(u.Seen)}
}

type userOut struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     User
}

func userAnswer(u account.User, err error) (*userOut, error) {
	if err != nil {
		return nil, err
	}
	return &userOut{Location: "/v1/users/" + u.ID, ETag: etag(u.Version), Body: user(u)}, nil
}

// text is a member of a merge patch: missing, null or a text.
type text struct {
	given bool
	value string
}

// UnmarshalJSON notes that it was there.
func (t *text) UnmarshalJSON(b []byte) error {
	t.given, t.value = true, ""
	if string(b) == "null" {
		return nil
	}
	return json.Unmarshal(b, &t.value)
}

// Schema is for huma.
func (text) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Nullable: true, MaxLength: new(200)}
	s.PrecomputeMessages()
	return s
}

func (t *text) pointer() *string {
	if t == nil || !t.given {
		return nil
	}
	return &t.value
}

type newUser struct {
	Body struct {
		Kind     string `json:"kind,omitempty" enum:"user,service" default:"user" doc:"a service account has tokens and no password"`
		Name     string `json:"name" maxLength:"64"`
		Display  string `json:"display,omitempty" maxLength:"200"`
		Email    string `json:"email,omitempty" maxLength:"200"`
		Password string `json:"password,omitempty" maxLength:"1024" format:"password" writeOnly:"true"`
	}
}

type patchUser struct {
	ByID
	rest.Match
	Body struct {
		Display  *text `json:"display,omitempty"`
		Email    *text `json:"email,omitempty"`
		Disabled *bool `json:"disabled,omitempty" doc:"ends all sessions and stops all tokens"`
	}
}

type passwordIn struct {
	ByID
	Body struct {
		Old      string `json:"old,omitempty" maxLength:"1024" format:"password" doc:"one's own: the password until now"`
		Password string `json:"password" maxLength:"1024" format:"password"`
	}
}

func (d *door) users() {
	op := func(method, path, id, summary, permission string) rest.Operation {
		return rest.Operation{Method: method, Path: path, ID: id, Tag: "users", Summary: summary, Access: rest.Need(permission)}
	}
	rest.Add(d.api, op("GET", "/v1/users", "list-users", "List users and service accounts", "user.read"), func(ctx context.Context, in *rest.Page) (*rest.Listed[User], error) {
		return rest.List(ctx, d.api, *in, func(after string, limit int) ([]User, error) {
			all, err := d.Accounts.Users(ctx, after, limit)
			return each(all, user), err
		}, func(u User) string { return u.ID })
	})
	create := op("POST", "/v1/users", "create-user", "Create a user or a service account, without any role", "user.write")
	create.Status = 201
	rest.Add(d.api, create, func(ctx context.Context, in *newUser) (*userOut, error) {
		b := in.Body
		return userAnswer(d.Accounts.CreateUser(ctx, own(ctx), account.Draft{Kind: auth.Kind(b.Kind), Name: b.Name, Display: b.Display, Email: b.Email, Password: b.Password}))
	})
	rest.Add(d.api, op("GET", "/v1/users/{id}", "get-user", "Get a user", "user.read"), func(ctx context.Context, in *ByID) (*userOut, error) {
		return userAnswer(d.Accounts.User(ctx, in.ID))
	})
	rest.Add(d.api, op("PATCH", "/v1/users/{id}", "patch-user", "Change a user", "user.write"), d.patchUser)
	rest.Add(d.api, op("DELETE", "/v1/users/{id}", "delete-user", "Delete a user with sessions, tokens and bindings", "user.write"), d.deleteUser)
	password := op("POST", "/v1/users/{id}:password", "set-password", "Set a password, which ends all sessions", "")
	password.Doc = "One's own needs the old one; a user's of less rights needs `user.write`."
	password.Access, password.Unrepeatable, password.NoDryRun = rest.Access{SignedIn: true}, true, true
	rest.Add(d.api, password, func(ctx context.Context, in *passwordIn) (*none, error) {
		c := own(ctx)
		if in.ID != c.ID {
			if err := c.May("user.write", ""); err != nil {
				return nil, err
			}
		}
		return nil, d.Accounts.SetPassword(ctx, c, in.ID, in.Body.Old, in.Body.Password)
	})
	rest.Add(d.api, op("POST", "/v1/users/{id}:unlock", "unlock-user", "Forget failed sign-ins", "user.write"), func(ctx context.Context, in *ByID) (*none, error) {
		return nil, d.Accounts.Unlock(ctx, own(ctx), in.ID)
	})
}

func (d *door) newest(ctx context.Context, id string) func() (int64, error) {
	return func() (int64, error) {
		u, err := d.Accounts.User(ctx, id)
		return u.Version, err
	}
}

func (d *door) patchUser(ctx context.Context, in *patchUser) (*userOut, error) {
	v, err := version(in.Match, d.newest(ctx, in.ID))
	if err != nil {
		return nil, err
	}
	u, err := d.Accounts.User(ctx, in.ID)
	if err == nil && u.Version != v {
		err = stale(u.Version)
	}
	if err != nil {
		return nil, err
	}
	return userAnswer(d.Accounts.EditUser(ctx, own(ctx), in.ID, v, account.Edit{Display: in.Body.Display.pointer(), Email: in.Body.Email.pointer(), Disabled: in.Body.Disabled}))
}

func (d *door) deleteUser(ctx context.Context, in *struct {
	ByID
	rest.Match
}) (*none, error) {
	v, err := version(in.Match, d.newest(ctx, in.ID))
	if err != nil {
		return nil, err
	}
	u, err := d.Accounts.User(ctx, in.ID)
	if err == nil && u.Version != v {
		err = stale(u.Version)
	}
	if err != nil {
		return nil, err
	}
	return nil, d.Accounts.DeleteUser(ctx, own(ctx), in.ID)
}

func stale(now int64) error {
	p := rest.Refusal(412, rest.PreconditionFailed, "it was changed since it was read: the ETag is "+etag(now)+" now")
	p.Hint = "read it again, and make the change on what it says now"
	return p
}

func each[A, B any](all []A, f func(A) B) []B {
	out := make([]B, len(all))
	for i, a := range all {
		out[i] = f(a)
	}
	return out
}
