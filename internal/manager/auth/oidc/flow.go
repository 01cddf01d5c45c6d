package oidc

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	rp "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/secret"
)

const (
	flowLife = 10 * time.Minute
	maxFlows = 10000 // under way at once; more are somebody's attack
)

// Identity is who the provider says that somebody is, and what their groups give.
type Identity struct {
	Issuer   string
	Subject  string
	Name     string
	Display  string
	Email    string // only when the provider has verified it
	Roles    []Mapping
	ReturnTo string // where the browser was going
}

// Started is a flow that has begun.
type Started struct {
	URL    string // where to send the browser
	Cookie string // what to give it: HttpOnly, SameSite=Lax, on the callback's path
	Life   time.Duration
}

// Provider is one identity provider. It is asked for its configuration at the first sign-in, and asked again until
// it answers: a provider that is away does not keep a manager from starting.
type Provider struct {
	cfg Config
	db  *database.DB

	mu struct {
		sync.Mutex
		found *rp.Provider
	}
}

// New checks the configuration. The database needs auth.Migrations.
func New(db *database.DB, cfg Config) (*Provider, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "configure identity provider", Err: err}
	}
	client := *cfg.Client // a copy: the caller's is shared
	client.Transport = bounded{cfg.Client.Transport}
	if client.Timeout == 0 {
		client.Timeout = 15 * time.Second
	}
	cfg.Client = &client
	return &Provider{cfg: cfg, db: db}, nil
}

func (p *Provider) discover(ctx context.Context) (*rp.Provider, error) {
	p.mu.Lock()
	found := p.mu.found
	p.mu.Unlock()
	if found != nil {
		return found, nil
	}
	// Its keys are fetched later with the client of this context and without its end.
	found, err := rp.NewProvider(rp.ClientContext(ctx, p.cfg.Client), p.cfg.Issuer)
	if err != nil {
		return nil, away("ask identity provider "+p.cfg.Issuer, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.found = found
	return found, nil
}

func away(op string, err error) error {
	return &darter.Error{Kind: darter.Unavailable, Op: op, Hint: "check that the provider can be reached from the manager, and its address in the egress policy", Err: err}
}

func (p *Provider) exchange(found *rp.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, Endpoint: found.Endpoint(), RedirectURL: p.cfg.Redirect, Scopes: p.cfg.Scopes}
}

// Begin starts a sign-in. returnTo is a path of this host, "/" when it is anything else.
func (p *Provider) Begin(ctx context.Context, returnTo string) (Started, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return Started{}, err
	}
	var flow secret.Secret
	now := p.cfg.Now()
	err = p.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sign_in_flows WHERE expires_at > ?", database.At(now)).Scan(&n); err != nil {
			return err
		}
		if n >= maxFlows {
			return &darter.Error{Kind: darter.Denied, Op: "sign in", Hint: "wait a few minutes", Err: &auth.Throttled{After: flowLife}}
		}
		flow = secret.New(secret.Flow, tx.NewID())
		_, err := tx.ExecContext(ctx, "INSERT INTO sign_in_flows (id, secret_hash, provider, return_to, expires_at) VALUES (?, ?, ?, ?, ?)",
			flow.ID, flow.Hash(), p.cfg.Issuer, local(returnTo), database.At(now.Add(flowLife)))
		return err
	})
	if err != nil {
		return Started{}, err
	}
	to := p.exchange(found).AuthCodeURL(flow.Derive("state"), rp.Nonce(flow.Derive("nonce")), oauth2.S256ChallengeOption(flow.Derive("verifier")))
	return Started{URL: to, Cookie: flow.Text(), Life: flowLife}, nil
}

// local keeps a sign-in from ending on somebody else's page.
func local(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(path, "//") ||
		strings.ContainsAny(path, "\\\r\n\t") || len(path) > 1000 {
		return "/"
	}
	return path
}

// Finish takes the provider's answer (the callback's query) and the cookie of Begin. It fails with Denied and
// ErrUnauthenticated for everything that is wrong with them, and Unavailable when the provider does not answer.
func (p *Provider) Finish(ctx context.Context, query url.Values, cookie string) (Identity, error) {
	flow, err := secret.Parse(secret.Flow, cookie)
	if err != nil {
		return Identity{}, failed(errors.New("this browser has no sign-in under way"))
	}
	returnTo, err := p.take(ctx, flow)
	if err != nil {
		return Identity{}, err
	}
	// Compared with what follows from the cookie: a link from somebody else's flow ends here.
	if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(flow.Derive("state"))) != 1 {
		return Identity{}, failed(errors.New("the answer belongs to another sign-in"))
	}
	if refusal := query.Get("error"); refusal != "" {
		return Identity{}, failed(fmt.Errorf("the provider says %q", refusal[:min(len(refusal), 100)]))
	}
	found, err := p.discover(ctx)
	if err != nil {
		return Identity{}, err
	}
	ctx = rp.ClientContext(ctx, p.cfg.Client)
	tokens, err := p.exchange(found).Exchange(ctx, query.Get("code"), oauth2.VerifierOption(flow.Derive("verifier")))
	if err != nil {
		if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.Response.StatusCode < http.StatusInternalServerError {
			return Identity{}, failed(fmt.Errorf("the provider refused the code: %s", refused.ErrorCode))
		}
		return Identity{}, away("exchange code at "+p.cfg.Issuer, errors.New("no answer that can be used")) // the library's text may hold the answer, with tokens
	}
	return p.identify(ctx, found, flow, tokens, returnTo)
}

// take removes the flow's row, so that nobody takes it twice.
func (p *Provider) take(ctx context.Context, flow secret.Secret) (returnTo string, err error) {
	var hash, provider string
	var expires database.Micros
	err = p.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		return tx.QueryRowContext(ctx, "DELETE FROM sign_in_flows WHERE id = ? AND secret_hash = ? RETURNING secret_hash, provider, return_to, expires_at", flow.ID, flow.Hash()).
			Scan(&hash, &provider, &returnTo, &expires)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", failed(errors.New("the sign-in was finished already, or began too long ago"))
	case err != nil:
		return "", err
	case provider != p.cfg.Issuer || !p.cfg.Now().Before(expires.Time()):
		return "", failed(errors.New("the sign-in began too long ago, or at another provider"))
	}
	return returnTo, nil
}

func (p *Provider) identify(ctx context.Context, found *rp.Provider, flow secret.Secret, tokens *oauth2.Token, returnTo string) (Identity, error) {
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return Identity{}, failed(errors.New("the provider gave no ID token"))
	}
	token, err := found.Verifier(&rp.Config{ClientID: p.cfg.ClientID, Now: p.cfg.Now}).Verify(ctx, raw)
	if err != nil {
		return Identity{}, failed(errors.New("the ID token is not valid: " + reason(err)))
	}
	if token.Nonce != flow.Derive("nonce") {
		return Identity{}, failed(errors.New("the ID token belongs to another sign-in"))
	}
	claims := make(map[string]any)
	if err := token.Claims(&claims); err != nil {
		return Identity{}, failed(errors.New("the ID token's claims do not parse"))
	}
	groups := texts(claims[p.cfg.GroupsClaim])
	if len(p.cfg.Require) > 0 && !slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(p.cfg.Require, g) }) {
		return Identity{}, &darter.Error{Kind: darter.Denied, Op: "sign in", Hint: "ask the provider's administrator for a group that may sign in",
			Err: fmt.Errorf("%w: none of the groups that may sign in", auth.ErrForbidden)}
	}
	out := Identity{Issuer: token.Issuer, Subject: token.Subject, Name: text(claims[p.cfg.NameClaim]), Display: text(claims["name"]), ReturnTo: returnTo}
	if verified, _ := claims["email_verified"].(bool); verified {
		out.Email = text(claims["email"])
	}
	for _, m := range p.cfg.Roles {
		if m.Group == "*" || slices.Contains(groups, m.Group) {
			out.Roles = append(out.Roles, m)
		}
	}
	return out, nil
}

// reason names the class of a verification failure; the library's text quotes the token's content.
func reason(err error) string {
	if _, expired := errors.AsType[*rp.TokenExpiredError](err); expired {
		return "it has run out"
	}
	return "signature, issuer or audience do not fit"
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// texts reads a claim that is a list of texts, or one text: providers differ.
func texts(v any) []string {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	list, _ := v.([]any)
	var out []string
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func failed(err error) error { return auth.Unauthenticated("sign in", err) }
