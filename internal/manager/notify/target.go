package notify

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// Limits of what may be configured.
const (
	maxTypes    = 64
	maxTargets  = 100
	maxURL      = 2048
	leastSecret = 24 // bytes
	mostSecret  = 64
)

// secretPrefix marks a secret as the Standard Webhooks specification does.
const secretPrefix = "whsec_"

// Unasked are the types that a target gets which names none: what somebody has to look at, and what was changed.
func Unasked() []string {
	return []string{"gc.run.failed", "gc.run.partial", "gc.run.needs_confirmation", "job.failed", "job.expired", "job.partially_succeeded",
		"gc_policy.*", "setting.*", "notification.given_up"}
}

// Target is a webhook without its secret.
type Target struct {
	ID        string
	Name      string
	URL       string
	Types     []string // patterns of types; never empty
	Enabled   bool
	Version   int64
	CreatedBy string
	Created   time.Time
	Updated   time.Time
	Told      time.Time // last success
	Failed    time.Time // last failure
	Error     string    // of the last failure
	Waiting   int64     // deliveries
}

// ETag names the version for If-Match.
func (t Target) ETag() string { return strconv.FormatInt(t.Version, 10) }

// Wish is what a target is to be.
type Wish struct {
	Name    string
	URL     string
	Types   []string // none: Unasked
	Secret  string   // whsec_ and base64; empty: one is made for a new target, the old one stays for an old target
	Enabled bool
}

// By says who changes something.
type By struct {
	Actor   darter.Actor
	Reason  string
	Request string
	IfMatch string // ETag of the version that the change was made from; "*" is any
}

// What is wrong with a change, for errors.Is.
var (
	ErrStale   = errors.New("the target has changed since it was read")
	ErrNoMatch = errors.New("the change does not say which version it was made from")
)

func invalid(op, hint string, format string, args ...any) error {
	return &darter.Error{Kind: darter.Invalid, Op: op, Hint: hint, Err: fmt.Errorf(format, args...)}
}

// check fills in what was left out and refuses what cannot be.
func (n *Notifier) check(ctx context.Context, w *Wish) (key []byte, err error) {
	const op = "check notification target"
	if w.Name == "" || len(w.Name) > 64 || strings.Trim(w.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return nil, invalid(op, "such as ops-chat", "the name has other than 1 to 64 small letters, digits and . _ -")
	}
	u, err := url.Parse(w.URL)
	if err != nil || len(w.URL) > maxURL || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, invalid(op, "write it as https://host/path", "the URL is no absolute http or https URL without user and fragment")
	}
	if err := n.cfg.Check(ctx, u); err != nil && darter.KindOf(err) != darter.Unavailable { // a name that does not resolve now may do so later
		return nil, err
	}
	if len(w.Types) == 0 {
		w.Types = Unasked()
	}
	if len(w.Types) > maxTypes {
		return nil, invalid(op, "take a pattern such as job.*", "more than %d types", maxTypes)
	}
	if err := checkTypes(w.Types); err != nil {
		return nil, err
	}
	if w.Secret == "" {
		return nil, nil
	}
	key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(w.Secret, secretPrefix))
	if err != nil || len(key) < leastSecret || len(key) > mostSecret || !strings.HasPrefix(w.Secret, secretPrefix) {
		return nil, invalid(op, "leave it out, and one is made", "the secret is not whsec_ and %d to %d bytes in base64", leastSecret, mostSecret)
	}
	return key, nil
}

func checkTypes(types []string) error {
	for _, t := range types {
		if t == "" || len(t) > 64 || strings.Trim(strings.TrimSuffix(t, "*"), "abcdefghijklmnopqrstuvwxyz_.") != "" {
			return invalid("check types of events", "such as job.failed, gc.run.* or *", "%q is no type and no pattern of types", clip(t, 64))
		}
	}
	return nil
}

// matchAny reports whether a type fits one of the patterns.
func matchAny(patterns []string, kind string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		head, open := strings.CutSuffix(p, "*")
		return open && strings.HasPrefix(kind, head) || p == kind
	})
}

type targetRow struct {
	bun.BaseModel `bun:"table:notification_targets"`
	ID            string          `bun:"id,pk"`
	Name          string          `bun:"name"`
	URL           string          `bun:"url"`
	Types         string          `bun:"types"`
	Secret        []byte          `bun:"secret,type:bytea"`
	Enabled       bool            `bun:"enabled"`
	Version       int64           `bun:"version"`
	CreatedBy     string          `bun:"created_by"`
	CreatedAt     database.Micros `bun:"created_at"`
	UpdatedAt     database.Micros `bun:"updated_at"`
	ToldAt        database.Micros `bun:"told_at"`
	FailedAt      database.Micros `bun:"failed_at"`
	Error         string          `bun:"error"`
	Waiting       int64           `bun:"waiting,scanonly"`

	types []string
}

func (r *targetRow) read() error {
	if err := json.Unmarshal([]byte(r.Types), &r.types); err != nil {
		return &darter.Error{Kind: darter.Corrupt, Op: "read notification target " + r.Name, Err: err}
	}
	return nil
}

func (r *targetRow) target() Target {
	return Target{ID: r.ID, Name: r.Name, URL: r.URL, Types: r.types, Enabled: r.Enabled, Version: r.Version, CreatedBy: r.CreatedBy, Created: r.CreatedAt.Time(),
		Updated: r.UpdatedAt.Time(), Told: r.ToldAt.Time(), Failed: r.FailedAt.Time(), Error: r.Error, Waiting: r.Waiting}
}

// wants reports whether the target is to hear of an event.
func (r *targetRow) wants(e *darter.Event) bool {
	return (len(e.Notify) == 0 || slices.Contains(e.Notify, r.Name)) && matchAny(r.types, e.Type)
}

func place(id string) string { return "notification target " + id }

// Create adds a target and returns its secret, this once.
func (n *Notifier) Create(ctx context.Context, w Wish, by By) (out Target, secret string, err error) {
	key, err := n.check(ctx, &w)
	if err != nil {
		return out, "", err
	}
	if key == nil {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // never fails
	}
	err = n.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		var there, same int
		err := tx.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(CASE WHEN name = ? THEN 1 ELSE 0 END), 0) FROM notification_targets", w.Name).Scan(&there, &same)
		switch {
		case err != nil:
			return err
		case same > 0:
			return &darter.Error{Kind: darter.Conflict, Op: "create notification target " + w.Name, Err: errors.New("there is one of that name")}
		case there >= maxTargets:
			return &darter.Error{Kind: darter.NoSpace, Op: "create notification target " + w.Name, Hint: "delete one that nobody needs", Err: fmt.Errorf("there are %d already", there)}
		}
		now, err := n.now(ctx, tx)
		if err != nil {
			return err
		}
		row := &targetRow{ID: tx.NewID(), Version: 1, CreatedBy: by.Actor.ID, CreatedAt: database.At(now)}
		if err := n.save(ctx, tx, row, w, key, by, "notification.create", now); err != nil {
			return err
		}
		out = row.target()
		return nil
	})
	return out, secretPrefix + base64.StdEncoding.EncodeToString(key), err
}

// save writes a target with its audit event. key nil leaves the secret as it is.
func (n *Notifier) save(ctx context.Context, tx *database.Tx, row *targetRow, w Wish, key []byte, by By, action string, now time.Time) error {
	types, err := json.Marshal(w.Types)
	if err != nil {
		return err
	}
	row.Name, row.URL, row.Types, row.types, row.Enabled, row.UpdatedAt = w.Name, w.URL, string(types), w.Types, w.Enabled, database.At(now)
	if key != nil {
		if row.Secret, err = n.cfg.Sealer.Seal(key, place(row.ID)); err != nil {
			return err
		}
	}
	_, err = tx.NewInsert().Model(row).On("CONFLICT (id) DO UPDATE").
		Set("name = excluded.name, url = excluded.url, types = excluded.types, secret = excluded.secret, enabled = excluded.enabled").
		Set("version = excluded.version, updated_at = excluded.updated_at").Exec(ctx)
	if err != nil {
		return err
	}
	return n.audit(ctx, tx, action, row.ID, by)
}

func (n *Notifier) audit(ctx context.Context, tx *database.Tx, action, id string, by By) error {
	return n.cfg.Audit.Record(ctx, tx, darter.AuditEvent{Actor: by.Actor, Action: action, Resource: "notifications/" + id, Result: darter.AuditDone,
		Reason: by.Reason, Request: by.Request})
}

func loadTarget(ctx context.Context, tx *database.Tx, id string, lock bun.Safe) (*targetRow, error) {
	row := &targetRow{}
	err := tx.NewRaw("SELECT * FROM notification_targets WHERE id = ? ?", id, lock).Scan(ctx, row)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, &darter.Error{Kind: darter.NotFound, Op: "find notification target " + clip(id, 64), Err: errors.New("there is no such target")}
	}
	if err != nil {
		return nil, err
	}
	return row, row.read()
}

func (r *targetRow) match(ifMatch string) error {
	op := "change notification target " + r.Name
	switch ifMatch {
	case "*", r.target().ETag():
		return nil
	case "":
		return &darter.Error{Kind: darter.Conflict, Op: op, Hint: "read it and send its ETag as If-Match", Err: ErrNoMatch}
	}
	return &darter.Error{Kind: darter.Conflict, Op: op, Hint: "read it again, and make the change on what it says now", Err: fmt.Errorf("%w: it is at version %d", ErrStale, r.Version)}
}

// Replace makes a target what the wish says. An empty secret leaves the old one.
func (n *Notifier) Replace(ctx context.Context, id string, w Wish, by By) (out Target, err error) {
	key, err := n.check(ctx, &w)
	if err != nil {
		return out, err
	}
	err = n.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		row, err := loadTarget(ctx, tx, id, tx.ForUpdate())
		if err != nil {
			return err
		}
		if err := row.match(by.IfMatch); err != nil {
			return err
		}
		now, err := n.now(ctx, tx)
		if err != nil {
			return err
		}
		row.Version++
		if err := n.save(ctx, tx, row, w, key, by, "notification.update", now); err != nil {
			return err
		}
		out = row.target()
		return nil
	})
	return out, err
}

// Delete removes a target and what waits for it.
func (n *Notifier) Delete(ctx context.Context, id string, by By) error {
	return n.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		row, err := loadTarget(ctx, tx, id, tx.ForUpdate())
		if err != nil {
			return err
		}
		if err := row.match(by.IfMatch); err != nil {
			return err
		}
		for _, statement := range []string{"DELETE FROM notification_deliveries WHERE target_id = ?", "DELETE FROM notification_targets WHERE id = ?"} {
			if _, err := tx.ExecContext(ctx, statement, id); err != nil {
				return err
			}
		}
		return n.audit(ctx, tx, "notification.delete", id, by)
	})
}

const countWaiting = "(SELECT count(*) FROM notification_deliveries d WHERE d.target_id = t.id AND d.state = 'waiting') AS waiting"

// Get returns one target.
func (n *Notifier) Get(ctx context.Context, id string) (out Target, err error) {
	all, err := n.targets(ctx, "t.id = ?", id)
	if err == nil && len(all) == 0 {
		err = &darter.Error{Kind: darter.NotFound, Op: "find notification target " + clip(id, 64), Err: errors.New("there is no such target")}
	}
	if err != nil {
		return out, err
	}
	return all[0], nil
}

// Targets lists all, by name.
func (n *Notifier) Targets(ctx context.Context) ([]Target, error) {
	return n.targets(ctx, "? = ''", "")
}

func (n *Notifier) targets(ctx context.Context, where, arg string) (out []Target, err error) {
	err = n.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		var rows []targetRow
		if err := tx.NewRaw("SELECT t.*, "+countWaiting+" FROM notification_targets t WHERE "+where+" ORDER BY t.name", arg).Scan(ctx, &rows); err != nil {
			return err
		}
		out = make([]Target, len(rows))
		for i := range rows {
			if err := rows[i].read(); err != nil {
				return err
			}
			out[i] = rows[i].target()
		}
		return nil
	})
	return out, err
}

func enabledTargets(ctx context.Context, tx *database.Tx) (out []targetRow, err error) {
	if err := tx.NewRaw("SELECT t.*, "+countWaiting+" FROM notification_targets t WHERE enabled ORDER BY t.id").Scan(ctx, &out); err != nil {
		return nil, err
	}
	for i := range out {
		if err := out[i].read(); err != nil {
			return nil, err
		}
	}
	return out, nil
}
