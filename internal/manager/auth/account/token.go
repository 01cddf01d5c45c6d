package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/secret"
)

const (
	maxTokens  = 100 // in force, per owner
	maxScopes  = 50
	maxOverlap = 7 * 24 * time.Hour
)

// Token is an API token without its secret.
type Token struct {
	ID        string
	Owner     string
	Name      string
	Scopes    []string
	CreatedBy string
	Created   time.Time
	Expires   time.Time
	Used      time.Time // zero: never. Written within half a minute of the use
	UsedFrom  string
	Revoked   time.Time // zero: not
	Successor string    // the token that rotation made of it
}

// Order asks for a token. Scopes are required: what a token may do is said when it is made.
type Order struct {
	Owner  string // user id; one's own, or a service account
	Name   string
	Scopes []string      // verb:resource[:cluster]
	Life   time.Duration // default Config.TokenLife
}

const tokenColumns = "id, user_id, name, secret_hash, scopes, created_by, created_at, expires_at, used_at, used_from, revoked_at, successor"

func scanToken(r row) (t Token, hash string, err error) {
	var scopes string
	var created, expires, used, revoked database.Micros
	err = r.Scan(&t.ID, &t.Owner, &t.Name, &hash, &scopes, &t.CreatedBy, &created, &expires, &used, &t.UsedFrom, &revoked, &t.Successor)
	if err == nil {
		err = json.Unmarshal([]byte(scopes), &t.Scopes)
	}
	t.Created, t.Expires, t.Used, t.Revoked = created.Time(), expires.Time(), used.Time(), revoked.Time()
	return t, hash, err
}

func parseScopes(texts []string) (auth.Rights, error) {
	if len(texts) == 0 || len(texts) > maxScopes {
		return nil, fmt.Errorf("%d scopes are not between 1 and %d", len(texts), maxScopes)
	}
	var out auth.Rights
	for _, s := range texts {
		g, err := auth.ParseScope(s)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}

// CreateToken makes a token and returns its text, which is not kept. A caller makes tokens for themselves, or
// with user.write for a service account whose rights they have. A token makes no token that may do more.
func (a *Accounts) CreateToken(ctx context.Context, c auth.Caller, o Order) (t Token, text string, err error) {
	const op = "create token"
	scopes, err := parseScopes(o.Scopes)
	if err != nil {
		return t, "", invalid(op, err)
	}
	if o.Life == 0 {
		o.Life = a.cfg.TokenLife
	}
	if o.Life < time.Minute || o.Life > a.cfg.MaxTokenLife {
		return t, "", invalid(op, fmt.Errorf("a life of %v is not between a minute and %v", o.Life, a.cfg.MaxTokenLife))
	}
	if o.Name = strings.TrimSpace(o.Name); o.Name == "" {
		return t, "", invalid(op, errors.New("a name is required, so that people know what it is for"))
	}
	if err := checkText(op, "name", o.Name); err != nil {
		return t, "", err
	}
	err = a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		event := darter.AuditEvent{Action: "token.create", Resource: "users/" + o.Owner + "/tokens"}
		if err := a.mayHandTokens(ctx, tx, c, o.Owner, true); err != nil {
			return event, err
		}
		if c.Scoped && !c.Scopes.Covers(scopes) {
			return event, c.MayGrant(scopes)
		}
		t, text, err = a.insertToken(ctx, tx, c, Token{Owner: o.Owner, Name: o.Name, Scopes: o.Scopes}, o.Life)
		event.Resource, event.After = "tokens/"+t.ID, strings.Join(o.Scopes, " ")+" until "+t.Expires.Format(time.RFC3339)
		return event, err
	})
	if err != nil {
		return Token{}, "", err
	}
	return t, text, nil
}

func (a *Accounts) insertToken(ctx context.Context, tx *database.Tx, c auth.Caller, t Token, life time.Duration) (Token, string, error) {
	now := a.now().Truncate(time.Microsecond)
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM tokens WHERE user_id = ? AND revoked_at = 0 AND expires_at > ?", t.Owner, database.At(now)).Scan(&n); err != nil {
		return t, "", err
	}
	if n >= maxTokens {
		return t, "", conflict("create token", "revoke tokens that are not used", fmt.Sprintf("there are %d in force", n))
	}
	scopes, err := json.Marshal(t.Scopes)
	if err != nil {
		return t, "", err
	}
	s := secret.New(secret.Token, tx.NewID())
	t.ID, t.CreatedBy, t.Created, t.Expires = s.ID, c.ID, now, now.Add(life)
	_, err = tx.ExecContext(ctx, "INSERT INTO tokens ("+tokenColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, '', 0, '')",
		t.ID, t.Owner, t.Name, s.Hash(), string(scopes), t.CreatedBy, database.At(t.Created), database.At(t.Expires))
	return t, s.Text(), err
}

// mayHandTokens returns nil when the caller may make (else only end) tokens of that owner.
func (a *Accounts) mayHandTokens(ctx context.Context, tx *database.Tx, c auth.Caller, owner string, makes bool) error {
	if owner == c.ID && (c.Kind == auth.User || c.Kind == auth.Service) {
		u, err := userByID(ctx, tx, owner) // whom a principal stands for may have been disabled a moment ago
		if err == nil && u.Disabled {
			err = auth.Unauthenticated("create token", errors.New("the user is disabled"))
		}
		return err
	}
	if !makes {
		return c.May("token.revoke", "")
	}
	if err := c.May("user.write", ""); err != nil {
		return err
	}
	u, err := a.manage(ctx, tx, c, owner)
	if err == nil && u.Kind != auth.Service && c.Kind != auth.System { // who has the files could write the row
		err = &darter.Error{Kind: darter.Denied, Op: "create token", Hint: "people make their own tokens; use a service account",
			Err: fmt.Errorf("%w: %s is not a service account", auth.ErrForbidden, u.Name)}
	}
	return err
}

// RotateToken makes a successor with the same owner, name and scopes, and lets the old one go on for overlap
// (at most 7 days, and not beyond its end). A token may rotate itself. A second rotation is a Conflict: two
// who rotate the same token would otherwise both believe to have the newest.
func (a *Accounts) RotateToken(ctx context.Context, c auth.Caller, id string, overlap, life time.Duration) (t Token, text string, err error) {
	op := "rotate token " + id
	if life == 0 {
		life = a.cfg.TokenLife
	}
	if overlap < 0 || overlap > maxOverlap || life < time.Minute || life > a.cfg.MaxTokenLife {
		return t, "", invalid(op, fmt.Errorf("an overlap of %v is not between 0 and %v, or a life of %v not between a minute and %v", overlap, maxOverlap, life, a.cfg.MaxTokenLife))
	}
	err = a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		event := darter.AuditEvent{Action: "token.rotate", Resource: "tokens/" + id}
		old, _, err := scanToken(tx.QueryRowContext(ctx, "SELECT "+tokenColumns+" FROM tokens WHERE id = ?", id))
		if err != nil {
			return event, absent(err, op, "token", id)
		}
		if err := a.mayHandTokens(ctx, tx, c, old.Owner, true); err != nil {
			return event, err
		}
		now := a.now()
		if c.Scoped && c.Credential != id {
			return event, auth.Unauthenticated(op, errors.New("a token rotates only itself"))
		}
		if !old.Revoked.IsZero() || !now.Before(old.Expires) || old.Successor != "" {
			return event, conflict(op, "create a new one", "it has ended, or has a successor already")
		}
		if t, text, err = a.insertToken(ctx, tx, c, Token{Owner: old.Owner, Name: old.Name, Scopes: old.Scopes}, life); err != nil {
			return event, err
		}
		event.After = "tokens/" + t.ID
		end := now.Add(overlap)
		if old.Expires.Before(end) {
			end = old.Expires
		}
		_, err = tx.ExecContext(ctx, "UPDATE tokens SET successor = ?, expires_at = ? WHERE id = ?", t.ID, database.At(end), id)
		return event, err
	})
	if err != nil {
		return Token{}, "", err
	}
	return t, text, nil
}

// RevokeToken ends a token at once: one's own, or with token.revoke anybody's. Twice is the same as once.
func (a *Accounts) RevokeToken(ctx context.Context, c auth.Caller, id string) error {
	return a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		event := darter.AuditEvent{Action: "token.revoke", Resource: "tokens/" + id}
		var owner string
		if err := tx.QueryRowContext(ctx, "SELECT user_id FROM tokens WHERE id = ?", id).Scan(&owner); err != nil {
			return event, absent(err, "revoke token", "token", id)
		}
		if c.Scoped && c.Credential != id {
			if err := c.May("token.revoke", ""); err != nil {
				return event, err
			}
		}
		if err := a.mayHandTokens(ctx, tx, c, owner, false); err != nil {
			return event, err
		}
		_, err := tx.ExecContext(ctx, "UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at = 0", database.At(a.now()), id)
		return event, err
	})
}

// Tokens returns an owner's tokens, or with "" everybody's, in the order of their ids, after one, at most limit (500).
func (a *Accounts) Tokens(ctx context.Context, owner, after string, limit int) ([]Token, error) {
	var out []Token
	err := a.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		out = nil
		rows, err := tx.QueryContext(ctx, "SELECT "+tokenColumns+" FROM tokens WHERE (? = '' OR user_id = ?) AND id > ? ORDER BY id LIMIT ?", owner, owner, after, page(limit))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			t, _, err := scanToken(rows)
			if err != nil {
				return err
			}
			out = append(out, t)
		}
		return rows.Err()
	})
	return out, err
}

// Token returns whom an API token stands for.
func (a *Accounts) Token(ctx context.Context, text string, from netip.Addr) (auth.Principal, error) {
	s, err := secret.Parse(secret.Token, text)
	if err != nil {
		a.refused(auth.ByToken, "malformed")
		return auth.Principal{}, auth.Unauthenticated("use token", nil)
	}
	key := "token/" + s.ID
	r, known := a.recall(key)
	if !known {
		if r, err = a.readToken(ctx, key, s); err != nil {
			return auth.Principal{}, err
		}
	}
	now := a.now()
	if !s.Matches(r.hash) || !now.Before(r.expires) {
		a.refused(auth.ByToken, "wrong or expired")
		return auth.Principal{}, auth.Unauthenticated("use token", errors.New("it is unknown, revoked or has run out"))
	}
	a.used(key, now, from)
	return r.principal, nil
}

func (a *Accounts) readToken(ctx context.Context, key string, s secret.Secret) (r remembered, err error) {
	var version int64
	at := a.now()
	err = a.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		if version, err = versionOf(ctx, tx); err != nil {
			return err
		}
		t, hash, err := scanToken(tx.QueryRowContext(ctx, "SELECT "+tokenColumns+" FROM tokens WHERE id = ? AND revoked_at = 0", s.ID))
		if err != nil {
			return absent(err, "use token", "token", s.ID)
		}
		r.hash, r.expires = hash, t.Expires
		if r.principal, err = principal(ctx, tx, t.Owner, auth.ByToken, t.ID); err != nil {
			return err
		}
		r.principal.Scoped = true
		r.principal.Scopes, err = parseScopes(t.Scopes)
		if err != nil {
			err = &darter.Error{Kind: darter.Corrupt, Op: "use token " + t.ID, Hint: "revoke it and create a new one", Err: err}
		}
		return err
	})
	if darter.KindOf(err) == darter.NotFound {
		a.refused(auth.ByToken, "unknown")
		return r, auth.Unauthenticated("use token", errors.New("it is unknown, revoked or has run out"))
	}
	if err == nil && s.Matches(r.hash) {
		a.remember(key, r, version, at)
	}
	return r, err
}
