package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// MemberKind is what a member of a cluster does.
type MemberKind string

// Kinds of members.
const (
	SchedulerMember MemberKind = "scheduler"
	SeedMember      MemberKind = "seed_peer"
)

// MemberState says whether a member has been heard of lately.
type MemberState string

// States of a member.
const (
	MemberActive   MemberState = "active"
	MemberInactive MemberState = "inactive"
)

// Member is a scheduler or a seed peer of a cluster.
type Member struct {
	ID           string      `json:"id"`
	CompatID     int64       `json:"compat_id"`
	Kind         MemberKind  `json:"kind"`
	Cluster      string      `json:"cluster"`
	Hostname     string      `json:"hostname"`
	IP           netip.Addr  `json:"ip"`
	Port         int         `json:"port"`
	DownloadPort int         `json:"download_port,omitempty"`
	IDC          string      `json:"idc"`
	Location     string      `json:"location"`
	Features     []string    `json:"features"`
	State        MemberState `json:"state"`
	Draining     bool        `json:"draining"` // alive, but gets no new work
	Seen         time.Time   `json:"seen"`
	Version      int64       `json:"version"`
	Created      time.Time   `json:"created"`
	Updated      time.Time   `json:"updated"`
}

type memberRow struct {
	bun.BaseModel `bun:"table:members"`
	ID            string          `bun:"id,pk"`
	CompatID      int64           `bun:"compat_id"`
	Kind          MemberKind      `bun:"kind"`
	ClusterID     string          `bun:"cluster_id"`
	Hostname      string          `bun:"hostname"`
	IP            string          `bun:"ip"`
	Port          int             `bun:"port"`
	DownloadPort  int             `bun:"download_port"`
	IDC           string          `bun:"idc"`
	Location      string          `bun:"location"`
	Features      string          `bun:"features"`
	State         MemberState     `bun:"state"`
	Draining      bool            `bun:"draining"`
	SeenAt        database.Micros `bun:"seen_at"`
	Version       int64           `bun:"version"`
	CreatedAt     database.Micros `bun:"created_at"`
	UpdatedAt     database.Micros `bun:"updated_at"`
}

func (r *memberRow) member() (Member, error) {
	out := Member{ID: r.ID, CompatID: r.CompatID, Kind: r.Kind, Cluster: r.ClusterID, Hostname: r.Hostname, Port: r.Port, DownloadPort: r.DownloadPort,
		IDC: r.IDC, Location: r.Location, State: r.State, Draining: r.Draining, Seen: r.SeenAt.Time(), Version: r.Version, Created: r.CreatedAt.Time(), Updated: r.UpdatedAt.Time()}
	var err error
	out.IP, err = netip.ParseAddr(r.IP)
	if err := errors.Join(err, json.Unmarshal([]byte(r.Features), &out.Features)); err != nil {
		return out, &darter.Error{Kind: darter.Corrupt, Op: "read member " + r.ID, Err: err}
	}
	return out, nil
}

// Announce records that a member is there, under its cluster, hostname and address. One that is known
// keeps its id and whether it drains.
func (c *Catalog) Announce(ctx context.Context, m Member) (out Member, err error) {
	op := "announce " + string(m.Kind) + " " + m.Hostname
	if m.Kind != SchedulerMember && m.Kind != SeedMember || m.Hostname == "" || len(m.Hostname) > 255 || !m.IP.IsValid() || m.Port < 1 || m.Port > 65535 {
		return out, &darter.Error{Kind: darter.Invalid, Op: op, Err: errors.New("a member has a kind, a hostname, an address and a port")}
	}
	features, err := json.Marshal(append([]string{}, m.Features...))
	if err != nil {
		return out, err
	}
	joined := false
	err = c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if _, err := loadCluster(ctx, tx, m.Cluster); err != nil {
			return err
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		at := database.At(now)
		old := &memberRow{}
		err = tx.NewSelect().Model(old).Where("kind = ? AND cluster_id = ? AND hostname = ? AND ip = ?", m.Kind, m.Cluster, m.Hostname, m.IP.String()).Scan(ctx)
		row := &memberRow{ID: tx.NewID(), Kind: m.Kind, ClusterID: m.Cluster, Hostname: m.Hostname, IP: m.IP.String(), Port: m.Port, DownloadPort: m.DownloadPort,
			IDC: m.IDC, Location: m.Location, Features: string(features), State: MemberActive, SeenAt: at, Version: 1, CreatedAt: at, UpdatedAt: at}
		if joined = err != nil || old.State != MemberActive; err == nil {
			row.ID, row.CompatID, row.Draining, row.CreatedAt, row.Version = old.ID, old.CompatID, old.Draining, old.CreatedAt, old.Version+1
			if !changed(old, row) {
				row.Version, row.UpdatedAt = old.Version, old.UpdatedAt
			}
			_, err = tx.NewUpdate().Model(row).WherePK().Exec(ctx)
		} else if err = absent(err, "member", ""); darter.KindOf(err) == darter.NotFound {
			if row.CompatID, err = compat(ctx, tx, string(m.Kind)); err == nil {
				_, err = tx.NewInsert().Model(row).Exec(ctx)
			}
		}
		if err != nil {
			return err
		}
		out, err = row.member()
		return err
	})
	if err == nil && joined && c.cfg.Events.Joined != nil {
		c.cfg.Events.Joined(out)
	}
	return out, err
}

// changed reports whether a member says something new of itself.
func changed(old, row *memberRow) bool {
	return old.Port != row.Port || old.DownloadPort != row.DownloadPort || old.IDC != row.IDC || old.Location != row.Location || old.Features != row.Features || old.State != row.State
}

// KeepAlive records that a member is still there.
func (c *Catalog) KeepAlive(ctx context.Context, kind MemberKind, cluster, hostname string, ip netip.Addr) error {
	return c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		result, err := tx.ExecContext(ctx, "UPDATE members SET seen_at = ?, state = ? WHERE kind = ? AND cluster_id = ? AND hostname = ? AND ip = ?",
			tx.NowExpr(), MemberActive, kind, cluster, hostname, ip.String())
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, &darter.Error{Kind: darter.NotFound, Op: "keep " + hostname + " alive", Hint: "announce it first", Err: errors.New("there is no such member")})
		}
		return nil
	})
}

// Leave forgets a member that says itself that it goes.
func (c *Catalog) Leave(ctx context.Context, kind MemberKind, cluster, hostname string, ip netip.Addr, e Edit) error {
	return c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		var id string
		err := tx.QueryRowContext(ctx, "DELETE FROM members WHERE kind = ? AND cluster_id = ? AND hostname = ? AND ip = ? RETURNING id", kind, cluster, hostname, ip.String()).Scan(&id)
		if err != nil {
			return absent(err, "member", hostname)
		}
		return c.Record(ctx, tx, darter.AuditEvent{Actor: e.Actor, Action: "member.leave", Resource: "members/" + id, Result: darter.AuditDone, Request: e.Request, Reason: e.Reason})
	})
}

// Silence marks members inactive that were not heard of for so long. Any manager may call it; each
// member is reported by one of them.
func (c *Catalog) Silence(ctx context.Context, quiet time.Duration) (out []Member, err error) {
	var rows []memberRow
	err = c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		rows = nil
		return tx.NewRaw("UPDATE members SET state = ?, version = version + 1, updated_at = ? WHERE state = ? AND seen_at < ? - ? RETURNING *",
			MemberInactive, tx.NowExpr(), MemberActive, tx.NowExpr(), quiet.Microseconds()).Scan(ctx, &rows)
	})
	if err != nil {
		return nil, err
	}
	for i := range rows {
		m, err := rows[i].member()
		if err != nil {
			return out, err
		}
		out = append(out, m)
		if c.cfg.Events.Silent != nil {
			c.cfg.Events.Silent(m)
		}
	}
	return out, nil
}

// MemberFilter says which members are listed, by id, from the one after After on.
type MemberFilter struct {
	Kind    MemberKind
	Cluster string
	State   MemberState
	After   string
	Limit   int
}

// Members lists members.
func (c *Catalog) Members(ctx context.Context, f MemberFilter) (out []Member, err error) {
	var rows []memberRow
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		q := tx.NewSelect().Model(&rows).Where("id > ?", f.After).OrderExpr("id").Limit(int64(page(f.Limit)))
		for column, value := range map[string]string{"kind": string(f.Kind), "cluster_id": f.Cluster, "state": string(f.State)} {
			if value != "" {
				q = q.Where(column+" = ?", value)
			}
		}
		return q.Scan(ctx)
	})
	for i := range rows {
		m, err := rows[i].member()
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, err
}

// Member returns one member.
func (c *Catalog) Member(ctx context.Context, id string) (out Member, err error) {
	row := &memberRow{}
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return absent(tx.NewSelect().Model(row).Where("id = ?", id).Scan(ctx), "member", id)
	})
	if err != nil {
		return out, err
	}
	return row.member()
}

// Drain says whether a member is to get no new work.
func (c *Catalog) Drain(ctx context.Context, id string, on bool, e Edit) error {
	return c.changeMember(ctx, id, "member.drain", e, func(ctx context.Context, tx *database.Tx) (int64, error) {
		result, err := tx.ExecContext(ctx, "UPDATE members SET draining = ?, version = version + 1, updated_at = ? WHERE id = ?", on, tx.NowExpr(), id)
		if err != nil {
			return 0, err
		}
		return result.RowsAffected()
	})
}

// RemoveMember forgets a member that is inactive.
func (c *Catalog) RemoveMember(ctx context.Context, id string, e Edit) error {
	return c.changeMember(ctx, id, "member.delete", e, func(ctx context.Context, tx *database.Tx) (int64, error) {
		result, err := tx.ExecContext(ctx, "DELETE FROM members WHERE id = ? AND state = ?", id, MemberInactive)
		if err != nil {
			return 0, err
		}
		return result.RowsAffected()
	})
}

func (c *Catalog) changeMember(ctx context.Context, id, action string, e Edit, change func(ctx context.Context, tx *database.Tx) (int64, error)) error {
	return c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := absent(tx.NewSelect().Model(&memberRow{}).Where("id = ?", id).Scan(ctx), "member", id); err != nil {
			return err
		}
		n, err := change(ctx, tx)
		if err != nil {
			return err
		}
		if n == 0 {
			return &darter.Error{Kind: darter.Conflict, Op: action + " " + id, Hint: "stop it, and wait until it counts as inactive", Err: errors.New("it is active")}
		}
		return c.Record(ctx, tx, darter.AuditEvent{Actor: e.Actor, Action: action, Resource: "members/" + id, Result: darter.AuditDone, Request: e.Request, Reason: e.Reason})
	})
}
