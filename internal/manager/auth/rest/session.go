package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/rest"
)

type setupIn struct {
	Body struct {
		Token    string `json:"token" maxLength:"1024" doc:"as the manager showed it at its start, or as it was brought to it"`
		Name     string `json:"name" maxLength:"64" doc:"of the first administrator"`
		Password string `json:"password" maxLength:"1024" format:"password"`
	}
}

func (d *door) setup() {
	rest.Add(d.api, rest.Operation{Method: "POST", Path: "/v1/setup", ID: "setup", Tag: "sessions", Summary: "Make the first administrator",
		Doc:    "Works once, with the set-up token, while there is no administrator.",
		Access: rest.Access{Public: "the first administrator has no account yet; a one-time token proves who asks"}, Status: 201, Unrepeatable: true, NoDryRun: true},
		func(ctx context.Context, in *setupIn) (*userOut, error) {
			u, err := d.Accounts.CompleteSetup(ctx, own(ctx), in.Body.Token, in.Body.Name, in.Body.Password)
			return userAnswer(u, err)
		})
}

// Session is a sign-in that goes on.
type Session struct {
	ID      string    `json:"id"`
	User    string    `json:"user" doc:"id"`
	Method  string    `json:"method" enum:"password,oidc"`
	Address string    `json:"address,omitempty"`
	Agent   string    `json:"agent,omitempty"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	Expires time.Time `json:"expires"`
}

func session(s account.Session) Session {
	return Session{ID: s.ID, User: s.User, Method: s.Method, Address: s.Address, Agent: s.Agent, Created: s.Created.UTC(), Seen: s.Seen.UTC(), Expires: s.Expires.UTC()}
}

type signInIn struct {
	Agent string `header:"User-Agent" hidden:"true"`
	Body  struct {
		Name     string `json:"name" maxLength:"200"`
		Password string `json:"password" maxLength:"1024" format:"password"`
	}
}

type signInOut struct {
	Cookie []string `header:"Set-Cookie"`
	Body   struct {
		Session
		Name string `json:"name" doc:"of the user"`
		CSRF string `json:"csrf_token" doc:"to be sent as X-Csrf-Token with each changing request"`
	}
}

// Who is whom a credential stands for, and what it may do.
type Who struct {
	Kind       string   `json:"kind" enum:"user,service,system"`
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Method     string   `json:"method"`
	Credential string   `json:"credential,omitempty" doc:"id of the session or token"`
	Rights     []string `json:"rights" doc:"verb:resource[:cluster], as roles give them"`
	Scopes     []string `json:"scopes,omitempty" doc:"of a token: it may do what these and the rights both allow"`
	CSRF       string   `json:"csrf_token,omitempty" doc:"of a session"`
}

func (d *door) sessions() {
	rest.Add(d.api, rest.Operation{Method: "POST", Path: "/v1/sessions", ID: "sign-in", Tag: "sessions", Summary: "Sign in with name and password",
		Doc:    "The answer sets a cookie, HttpOnly. Scripts take an API token instead.",
		Access: rest.Access{Public: "signing in needs no credential but the one in the body"}, Status: 201, Unrepeatable: true, NoDryRun: true},
		func(ctx context.Context, in *signInIn) (*signInOut, error) {
			o, err := d.Accounts.SignIn(ctx, own(ctx), in.Body.Name, in.Body.Password, in.Agent)
			if err != nil {
				return nil, err
			}
			out := &signInOut{Cookie: d.cookies(func(w http.ResponseWriter) { d.front.SetCookie(w, o.Cookie, o.Expires) })}
			out.Body.Session, out.Body.Name, out.Body.CSRF = session(o.Session), o.Name, o.CSRF
			return out, nil
		})
	rest.Add(d.api, rest.Operation{Method: "GET", Path: "/v1/sessions/current", ID: "whoami", Tag: "sessions", Summary: "Who am I, and what may I do?", Access: rest.Access{SignedIn: true}}, d.whoami)
	rest.Add(d.api, rest.Operation{Method: "GET", Path: "/v1/sessions", ID: "list-sessions", Tag: "sessions", Summary: "List one's own sessions, or a user's",
		Access: rest.Access{SignedIn: true}}, d.listSessions)
	rest.Add(d.api, rest.Operation{Method: "DELETE", Path: "/v1/sessions/{id}", ID: "sign-out", Tag: "sessions", Summary: "Sign out, or end a session",
		Doc: "`current` is the session that the request comes with. Sessions of others need `session.revoke`.", Access: rest.Access{SignedIn: true}}, d.signOut)
}

// cookies returns what set would add to an answer.
func (d *door) cookies(set func(http.ResponseWriter)) []string {
	j := jar{}
	set(j)
	return http.Header(j)["Set-Cookie"]
}

// jar is an answer of which only cookies are wanted.
type jar http.Header

func (j jar) Header() http.Header         { return http.Header(j) }
func (j jar) Write(b []byte) (int, error) { return len(b), nil }
func (j jar) WriteHeader(int)             {}

func (d *door) whoami(ctx context.Context, in *struct {
	Cookie string `header:"Cookie" hidden:"true"`
}) (*struct{ Body Who }, error) {
	c := own(ctx)
	out := &struct{ Body Who }{Who{Kind: string(c.Kind), ID: c.ID, Name: c.Name, Method: c.Method, Credential: c.Credential, Rights: scopes(c.Rights)}}
	if c.Scoped {
		out.Body.Scopes = scopes(c.Scopes)
	}
	if c.Method != auth.ByPassword && c.Method != auth.ByOIDC {
		return out, nil
	}
	all, err := http.ParseCookie(in.Cookie)
	if err != nil {
		return out, nil //nolint:nilerr // what does not parse is no cookie of ours, and the answer is right without it
	}
	for _, cookie := range all {
		if p, csrf, err := d.Accounts.Session(ctx, cookie.Value, c.From); err == nil && p.Credential == c.Credential {
			out.Body.CSRF = csrf
		}
	}
	return out, nil
}

func scopes(r auth.Rights) []string {
	out := make([]string, len(r))
	for i, g := range r {
		out[i] = g.Scope()
	}
	return out
}

func (d *door) listSessions(ctx context.Context, in *struct {
	User string `query:"user" maxLength:"64" doc:"id of another user; needs session.read"`
}) (*rest.Listed[Session], error) {
	c := own(ctx)
	if in.User == "" {
		in.User = c.ID
	}
	if in.User != c.ID || c.Scoped {
		if err := c.May("session.read", ""); err != nil {
			return nil, err
		}
	}
	all, err := d.Accounts.Sessions(ctx, in.User)
	out := &rest.Listed[Session]{Body: rest.Items[Session]{Items: []Session{}}}
	for _, s := range all {
		out.Body.Items = append(out.Body.Items, session(s))
	}
	return out, err
}

func (d *door) signOut(ctx context.Context, in *ByID) (*struct {
	Cookie []string `header:"Set-Cookie"`
}, error) {
	out := &struct {
		Cookie []string `header:"Set-Cookie"`
	}{}
	c := own(ctx)
	session := c.Method == auth.ByPassword || c.Method == auth.ByOIDC
	if in.ID == "current" {
		if !session {
			return nil, rest.Refusal(http.StatusConflict, rest.Conflict, "the request comes without a session")
		}
		in.ID = c.Credential
	}
	if session && in.ID == c.Credential {
		out.Cookie = d.cookies(d.front.ClearCookie)
	}
	return out, d.Accounts.EndSession(ctx, c, in.ID)
}
