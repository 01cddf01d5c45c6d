package rest

import (
	"context"
	"strconv"
	"time"

	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/rest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Token is an API token.
type Token struct {
	ID        string     `json:"id"`
	Owner     string     `json:"owner" doc:"id of a user"`
	Name      string     `json:"name"`
	Scopes    []string   `json:"scopes"`
	CreatedBy string     `json:"created_by"`
	Created   time.Time  `json:"created"`
	Expires   time.Time  `json:"expires"`
	Used      *time.Time `json:"used,omitempty" doc:"within half a minute"`
	UsedFrom  string     `json:"used_from,omitempty"`
	Revoked   *time.Time `json:"revoked,omitempty"`
	Successor string     `json:"successor,omitempty" doc:"what rotation made of it"`
}

func token(t account.Token) Token {
	return Token{ID: t.ID, Owner: t.Owner, Name: t.Name, Scopes: t.Scopes, CreatedBy: t.CreatedBy, Created: t.Created.UTC(), Expires: t.Expires.UTC(),
		Used: when(t.Used), UsedFrom: t.UsedFrom, Revoked: when(t.Revoked), Successor: t.Successor}
}

type tokenOut struct {
	Location string `header:"Location"`
	Body     struct {
		Token
		Secret string `json:"secret,omitempty" doc:"the token itself; it is shown this once"`
	}
}

func tokenAnswer(t account.Token, secret string, err error) (*tokenOut, error) {
	if err != nil {
		return nil, err
	}
	out := &tokenOut{Location: "/v1/tokens/" + t.ID}
	out.Body.Token, out.Body.Secret = token(t), secret
	return out, nil
}

func (d *door) tokens() {
	rest.Add(d.api, rest.Operation{Method: "GET", Path: "/v1/tokens", ID: "list-tokens", Tag: "tokens", Summary: "List one's own tokens, or with token.read everybody's",
		Doc: "Filter: `owner`.", Access: rest.Access{SignedIn: true}}, d.listTokens)
	rest.Add(d.api, rest.Operation{Method: "POST", Path: "/v1/tokens", ID: "create-token", Tag: "tokens", Summary: "Create a token",
		Doc:    "For oneself, or with `user.write` for a service account. `secret` is in this answer and nowhere else: a repetition with the same Idempotency-Key is answered without it.",
		Access: rest.Access{SignedIn: true}, Status: 201, Secret: []string{"secret"}},
		func(ctx context.Context, in *struct {
			Body struct {
				Name   string        `json:"name" minLength:"1" maxLength:"200" doc:"so that people know what it is for"`
				Scopes []string      `json:"scopes" minItems:"1" maxItems:"50" doc:"verb:resource[:cluster]" example:"[\"create:preheat\"]"`
				Life   rest.Duration `json:"life,omitempty" doc:"default 90 days"`
				Owner  string        `json:"owner,omitempty" maxLength:"64" doc:"id; default oneself"`
			}
		}) (*tokenOut, error) {
			c := own(ctx)
			if in.Body.Owner == "" {
				in.Body.Owner = c.ID
			}
			return tokenAnswer(d.Accounts.CreateToken(ctx, c, account.Order{Owner: in.Body.Owner, Name: in.Body.Name, Scopes: in.Body.Scopes, Life: time.Duration(in.Body.Life)}))
		})
	rest.Add(d.api, rest.Operation{Method: "POST", Path: "/v1/tokens/{id}:rotate", ID: "rotate-token", Tag: "tokens", Summary: "Make a successor of a token",
		Doc: "The old one goes on for `overlap`. A token may rotate itself, once.", Access: rest.Access{SignedIn: true}, Status: 201, Secret: []string{"secret"}},
		func(ctx context.Context, in *struct {
			ByID
			Body *struct { // a pointer: nothing has to be said
				Overlap rest.Duration `json:"overlap,omitempty" doc:"at most 7 days; default: the old one ends at once"`
				Life    rest.Duration `json:"life,omitempty" doc:"of the new one; default 90 days"`
			}
		}) (*tokenOut, error) {
			var overlap, life time.Duration
			if in.Body != nil {
				overlap, life = time.Duration(in.Body.Overlap), time.Duration(in.Body.Life)
			}
			return tokenAnswer(d.Accounts.RotateToken(ctx, own(ctx), in.ID, overlap, life))
		})
	rest.Add(d.api, rest.Operation{Method: "DELETE", Path: "/v1/tokens/{id}", ID: "revoke-token", Tag: "tokens", Summary: "Revoke a token at once",
		Doc: "One's own, or with `token.revoke` anybody's. Twice is the same as once.", Access: rest.Access{SignedIn: true}},
		func(ctx context.Context, in *ByID) (*none, error) {
			return nil, d.Accounts.RevokeToken(ctx, own(ctx), in.ID)
		})
}

func (d *door) listTokens(ctx context.Context, in *struct {
	rest.Page
	Filter string `query:"filter" maxLength:"500"`
}) (*rest.Listed[Token], error) {
	f, err := rest.ParseFilter(in.Filter, "owner")
	if err != nil {
		return nil, err
	}
	c := own(ctx)
	owner := f.Value("owner")
	if all := c.May("token.read", ""); owner != c.ID && all != nil {
		if owner != "" {
			return nil, all
		}
		owner = c.ID
	}
	return rest.List(ctx, d.api, in.Page, func(after string, limit int) ([]Token, error) {
		all, err := d.Accounts.Tokens(ctx, owner, after, limit)
		return each(all, token), err
	}, func(t Token) string { return t.ID })
}
