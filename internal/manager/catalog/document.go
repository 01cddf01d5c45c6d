package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
)

// Classes of documents.
const (
	GCPolicy     = "gc_policy" // named by the kind of records
	Setting      = "setting"   // named as in Config.Settings
	ClusterClass = "cluster"   // named by the cluster's id; changed through clusters only
)

const (
	topicDocuments = "documents"
	maxBody        = 256 << 10 // bytes
	maxReason      = 4 << 10   // bytes
)

// What is wrong with an edit, for errors.Is.
var (
	ErrStale   = errors.New("the document has changed since it was read")
	ErrNoMatch = errors.New("the edit does not say which version it was made from")
)

type documentKey struct{ class, name string }

// Document is one version of a document.
type Document struct {
	Class   string          `json:"class"`
	Name    string          `json:"name"`
	Body    json.RawMessage `json:"body"`
	InForce bool            `json:"in_force"`
	darter.Version
}

// ETag names the version for If-Match.
func (d Document) ETag() string {
	return strconv.FormatInt(d.Number, 10) + "-" + d.Hash[:min(12, len(d.Hash))]
}

// Edit is a new version.
type Edit struct {
	Class   string
	Name    string
	Body    []byte
	IfMatch string // ETag of the version in force that it was made from; "*" is any; empty only when there is none
	Actor   darter.Actor
	Reason  string
	Request string
	Force   bool // policies: retention below an hour
}

// Draft adds a version that is not in force, for a preview and a second pair of eyes.
func (c *Catalog) Draft(ctx context.Context, e Edit) (Document, error) { return c.edit(ctx, e, false) }

// Put adds a version and brings it into force.
func (c *Catalog) Put(ctx context.Context, e Edit) (Document, error) { return c.edit(ctx, e, true) }

func (c *Catalog) edit(ctx context.Context, e Edit, publish bool) (out Document, err error) {
	body, err := c.Check(e)
	if err != nil {
		return out, err
	}
	e.Body = body
	err = c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		out, err = c.put(ctx, tx, e, 0, publish)
		return err
	})
	c.published(ctx, out, err == nil && publish)
	return out, err
}

func (c *Catalog) published(ctx context.Context, d Document, done bool) {
	if !done || c.cfg.Events.Published == nil {
		return
	}
	c.db.Afterwards(ctx, func(committed bool) {
		if committed {
			c.cfg.Events.Published(d)
		}
	})
}

// Check returns the body that an edit would store, or what is wrong with it.
func (c *Catalog) Check(e Edit) ([]byte, error) {
	op := "check " + e.Class + " " + e.Name
	if len(e.Reason) > maxReason || len(e.Body) > maxBody {
		return nil, &darter.Error{Kind: darter.Invalid, Op: op, Err: fmt.Errorf("the body is longer than %d bytes or the reason longer than %d", maxBody, maxReason)}
	}
	switch e.Class {
	case GCPolicy:
		spec, err := retention.Parse(e.Name, e.Body, e.Force)
		if err != nil {
			return nil, err
		}
		if err := c.cfg.Schedule(spec.Schedule); err != nil {
			return nil, &darter.Error{Kind: darter.Invalid, Op: op, Err: retention.Faults{{Pointer: "/schedule", Code: "malformed", Detail: err.Error()}}}
		}
		return json.Marshal(spec) // with the defaults of today, so that those of tomorrow change nothing
	case Setting:
		check := c.cfg.Settings[e.Name]
		if check == nil {
			return nil, &darter.Error{Kind: darter.NotFound, Op: op, Err: errors.New("there is no such setting")}
		}
		body, err := check(e.Body)
		if err != nil {
			return nil, &darter.Error{Kind: darter.Invalid, Op: op, Err: err}
		}
		return canonical(body)
	}
	return nil, &darter.Error{Kind: darter.NotFound, Op: op, Err: errors.New("there is no such class of documents")}
}

// canonical sorts names and drops spaces, so that equal documents are equal text.
func canonical(body []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// put adds a version within a transaction, after a look at what is in force under its lock.
func (c *Catalog) put(ctx context.Context, tx *database.Tx, e Edit, from int64, publish bool) (Document, error) {
	head, err := lockHead(ctx, tx, e.Class, e.Name)
	if err != nil {
		return Document{}, err
	}
	old := Document{Body: []byte("{}")}
	if head.version > 0 {
		if old, err = readVersion(ctx, tx, e.Class, e.Name, head.version); err != nil {
			return Document{}, err
		}
	}
	if err := match(e.IfMatch, old, "edit "+e.Class+" "+e.Name); err != nil {
		return Document{}, err
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return Document{}, err
	}
	sum := sha256.Sum256(e.Body)
	d := Document{Class: e.Class, Name: e.Name, Body: e.Body, Version: darter.Version{Number: head.newest + 1, Hash: hex.EncodeToString(sum[:]),
		Author: e.Actor, Reason: e.Reason, Created: database.At(now).Time(), RolledBackFrom: from}}
	if d.Diff, err = Diff(old.Body, e.Body); err != nil {
		return d, err
	}
	author, err1 := json.Marshal(d.Author)
	diff, err2 := json.Marshal(d.Diff)
	if err := errors.Join(err1, err2); err != nil {
		return d, err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO document_versions (class, name, version, hash, body, author, reason, diff, rolled_back_from, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		d.Class, d.Name, d.Number, d.Hash, string(d.Body), string(author), d.Reason, string(diff), from, database.At(now))
	if err != nil {
		return d, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE documents SET newest = ? WHERE class = ? AND name = ?", d.Number, d.Class, d.Name); err != nil {
		return d, err
	}
	action := "draft"
	if publish {
		action = "publish"
		if from > 0 {
			action = "rollback"
		}
		if err := activate(ctx, tx, &d, e.Actor, database.At(now)); err != nil {
			return d, err
		}
	}
	event := darter.AuditEvent{Actor: e.Actor, Action: e.Class + "." + action, Resource: e.Class + "/" + e.Name, Result: darter.AuditDone,
		Request: e.Request, Reason: e.Reason, Before: old.Hash, After: d.Hash, Diff: d.Diff}
	if err := c.tellVersion(ctx, tx, &d, event); err != nil {
		return d, err
	}
	return d, c.Record(ctx, tx, event)
}

type head struct{ version, newest int64 }

// lockHead makes sure that the document's row is there, and keeps it from others until the transaction ends.
func lockHead(ctx context.Context, tx *database.Tx, class, name string) (h head, err error) {
	_, err = tx.ExecContext(ctx, "INSERT INTO documents (class, name, version, newest, activated_at) VALUES (?, ?, 0, 0, 0) ON CONFLICT (class, name) DO NOTHING", class, name)
	if err != nil {
		return h, err
	}
	err = tx.QueryRowContext(ctx, "SELECT version, newest FROM documents WHERE class = ? AND name = ? ?", class, name, tx.ForUpdate()).Scan(&h.version, &h.newest)
	return h, err
}

func match(etag string, old Document, op string) error {
	switch {
	case etag == "*", etag == "" && old.Number == 0, etag != "" && old.Number > 0 && etag == old.ETag():
		return nil
	case etag == "":
		return &darter.Error{Kind: darter.Conflict, Op: op, Hint: "read the document and send its ETag as If-Match", Err: ErrNoMatch}
	}
	return &darter.Error{Kind: darter.Conflict, Op: op, Hint: "read it again, and make the change on what it says now",
		Err: fmt.Errorf("%w: version %d is in force", ErrStale, old.Number)}
}

// activate brings a version into force.
func activate(ctx context.Context, tx *database.Tx, d *Document, actor darter.Actor, now database.Micros) error {
	who, err := json.Marshal(actor)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE documents SET version = ?, activated_at = ? WHERE class = ? AND name = ?", d.Number, now, d.Class, d.Name); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO document_activations (id, class, name, version, actor, at) VALUES (?, ?, ?, ?, ?, ?)",
		tx.NewID(), d.Class, d.Name, d.Number, string(who), now); err != nil {
		return err
	}
	d.InForce, d.Activated = true, now.Time()
	return tx.Notify(topicDocuments, d.Class+"/"+d.Name)
}

// Choice names a version that is there already.
type Choice struct {
	Class   string
	Name    string
	Version int64
	IfMatch string // ETag of the version in force
	Actor   darter.Actor
	Reason  string
	Request string
}

// Publish brings a draft into force.
func (c *Catalog) Publish(ctx context.Context, q Choice) (out Document, err error) {
	err = c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		head, err := lockHead(ctx, tx, q.Class, q.Name)
		if err != nil {
			return err
		}
		var old Document
		if head.version > 0 {
			if old, err = readVersion(ctx, tx, q.Class, q.Name, head.version); err != nil {
				return err
			}
		}
		if err := match(q.IfMatch, old, "publish "+q.Class+" "+q.Name); err != nil {
			return err
		}
		if out, err = readVersion(ctx, tx, q.Class, q.Name, q.Version); err != nil {
			return err
		}
		if q.Version < head.version {
			return &darter.Error{Kind: darter.Conflict, Op: "publish " + q.Class + " " + q.Name, Hint: "roll back to it: that is recorded as what it is",
				Err: fmt.Errorf("version %d is older than %d, which is in force", q.Version, head.version)}
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		if err := activate(ctx, tx, &out, q.Actor, database.At(now)); err != nil {
			return err
		}
		event := darter.AuditEvent{Actor: q.Actor, Action: q.Class + ".publish", Resource: q.Class + "/" + q.Name, Result: darter.AuditDone,
			Request: q.Request, Reason: q.Reason, Before: old.Hash, After: out.Hash, Diff: out.Diff}
		if err := c.tellVersion(ctx, tx, &out, event); err != nil {
			return err
		}
		return c.Record(ctx, tx, event)
	})
	c.published(ctx, out, err == nil)
	return out, err
}

// Rollback brings what an earlier version said into force, as a new version that says where it came from.
func (c *Catalog) Rollback(ctx context.Context, q Choice) (out Document, err error) {
	if q.Class == ClusterClass {
		return out, &darter.Error{Kind: darter.Invalid, Op: "roll back cluster " + q.Name, Err: errors.New("take RollbackCluster")}
	}
	err = c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		old, err := readVersion(ctx, tx, q.Class, q.Name, q.Version)
		if err != nil {
			return err
		}
		e := Edit{Class: q.Class, Name: q.Name, Body: old.Body, IfMatch: q.IfMatch, Actor: q.Actor, Reason: q.Reason, Request: q.Request, Force: true}
		if e.Body, err = c.Check(e); err != nil { // rules may have become stricter since
			return err
		}
		out, err = c.put(ctx, tx, e, q.Version, true)
		return err
	})
	c.published(ctx, out, err == nil)
	return out, err
}

// Document returns what is in force.
func (c *Catalog) Document(ctx context.Context, class, name string) (out Document, err error) {
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		var h head
		err := tx.QueryRowContext(ctx, "SELECT version, newest FROM documents WHERE class = ? AND name = ?", class, name).Scan(&h.version, &h.newest)
		if errors.Is(err, sql.ErrNoRows) || err == nil && h.version == 0 {
			return notThere(class, name, 0)
		}
		if err != nil {
			return err
		}
		out, err = readVersion(ctx, tx, class, name, h.version)
		return err
	})
	return out, err
}

// Version returns one version.
func (c *Catalog) Version(ctx context.Context, class, name string, version int64) (out Document, err error) {
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		out, err = readVersion(ctx, tx, class, name, version)
		return err
	})
	return out, err
}

// Versions lists the versions before the given one, the newest first; 0 begins at the newest.
func (c *Catalog) Versions(ctx context.Context, class, name string, before int64, limit int) (out []Document, err error) {
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		out = nil
		rows, err := tx.QueryContext(ctx, versionQuery+" WHERE v.class = ? AND v.name = ? AND (? = 0 OR v.version < ?) ORDER BY v.version DESC LIMIT ?", class, name, before, before, page(limit))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			d, err := scanVersion(rows)
			if err != nil {
				return err
			}
			out = append(out, d)
		}
		return rows.Err()
	})
	return out, err
}

func page(limit int) int {
	if limit <= 0 {
		return 50
	}
	return min(limit, 500)
}

const versionQuery = `SELECT v.class, v.name, v.version, v.hash, v.body, v.author, v.reason, v.diff, v.rolled_back_from, v.created_at,
	coalesce((SELECT max(a.at) FROM document_activations a WHERE a.class = v.class AND a.name = v.name AND a.version = v.version), 0),
	EXISTS (SELECT 1 FROM documents d WHERE d.class = v.class AND d.name = v.name AND d.version = v.version) FROM document_versions v`

func readVersion(ctx context.Context, tx *database.Tx, class, name string, version int64) (Document, error) {
	rows, err := tx.QueryContext(ctx, versionQuery+" WHERE v.class = ? AND v.name = ? AND v.version = ?", class, name, version)
	if err != nil {
		return Document{}, err
	}
	defer rows.Close()
	if !rows.Next() {
		return Document{}, errors.Join(notThere(class, name, version), rows.Err())
	}
	return scanVersion(rows)
}

func notThere(class, name string, version int64) error {
	what := "nothing is in force"
	if version > 0 {
		what = fmt.Sprintf("there is no version %d", version)
	}
	return &darter.Error{Kind: darter.NotFound, Op: "read " + class + " " + name, Err: errors.New(what)}
}

func scanVersion(rows *sql.Rows) (d Document, err error) {
	var body, author, diff string
	var created, activated database.Micros
	if err := rows.Scan(&d.Class, &d.Name, &d.Number, &d.Hash, &body, &author, &d.Reason, &diff, &d.RolledBackFrom, &created, &activated, &d.InForce); err != nil {
		return d, err
	}
	d.Body, d.Created, d.Activated = []byte(body), created.Time(), activated.Time()
	if err := errors.Join(json.Unmarshal([]byte(author), &d.Author), json.Unmarshal([]byte(diff), &d.Diff)); err != nil {
		return d, &darter.Error{Kind: darter.Corrupt, Op: "read " + d.Class + " " + d.Name, Err: err}
	}
	return d, nil
}
