package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// Verdict is what a scheduler thinks of a host.
type Verdict string

// Verdicts, from the most to the least alive.
const (
	Alive     Verdict = "alive"
	Late      Verdict = "late"
	Suspect   Verdict = "suspect"
	Draining  Verdict = "draining"
	Offline   Verdict = "offline"
	Left      Verdict = "left"
	Forgotten Verdict = "forgotten"
)

func (v Verdict) rank() int {
	return slices.Index([]Verdict{Alive, Late, Suspect, Draining, Offline, Left, Forgotten}, v)
}

// Sighting is what one scheduler says of one host.
type Sighting struct {
	Host     string // id
	Cluster  string
	Hostname string
	IP       string
	Kind     string          // normal, seed
	Body     json.RawMessage // what the host says of itself
	Epoch    int64           // of the host's process: what an earlier one said no longer counts
	Verdict  Verdict
	Detail   string
}

// Host is a host as all schedulers together see it.
type Host struct {
	ID        string          `json:"id"`
	Cluster   string          `json:"cluster"`
	Hostname  string          `json:"hostname"`
	IP        string          `json:"ip"`
	Kind      string          `json:"kind"`
	Body      json.RawMessage `json:"body"`
	Epoch     int64           `json:"epoch"`
	Verdict   Verdict         `json:"verdict"`
	Since     time.Time       `json:"since"`
	FirstSeen time.Time       `json:"first_seen"`
	Seen      time.Time       `json:"seen"`
}

// HostEvent is one step of a host's life.
type HostEvent struct {
	ID       string    `json:"id"`
	Host     string    `json:"host"`
	At       time.Time `json:"at"`
	Epoch    int64     `json:"epoch"`
	Verdict  Verdict   `json:"verdict"`
	Before   Verdict   `json:"before,omitempty"`
	Reporter string    `json:"reporter"`
	Detail   string    `json:"detail,omitempty"`
}

// view is what one scheduler last said of a host.
type view struct {
	Reporter string          `bun:"reporter"`
	Epoch    int64           `bun:"epoch"`
	Verdict  Verdict         `bun:"verdict"`
	At       database.Micros `bun:"at"`
}

// reconcile returns what the schedulers together say: of those that know the newest epoch and were heard
// lately, the one that thinks best of the host is right, since it still hears it. When none was heard
// lately, the last word stands: not to be asked is not to be gone.
func reconcile(views []view, now time.Time, fresh time.Duration) (epoch int64, verdict Verdict) {
	for _, v := range views {
		epoch = max(epoch, v.Epoch)
	}
	var newest view
	for _, v := range views {
		if v.Epoch != epoch {
			continue
		}
		if v.At > newest.At || v.At == newest.At && v.Verdict.rank() < newest.Verdict.rank() {
			newest = v
		}
		late := now.Sub(v.At.Time()) > fresh
		if !late && (verdict == "" || v.Verdict.rank() < verdict.rank()) {
			verdict = v.Verdict
		}
	}
	if verdict == "" {
		verdict = newest.Verdict
	}
	return epoch, verdict
}

type hostRow struct {
	bun.BaseModel `bun:"table:hosts"`
	ID            string          `bun:"id,pk"`
	ClusterID     string          `bun:"cluster_id"`
	Hostname      string          `bun:"hostname"`
	IP            string          `bun:"ip"`
	Kind          string          `bun:"kind"`
	Body          string          `bun:"body"`
	Epoch         int64           `bun:"epoch"`
	Verdict       Verdict         `bun:"verdict"`
	Since         database.Micros `bun:"since"`
	FirstSeen     database.Micros `bun:"first_seen"`
	SeenAt        database.Micros `bun:"seen_at"`
}

func (r *hostRow) host() Host {
	return Host{ID: r.ID, Cluster: r.ClusterID, Hostname: r.Hostname, IP: r.IP, Kind: r.Kind, Body: json.RawMessage(r.Body), Epoch: r.Epoch, Verdict: r.Verdict,
		Since: r.Since.Time(), FirstSeen: r.FirstSeen.Time(), Seen: r.SeenAt.Time()}
}

// maxSightings is how many hosts one report may speak of.
const maxSightings = 1000

// Sight takes what a scheduler says of hosts, and records what changes by it. Hosts of one report change
// together. Reports of several schedulers may speak of the same hosts.
func (c *Catalog) Sight(ctx context.Context, reporter string, all []Sighting) error {
	var events []HostEvent
	err := c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) (err error) {
		events, err = c.SightIn(ctx, tx, reporter, all)
		return err
	})
	if err == nil && c.cfg.Events.Host != nil {
		for _, e := range events {
			c.cfg.Events.Host(e)
		}
	}
	return err
}

// SightIn is Sight within a transaction of the caller's. It returns what changed.
func (c *Catalog) SightIn(ctx context.Context, tx *database.Tx, reporter string, all []Sighting) (events []HostEvent, err error) {
	if reporter == "" || len(all) > maxSightings {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "report hosts", Err: errors.New("a report names its scheduler and at most 1000 hosts")}
	}
	for _, s := range all {
		if s.Host == "" || len(s.Host) > 255 || s.Verdict.rank() < 0 || len(s.Body) > maxBody || len(s.Body) > 0 && !json.Valid(s.Body) {
			return nil, &darter.Error{Kind: darter.Invalid, Op: "report host " + s.Host, Err: errors.New("a host has an id, a known verdict, and at most 256 KiB of JSON to say")}
		}
	}
	all = slices.SortedStableFunc(slices.Values(all), func(a, b Sighting) int { return strings.Compare(a.Host, b.Host) }) // every report locks in the same order
	now, err := tx.Now(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		event, err := c.sight(ctx, tx, reporter, s, now)
		if err != nil {
			return nil, err
		}
		if event != nil {
			events = append(events, *event)
		}
	}
	return events, nil
}

// holdHost returns a host's row, made where there is none, and holds it until the transaction ends. One that its retention
// removes between the two statements is made anew.
func holdHost(ctx context.Context, tx *database.Tx, s Sighting, at database.Micros) (row *hostRow, err error) {
	for range 2 {
		row = &hostRow{ID: s.Host, ClusterID: s.Cluster, Hostname: s.Hostname, IP: s.IP, Kind: s.Kind, Body: string(s.Body), FirstSeen: at, SeenAt: at, Since: at}
		if _, err = tx.NewInsert().Model(row).On("CONFLICT (id) DO NOTHING").Exec(ctx); err != nil {
			return nil, err
		}
		q := tx.NewSelect().Model(row).Where("id = ?", s.Host)
		if tx.Dialect() == database.Postgres {
			q = q.For("UPDATE")
		}
		if err = q.Scan(ctx); !errors.Is(err, sql.ErrNoRows) {
			break
		}
	}
	return row, err
}

func (c *Catalog) sight(ctx context.Context, tx *database.Tx, reporter string, s Sighting, now time.Time) (*HostEvent, error) {
	at := database.At(now)
	if len(s.Body) == 0 {
		s.Body = json.RawMessage("{}")
	}
	row, err := holdHost(ctx, tx, s, at)
	if err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO host_views (host_id, reporter, epoch, verdict, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (host_id, reporter)
		DO UPDATE SET epoch = excluded.epoch, verdict = excluded.verdict, at = excluded.at WHERE host_views.epoch <= excluded.epoch`, s.Host, reporter, s.Epoch, s.Verdict, at)
	if err != nil {
		return nil, err
	}
	var views []view
	if err := tx.NewSelect().TableExpr("host_views").Column("reporter", "epoch", "verdict", "at").Where("host_id = ?", s.Host).OrderExpr("reporter").Scan(ctx, &views); err != nil {
		return nil, err
	}
	before, was := row.Verdict, row.Epoch
	epoch, verdict := reconcile(views, now, c.cfg.Fresh)
	if s.Epoch >= row.Epoch { // what an earlier process said of itself is old
		row.ClusterID, row.Hostname, row.IP, row.Kind, row.Body = s.Cluster, s.Hostname, s.IP, s.Kind, string(s.Body)
	}
	if s.Verdict == Alive && s.Epoch == epoch {
		row.SeenAt = at
	}
	row.Epoch = epoch
	if changed := verdict != before || epoch != was; !changed {
		_, err := tx.NewUpdate().Model(row).WherePK().Exec(ctx)
		return nil, err
	}
	row.Verdict, row.Since = verdict, at
	if _, err := tx.NewUpdate().Model(row).WherePK().Exec(ctx); err != nil {
		return nil, err
	}
	e := &HostEvent{ID: tx.NewID(), Host: s.Host, At: at.Time(), Epoch: epoch, Verdict: verdict, Before: before, Reporter: reporter, Detail: s.Detail}
	_, err = tx.ExecContext(ctx, "INSERT INTO host_events (id, host_id, at, epoch, verdict, before, reporter, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		e.ID, e.Host, at, e.Epoch, e.Verdict, e.Before, e.Reporter, e.Detail[:min(len(e.Detail), maxReason)])
	if err != nil {
		return nil, err
	}
	return e, c.tellHost(ctx, tx, e, row)
}

// HostFilter says which hosts are listed, by id, from the one after After on.
type HostFilter struct {
	Cluster string
	Verdict Verdict
	Kind    string
	After   string
	Limit   int
}

// Hosts lists hosts.
func (c *Catalog) Hosts(ctx context.Context, f HostFilter) (out []Host, err error) {
	var rows []hostRow
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		q := tx.NewSelect().Model(&rows).Where("id > ?", f.After).OrderExpr("id").Limit(int64(page(f.Limit)))
		for column, value := range map[string]string{"cluster_id": f.Cluster, "verdict": string(f.Verdict), "kind": f.Kind} {
			if value != "" {
				q = q.Where(column+" = ?", value)
			}
		}
		return q.Scan(ctx)
	})
	for i := range rows {
		out = append(out, rows[i].host())
	}
	return out, err
}

// Host returns one host.
func (c *Catalog) Host(ctx context.Context, id string) (Host, error) {
	row := &hostRow{}
	err := c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return absent(tx.NewSelect().Model(row).Where("id = ?", id).Scan(ctx), "host", id)
	})
	return row.host(), err
}

// HostEvents lists a host's life, the newest first, from the event before the given id on.
func (c *Catalog) HostEvents(ctx context.Context, host, before string, limit int) (out []HostEvent, err error) {
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		out = nil
		rows, err := tx.QueryContext(ctx, "SELECT id, host_id, at, epoch, verdict, before, reporter, detail FROM host_events WHERE host_id = ? AND (? = '' OR id < ?) ORDER BY id DESC LIMIT ?",
			host, before, before, page(limit))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var e HostEvent
			var at database.Micros
			if err := rows.Scan(&e.ID, &e.Host, &at, &e.Epoch, &e.Verdict, &e.Before, &e.Reporter, &e.Detail); err != nil {
				return err
			}
			e.At = at.Time()
			out = append(out, e)
		}
		return rows.Err()
	})
	return out, err
}
