package records

import (
	"context"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
)

// topic is what the reclaimers of all managers tell one another of: the payload is a run's id.
const topic = "gc-runs"

// Reclaimer plans and carries out. Build it with New, then Run it in every manager.
type Reclaimer struct {
	cfg    Config
	db     *database.DB
	tables []Table // sorted as retention.Kinds
}

// New checks the configuration.
func New(cfg Config) (*Reclaimer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Reclaimer{cfg: cfg, db: cfg.DB}
	all := append(ownTables(), cfg.Tables...)
	for _, kind := range retention.Kinds() {
		for i := range all {
			if all[i].Kind == kind {
				r.tables = append(r.tables, all[i])
			}
		}
	}
	return r, nil
}

// Kinds returns the kinds of records that can be reclaimed here.
func (r *Reclaimer) Kinds() []string {
	var out []string
	for _, t := range r.tables {
		out = append(out, t.Kind)
	}
	return out
}

func (r *Reclaimer) table(kind string) (*Table, error) {
	for i := range r.tables {
		if r.tables[i].Kind == kind {
			return &r.tables[i], nil
		}
	}
	return nil, &darter.Error{Kind: darter.NotFound, Op: "reclaim " + kind, Err: errNoTable}
}

// policy returns what is in force, as one transaction sees it.
func (r *Reclaimer) policy(ctx context.Context, kind string) (p retention.Policy, err error) {
	err = r.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		p, err = r.cfg.Policies.Policy(ctx, tx, kind)
		return err
	})
	return p, err
}
