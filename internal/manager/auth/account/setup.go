package account

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/secret"
)

// minSetupSecret is how long a set-up secret that an operator brings has to be.
const minSetupSecret = 32

// published are signing keys and secrets that stand in documents of other products and of ours; whoever
// guesses tries them first.
var published = []string{"ZHJhZ29uZmx5Cg==", "changeme", "password", "secret", "dragonfly", "darter", "example", "0123456789"}

// PrepareSetup is called at every start. When there is no administrator it makes a one-time token for the first
// sign-in and returns it, to be shown once; or it takes brought, the content of a secret file or variable, and
// returns nothing to show. needed is false once there is an administrator.
func (a *Accounts) PrepareSetup(ctx context.Context, brought string) (show string, needed bool, err error) {
	text := strings.TrimSpace(brought)
	if text != "" {
		if err := checkSetupSecret(text); err != nil {
			return "", false, err
		}
	}
	err = a.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		show, needed = "", false
		n, err := admins(ctx, tx)
		if err != nil {
			return err
		}
		if n > 0 {
			_, err := tx.ExecContext(ctx, "DELETE FROM setup_tokens")
			return err
		}
		needed = true
		id := tx.NewID()
		token := text
		if token == "" {
			show = secret.New(secret.Setup, id).Text()
			token = show
		}
		now := a.now()
		// The same brought secret at the next start lives for another while; it is not listed twice.
		if _, err := tx.ExecContext(ctx, "DELETE FROM setup_tokens WHERE secret_hash = ? OR expires_at <= ?", digest(token), database.At(now)); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO setup_tokens (id, secret_hash, created_at, expires_at, used_at) VALUES (?, ?, ?, ?, 0)",
			id, digest(token), database.At(now), database.At(now.Add(a.cfg.SetupLife)))
		return err
	})
	if err != nil {
		return "", false, err
	}
	return show, needed, nil
}

func checkSetupSecret(s string) error {
	bad := func(why string) error {
		return &darter.Error{Kind: darter.Invalid, Op: "read set-up secret", Hint: "make one with: openssl rand -base64 32", Err: errors.New(why)}
	}
	distinct := make(map[rune]bool)
	for _, r := range s {
		distinct[r] = true
	}
	if len(s) < minSetupSecret || len(s) > 1024 || len(distinct) < 10 {
		return bad(fmt.Sprintf("it needs %d to 1024 bytes and ten different characters", minSetupSecret))
	}
	for _, p := range published {
		if rest := strings.ReplaceAll(strings.ToLower(s), strings.ToLower(p), ""); len(rest) < minSetupSecret/2 {
			return bad("it is made of a published secret")
		}
	}
	return nil
}

// CompleteSetup makes the first administrator with a set-up token, once. It fails with ErrUnauthenticated for
// a wrong, used or expired token, with Conflict when there is an administrator, and with Invalid for a bad name
// or weak password; the token is good for another try then.
func (a *Accounts) CompleteSetup(ctx context.Context, c auth.Caller, token, name, password string) (u User, err error) {
	const op = "set up"
	draft := Draft{Kind: auth.User, Name: name, Password: password}
	known := false
	now := a.now()
	err = a.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		known, err = a.knownSetup(ctx, tx, token)
		return err
	})
	if err != nil {
		return User{}, err
	}
	if !known { // before any costly work
		a.refused(auth.BySetup, "wrong")
		return User{}, auth.Unauthenticated(op, errors.New("the set-up token is wrong, used or has run out; a restart of the manager shows a new one"))
	}
	if err := a.checkDraft(&draft); err != nil {
		return User{}, err
	}
	if draft.Password == "" {
		return User{}, invalid(op, errors.New("a password is required"))
	}
	hash, err := a.hasher.Hash(ctx, draft.Password)
	if err != nil {
		return User{}, err
	}
	err = a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		event := darter.AuditEvent{Action: "system.setup"}
		n, err := admins(ctx, tx)
		if err == nil && n > 0 {
			err = conflict(op, "sign in", "there is an administrator")
		}
		if err != nil {
			return event, err
		}
		used, err := one(tx.ExecContext(ctx, "DELETE FROM setup_tokens WHERE secret_hash = ? AND expires_at > ?", digest(strings.TrimSpace(token)), database.At(now)))
		if err == nil && !used {
			err = auth.Unauthenticated(op, errors.New("the set-up token was used a moment ago"))
		}
		if err != nil {
			return event, err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM setup_tokens"); err != nil {
			return event, err
		}
		if u, err = a.insertUser(ctx, tx, User{Kind: auth.User, Name: draft.Name, password: hash}); err != nil {
			return event, err
		}
		_, err = insertBinding(ctx, tx, Binding{User: u.ID, Role: auth.AdminRole, Source: Local, CreatedBy: auth.BySetup, Created: u.Created})
		who := c
		who.Principal = auth.Principal{Kind: auth.User, ID: u.ID, Name: u.Name, Method: auth.BySetup}
		event.Actor, event.Resource, event.After = who.Actor(), "users/"+u.ID, auth.AdminRole
		return event, err
	})
	if err != nil {
		return User{}, err
	}
	return u, nil
}

func (a *Accounts) knownSetup(ctx context.Context, tx *database.Tx, token string) (bool, error) {
	var n int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM setup_tokens WHERE secret_hash = ? AND expires_at > ?", digest(strings.TrimSpace(token)), database.At(a.now())).Scan(&n)
	return n > 0, err
}
