package account

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
)

// Binding gives a user a role, in one cluster or (empty) everywhere.
type Binding struct {
	ID        string
	User      string
	Role      string
	Cluster   string
	Source    string // Local, or the issuer whose groups say so
	CreatedBy string
	Created   time.Time
}

// Local is the source of bindings that people made here.
const Local = "local"

// Roles returns all roles in order of name.
func (a *Accounts) Roles(ctx context.Context) ([]auth.Role, error) {
	var out []auth.Role
	err := a.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		custom, err := customRoles(ctx, tx, nil)
		out = append(auth.BuiltInRoles(), custom...)
		return err
	})
	slices.SortFunc(out, func(x, y auth.Role) int { return strings.Compare(x.Name, y.Name) })
	return out, err
}

// customRoles returns those with these names; nil for all.
func customRoles(ctx context.Context, tx *database.Tx, names []string) ([]auth.Role, error) {
	q := tx.NewSelect().Table("roles").Column("name", "description", "grants", "version").Order("name").Limit(1000)
	if names != nil {
		q = q.Where("name IN (?)", bun.List(names))
	}
	rows, err := q.Rows(ctx)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []auth.Role
	for rows.Next() {
		var r auth.Role
		var text string
		if err := rows.Scan(&r.Name, &r.Description, &text, &r.Version); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text), &r.Rights); err != nil {
			return nil, &darter.Error{Kind: darter.Corrupt, Op: "read role " + r.Name, Hint: "delete the role and make it anew", Err: err}
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

func roleByName(ctx context.Context, tx *database.Tx, name string) (auth.Role, error) {
	if r, ok := auth.BuiltIn(name); ok {
		return r, nil
	}
	found, err := customRoles(ctx, tx, []string{name})
	if err == nil && len(found) == 0 {
		err = notFound("find role", "role", name)
	}
	if err != nil {
		return auth.Role{}, err
	}
	return found[0], nil
}

// PutRole creates a custom role (version 0) or changes it (its version). The caller needs every right in it, and
// every right that it had: whoever could take rights away from others could lock them out.
func (a *Accounts) PutRole(ctx context.Context, c auth.Caller, r auth.Role) (auth.Role, error) {
	op := "put role " + r.Name
	if err := errors.Join(auth.CheckRoleName(r.Name), r.Rights.Validate(), checkText(op, "description", r.Description)); err != nil {
		return r, invalid(op, err)
	}
	if len(r.Rights) == 0 || len(r.Rights) > 500 {
		return r, invalid(op, fmt.Errorf("%d grants are not between 1 and 500", len(r.Rights)))
	}
	text, err := json.Marshal(r.Rights)
	if err != nil {
		return r, err
	}
	err = a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		event := darter.AuditEvent{Action: "role.create", Resource: "roles/" + r.Name, After: string(text)}
		if err := c.MayGrant(r.Rights); err != nil {
			return event, err
		}
		now := database.At(a.now())
		if r.Version == 0 {
			ok, err := one(tx.ExecContext(ctx, "INSERT INTO roles (name, description, grants, version, created_at, updated_at) VALUES (?, ?, ?, 1, ?, ?) ON CONFLICT (name) DO NOTHING",
				r.Name, r.Description, string(text), now, now))
			if err == nil && !ok {
				err = conflict(op, "send its version to change it", "there is such a role")
			}
			return event, err
		}
		before, err := roleByName(ctx, tx, r.Name)
		if err == nil {
			err = c.MayGrant(before.Rights)
		}
		if err != nil {
			return event, err
		}
		old, err := json.Marshal(before.Rights)
		if err != nil {
			return event, err
		}
		event.Action, event.Before = "role.update", string(old)
		ok, err := one(tx.ExecContext(ctx, "UPDATE roles SET description = ?, grants = ?, version = version + 1, updated_at = ? WHERE name = ? AND version = ?",
			r.Description, string(text), now, r.Name, r.Version))
		if err == nil && !ok {
			err = conflict(op, "read it again and repeat the change", "it was changed meanwhile")
		}
		return event, err
	})
	r.Version++
	return r, err
}

// DeleteRole removes a custom role that nobody has: NotFound, Conflict.
func (a *Accounts) DeleteRole(ctx context.Context, c auth.Caller, name string) error {
	op := "delete role " + name
	if _, builtIn := auth.BuiltIn(name); builtIn {
		return conflict(op, "", "it is built in")
	}
	return a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		event := darter.AuditEvent{Action: "role.delete", Resource: "roles/" + name}
		r, err := roleByName(ctx, tx, name)
		if err == nil {
			err = c.MayGrant(r.Rights)
		}
		if err != nil {
			return event, err
		}
		var users int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM role_bindings WHERE role = ?", name).Scan(&users); err != nil {
			return event, err
		}
		if users > 0 {
			return event, conflict(op, "take it from them first", fmt.Sprintf("it is given %d times", users))
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM roles WHERE name = ?", name)
		return event, err
	})
}

// Bind gives a user a role. The caller needs every right that this gives. Giving twice is the same as once.
func (a *Accounts) Bind(ctx context.Context, c auth.Caller, user, role, cluster string) (b Binding, err error) {
	if err := (auth.Grant{Permission: "system.read", Cluster: cluster}).Validate(); err != nil {
		return Binding{}, invalid("bind role", err)
	}
	err = a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		event := darter.AuditEvent{Action: "role.bind", Resource: "users/" + user, After: role + at(cluster)}
		if _, err := userByID(ctx, tx, user); err != nil {
			return event, err
		}
		r, err := roleByName(ctx, tx, role)
		if err == nil {
			err = c.MayGrant(r.Rights.In(cluster))
		}
		if err != nil {
			return event, err
		}
		b = Binding{User: user, Role: role, Cluster: cluster, Source: Local, CreatedBy: c.ID, Created: a.now().Truncate(time.Microsecond)}
		b.ID, err = insertBinding(ctx, tx, b)
		return event, err
	})
	return b, err
}

func at(cluster string) string {
	if cluster == "" {
		return ""
	}
	return " in " + cluster
}

func insertBinding(ctx context.Context, tx *database.Tx, b Binding) (id string, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO role_bindings (id, user_id, role, cluster, source, created_by, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (user_id, role, cluster, source) DO UPDATE SET role = excluded.role RETURNING id`,
		tx.NewID(), b.User, b.Role, b.Cluster, b.Source, b.CreatedBy, database.At(b.Created)).Scan(&id)
	return id, err
}

// Unbind takes a role from a user. One that comes from an identity provider's groups cannot be taken here.
func (a *Accounts) Unbind(ctx context.Context, c auth.Caller, id string) error {
	return a.change(ctx, c, func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error) {
		b, err := scanBinding(tx.QueryRowContext(ctx, "SELECT "+bindingColumns+" FROM role_bindings WHERE id = ?", id))
		if err != nil {
			return darter.AuditEvent{}, absent(err, "unbind role", "binding", id)
		}
		event := darter.AuditEvent{Action: "role.unbind", Resource: "users/" + b.User, Before: b.Role + at(b.Cluster)}
		if b.Source != Local {
			return event, conflict("unbind role", "take the user out of the group there", "it comes from groups at "+b.Source)
		}
		r, err := roleByName(ctx, tx, b.Role)
		if err == nil {
			err = c.MayGrant(r.Rights.In(b.Cluster))
		}
		if err != nil {
			return event, err
		}
		before, err := admins(ctx, tx)
		if err != nil {
			return event, err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM role_bindings WHERE id = ?", id); err != nil {
			return event, err
		}
		return event, adminRemains(ctx, tx, before)
	})
}

const bindingColumns = "id, user_id, role, cluster, source, created_by, created_at"

func scanBinding(r row) (Binding, error) {
	var b Binding
	var created database.Micros
	err := r.Scan(&b.ID, &b.User, &b.Role, &b.Cluster, &b.Source, &b.CreatedBy, &created)
	b.Created = created.Time()
	return b, err
}

// Bindings returns what a user has, in order of role and cluster.
func (a *Accounts) Bindings(ctx context.Context, user string) (out []Binding, err error) {
	err = a.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		out, err = bindings(ctx, tx, user)
		return err
	})
	return out, err
}

func bindings(ctx context.Context, tx *database.Tx, user string) ([]Binding, error) {
	rows, err := tx.QueryContext(ctx, "SELECT "+bindingColumns+" FROM role_bindings WHERE user_id = ? ORDER BY role, cluster, source LIMIT 1000", user)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Binding
	for rows.Next() {
		b, err := scanBinding(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, rows.Err()
}

// rightsOf puts together what a user's roles give. A role that is gone gives nothing.
func rightsOf(ctx context.Context, tx *database.Tx, user string) (auth.Rights, error) {
	bound, err := bindings(ctx, tx, user)
	if err != nil {
		return nil, err
	}
	roles := make(map[string]auth.Rights)
	var custom []string
	for _, b := range bound {
		if r, ok := auth.BuiltIn(b.Role); ok {
			roles[b.Role] = r.Rights
		} else if !slices.Contains(custom, b.Role) {
			custom = append(custom, b.Role)
		}
	}
	if len(custom) > 0 {
		found, err := customRoles(ctx, tx, custom)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		for _, r := range found {
			roles[r.Name] = r.Rights
		}
	}
	var out auth.Rights
	for _, b := range bound {
		out = append(out, roles[b.Role].In(b.Cluster)...)
	}
	return out, nil
}
