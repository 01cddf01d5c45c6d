package database_test

import (
	"context"
	"errors"
	"testing"

	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
)

func seen(ctx context.Context, t *testing.T, db *database.DB) (n int) {
	t.Helper()
	err := db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM goods").Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func put(ctx context.Context, db *database.DB, id string, fail error) error {
	return db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO goods (id, n) VALUES (?, 1)", id); err != nil {
			return err
		}
		if err := tx.Notify("goods", id); err != nil {
			return err
		}
		return fail
	})
}

func TestWhatIsEnclosedHappensTogether(t *testing.T) {
	errUndo := errors.New("undo")
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		var ended []bool
		all := func(result error) func(context.Context, *database.Tx) error {
			return func(ctx context.Context, tx *database.Tx) error {
				db.Afterwards(ctx, func(committed bool) { ended = append(ended, committed) })
				if err := put(ctx, db, "a", nil); err != nil {
					return err
				}
				if n := seen(ctx, t, db); n != 1 {
					t.Errorf("a read within sees %d", n)
				}
				if n := seen(t.Context(), t, db); n != 0 {
					t.Errorf("a read outside sees %d", n)
				}
				if err := put(ctx, db, "b", errUndo); !errors.Is(err, errUndo) {
					t.Errorf("a part that fails: %v", err)
				}
				if err := put(ctx, db, "a", nil); !errors.Is(err, database.ErrClash) {
					t.Errorf("a part that clashes: %v", err)
				}
				if n := seen(ctx, t, db); n != 1 {
					t.Errorf("after parts that failed it is %d", n)
				}
				return result
			}
		}
		notes := db.Subscribe("goods")
		defer notes.Close()
		<-notes.C() // the gap at the beginning
		if err := db.Enclose(t.Context(), all(errUndo)); !errors.Is(err, errUndo) {
			t.Fatal(err)
		}
		if n := seen(t.Context(), t, db); n != 0 {
			t.Errorf("undone, and there are %d", n)
		}
		if err := db.Enclose(t.Context(), all(nil)); err != nil {
			t.Fatal(err)
		}
		if n := seen(t.Context(), t, db); n != 1 {
			t.Errorf("done, and there are %d", n)
		}
		if len(ended) != 2 || ended[0] || !ended[1] {
			t.Errorf("ended %v", ended)
		}
		if db.Dialect() == database.SQLite {
			if n := <-notes.C(); n.Payload != "a" || len(notes.C()) != 0 {
				t.Errorf("told %v, and %d more", n, len(notes.C()))
			}
		}
		db.Afterwards(t.Context(), func(committed bool) { ended = append(ended, committed) })
		if len(ended) != 3 || !ended[2] {
			t.Errorf("outside: %v", ended)
		}
	}, shop())
}
