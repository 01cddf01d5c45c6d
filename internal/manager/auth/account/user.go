package account

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
)

// User is a person or a service account.
type User struct {
	ID          string
	Kind        auth.Kind // User or Service
	Name        string
	Display     string
	Email       string
	Issuer      string // of an identity provider; empty for local users
	Subject     string // at the issuer
	HasPassword bool
	Disabled    bool
	Version     int64 // counts changes, for If-Match
	Created     time.Time
	Updated     time.Time
	Seen        time.Time // last sign-in

	password string // its hash
}

// String leaves out the hash, which %v would print.
func (u User) String() string { return string(u.Kind) + " " + u.Name }

// Draft is what a new user begins with.
type Draft struct {
	Kind     auth.Kind // User or Service
	Name     string
	Display  string
	Email    string
	Password string // of users only; may be empty for those who come from an identity provider
}

// Edit changes what is not nil.
type Edit struct {
	Display  *string
	Email    *string
	Disabled *bool
}

const userColumns = "id, kind, name, display, email, password, issuer, subject, disabled, version, created_at, updated_at, seen_at"

// row is what sql.Row and sql.Rows have in common.
type row interface{ Scan(dest ...any) error }

func scanUser(r row) (User, error) {
	var u User
	var created, updated, seen database.Micros
	err := r.Scan(&u.ID, &u.Kind, &u.Name, &u.Display, &u.Email, &u.password, &u.Issuer, &u.Subject, &u.Disabled, &u.Version, &created, &updated, &seen)
	u.HasPassword = u.password != ""
	u.Created, u.Updated, u.Seen = created.Time(), updated.Time(), seen.Time()
	return u, err
}

func userByID(ctx context.Context, tx *database.Tx, id string) (User, error) {
	u, err := scanUser(tx.QueryRowContext(ctx, "SELECT "+userColumns+" FROM users WHERE id = ?", id))
	return u, absent(err, "find user", "user", id)
}

func userByName(ctx context.Context, tx *database.Tx, name string) (User, error) {
	u, err := scanUser(tx.QueryRowContext(ctx, "SELECT "+userColumns+" FROM users WHERE name = ?", name))
	return u, absent(err, "find user", "user", name)
}

// User returns one user, or NotFound.
func (a *Accounts) User(ctx context.Context, id string) (u User, err error) {
	err = a.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		u, err = userByID(ctx, tx, id)
		return err
	})
	return u, err
}

// Users returns users in the order of their ids, after one, at most limit (500).
func (a *Accounts) Users(ctx context.Context, after string, limit int) ([]User, error) {
	var out []User
	err := a.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		out = nil
		rows, err := tx.QueryContext(ctx, "SELECT "+userColumns+" FROM users WHERE id > ? ORDER BY id LIMIT ?", after, page(limit))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			u, err := scanUser(rows)
			if err != nil {
				return err
			}
			out = append(out, u)
		}
		return rows.Err()
	})
	return out, err
}

func (a *Accounts) checkDraft(d *Draft) error {
	const op = "create user"
	d.Name = strings.ToLower(strings.TrimSpace(d.Name))
	switch {
	case d.Kind != auth.User && d.Kind != auth.Service:
		return invalid(op, fmt.Errorf("kind %q is neither user nor service", d.Kind))
	case d.Kind == auth.Service && d.Password != "":
		return invalid(op, errors.New("a service account has no password; create a token for it"))
	}
	if err := auth.CheckName(d.Name); err != nil {
		return invalid(op, err)
	}
	if d.Password != "" {
		if err := a.hasher.Check(d.Password, d.Name); err != nil {
			return err
		}
	}
	return errors.Join(checkText(op, "display name", d.Display), checkEmail(op, d.Email))
}

func checkText(op, what, s string) error {
	if len(s) > 200 || strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return invalid(op, fmt.Errorf("the %s is longer than 200 bytes or has control characters", what))
	}
	return nil
}

func checkEmail(op, s string) error {
	if s == "" {
		return nil
	}
	if at, err := mail.ParseAddress(s); err != nil || at.Address != s || len(s) > 200 {
		return invalid(op, errors.New("the e-mail address does not parse"))
	}
	return nil
}

// CreateUser adds a user without any role. It fails with Invalid for a weak password or bad name, and Conflict
// when the name is taken.
func (a *Accounts) CreateUser(ctx context.Context, c auth.Caller, d Draft) (u User, err error) {
	if err := a.checkDraft(&d); err != nil {
		return User{}, err
	}
	hash := ""
	if d.Password != "" {
		if hash, err = a.hasher.Hash(ctx, d.Password); err != nil {
			return User{}, err
		}
	}
	err = a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		u, err = a.insertUser(ctx, tx, User{Kind: d.Kind, Name: d.Name, Display: d.Display, Email: d.Email, password: hash})
		return darter.AuditEvent{Action: "user.create", Resource: "users/" + u.ID, After: u.String()}, err
	})
	return u, err
}

func (a *Accounts) insertUser(ctx context.Context, tx *database.Tx, u User) (User, error) {
	u.ID, u.Version, u.HasPassword = tx.NewID(), 1, u.password != ""
	u.Created = a.now().Truncate(time.Microsecond)
	u.Updated = u.Created
	ok, err := one(tx.ExecContext(ctx, "INSERT INTO users ("+userColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
		u.ID, u.Kind, u.Name, u.Display, u.Email, u.password, u.Issuer, u.Subject, u.Disabled, u.Version, database.At(u.Created), database.At(u.Updated), database.At(u.Seen)))
	if err == nil && !ok {
		err = conflict("create user "+u.Name, "choose another name", "the name is taken")
	}
	return u, err
}

// EditUser changes a user. It fails with Conflict when version is not the newest, or when no administrator
// would be left, and with Denied when the user has rights that the caller has not.
func (a *Accounts) EditUser(ctx context.Context, c auth.Caller, id string, version int64, e Edit) (u User, err error) {
	err = a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		if u, err = a.manage(ctx, tx, c, id); err != nil {
			return darter.AuditEvent{}, err
		}
		before, err := admins(ctx, tx)
		if err != nil {
			return darter.AuditEvent{}, err
		}
		event := darter.AuditEvent{Action: "user.update", Resource: "users/" + id}
		apply(&event, "display", &u.Display, e.Display)
		apply(&event, "email", &u.Email, e.Email)
		if e.Disabled != nil && *e.Disabled != u.Disabled {
			event.Diff = append(event.Diff, darter.Change{Path: "disabled", Before: fmt.Sprint(u.Disabled), After: fmt.Sprint(*e.Disabled)})
			u.Disabled = *e.Disabled
		}
		if err := errors.Join(checkText("edit user", "display name", u.Display), checkEmail("edit user", u.Email)); err != nil {
			return event, err
		}
		u.Updated = a.now().Truncate(time.Microsecond)
		ok, err := one(tx.ExecContext(ctx, "UPDATE users SET display = ?, email = ?, disabled = ?, version = version + 1, updated_at = ? WHERE id = ? AND version = ?",
			u.Display, u.Email, u.Disabled, database.At(u.Updated), id, version))
		if err == nil && !ok {
			err = conflict("edit user "+u.Name, "read it again and repeat the change", "it was changed meanwhile")
		}
		u.Version = version + 1
		if err == nil && u.Disabled {
			err = a.endSessions(ctx, tx, id, "")
		}
		if err == nil {
			err = adminRemains(ctx, tx, before)
		}
		return event, err
	})
	return u, err
}

func apply(e *darter.AuditEvent, path string, to *string, from *string) {
	if from != nil && *from != *to {
		e.Diff = append(e.Diff, darter.Change{Path: path, Before: *to, After: *from})
		*to = *from
	}
}

// DeleteUser removes a user with sessions, tokens and bindings. Errors are those of EditUser.
func (a *Accounts) DeleteUser(ctx context.Context, c auth.Caller, id string) error {
	return a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		u, err := a.manage(ctx, tx, c, id)
		if err != nil {
			return darter.AuditEvent{}, err
		}
		before, err := admins(ctx, tx)
		if err != nil {
			return darter.AuditEvent{}, err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM users WHERE id = ?", id); err != nil {
			return darter.AuditEvent{}, err
		}
		return darter.AuditEvent{Action: "user.delete", Resource: "users/" + id, Before: u.String()}, adminRemains(ctx, tx, before)
	})
}

// SetPassword gives a local user a new password and ends all sessions. A caller changing their own password
// gives the old one; a caller changing somebody else's needs at least that user's rights.
func (a *Accounts) SetPassword(ctx context.Context, c auth.Caller, id, old, password string) error {
	u, err := a.User(ctx, id)
	if err != nil {
		return err
	}
	if u.Kind != auth.User || u.Issuer != "" {
		return conflict("set password of "+u.Name, "service accounts have tokens; other people sign in at their provider", "it is not a local user")
	}
	if err := a.hasher.Check(password, u.Name); err != nil {
		return err
	}
	own := c.ID == id && c.Kind == auth.User
	if own {
		if err := a.confirm(ctx, c, u, old); err != nil {
			return err
		}
	}
	hash, err := a.hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	return a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		if !own {
			if _, err := a.manage(ctx, tx, c, id); err != nil {
				return darter.AuditEvent{}, err
			}
		}
		ok, err := one(tx.ExecContext(ctx, "UPDATE users SET password = ?, version = version + 1, updated_at = ? WHERE id = ? AND version = ?", hash, database.At(a.now()), id, u.Version))
		if err == nil && !ok {
			err = conflict("set password of "+u.Name, "try again", "the user was changed meanwhile")
		}
		if err == nil {
			err = a.endSessions(ctx, tx, id, "")
		}
		return darter.AuditEvent{Action: "user.password", Resource: "users/" + id}, err
	})
}

// confirm checks the old password as a sign-in does: failures count.
func (a *Accounts) confirm(ctx context.Context, c auth.Caller, u User, old string) error {
	if c.Scoped {
		return auth.Unauthenticated("set password of "+u.Name, errors.New("a token cannot change its owner's password"))
	}
	_, err := a.prove(ctx, u.Name, old, c)
	return err
}

// manage returns the user if the caller has all rights that the user has.
func (a *Accounts) manage(ctx context.Context, tx *database.Tx, c auth.Caller, id string) (User, error) {
	u, err := userByID(ctx, tx, id)
	if err != nil {
		return u, err
	}
	rights, err := rightsOf(ctx, tx, id)
	if err != nil {
		return u, err
	}
	return u, c.MayGrant(rights)
}

// adminRemains keeps the installation from locking everybody out: of the administrators before a change one is left.
func adminRemains(ctx context.Context, tx *database.Tx, before int) error {
	n, err := admins(ctx, tx)
	if err == nil && n == 0 && before > 0 {
		err = conflict("change users", "make another user an administrator first", "no administrator would be left")
	}
	return err
}

func admins(ctx context.Context, tx *database.Tx) (n int, err error) {
	err = tx.QueryRowContext(ctx, `SELECT count(*) FROM users u JOIN role_bindings b ON b.user_id = u.id
		WHERE b.role = ? AND b.cluster = '' AND NOT u.disabled AND u.kind = ?`, auth.AdminRole, auth.User).Scan(&n)
	return n, err
}
