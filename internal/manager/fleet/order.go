package fleet

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

//go:embed migrations
var files embed.FS

// Migrations returns the tables of this room.
func Migrations() database.Migrations {
	sub, _ := fs.Sub(files, "migrations") // the folder is embedded
	return database.Migrations{Room: "fleet", Files: sub}
}

// Topic is what orders are announced under.
const topic = "fleet.orders"

// Verb is what is to be done.
type Verb string

// Verbs.
const (
	Drain   Verb = "drain"   // a host: hide it and let what runs there end
	Undrain Verb = "undrain" // a host: take that back
	Forget  Verb = "forget"  // a host: free its records now
	Confirm Verb = "confirm" // a zone: its hosts are really gone
	Lift    Verb = "lift"    // a zone: its guard, for a while
)

// Order is something that schedulers are to do.
type Order struct {
	ID      string
	Verb    Verb
	Whom    string // a host's id, or a zone
	Force   bool
	Lift    time.Duration
	Reason  string
	Actor   string
	Created time.Time
	Expires time.Time
}

// Answer is what one scheduler said to an order.
type Answer struct {
	Scheduler string
	Error     string // empty: done
	At        time.Time
}

// orderLife is how long a scheduler that is away for a moment still gets an order.
const orderLife = 5 * time.Minute

// kept is how long orders can be looked at.
const kept = 24 * time.Hour

type orderRow struct {
	bun.BaseModel `bun:"table:host_orders"`
	ID            string          `bun:"id,pk"`
	Verb          Verb            `bun:"verb"`
	Whom          string          `bun:"whom"`
	Force         bool            `bun:"force"`
	Lift          int64           `bun:"lift"`
	Reason        string          `bun:"reason"`
	Actor         string          `bun:"actor"`
	CreatedAt     database.Micros `bun:"created_at"`
	ExpiresAt     database.Micros `bun:"expires_at"`
}

func (r *orderRow) order() Order {
	return Order{ID: r.ID, Verb: r.Verb, Whom: r.Whom, Force: r.Force, Lift: time.Duration(r.Lift) * time.Microsecond, Reason: r.Reason, Actor: r.Actor,
		Created: r.CreatedAt.Time(), Expires: r.ExpiresAt.Time()}
}

// Orders keeps orders.
type Orders struct{ db *database.DB }

// New returns the room. The database needs Migrations.
func New(db *database.DB) *Orders { return &Orders{db: db} }

// Give writes an order down; schedulers get it when the transaction has committed.
func (o *Orders) Give(ctx context.Context, q Order) (id string, err error) {
	known := q.Verb == Drain || q.Verb == Undrain || q.Verb == Forget || q.Verb == Confirm || q.Verb == Lift
	if !known || q.Whom == "" || len(q.Whom) > 255 || len(q.Reason) > 4096 || q.Lift < 0 || q.Lift > 24*time.Hour {
		return "", &darter.Error{Kind: darter.Invalid, Op: "order " + string(q.Verb), Err: errors.New("an order has a verb, a host or zone, a reason of at most 4096 bytes, and lifts a guard for at most 24h")}
	}
	err = o.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		id = tx.NewID()
		row := &orderRow{ID: id, Verb: q.Verb, Whom: q.Whom, Force: q.Force, Lift: q.Lift.Microseconds(), Reason: q.Reason, Actor: q.Actor,
			CreatedAt: database.At(now), ExpiresAt: database.At(now.Add(orderLife))}
		if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
			return err
		}
		return tx.Notify(topic, id)
	})
	return id, err
}

// Subscribe returns a subscription that is told of orders.
func (o *Orders) Subscribe() *database.Subscription { return o.db.Subscribe(topic) }

// Open returns what a scheduler is to do and has not answered to, the oldest first.
func (o *Orders) Open(ctx context.Context, scheduler string) (out []Order, err error) {
	var rows []orderRow
	err = o.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		return tx.NewSelect().Model(&rows).Where("expires_at > ?", database.At(now)).
			Where("NOT EXISTS (SELECT 1 FROM host_order_answers a WHERE a.order_id = order_row.id AND a.scheduler = ?)", scheduler).OrderExpr("id").Limit(100).Scan(ctx)
	})
	for i := range rows {
		out = append(out, rows[i].order())
	}
	return out, err
}

// Answer writes down what a scheduler said; saying it twice is the same as once.
func (o *Orders) Answer(ctx context.Context, order, scheduler, failure string) error {
	return o.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO host_order_answers (order_id, scheduler, error, at) SELECT id, ?, ?, ? FROM host_orders WHERE id = ? ON CONFLICT (order_id, scheduler) DO NOTHING",
			scheduler, failure[:min(len(failure), 1024)], tx.NowExpr(), order)
		return err
	})
}

// Show returns an order and what was said to it.
func (o *Orders) Show(ctx context.Context, id string) (out Order, said []Answer, err error) {
	row := &orderRow{}
	err = o.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		said = nil
		if err := tx.NewSelect().Model(row).Where("id = ?", id).Scan(ctx); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "SELECT scheduler, error, at FROM host_order_answers WHERE order_id = ? ORDER BY scheduler", id)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a Answer
			var at database.Micros
			if err := rows.Scan(&a.Scheduler, &a.Error, &at); err != nil {
				return err
			}
			a.At = at.Time()
			said = append(said, a)
		}
		return rows.Err()
	})
	return row.order(), said, err
}

// Sweep removes orders that ran out long ago.
func (o *Orders) Sweep(ctx context.Context) error {
	return o.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		old := database.At(now.Add(-kept))
		if _, err := tx.ExecContext(ctx, "DELETE FROM host_order_answers WHERE order_id IN (SELECT id FROM host_orders WHERE expires_at < ?)", old); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM host_orders WHERE expires_at < ?", old)
		return err
	})
}
