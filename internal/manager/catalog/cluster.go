package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// ClusterSpec is what is said of a cluster. Each change is a version that can be compared and rolled back.
type ClusterSpec struct {
	Name      string          `json:"name"`
	Bio       string          `json:"bio"`
	Default   bool            `json:"default"` // where daemons go that no scope fits
	Scopes    Scopes          `json:"scopes"`
	Scheduler json.RawMessage `json:"scheduler,omitempty"` // configuration for its schedulers
	Client    json.RawMessage `json:"client,omitempty"`    // configuration for its daemons
}

// Scopes say which daemons belong to a cluster.
type Scopes struct {
	IDC       string   `json:"idc"`       // a|b
	Location  string   `json:"location"`  // country|city|rack
	CIDRs     []string `json:"cidrs"`     // of addresses
	Hostnames []string `json:"hostnames"` // regular expressions
}

// Cluster is a set of schedulers, seeds and daemons that know one another.
type Cluster struct {
	ID       string `json:"id"`
	CompatID int64  `json:"compat_id"`
	ClusterSpec
	Version int64     `json:"version"`
	ETag    string    `json:"-"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

type clusterRow struct {
	bun.BaseModel `bun:"table:clusters"`
	ID            string          `bun:"id,pk"`
	CompatID      int64           `bun:"compat_id"`
	Name          string          `bun:"name"`
	IsDefault     bool            `bun:"is_default"`
	Version       int64           `bun:"version"`
	Body          string          `bun:"body"`
	CreatedAt     database.Micros `bun:"created_at"`
	UpdatedAt     database.Micros `bun:"updated_at"`
}

func (r *clusterRow) cluster() (Cluster, error) {
	out := Cluster{ID: r.ID, CompatID: r.CompatID, Version: r.Version, Created: r.CreatedAt.Time(), Updated: r.UpdatedAt.Time()}
	if err := json.Unmarshal([]byte(r.Body), &out.ClusterSpec); err != nil {
		return out, &darter.Error{Kind: darter.Corrupt, Op: "read cluster " + r.ID, Err: err}
	}
	return out, nil
}

func (s *ClusterSpec) validate() error {
	bad := func(format string, args ...any) error {
		return &darter.Error{Kind: darter.Invalid, Op: "check cluster", Err: fmt.Errorf(format, args...)}
	}
	switch {
	case s.Name == "" || len(s.Name) > 100 || strings.ContainsAny(s.Name, "\x00\n"):
		return bad("a name has 1 to 100 bytes on one line")
	case len(s.Bio) > 1000:
		return bad("the description is longer than 1000 bytes")
	case len(s.Scheduler)+len(s.Client) > maxBody:
		return bad("the configurations are longer than %d bytes", maxBody)
	case len(s.Scopes.CIDRs) > 1000 || len(s.Scopes.Hostnames) > 1000:
		return bad("more than 1000 scopes")
	}
	for _, cidr := range s.Scopes.CIDRs {
		if _, err := netip.ParsePrefix(cidr); err != nil {
			return bad("scope %q is not a network such as 10.0.0.0/8", cidr)
		}
	}
	for what, part := range map[string]json.RawMessage{"scheduler": s.Scheduler, "client": s.Client} {
		var object map[string]any
		if len(part) > 0 && json.Unmarshal(part, &object) != nil {
			return bad("the %s configuration is not an object", what)
		}
	}
	return nil
}

// CreateCluster adds a cluster.
func (c *Catalog) CreateCluster(ctx context.Context, s ClusterSpec, e Edit) (out Cluster, err error) {
	if err := s.validate(); err != nil {
		return out, err
	}
	err = c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		number, err := compat(ctx, tx, "clusters")
		if err != nil {
			return err
		}
		out, err = c.saveCluster(ctx, tx, &clusterRow{ID: tx.NewID(), CompatID: number}, s, e, 0)
		return err
	})
	return out, err
}

// UpdateCluster replaces what is said of a cluster.
func (c *Catalog) UpdateCluster(ctx context.Context, id string, s ClusterSpec, e Edit) (out Cluster, err error) {
	if err := s.validate(); err != nil {
		return out, err
	}
	err = c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		row, err := loadCluster(ctx, tx, id)
		if err != nil {
			return err
		}
		out, err = c.saveCluster(ctx, tx, row, s, e, 0)
		return err
	})
	return out, err
}

// RollbackCluster says of a cluster again what an earlier version did.
func (c *Catalog) RollbackCluster(ctx context.Context, id string, version int64, e Edit) (out Cluster, err error) {
	err = c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		row, err := loadCluster(ctx, tx, id)
		if err != nil {
			return err
		}
		d, err := readVersion(ctx, tx, ClusterClass, id, version)
		if err != nil {
			return err
		}
		var s ClusterSpec
		if err := json.Unmarshal(d.Body, &s); err != nil {
			return err
		}
		out, err = c.saveCluster(ctx, tx, row, s, e, version)
		return err
	})
	return out, err
}

// saveCluster writes the version and the row that lists are made of.
func (c *Catalog) saveCluster(ctx context.Context, tx *database.Tx, row *clusterRow, s ClusterSpec, e Edit, from int64) (Cluster, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return Cluster{}, err
	}
	e.Class, e.Name, e.Body = ClusterClass, row.ID, body
	d, err := c.put(ctx, tx, e, from, true)
	if err != nil {
		return Cluster{}, err
	}
	if s.Default {
		if _, err := tx.ExecContext(ctx, "UPDATE clusters SET is_default = FALSE WHERE is_default AND id <> ?", row.ID); err != nil {
			return Cluster{}, err
		}
	}
	at := database.At(d.Created)
	if row.CreatedAt == 0 {
		row.CreatedAt = at
	}
	row.Name, row.IsDefault, row.Version, row.Body, row.UpdatedAt = s.Name, s.Default, d.Number, string(body), at
	_, err = tx.NewInsert().Model(row).On("CONFLICT (id) DO UPDATE").Set("name = EXCLUDED.name").Set("is_default = EXCLUDED.is_default").
		Set("version = EXCLUDED.version").Set("body = EXCLUDED.body").Set("updated_at = EXCLUDED.updated_at").Exec(ctx)
	if err != nil {
		return Cluster{}, err
	}
	out, err := row.cluster()
	out.ETag = d.ETag()
	return out, err
}

func loadCluster(ctx context.Context, tx *database.Tx, id string) (*clusterRow, error) {
	row := &clusterRow{}
	err := tx.NewSelect().Model(row).Where("id = ?", id).Scan(ctx)
	return row, absent(err, "cluster", id)
}

// Cluster returns one cluster.
func (c *Catalog) Cluster(ctx context.Context, id string) (out Cluster, err error) {
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		row, err := loadCluster(ctx, tx, id)
		if err != nil {
			return err
		}
		d, err := readVersion(ctx, tx, ClusterClass, id, row.Version)
		if err != nil {
			return err
		}
		out, err = row.cluster()
		out.ETag = d.ETag()
		return err
	})
	return out, err
}

// Clusters lists clusters by id, from the one after the given id on.
func (c *Catalog) Clusters(ctx context.Context, after string, limit int) (out []Cluster, err error) {
	var rows []clusterRow
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return tx.NewSelect().Model(&rows).Where("id > ?", after).OrderExpr("id").Limit(int64(page(limit))).Scan(ctx)
	})
	for i := range rows {
		one, err := rows[i].cluster()
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, err
}

// DeleteCluster removes a cluster that nobody belongs to any more. Its versions stay.
func (c *Catalog) DeleteCluster(ctx context.Context, id string, e Edit) error {
	return c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		row, err := loadCluster(ctx, tx, id)
		if err != nil {
			return err
		}
		if _, err := lockHead(ctx, tx, ClusterClass, id); err != nil {
			return err
		}
		d, err := readVersion(ctx, tx, ClusterClass, id, row.Version)
		if err != nil {
			return err
		}
		if err := match(e.IfMatch, d, "delete cluster "+id); err != nil {
			return err
		}
		var members int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM members WHERE cluster_id = ?", id).Scan(&members); err != nil {
			return err
		}
		if members > 0 || row.IsDefault {
			return &darter.Error{Kind: darter.Conflict, Op: "delete cluster " + id, Hint: "move its members away, and make another cluster the default, first",
				Err: errors.New("it has members, or is the default")}
		}
		if _, err := tx.NewDelete().Model(row).WherePK().Exec(ctx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE documents SET version = 0 WHERE class = ? AND name = ?", ClusterClass, id); err != nil {
			return err
		}
		return c.Record(ctx, tx, darter.AuditEvent{Actor: e.Actor, Action: "cluster.delete", Resource: "cluster/" + id, Result: darter.AuditDone, Request: e.Request, Reason: e.Reason, Before: d.Hash})
	})
}
