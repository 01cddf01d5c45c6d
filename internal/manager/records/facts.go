package records

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
)

// maxOwners bounds what keep_last per owner remembers.
const maxOwners = 50_000

// frozen is what a plan fixed for its executor.
type frozen struct {
	Policy string            `json:"policy"`
	Slices []retention.Slice `json:"slices"`
	// Owners is, with keep_last per owner, the point from which the rows of a group and owner stay. An
	// owner that is missing has no more than it may keep.
	Owners map[string]retention.Point `json:"owners,omitempty"`
	Keep   bool                       `json:"keep,omitempty"` // Owners counts
}

func ownerKey(group, owner string) string { return group + "\x1f" + owner }

// stays reports whether keep_last per owner protects a row.
func (f *frozen) stays(group, owner string, at retention.Point) bool {
	if !f.Keep {
		return false
	}
	from, enough := f.Owners[ownerKey(group, owner)]
	return !enough || !at.Before(from)
}

// column returns a column's name, or an empty text for one that the table does not have.
func column(name string) any {
	if name == "" {
		return bun.Safe("''")
	}
	return bun.Ident(name)
}

// groups walks the groups and states that there are by seeking from one to the next: the index answers
// without reading the rows between.
func (t *Table) groups(ctx context.Context, tx *database.Tx) ([]retention.Group, error) {
	if t.Group == "" && t.State == "" {
		return []retention.Group{{}}, nil
	}
	names := make([]any, 0, 2)
	for _, c := range []string{t.Group, t.State} {
		if c != "" {
			names = append(names, bun.Ident(c))
		}
	}
	list := bun.Safe(strings.TrimSuffix(strings.Repeat("?, ", len(names)), ", "))
	order := tx.NewSelect().ColumnExpr(string(list), names...).TableExpr("?", bun.Ident(t.Name)).OrderExpr(string(list), names...).Limit(1)
	var out []retention.Group
	for len(out) <= maxGroups {
		q := order.Clone()
		if n := len(out); n > 0 {
			last := []any{}
			if t.Group != "" {
				last = append(last, out[n-1].Group)
			}
			if t.State != "" {
				last = append(last, out[n-1].State)
			}
			q = q.Where("("+string(list)+") > ("+string(list)+")", append(append([]any{}, names...), last...)...)
		}
		var values [2]string
		targets := []any{&values[0], &values[1]}
		if t.Group == "" {
			targets = targets[1:]
		}
		err := q.Scan(ctx, targets[:len(names)]...)
		if errors.Is(err, sql.ErrNoRows) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, retention.Group{Group: values[0], State: values[1]})
	}
	return nil, &darter.Error{Kind: darter.Invalid, Op: "plan " + t.Kind, Err: fmt.Errorf("more than %d groups in %s", maxGroups, t.Name)}
}

const maxGroups = 5000

// newest returns the N-th newest final row of each group that has so many: a few steps in the index of
// each final state, merged.
func (t *Table) newest(ctx context.Context, tx *database.Tx, groups []retention.Group, n int) (map[string]retention.Point, error) {
	out := make(map[string]retention.Point)
	done := make(map[string]bool)
	states := t.Final
	if t.State == "" {
		states = []string{""}
	}
	for _, g := range groups {
		if done[g.Group] {
			continue
		}
		done[g.Group] = true
		var parts []string
		var args []any
		for _, state := range states {
			where, a := t.of(g.Group, state)
			parts = append(parts, "SELECT * FROM (SELECT ? AS at, ? AS k FROM ? AS t WHERE "+where+" AND ? > 0 ORDER BY ? DESC, ? DESC LIMIT ?) AS one")
			args = append(args, bun.Ident(t.Time), bun.Ident(t.Key), bun.Ident(t.Name))
			args = append(args, a...)
			args = append(args, bun.Ident(t.Time), bun.Ident(t.Time), bun.Ident(t.Key), n)
		}
		args = append(args, n-1)
		var p retention.Point
		err := tx.QueryRowContext(ctx, "SELECT at, k FROM ("+strings.Join(parts, " UNION ALL ")+") AS latest ORDER BY at DESC, k DESC LIMIT 1 OFFSET ?", args...).Scan(&p.At, &p.Key)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[g.Group] = p
	}
	return out, nil
}

// of is the condition for one group and state.
func (t *Table) of(group, state string) (string, []any) {
	var parts []string
	var args []any
	if t.Group != "" {
		parts, args = append(parts, "? = ?"), append(args, bun.Ident(t.Group), group)
	}
	if t.State != "" {
		parts, args = append(parts, "? = ?"), append(args, bun.Ident(t.State), state)
	}
	if len(parts) == 0 {
		return "1 = 1", nil
	}
	return strings.Join(parts, " AND "), args
}

// owners fills in what keep_last per owner protects. It sorts the whole table: a policy that wants it
// pays with seconds per plan.
func (t *Table) owners(ctx context.Context, tx *database.Tx, f *frozen, n int) error {
	if t.Owner == "" {
		return &darter.Error{Kind: darter.Invalid, Op: "plan " + t.Kind, Hint: `set keep_last.per to "group"`, Err: errors.New("these records have no owner")}
	}
	f.Keep, f.Owners = true, make(map[string]retention.Point)
	final, args := "", []any{column(t.Group), bun.Ident(t.Owner), bun.Ident(t.Time), bun.Ident(t.Key),
		column(t.Group), bun.Ident(t.Owner), bun.Ident(t.Time), bun.Ident(t.Key), bun.Ident(t.Name), bun.Ident(t.Time)}
	if t.State != "" {
		final = " AND ? IN (?)"
		args = append(args, bun.Ident(t.State), bun.List(t.Final))
	}
	rows, err := tx.QueryContext(ctx, `SELECT g, o, at, k FROM (SELECT ? AS g, ? AS o, ? AS at, ? AS k,
		row_number() OVER (PARTITION BY ?, ? ORDER BY ? DESC, ? DESC) AS place FROM ? WHERE ? > 0`+final+`) AS ranked WHERE place = ?`, append(args, n)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var group, owner string
		var p retention.Point
		if err := rows.Scan(&group, &owner, &p.At, &p.Key); err != nil {
			return err
		}
		if f.Owners[ownerKey(group, owner)] = p; len(f.Owners) > maxOwners {
			return &darter.Error{Kind: darter.Invalid, Op: "plan " + t.Kind, Hint: `set keep_last.per to "group"`,
				Err: fmt.Errorf("more than %d owners", maxOwners)}
		}
	}
	return rows.Err()
}

// ceiling returns the time of the newest row that is too many.
func (t *Table) ceiling(ctx context.Context, tx *database.Tx, total, most int64) (at int64, err error) {
	if most == 0 || total <= most {
		return 0, nil
	}
	q := tx.NewSelect().ColumnExpr("?", bun.Ident(t.Time)).TableExpr("?", bun.Ident(t.Name)).Where("? > 0", bun.Ident(t.Time)).
		OrderExpr("?", bun.Ident(t.Time)).Limit(1).Offset(total - most - 1)
	if t.State != "" {
		q = q.Where("? IN (?)", bun.Ident(t.State), bun.List(t.Final))
	}
	err = q.Scan(ctx, &at)
	if errors.Is(err, sql.ErrNoRows) { // fewer final rows than are too many: all of them
		q = tx.NewSelect().ColumnExpr("coalesce(max(?), 0)", bun.Ident(t.Time)).TableExpr("?", bun.Ident(t.Name))
		if t.State != "" {
			q = q.Where("? IN (?)", bun.Ident(t.State), bun.List(t.Final))
		}
		err = q.Scan(ctx, &at)
	}
	return at, err
}

// freeze asks the table what the policy is to be applied to, and fixes what goes.
func (t *Table) freeze(ctx context.Context, tx *database.Tx, s retention.Spec, total int64, now time.Time) (frozen, error) {
	f := frozen{Policy: t.Kind}
	facts := retention.Facts{Final: t.Final}
	var err error
	if facts.Groups, err = t.groups(ctx, tx); err != nil {
		return f, err
	}
	if s.KeepLast.Count > 0 && s.KeepLast.Per == "group" {
		if facts.Newest, err = t.newest(ctx, tx, facts.Groups, s.KeepLast.Count); err != nil {
			return f, err
		}
	}
	if s.KeepLast.Count > 0 && s.KeepLast.Per == "owner" {
		if err := t.owners(ctx, tx, &f, s.KeepLast.Count); err != nil {
			return f, err
		}
	}
	if facts.Ceiling, err = t.ceiling(ctx, tx, total, s.Ceiling); err != nil {
		return f, err
	}
	f.Slices = retention.Slices(s, facts, now)
	return f, nil
}
