package enroll

import (
	"context"
	"crypto/tls"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/secret"
	"github.com/darter-p2p/darter/internal/pki"
)

// Auditor writes an event in the transaction of the change that it tells of. It fills in id and time.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, e darter.AuditEvent) error
}

const (
	topic      = "certificates"
	maxNames   = 64
	maxValid   = 30 * 24 * time.Hour
	sweepAfter = 30 * 24 * time.Hour // how long ended tokens and certificates stay in the list
)

// Config is what a desk needs.
type Config struct {
	Authority *pki.Authority   // required
	Valid     time.Duration    // of join tokens for which nothing is said; default 24 h
	Look      time.Duration    // how often revocations are looked for when no notice comes; default 2 s
	Now       func() time.Time // default time.Now
	Failed    func(error)      // background work failed, and is tried again; may be nil
}

// DefaultConfig returns the defaults. Authority is still to be set.
func DefaultConfig() Config {
	return Config{Valid: 24 * time.Hour, Look: 2 * time.Second, Now: time.Now}
}

// Desk signs certificates for nodes that may have them.
type Desk struct {
	db    *database.DB
	audit Auditor
	cfg   Config

	mu struct {
		sync.Mutex
		revoked map[string]bool // serials
	}
}

// New checks the configuration. The database needs auth.Migrations.
func New(db *database.DB, audit Auditor, cfg Config) (*Desk, error) {
	if cfg.Authority == nil || cfg.Now == nil || cfg.Valid < time.Minute || cfg.Valid > maxValid || cfg.Look < 10*time.Millisecond {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "open enrolment", Err: fmt.Errorf("an authority, a clock, a validity between a minute and %v and an interval are required", maxValid)}
	}
	d := &Desk{db: db, audit: audit, cfg: cfg}
	d.mu.revoked = make(map[string]bool)
	return d, nil
}

// Invitation says what a join token is good for.
type Invitation struct {
	Role    pki.Role
	Cluster string
	Node    string        // when set, only this node
	Names   []string      // DNS names and addresses that its certificate may hold, beside the address it comes from
	Life    time.Duration // of the certificate; default pki.DefaultLife
	Valid   time.Duration // of the token; default Config.Valid, at most 30 days
}

// JoinToken is an invitation as rows have it.
type JoinToken struct {
	Invitation
	ID        string
	CreatedBy string
	Created   time.Time
	Expires   time.Time
	Used      time.Time // zero: not
	Serial    string    // of the certificate that it made
	Revoked   time.Time // zero: not
}

func (i *Invitation) fill(c Config) error {
	name := i.Node
	if name == "" {
		name = "any"
	}
	err := (pki.Identity{Role: i.Role, Cluster: i.Cluster, Node: name}).Validate()
	if i.Life == 0 {
		i.Life = pki.DefaultLife
	}
	if i.Valid == 0 {
		i.Valid = c.Valid
	}
	switch {
	case err != nil:
	case i.Life < 10*time.Minute || i.Life > pki.MaxLife || i.Valid < time.Minute || i.Valid > maxValid:
		err = fmt.Errorf("a life of %v is not between 10 minutes and %v, or a validity of %v not between a minute and %v", i.Life, pki.MaxLife, i.Valid, maxValid)
	case len(i.Names) > maxNames:
		err = fmt.Errorf("more than %d names", maxNames)
	}
	if err != nil {
		return &darter.Error{Kind: darter.Invalid, Op: "create join token", Err: err}
	}
	return nil
}

// Invite makes a join token and returns the text for the node, which is not kept.
func (d *Desk) Invite(ctx context.Context, c auth.Caller, i Invitation) (t JoinToken, text string, err error) {
	if err := i.fill(d.cfg); err != nil {
		return t, "", err
	}
	names, err := json.Marshal(i.Names)
	if err != nil {
		return t, "", err
	}
	now := d.cfg.Now().UTC().Truncate(time.Microsecond)
	err = d.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		s := secret.New(secret.Join, tx.NewID())
		t = JoinToken{Invitation: i, ID: s.ID, CreatedBy: c.ID, Created: now, Expires: now.Add(i.Valid)}
		text = pki.FormatJoin(s.Text(), d.cfg.Authority.Pin())
		_, err := tx.ExecContext(ctx, `INSERT INTO join_tokens (id, secret_hash, role, cluster, node, names, life, created_by, created_at, expires_at, used_at, serial, revoked_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', 0)`, t.ID, s.Hash(), i.Role, i.Cluster, i.Node, string(names), i.Life.Microseconds(), c.ID, database.At(now), database.At(t.Expires))
		if err != nil {
			return err
		}
		return d.record(ctx, tx, c.Actor(), c.Request, "join-token.create", "join-tokens/"+t.ID, strings.TrimSpace(string(i.Role)+" "+i.Cluster+" "+i.Node))
	})
	if err != nil {
		return JoinToken{}, "", err
	}
	return t, text, nil
}

func (d *Desk) record(ctx context.Context, tx *database.Tx, by darter.Actor, request, action, resource, after string) error {
	return d.audit.Record(ctx, tx, darter.AuditEvent{Actor: by, Request: request, Action: action, Resource: resource, Result: darter.AuditDone, After: after})
}

// Withdraw takes a join token back. What it has made stays.
func (d *Desk) Withdraw(ctx context.Context, c auth.Caller, id string) error {
	return d.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		r, err := tx.ExecContext(ctx, "UPDATE join_tokens SET revoked_at = CASE WHEN revoked_at = 0 THEN ? ELSE revoked_at END WHERE id = ?", database.At(d.cfg.Now()), id)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, &darter.Error{Kind: darter.NotFound, Op: "withdraw join token", Err: errors.New("no such join token")})
		}
		return d.record(ctx, tx, c.Actor(), c.Request, "join-token.revoke", "join-tokens/"+id, "")
	})
}

const joinColumns = "id, role, cluster, node, names, life, created_by, created_at, expires_at, used_at, serial, revoked_at"

type row interface{ Scan(dest ...any) error }

func scanJoin(r row) (JoinToken, error) {
	var t JoinToken
	var names string
	var life int64
	var created, expires, used, revoked database.Micros
	err := r.Scan(&t.ID, &t.Role, &t.Cluster, &t.Node, &names, &life, &t.CreatedBy, &created, &expires, &used, &t.Serial, &revoked)
	if err == nil {
		err = json.Unmarshal([]byte(names), &t.Names)
	}
	t.Life, t.Created, t.Expires, t.Used, t.Revoked = time.Duration(life)*time.Microsecond, created.Time(), expires.Time(), used.Time(), revoked.Time()
	t.Valid = t.Expires.Sub(t.Created)
	return t, err
}

// JoinTokens returns tokens in the order of their ids, after one, at most limit (500).
func (d *Desk) JoinTokens(ctx context.Context, after string, limit int) ([]JoinToken, error) {
	return list(ctx, d.db, scanJoin, "SELECT "+joinColumns+" FROM join_tokens WHERE id > ? ORDER BY id LIMIT ?", after, page(limit))
}

func page(limit int) int {
	if limit <= 0 || limit > 500 {
		return 500
	}
	return limit
}

func list[T any](ctx context.Context, db *database.DB, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	var out []T
	err := db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		out = nil
		rows, err := tx.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			v, err := scan(rows)
			if err != nil {
				return err
			}
			out = append(out, v)
		}
		return rows.Err()
	})
	return out, err
}

// Redeem signs a node's request (PEM) with the token part of a join text (see pki.ParseJoin), once. node is what
// the node calls itself. It fails with ErrUnauthenticated for a token that is wrong, used, withdrawn or has run
// out, and with the errors of pki.Authority.Sign; the token is good for another try then.
func (d *Desk) Redeem(ctx context.Context, c auth.Caller, token, node string, request []byte) (pki.Issued, error) {
	const op = "join cluster"
	refused := auth.Unauthenticated(op, errors.New("the join token is wrong, used, withdrawn or has run out"))
	s, err := secret.Parse(secret.Join, token)
	if err != nil {
		return pki.Issued{}, refused
	}
	var t JoinToken
	now := d.cfg.Now().UTC()
	err = d.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		t, err = scanJoin(tx.QueryRowContext(ctx, "SELECT "+joinColumns+" FROM join_tokens WHERE id = ? AND secret_hash = ? AND used_at = 0 AND revoked_at = 0 AND expires_at > ?",
			s.ID, s.Hash(), database.At(now)))
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return pki.Issued{}, refused
	}
	if err != nil {
		return pki.Issued{}, err
	}
	if t.Node != "" && t.Node != node {
		return pki.Issued{}, &darter.Error{Kind: darter.Denied, Op: op, Hint: "the token was made for another node", Err: auth.ErrForbidden}
	}
	id := pki.Identity{Role: t.Role, Cluster: t.Cluster, Node: node}
	names := t.Names
	if c.From.IsValid() {
		names = append(names, c.From.Unmap().WithZone("").String())
	}
	issued, err := d.cfg.Authority.Sign(request, grant(id, names, t.Life), now)
	if err != nil {
		return pki.Issued{}, err
	}
	actor := auth.Caller{Principal: auth.Principal{Kind: auth.Node, ID: id.String(), Name: node, Method: auth.ByToken, Credential: t.ID}, From: c.From}.Actor()
	err = d.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		r, err := tx.ExecContext(ctx, "UPDATE join_tokens SET used_at = ?, serial = ? WHERE id = ? AND used_at = 0 AND revoked_at = 0", database.At(now), issued.Serial, t.ID)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, refused) // somebody was quicker
		}
		if err := d.insert(ctx, tx, issued, id, names, t.Life, "", now); err != nil {
			return err
		}
		return d.record(ctx, tx, actor, c.Request, "node.join", "certificates/"+issued.Serial, id.String())
	})
	if err != nil {
		return pki.Issued{}, err
	}
	return issued, nil
}

func grant(id pki.Identity, names []string, life time.Duration) pki.Grant {
	g := pki.Grant{Identity: id, Life: life}
	for _, n := range names {
		if a, err := netip.ParseAddr(n); err == nil {
			g.Addresses = append(g.Addresses, a.Unmap())
		} else {
			g.Names = append(g.Names, n)
		}
	}
	return g
}

func (d *Desk) insert(ctx context.Context, tx *database.Tx, i pki.Issued, id pki.Identity, names []string, life time.Duration, previous string, now time.Time) error {
	text, err := json.Marshal(names)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO certificates (serial, role, cluster, node, names, life, previous, issued_at, expires_at, revoked_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`, i.Serial, id.Role, id.Cluster, id.Node, string(text), life.Microseconds(), previous, database.At(now), database.At(i.NotAfter))
	return err
}

// Principal makes a gate's Config.Node of a way to verify connections, such as Source.Verify.
func (d *Desk) Principal(verify func(*tls.ConnectionState) (pki.Identity, string, error)) func(*tls.ConnectionState) (auth.Principal, error) {
	return func(c *tls.ConnectionState) (auth.Principal, error) {
		id, serial, err := verify(c)
		if err == nil && d.Revoked(serial) {
			err = errors.New("the certificate was revoked")
		}
		if err != nil {
			return auth.Principal{}, auth.Unauthenticated("verify node", err)
		}
		return auth.Principal{Kind: auth.Node, ID: id.String(), Name: id.Node, Method: auth.ByMTLS, Credential: serial}, nil
	}
}
