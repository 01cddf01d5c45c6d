package catalog

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// Record writes an audit event in the transaction of the change that it tells of. Its id and time are
// given here.
func (c *Catalog) Record(ctx context.Context, tx *database.Tx, e darter.AuditEvent) error {
	if e.Action == "" || e.Actor.Kind == "" || e.Result == "" {
		return &darter.Error{Kind: darter.Internal, Op: "record audit event", Err: errors.New("an event needs an actor, an action and a result")}
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	e.ID, e.At = tx.NewID(), database.At(now).Time()
	e.Reason = e.Reason[:min(len(e.Reason), maxReason)]
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO audit_events (id, at, actor_kind, actor_id, action, resource, result, request_id, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		e.ID, database.At(e.At), e.Actor.Kind, e.Actor.ID, e.Action, e.Resource, e.Result, e.Request, string(body))
	return err
}

// AuditFilter says which events are listed, the newest first. Before is the id of the last one of the page before.
type AuditFilter struct {
	Actor    string // its id
	Action   string
	Resource string
	Result   string
	Before   string
	Limit    int // at most 500; 50 when it is 0
}

// AuditEvents lists what was done.
func (c *Catalog) AuditEvents(ctx context.Context, f AuditFilter) (out []darter.AuditEvent, err error) {
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		q := tx.NewSelect().TableExpr("audit_events").Column("body").OrderExpr("id DESC").Limit(int64(page(f.Limit)))
		for column, value := range map[string]string{"actor_id": f.Actor, "action": f.Action, "resource": f.Resource, "result": f.Result} {
			if value != "" {
				q = q.Where(column+" = ?", value)
			}
		}
		if f.Before != "" {
			q = q.Where("id < ?", f.Before)
		}
		var bodies []string
		if err := q.Scan(ctx, &bodies); err != nil {
			return err
		}
		out = make([]darter.AuditEvent, len(bodies))
		for i, body := range bodies {
			if err := json.Unmarshal([]byte(body), &out[i]); err != nil {
				return &darter.Error{Kind: darter.Corrupt, Op: "read audit events", Err: err}
			}
		}
		return nil
	})
	return out, err
}
