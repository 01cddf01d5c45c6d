package account

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/secret"
)

// csrfLabel is what the CSRF token is derived with from a session's secret.
const csrfLabel = "csrf"

// Opened is a new session. Cookie is the secret; it is not kept.
type Opened struct {
	Session
	Cookie string // for the browser's cookie, HttpOnly
	CSRF   string // for the page, which sends it back in a header
	Name   string // of the user
}

// Session is a sign-in that goes on.
type Session struct {
	ID      string
	User    string
	Method  string
	Address string
	Agent   string
	Created time.Time
	Seen    time.Time
	Expires time.Time
	Revoked time.Time // zero: not
}

// open makes a session for a user who has proved who they are.
func (a *Accounts) open(ctx context.Context, c auth.Caller, u User, method, agent string) (Opened, error) {
	now := a.now().Truncate(time.Microsecond)
	var out Opened
	err := a.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		s := secret.New(secret.Session, tx.NewID())
		out = Opened{Cookie: s.Text(), CSRF: s.Derive(csrfLabel), Name: u.Name, Session: Session{ID: s.ID, User: u.ID, Method: method,
			Agent: clean(agent), Created: now, Seen: now, Expires: now.Add(a.cfg.SessionLife)}}
		if c.From.IsValid() {
			out.Address = c.From.Unmap().String()
		}
		// Of a user who was disabled or deleted since the proof no session begins.
		ok, err := one(tx.ExecContext(ctx, "UPDATE users SET seen_at = ? WHERE id = ? AND NOT disabled AND version = ?", database.At(now), u.ID, u.Version))
		if err == nil && !ok {
			err = auth.Unauthenticated("sign in", errors.New("the user was changed meanwhile"))
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO sessions (id, user_id, secret_hash, method, address, agent, created_at, seen_at, expires_at, revoked_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`, s.ID, u.ID, s.Hash(), method, out.Address, out.Agent, database.At(now), database.At(now), database.At(out.Expires))
		if err != nil {
			return err
		}
		who := c
		who.Principal = auth.Principal{Kind: u.Kind, ID: u.ID, Name: u.Name, Method: method}
		return a.record(ctx, tx, who, darter.AuditEvent{Action: "session.open", Resource: "sessions/" + s.ID})
	})
	if err == nil && a.cfg.Events.SignedIn != nil {
		a.cfg.Events.SignedIn(method)
	}
	return out, err
}

// clean makes a client's own words fit for a row and a page.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	for len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "")
	}
	return s
}

// Session returns whom a cookie stands for, and the CSRF token that a changing request has to carry.
func (a *Accounts) Session(ctx context.Context, cookie string, from netip.Addr) (auth.Principal, string, error) {
	s, err := secret.Parse(secret.Session, cookie)
	if err != nil {
		a.refused("session", "malformed")
		return auth.Principal{}, "", auth.Unauthenticated("use session", nil)
	}
	key := "session/" + s.ID
	r, known := a.recall(key)
	if !known {
		if r, err = a.readSession(ctx, key, s); err != nil {
			return auth.Principal{}, "", err
		}
	}
	now := a.now()
	switch {
	case !s.Matches(r.hash):
		a.refused("session", "wrong")
	case !now.Before(r.expires):
		a.refused("session", "expired")
	case now.Sub(r.seen) >= a.cfg.SessionIdle:
		a.refused("session", "idle")
	default:
		a.used(key, now, from)
		return r.principal, r.csrf, nil
	}
	return auth.Principal{}, "", auth.Unauthenticated("use session", errors.New("it has ended"))
}

func (a *Accounts) readSession(ctx context.Context, key string, s secret.Secret) (remembered, error) {
	r := remembered{csrf: s.Derive(csrfLabel)}
	var version int64
	at := a.now()
	err := a.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		var user, method string
		var seen, expires, revoked database.Micros
		var err error
		if version, err = versionOf(ctx, tx); err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, "SELECT user_id, secret_hash, method, seen_at, expires_at, revoked_at FROM sessions WHERE id = ?", s.ID).
			Scan(&user, &r.hash, &method, &seen, &expires, &revoked)
		if err != nil {
			return absent(err, "use session", "session", s.ID)
		}
		if revoked != 0 {
			return notFound("use session", "session", s.ID)
		}
		r.seen, r.expires = seen.Time(), expires.Time()
		r.principal, err = principal(ctx, tx, user, method, s.ID)
		return err
	})
	if darter.KindOf(err) == darter.NotFound {
		a.refused("session", "unknown")
		return r, auth.Unauthenticated("use session", errors.New("it has ended"))
	}
	if err != nil {
		return r, err
	}
	a.mu.Lock()
	if u, used := a.mu.uses[key]; used && u.at.After(r.seen) {
		r.seen = u.at // not yet written
	}
	a.mu.Unlock()
	if s.Matches(r.hash) { // else anybody who knows an id could fill the memory with it
		a.remember(key, r, version, at)
	}
	return r, nil
}

// principal puts a user together. A disabled user is as good as none.
func principal(ctx context.Context, tx *database.Tx, user, method, credential string) (auth.Principal, error) {
	u, err := userByID(ctx, tx, user)
	if err != nil {
		return auth.Principal{}, err
	}
	if u.Disabled {
		return auth.Principal{}, notFound("use credential", "enabled user", user)
	}
	rights, err := rightsOf(ctx, tx, user)
	return auth.Principal{Kind: u.Kind, ID: u.ID, Name: u.Name, Method: method, Credential: credential, Rights: rights}, err
}

// Sessions returns a user's sessions that have not ended, newest first.
func (a *Accounts) Sessions(ctx context.Context, user string) ([]Session, error) {
	var out []Session
	now := a.now()
	err := a.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		out = nil
		rows, err := tx.QueryContext(ctx, `SELECT id, user_id, method, address, agent, created_at, seen_at, expires_at, revoked_at FROM sessions
			WHERE user_id = ? AND revoked_at = 0 AND expires_at > ? AND seen_at > ? ORDER BY id DESC LIMIT 500`, user, database.At(now), database.At(now.Add(-a.cfg.SessionIdle)))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s Session
			var created, seen, expires, revoked database.Micros
			if err := rows.Scan(&s.ID, &s.User, &s.Method, &s.Address, &s.Agent, &created, &seen, &expires, &revoked); err != nil {
				return err
			}
			s.Created, s.Seen, s.Expires, s.Revoked = created.Time(), seen.Time(), expires.Time(), revoked.Time()
			out = append(out, s)
		}
		return rows.Err()
	})
	return out, err
}

// EndSession ends one session: one's own (signing out), or with session.revoke anybody's.
func (a *Accounts) EndSession(ctx context.Context, c auth.Caller, id string) error {
	return a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		event := darter.AuditEvent{Action: "session.close", Resource: "sessions/" + id}
		var user string
		if err := tx.QueryRowContext(ctx, "SELECT user_id FROM sessions WHERE id = ?", id).Scan(&user); err != nil {
			return event, absent(err, "end session", "session", id)
		}
		if user != c.ID || c.Scoped {
			if err := c.May("session.revoke", ""); err != nil {
				return event, err
			}
		}
		_, err := tx.ExecContext(ctx, "UPDATE sessions SET revoked_at = ? WHERE id = ? AND revoked_at = 0", database.At(a.now()), id)
		return event, err
	})
}

// EndSessions ends all sessions of a user but the caller's own one.
func (a *Accounts) EndSessions(ctx context.Context, c auth.Caller, user string) error {
	return a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		event := darter.AuditEvent{Action: "session.close", Resource: "users/" + user + "/sessions"}
		if user != c.ID || c.Scoped {
			if err := c.May("session.revoke", ""); err != nil {
				return event, err
			}
		}
		return event, a.endSessions(ctx, tx, user, c.Credential)
	})
}

func (a *Accounts) endSessions(ctx context.Context, tx *database.Tx, user, but string) error {
	_, err := tx.ExecContext(ctx, "UPDATE sessions SET revoked_at = ? WHERE user_id = ? AND revoked_at = 0 AND id <> ?", database.At(a.now()), user, but)
	return err
}
