package authtest

import (
	"context"
	"encoding/json"
	"net/netip"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
)

// Clock stands still until a test moves it.
type Clock struct {
	mu struct {
		sync.Mutex
		now time.Time
	}
}

// NewClock starts somewhere in 2026.
func NewClock() *Clock {
	c := &Clock{}
	c.mu.now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return c
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.now
}

// Pass moves it.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.now = c.mu.now.Add(d)
}

// Trail keeps audit events in a table.
type Trail struct{}

// Migrations makes the table.
func (Trail) Migrations() database.Migrations {
	return database.Migrations{Room: "trail", Files: fstest.MapFS{
		"00900_trail.sql": {Data: []byte("-- +goose Up\nCREATE TABLE trail (id TEXT NOT NULL PRIMARY KEY, event TEXT NOT NULL);\n")}}}
}

// Record implements the Auditors.
func (Trail) Record(ctx context.Context, tx *database.Tx, e darter.AuditEvent) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO trail (id, event) VALUES (?, ?)", tx.NewID(), string(text))
	return err
}

// Events returns what was committed, oldest first.
func (Trail) Events(t testing.TB, db *database.DB) []darter.AuditEvent {
	t.Helper()
	var out []darter.AuditEvent
	err := db.Read(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		out = nil
		rows, err := tx.QueryContext(ctx, "SELECT event FROM trail ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			var e darter.AuditEvent
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				return err
			}
			out = append(out, e)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Dump returns all rows of all tables as text, to look for secrets in.
func Dump(t testing.TB, db *database.DB, tables ...string) string {
	t.Helper()
	var out []byte
	err := db.Read(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		for _, table := range tables {
			var rows []map[string]any
			if err := tx.NewSelect().Table(table).Scan(ctx, &rows); err != nil {
				return err
			}
			text, err := json.Marshal(rows)
			if err != nil {
				return err
			}
			out = append(append(out, text...), '\n')
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Admin is a caller who may do everything.
func Admin() auth.Caller {
	return auth.Caller{Principal: auth.Local("test"), From: netip.MustParseAddr("192.0.2.1"), Request: "r-1"}
}
