package account

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/password"
)

// topic is what managers tell each other changes of rights under.
const topic = "auth"

// Accounts is all of it. Run has to run for changes by other managers to count without a look into the
// database at every request, and for uses to be noted.
type Accounts struct {
	db     *database.DB
	audit  Auditor
	cfg    Config
	hasher *password.Hasher
	key    [32]byte // of this process, for what is remembered of passwords

	mu struct {
		sync.Mutex
		version    int64     // what memory is of
		looked     time.Time // when the version was last known to be the newest
		remembered map[string]remembered
		uses       map[string]use // not yet written, by "token/…" or "session/…"
	}
}

// use is when and from where a credential was last used.
type use struct {
	at   time.Time
	from netip.Addr
}

// New checks the configuration. The database needs auth.Migrations.
func New(db *database.DB, audit Auditor, cfg Config) (*Accounts, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "open accounts", Err: err}
	}
	hasher, err := password.New(cfg.Password)
	if err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "open accounts", Err: err}
	}
	a := &Accounts{db: db, audit: audit, cfg: cfg, hasher: hasher}
	a.mu.remembered, a.mu.uses = make(map[string]remembered), make(map[string]use)
	_, _ = rand.Read(a.key[:]) // never fails
	return a, nil
}

// change does one change of who may do what. The version goes first: its row is the lock that lets one such
// change happen after the other, on every database.
func (a *Accounts) change(ctx context.Context, c auth.Caller, do func(ctx context.Context, tx *database.Tx) (darter.AuditEvent, error)) error {
	var version int64
	err := a.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := tx.QueryRowContext(ctx, "UPDATE auth_versions SET version = version + 1 WHERE id = 1 RETURNING version").Scan(&version); err != nil {
			return err
		}
		e, err := do(ctx, tx)
		if err != nil {
			return err
		}
		if err := a.record(ctx, tx, c, e); err != nil {
			return err
		}
		return tx.Notify(topic, "")
	})
	if err != nil {
		a.forget(0) // it may have been committed all the same, when the connection broke
		return err
	}
	a.db.Afterwards(ctx, func(committed bool) {
		if !committed {
			version = 0
		}
		a.forget(version)
	})
	return nil
}

func (a *Accounts) record(ctx context.Context, tx *database.Tx, c auth.Caller, e darter.AuditEvent) error {
	if e.Actor == (darter.Actor{}) {
		e.Actor = c.Actor()
	}
	e.Request = c.Request
	if e.Result == "" {
		e.Result = darter.AuditDone
	}
	return a.audit.Record(ctx, tx, e)
}

func (a *Accounts) now() time.Time { return a.cfg.Now().UTC() }

func (a *Accounts) refused(method, why string) {
	if a.cfg.Events.Refused != nil {
		a.cfg.Events.Refused(method, why)
	}
}

func notFound(op, what, id string) error {
	return &darter.Error{Kind: darter.NotFound, Op: op, Err: fmt.Errorf("no %s %q", what, id[:min(len(id), 64)])}
}

// absent turns "no such row" into NotFound.
func absent(err error, op, what, id string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return notFound(op, what, id)
	}
	return err
}

func invalid(op string, err error) error {
	return &darter.Error{Kind: darter.Invalid, Op: op, Err: err}
}

func conflict(op, hint, why string) error {
	return &darter.Error{Kind: darter.Conflict, Op: op, Hint: hint, Err: errors.New(why)}
}

// one reports whether exactly one row was changed.
func one(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}

// page bounds a list.
func page(limit int) int {
	if limit <= 0 || limit > 500 {
		return 500
	}
	return limit
}
