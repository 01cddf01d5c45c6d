package enroll

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/pki"
)

// Certificate is one that was signed here.
type Certificate struct {
	Serial   string
	Identity pki.Identity
	Names    []string
	Life     time.Duration
	Previous string // serial of the certificate that it renewed
	Issued   time.Time
	Expires  time.Time
	Revoked  time.Time // zero: not
}

const certificateColumns = "serial, role, cluster, node, names, life, previous, issued_at, expires_at, revoked_at"

func scanCertificate(r row) (Certificate, error) {
	var c Certificate
	var names string
	var life int64
	var issued, expires, revoked database.Micros
	err := r.Scan(&c.Serial, &c.Identity.Role, &c.Identity.Cluster, &c.Identity.Node, &names, &life, &c.Previous, &issued, &expires, &revoked)
	if err == nil {
		err = json.Unmarshal([]byte(names), &c.Names)
	}
	c.Life, c.Issued, c.Expires, c.Revoked = time.Duration(life)*time.Microsecond, issued.Time(), expires.Time(), revoked.Time()
	return c, err
}

// Certificates returns what was signed, in the order of serials, after one, at most limit (500).
func (d *Desk) Certificates(ctx context.Context, after string, limit int) ([]Certificate, error) {
	return list(ctx, d.db, scanCertificate, "SELECT "+certificateColumns+" FROM certificates WHERE serial > ? ORDER BY serial LIMIT ?", after, page(limit))
}

// Renew signs a request for the node that c is, for the same identity, names and life. c has to be a node's
// principal, from a certificate that was signed here, is in force, and belongs to that node.
func (d *Desk) Renew(ctx context.Context, c auth.Caller, request []byte) (pki.Issued, error) {
	const op = "renew certificate"
	if c.Kind != auth.Node || c.Credential == "" {
		return pki.Issued{}, auth.Unauthenticated(op, errors.New("a node's certificate is needed"))
	}
	now := d.cfg.Now().UTC()
	var issued pki.Issued
	err := d.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		old, err := scanCertificate(tx.QueryRowContext(ctx, "SELECT "+certificateColumns+" FROM certificates WHERE serial = ? ?", c.Credential, tx.ForUpdate()))
		if errors.Is(err, sql.ErrNoRows) || err == nil && (old.Identity.String() != c.ID || !old.Revoked.IsZero() || !now.Before(old.Expires)) {
			return &darter.Error{Kind: darter.Denied, Op: op, Hint: "let the node join again with a new token", Err: auth.ErrForbidden}
		}
		if err != nil {
			return err
		}
		issued, err = d.cfg.Authority.Sign(request, grant(old.Identity, old.Names, old.Life), now)
		if err != nil {
			return err
		}
		if err := d.insert(ctx, tx, issued, old.Identity, old.Names, old.Life, old.Serial, now); err != nil {
			return err
		}
		return d.record(ctx, tx, c.Actor(), c.Request, "certificate.renew", "certificates/"+issued.Serial, c.ID)
	})
	if err != nil {
		return pki.Issued{}, err
	}
	return issued, nil
}

// Revoke takes back all certificates of a node: one of them may have made others. The node joins again with a new
// token. It returns how many there were; none is NotFound.
func (d *Desk) Revoke(ctx context.Context, c auth.Caller, node pki.Identity) (int64, error) {
	var n int64
	err := d.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		now := database.At(d.cfg.Now())
		r, err := tx.ExecContext(ctx, "UPDATE certificates SET revoked_at = ? WHERE role = ? AND cluster = ? AND node = ? AND revoked_at = 0 AND expires_at > ?",
			now, node.Role, node.Cluster, node.Node, now)
		if err != nil {
			return err
		}
		if n, err = r.RowsAffected(); err != nil {
			return err
		}
		if n == 0 {
			return &darter.Error{Kind: darter.NotFound, Op: "revoke " + node.String(), Err: errors.New("it has no certificate in force")}
		}
		if err := d.record(ctx, tx, c.Actor(), c.Request, "certificate.revoke", "nodes/"+node.String(), ""); err != nil {
			return err
		}
		return tx.Notify(topic, "")
	})
	if err == nil {
		err = d.Look(ctx)
	}
	return n, err
}

// Revoked reports whether a certificate was taken back, as of the last look. It is for pki.SourceConfig.
func (d *Desk) Revoked(serial string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.revoked[serial]
}

// Look reads which certificates are revoked. Call it once before the first connection; Run repeats it. When the
// database is away, what was known stays known.
func (d *Desk) Look(ctx context.Context) error {
	serials, err := list(ctx, d.db, func(r row) (s string, err error) { return s, r.Scan(&s) },
		"SELECT serial FROM certificates WHERE revoked_at > 0 AND expires_at > ?", database.At(d.cfg.Now()))
	if err != nil {
		return err
	}
	revoked := make(map[string]bool, len(serials))
	for _, s := range serials {
		revoked[s] = true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.revoked = revoked
	return nil
}
