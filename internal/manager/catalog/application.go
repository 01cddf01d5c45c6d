package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// Application is a tenant of the cluster: who asks for content, and how urgent that is.
type Application struct {
	ID       string          `json:"id"`
	CompatID int64           `json:"compat_id"`
	Name     string          `json:"name"`
	URL      string          `json:"url"`
	Bio      string          `json:"bio"`
	Priority json.RawMessage `json:"priority,omitempty"`
	Owner    string          `json:"owner"`
	Version  int64           `json:"version"`
	Created  time.Time       `json:"created"`
	Updated  time.Time       `json:"updated"`
}

// ETag names the version for If-Match.
func (a Application) ETag() string { return strconv.FormatInt(a.Version, 10) }

type applicationRow struct {
	bun.BaseModel `bun:"table:applications"`
	ID            string          `bun:"id,pk"`
	CompatID      int64           `bun:"compat_id"`
	Name          string          `bun:"name"`
	URL           string          `bun:"url"`
	Bio           string          `bun:"bio"`
	Priority      string          `bun:"priority"`
	Owner         string          `bun:"owner"`
	Version       int64           `bun:"version"`
	CreatedAt     database.Micros `bun:"created_at"`
	UpdatedAt     database.Micros `bun:"updated_at"`
}

func (r *applicationRow) application() Application {
	return Application{ID: r.ID, CompatID: r.CompatID, Name: r.Name, URL: r.URL, Bio: r.Bio, Priority: json.RawMessage(r.Priority), Owner: r.Owner,
		Version: r.Version, Created: r.CreatedAt.Time(), Updated: r.UpdatedAt.Time()}
}

// SaveApplication adds an application (no ID), or replaces one if e.IfMatch names its version.
func (c *Catalog) SaveApplication(ctx context.Context, a Application, e Edit) (out Application, err error) {
	if a.Name == "" || len(a.Name) > 100 || len(a.URL) > 2000 || len(a.Bio) > 1000 {
		return out, &darter.Error{Kind: darter.Invalid, Op: "save application", Err: errors.New("a name has 1 to 100 bytes, a URL at most 2000, a description at most 1000")}
	}
	if len(a.Priority) == 0 {
		a.Priority = json.RawMessage("{}")
	}
	if !json.Valid(a.Priority) || len(a.Priority) > maxBody {
		return out, &darter.Error{Kind: darter.Invalid, Op: "save application", Err: errors.New("the priority is not JSON, or too long")}
	}
	err = c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		row := &applicationRow{ID: a.ID, Name: a.Name, URL: a.URL, Bio: a.Bio, Priority: string(a.Priority), Owner: a.Owner, Version: 1, UpdatedAt: database.At(now)}
		action := "application.update"
		if a.ID == "" {
			action = "application.create"
			err = createApplication(ctx, tx, row)
		} else {
			err = replaceApplication(ctx, tx, row, e.IfMatch)
		}
		if err != nil {
			return err
		}
		out = row.application()
		return c.Record(ctx, tx, darter.AuditEvent{Actor: e.Actor, Action: action, Resource: "applications/" + row.ID, Result: darter.AuditDone, Request: e.Request, Reason: e.Reason})
	})
	return out, err
}

func createApplication(ctx context.Context, tx *database.Tx, row *applicationRow) (err error) {
	row.ID, row.CreatedAt = tx.NewID(), row.UpdatedAt
	if row.CompatID, err = compat(ctx, tx, "applications"); err != nil {
		return err
	}
	_, err = tx.NewInsert().Model(row).Exec(ctx)
	return err
}

func replaceApplication(ctx context.Context, tx *database.Tx, row *applicationRow, etag string) error {
	old := &applicationRow{}
	if err := tx.NewSelect().Model(old).Where("id = ?", row.ID).Scan(ctx); err != nil {
		return absent(err, "application", row.ID)
	}
	if etag != "*" && etag != strconv.FormatInt(old.Version, 10) {
		return &darter.Error{Kind: darter.Conflict, Op: "save application " + row.ID, Hint: "read it again, and make the change on what it says now", Err: ErrStale}
	}
	row.CompatID, row.CreatedAt, row.Version = old.CompatID, old.CreatedAt, old.Version+1
	result, err := tx.NewUpdate().Model(row).WherePK().Where("version = ?", old.Version).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return &darter.Error{Kind: darter.Conflict, Op: "save application " + row.ID, Hint: "read it again", Err: errors.Join(ErrStale, err)}
	}
	return nil
}

// Application returns one application by its id or its name.
func (c *Catalog) Application(ctx context.Context, id string) (out Application, err error) {
	row := &applicationRow{}
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return absent(tx.NewSelect().Model(row).Where("id = ? OR name = ?", id, id).OrderExpr("id = ? DESC", id).Limit(1).Scan(ctx), "application", id)
	})
	return row.application(), err
}

// Applications lists applications by id, from the one after the given id on.
func (c *Catalog) Applications(ctx context.Context, after string, limit int) (out []Application, err error) {
	var rows []applicationRow
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return tx.NewSelect().Model(&rows).Where("id > ?", after).OrderExpr("id").Limit(int64(page(limit))).Scan(ctx)
	})
	for i := range rows {
		out = append(out, rows[i].application())
	}
	return out, err
}

// DeleteApplication removes one.
func (c *Catalog) DeleteApplication(ctx context.Context, id string, e Edit) error {
	return c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		result, err := tx.ExecContext(ctx, "DELETE FROM applications WHERE id = ? AND (? = '*' OR CAST(version AS TEXT) = ?)", id, e.IfMatch, e.IfMatch)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			var there int
			if err := errors.Join(err, tx.QueryRowContext(ctx, "SELECT count(*) FROM applications WHERE id = ?", id).Scan(&there)); err != nil {
				return err
			}
			if there == 0 {
				return &darter.Error{Kind: darter.NotFound, Op: "delete application " + id, Err: errors.New("there is no such application")}
			}
			return &darter.Error{Kind: darter.Conflict, Op: "delete application " + id, Hint: "read it again", Err: ErrStale}
		}
		return c.Record(ctx, tx, darter.AuditEvent{Actor: e.Actor, Action: "application.delete", Resource: "applications/" + id, Result: darter.AuditDone, Request: e.Request, Reason: e.Reason})
	})
}
