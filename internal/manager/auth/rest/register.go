package rest

import (
	"context"
	"strconv"
	"time"

	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/manager/auth/enroll"
	"github.com/darter-p2p/darter/internal/manager/auth/oidc"
	"github.com/darter-p2p/darter/internal/rest"
)

// Rooms are what the operations are about.
type Rooms struct {
	Accounts *account.Accounts // required
	Desk     *enroll.Desk      // nil: there is no authority, and its operations say so
	Provider *oidc.Provider    // nil: people sign in with passwords only
	Secure   bool              // requests come over TLS, here or at a proxy
}

// door is the operations' common ground.
type door struct {
	api   *rest.API
	front Front
	Rooms
}

// Register adds the operations. The front is the one that the API was opened with.
func Register(api *rest.API, front Front, rooms Rooms) {
	d := &door{api: api, front: front, Rooms: rooms}
	api.Explain(Explain)
	d.setup()
	d.sessions()
	d.federation()
	d.users()
	d.bindings()
	d.roles()
	d.tokens()
	d.joinTokens()
	d.certificates()
}

// none is the input of what needs none, and the output of what says nothing.
type none struct{}

// ByID is the path of one thing. Exported, because huma sees no other embedded fields.
type ByID struct {
	ID string `path:"id" maxLength:"64"`
}

// when leaves out what has not happened.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func own(ctx context.Context) auth.Caller { return auth.From(ctx) }

// version reads an ETag that is a number; "*" is what newest says.
func version(m rest.Match, newest func() (int64, error)) (int64, error) {
	text, err := m.Version()
	if err != nil {
		return 0, err
	}
	if text == "*" {
		return newest()
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, rest.Refusal(412, rest.PreconditionFailed, "the ETag is not one of this resource")
	}
	return n, nil
}

func etag(version int64) string { return rest.Quoted(strconv.FormatInt(version, 10)) }
