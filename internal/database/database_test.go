package database_test

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
)

// shop is a room with one table, and a file that differs between the databases.
func shop() database.Migrations {
	return database.Migrations{Room: "shop", Files: fstest.MapFS{
		"00900_goods.sql":          {Data: []byte("-- +goose Up\nCREATE TABLE goods (id TEXT NOT NULL PRIMARY KEY, n BIGINT NOT NULL);\n")},
		"sqlite/00901_notes.sql":   {Data: []byte("-- +goose Up\nALTER TABLE goods ADD COLUMN note BLOB;\n")},
		"postgres/00901_notes.sql": {Data: []byte("-- +goose Up\nALTER TABLE goods ADD COLUMN note BYTEA;\n")},
	}}
}

func TestWriteIsWholeOrAbsent(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		ctx := t.Context()
		put := func(id string, fail error) error {
			return db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
				if _, err := tx.ExecContext(ctx, "INSERT INTO goods (id, n) VALUES (?, ?)", id, 1); err != nil {
					return err
				}
				return fail
			})
		}
		if err := put("a", nil); err != nil {
			t.Fatal(err)
		}
		boom := errors.New("boom")
		if err := put("b", boom); !errors.Is(err, boom) {
			t.Errorf("the function's error came back as %v", err)
		}
		if err := put("a", nil); darter.KindOf(err) != darter.Conflict {
			t.Errorf("the same key twice: %v, want a conflict", err)
		}
		if n := count(t, db); n != 1 {
			t.Errorf("%d rows, want the one that was committed", n)
		}
	}, shop())
}

func TestReadCannotWrite(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		for _, sql := range []string{"INSERT INTO goods (id, n) VALUES ('a', 1)", "DELETE FROM goods", "DROP TABLE goods", "CREATE TABLE x (a TEXT)",
			"UPDATE goods SET n = 2", "UPDATE leases SET token = 9"} {
			err := db.Read(t.Context(), func(ctx context.Context, tx *database.Tx) error {
				_, err := tx.ExecContext(ctx, sql)
				return err
			})
			if !errors.Is(err, database.ErrReadOnly) {
				t.Errorf("%s: %v, want ErrReadOnly", sql, err)
			}
		}
	}, shop())
}

func count(t *testing.T, db *database.DB) (n int) {
	t.Helper()
	err := db.Read(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM goods").Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
