package records

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
)

// keptLast is the veto of keep_last, pinned that of a pin.
const (
	keptLast = "kept_last"
	pinned   = "pinned"
)

// ages are the limits of PlanSlice.Ages.
func ages() []time.Duration {
	const day = 24 * time.Hour
	return []time.Duration{day, 7 * day, 30 * day, 90 * day}
}

// inside is the condition for a slice's rows, before any veto: those of its group and state between from
// (exclusive) and its end.
func (t *Table) inside(s retention.Slice, from retention.Point) (string, []any) {
	where, args := t.of(s.Group, s.State)
	where += " AND ? > 0"
	args = append(args, bun.Ident(t.Time))
	switch {
	case s.Below.Key == "":
		where += " AND ? < ?"
		args = append(args, bun.Ident(t.Time), s.Below.At)
	default:
		where += " AND (?, ?) < (?, ?)"
		args = append(args, bun.Ident(t.Time), bun.Ident(t.Key), s.Below.At, s.Below.Key)
	}
	if from != (retention.Point{}) {
		where += " AND (?, ?) > (?, ?)"
		args = append(args, bun.Ident(t.Time), bun.Ident(t.Key), from.At, from.Key)
	}
	return where, args
}

// allowed is the condition that no pin and no veto speaks against a row.
func (t *Table) allowed(tx *database.Tx) (string, []any) {
	where, args := "", []any(nil)
	if t.Pinned != "" {
		where, args = " AND coalesce(?, 0) <= ?", []any{bun.Ident(t.Pinned), tx.NowExpr()}
	}
	for _, v := range t.Vetoes {
		where += " AND ? NOT IN (" + v.Keys + ")"
		args = append(args, bun.Ident(t.Key))
	}
	return where, args
}

// total is how many rows there are.
func (t *Table) total(ctx context.Context, tx *database.Tx) (n int64, err error) {
	err = tx.QueryRowContext(ctx, "SELECT count(*) FROM ?", bun.Ident(t.Name)).Scan(&n)
	return n, err
}

// tally is what counting found.
type tally struct {
	slices []darter.PlanSlice
	vetoed []darter.Veto
}

func (c *tally) veto(reason string, n int64) {
	if n == 0 {
		return
	}
	for i := range c.vetoed {
		if c.vetoed[i].Reason == reason {
			c.vetoed[i].Count += n
			return
		}
	}
	c.vetoed = append(c.vetoed, darter.Veto{Reason: reason, Count: n})
}

// count counts every slice, and takes off what is vetoed. Each veto counts what none before it held.
func (t *Table) count(ctx context.Context, tx *database.Tx, f *frozen, s retention.Spec, now time.Time) (*tally, error) {
	c := &tally{}
	for _, slice := range f.Slices {
		one, err := t.countSlice(ctx, tx, slice, now)
		if err != nil {
			return nil, err
		}
		c.slices = append(c.slices, one)
		if slice.Protected {
			n, err := t.countProtected(ctx, tx, slice)
			if err != nil {
				return nil, err
			}
			c.veto(keptLast, n)
		}
	}
	if f.Keep {
		if err := t.countOwners(ctx, tx, f, c, s.KeepLast.Count); err != nil {
			return nil, err
		}
	}
	return c, t.countVetoes(ctx, tx, f, c)
}

func (t *Table) countSlice(ctx context.Context, tx *database.Tx, s retention.Slice, now time.Time) (darter.PlanSlice, error) {
	out := darter.PlanSlice{Group: s.Group, State: s.State, Reason: s.Reason, Cutoff: database.Micros(s.Below.At).Time(), BelowKey: s.Below.Key,
		Ages: make([]int64, len(ages()))}
	where, args := t.inside(s, retention.Point{})
	sums, values := "", []any{bun.Ident(t.Time), bun.Ident(t.Time)}
	targets := make([]any, 0, 7)
	var oldest, newest database.Micros
	targets = append(targets, &out.Count, &oldest, &newest)
	for i, age := range ages() {
		sums += ", coalesce(sum(CASE WHEN ? < ? THEN 1 ELSE 0 END), 0)"
		values = append(values, bun.Ident(t.Time), now.Add(-age).UnixMicro())
		targets = append(targets, &out.Ages[i])
	}
	args = append(append(values, bun.Ident(t.Name)), args...)
	err := tx.QueryRowContext(ctx, "SELECT count(*), coalesce(min(?), 0), coalesce(max(?), 0)"+sums+" FROM ? AS t WHERE "+where, args...).Scan(targets...)
	out.Oldest, out.Newest = oldest.Time(), newest.Time()
	return out, err
}

// countProtected counts what the cutoff alone would have taken.
func (t *Table) countProtected(ctx context.Context, tx *database.Tx, s retention.Slice) (n int64, err error) {
	where, args := t.of(s.Group, s.State)
	args = append(append([]any{bun.Ident(t.Name)}, args...), bun.Ident(t.Time), s.Cutoff, bun.Ident(t.Time), bun.Ident(t.Time), bun.Ident(t.Key), s.Below.At, s.Below.Key)
	err = tx.QueryRowContext(ctx, "SELECT count(*) FROM ? AS t WHERE "+where+" AND ? < ? AND ? > 0 AND (?, ?) >= (?, ?)", args...).Scan(&n)
	return n, err
}

// countOwners takes off what keep_last per owner protects.
func (t *Table) countOwners(ctx context.Context, tx *database.Tx, f *frozen, c *tally, n int) error {
	final, args := "", []any{column(t.Group), column(t.State), bun.Ident(t.Time), bun.Ident(t.Key),
		column(t.Group), bun.Ident(t.Owner), bun.Ident(t.Time), bun.Ident(t.Key), bun.Ident(t.Name), bun.Ident(t.Time)}
	if t.State != "" {
		final = " AND ? IN (?)"
		args = append(args, bun.Ident(t.State), bun.List(t.Final))
	}
	sql := `SELECT g, s, at, k FROM (SELECT ? AS g, ? AS s, ? AS at, ? AS k,
		row_number() OVER (PARTITION BY ?, ? ORDER BY ? DESC, ? DESC) AS place FROM ? WHERE ? > 0` + final + `) AS ranked WHERE place <= ?`
	return each(ctx, tx, sql, append(args, n), func(group, state string, at retention.Point) {
		if i := f.find(group, state, at); i >= 0 {
			c.slices[i].Count--
			c.veto(keptLast, 1)
		}
	})
}

// countVetoes takes off what is pinned or referred to: few rows, so they are fetched and sorted here.
func (t *Table) countVetoes(ctx context.Context, tx *database.Tx, f *frozen, c *tally) error {
	type held struct {
		reason, where string
		args          []any
	}
	var all []held
	if t.Pinned != "" {
		all = append(all, held{pinned, "? > 0 AND ? > ?", []any{bun.Ident(t.Pinned), bun.Ident(t.Pinned), tx.NowExpr()}})
	}
	for _, v := range t.Vetoes {
		all = append(all, held{v.Reason, "? IN (" + v.Keys + ")", []any{bun.Ident(t.Key)}})
	}
	for i, h := range all {
		var where strings.Builder
		where.WriteString(h.where)
		args := []any{column(t.Group), column(t.State), bun.Ident(t.Time), bun.Ident(t.Key), column(t.Owner), bun.Ident(t.Name)}
		args = append(args, h.args...)
		for _, before := range all[:i] {
			fmt.Fprintf(&where, " AND NOT coalesce(%s, FALSE)", before.where)
			args = append(args, before.args...)
		}
		rows, err := tx.QueryContext(ctx, "SELECT ?, ?, ?, ?, ? FROM ? AS t WHERE "+where.String(), args...)
		if err != nil {
			return err
		}
		err = scan(rows, func(group, state string, at retention.Point, owner string) {
			if i := f.find(group, state, at); i >= 0 && !f.stays(group, owner, at) {
				c.slices[i].Count--
				c.veto(h.reason, 1)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// find returns the slice that a row lies in, or -1.
func (f *frozen) find(group, state string, at retention.Point) int {
	for i, s := range f.Slices {
		if s.Group == group && s.State == state {
			if at.At > 0 && at.Before(s.Below) {
				return i
			}
			return -1
		}
	}
	return -1
}

func each(ctx context.Context, tx *database.Tx, sql string, args []any, row func(group, state string, at retention.Point)) error {
	rows, err := tx.QueryContext(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var group, state string
		var at retention.Point
		if err := rows.Scan(&group, &state, &at.At, &at.Key); err != nil {
			return err
		}
		row(group, state, at)
	}
	return rows.Err()
}
