package account

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
)

// errWrong is one text for all reasons: which of them it was is nobody's business.
var errWrong = errors.New("name or password is wrong")

// SignIn opens a session for a local user. It fails with Denied and ErrUnauthenticated for a wrong name or
// password or a disabled user, all alike, and with a Throttled after too many failures. c is the anonymous caller.
func (a *Accounts) SignIn(ctx context.Context, c auth.Caller, name, password, agent string) (Opened, error) {
	u, err := a.prove(ctx, name, password, c)
	if err != nil {
		return Opened{}, err
	}
	return a.open(ctx, c, u, auth.ByPassword, agent)
}

// prove returns the enabled local user with that name and password. Failures are counted and audited.
func (a *Accounts) prove(ctx context.Context, name, password string, c auth.Caller) (User, error) {
	const op = "sign in"
	name = strings.ToLower(strings.TrimSpace(name))
	narrow, wide := subjects(name, c.From)
	var u User
	err := a.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := a.notLocked(ctx, tx, narrow, wide); err != nil {
			return err
		}
		var err error
		u, err = userByName(ctx, tx, name)
		if darter.KindOf(err) == darter.NotFound {
			u, err = User{}, nil
		}
		return err
	})
	if err != nil {
		return User{}, err
	}
	match, outdated, err := a.hasher.Verify(ctx, password, u.password)
	if err != nil {
		return User{}, err
	}
	if !match || u.Disabled || u.Kind != auth.User {
		a.refused(auth.ByPassword, "wrong")
		if err := a.failed(ctx, c, u, narrow, wide); err != nil {
			return User{}, err
		}
		return User{}, auth.Unauthenticated(op, errWrong)
	}
	renewed := ""
	if outdated {
		if renewed, err = a.hasher.Hash(ctx, password); err != nil {
			return User{}, err
		}
	}
	err = a.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := a.notLocked(ctx, tx, narrow, wide); err != nil {
			return err // many at once: those that came before have used up the tries
		}
		if renewed != "" {
			if _, err := tx.ExecContext(ctx, "UPDATE users SET password = ? WHERE id = ? AND password = ?", renewed, u.ID, u.password); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM sign_in_failures WHERE subject IN (?)", bun.List([]string{narrow, wide}))
		return err
	})
	return u, err
}

func (a *Accounts) notLocked(ctx context.Context, tx *database.Tx, narrow, wide string) error {
	var until database.Micros
	err := tx.QueryRowContext(ctx, "SELECT coalesce(max(locked_until), 0) FROM sign_in_failures WHERE subject IN (?)", bun.List([]string{narrow, wide})).Scan(&until)
	if err != nil {
		return err
	}
	if left := until.Time().Sub(a.now()); left > 0 {
		a.refused(auth.ByPassword, "locked")
		return &darter.Error{Kind: darter.Denied, Op: "sign in", Hint: "wait, or let an administrator set the password anew", Err: &auth.Throttled{After: left}}
	}
	return nil
}

// failed counts a failure and audits it. The event names the user only if there is one.
func (a *Accounts) failed(ctx context.Context, c auth.Caller, u User, narrow, wide string) error {
	now := a.now()
	return a.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		for _, s := range []struct {
			subject string
			divide  int64
		}{{narrow, 1}, {wide, widely}} {
			var failures int64
			err := tx.QueryRowContext(ctx, `INSERT INTO sign_in_failures (subject, failures, failed_at, locked_until) VALUES (?, 1, ?, 0)
				ON CONFLICT (subject) DO UPDATE SET failed_at = excluded.failed_at,
				failures = CASE WHEN sign_in_failures.failed_at < ? THEN 1 ELSE sign_in_failures.failures + 1 END RETURNING failures`,
				s.subject, database.At(now), database.At(now.Add(-failureMemory))).Scan(&failures)
			if err != nil {
				return err
			}
			if wait := lock(failures / s.divide); wait > 0 {
				if _, err := tx.ExecContext(ctx, "UPDATE sign_in_failures SET locked_until = ? WHERE subject = ?", database.At(now.Add(wait)), s.subject); err != nil {
					return err
				}
			}
		}
		resource := "users/?"
		if u.ID != "" {
			resource = "users/" + u.ID
		}
		return a.record(ctx, tx, c, darter.AuditEvent{Action: "session.open", Resource: resource, Result: darter.AuditDenied})
	})
}

// Unlock forgets the count of failed sign-ins for a user's name alone. Those per network end by themselves within
// minutes.
func (a *Accounts) Unlock(ctx context.Context, c auth.Caller, id string) error {
	return a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		u, err := userByID(ctx, tx, id)
		if err != nil {
			return darter.AuditEvent{}, err
		}
		_, wide := subjects(u.Name, c.From)
		_, err = tx.ExecContext(ctx, "DELETE FROM sign_in_failures WHERE subject = ?", wide)
		return darter.AuditEvent{Action: "user.unlock", Resource: "users/" + id}, err
	})
}

// Federated is who an identity provider says that somebody is. Bindings holds role and cluster of each group.
type Federated struct {
	Issuer   string
	Subject  string
	Name     string // wished for; another one is found when it is taken
	Display  string
	Email    string
	Bindings []Binding
}

// SignInFederated opens a session for somebody whom an identity provider has vouched for, and makes the bindings
// from that provider what it says now. A user is known by issuer and subject, never by name or e-mail: those
// change hands.
func (a *Accounts) SignInFederated(ctx context.Context, c auth.Caller, f Federated, agent string) (Opened, error) {
	const op = "sign in"
	if f.Issuer == "" || f.Issuer == Local || f.Subject == "" || len(f.Subject) > 255 {
		return Opened{}, invalid(op, errors.New("the identity provider gave no issuer and subject"))
	}
	var u User
	err := a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		event := darter.AuditEvent{Action: "user.update"}
		var err error
		u, err = scanUser(tx.QueryRowContext(ctx, "SELECT "+userColumns+" FROM users WHERE issuer = ? AND subject = ?", f.Issuer, f.Subject))
		if errors.Is(err, sql.ErrNoRows) {
			event.Action = "user.create"
			u, err = a.insertFederated(ctx, tx, f)
		}
		event.Resource, event.After = "users/"+u.ID, f.Issuer
		if err != nil {
			return event, err
		}
		if u.Disabled {
			return event, auth.Unauthenticated(op, errors.New("the user is disabled"))
		}
		event.Diff, err = a.rebind(ctx, tx, u.ID, f)
		return event, err
	})
	if err != nil {
		return Opened{}, err
	}
	return a.open(ctx, c, u, auth.ByOIDC, agent)
}

func (a *Accounts) insertFederated(ctx context.Context, tx *database.Tx, f Federated) (User, error) {
	name := federatedName(f.Name)
	if _, err := userByName(ctx, tx, name); darter.KindOf(err) != darter.NotFound || err == nil {
		if err != nil {
			return User{}, err
		}
		name = name[:min(len(name), 50)] + "+" + digest(f.Issuer + "\x00" + f.Subject)[:10]
	}
	u := User{Kind: auth.User, Name: name, Display: f.Display, Email: f.Email, Issuer: f.Issuer, Subject: f.Subject}
	if checkText("", "", u.Display) != nil {
		u.Display = ""
	}
	if checkEmail("", u.Email) != nil {
		u.Email = ""
	}
	return a.insertUser(ctx, tx, u)
}

// federatedName makes a name that we take of one that the provider gives.
func federatedName(wish string) string {
	name := strings.Map(func(r rune) rune {
		if auth.CheckName("a"+string(r)) != nil {
			return '-'
		}
		return r
	}, strings.ToLower(wish))
	name = strings.TrimLeft(name, "._-@+")
	if name = name[:min(len(name), 64)]; name == "" {
		return "user"
	}
	return name
}

// rebind makes the bindings from the issuer what f says, and returns what changed.
func (a *Accounts) rebind(ctx context.Context, tx *database.Tx, user string, f Federated) ([]darter.Change, error) {
	have, err := bindings(ctx, tx, user)
	if err != nil {
		return nil, err
	}
	wanted := make(map[[2]string]bool)
	for _, b := range f.Bindings {
		wanted[[2]string{b.Role, b.Cluster}] = true
	}
	var changes []darter.Change
	for _, b := range have {
		key := [2]string{b.Role, b.Cluster}
		if b.Source != f.Issuer {
			continue
		}
		if wanted[key] {
			delete(wanted, key)
			continue
		}
		changes = append(changes, darter.Change{Path: "roles", Before: b.Role + at(b.Cluster)})
		if _, err := tx.ExecContext(ctx, "DELETE FROM role_bindings WHERE id = ?", b.ID); err != nil {
			return nil, err
		}
	}
	for _, b := range f.Bindings {
		key := [2]string{b.Role, b.Cluster}
		if !wanted[key] {
			continue
		}
		delete(wanted, key)
		changes = append(changes, darter.Change{Path: "roles", After: b.Role + at(b.Cluster)})
		_, err := insertBinding(ctx, tx, Binding{User: user, Role: b.Role, Cluster: b.Cluster, Source: f.Issuer, CreatedBy: f.Issuer, Created: a.now()})
		if err != nil {
			return nil, err
		}
	}
	return changes, nil
}
