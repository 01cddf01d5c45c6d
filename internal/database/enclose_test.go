package database_test

import (
	"context"
	"errors"
	"slices"
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
		all := func(other string, before int, result error) func(context.Context) error {
			return func(ctx context.Context) error {
				if err := put(t.Context(), db, other, nil); err != nil { // nobody is held up before the first write
					t.Errorf("somebody else: %v", err)
				}
				db.Afterwards(ctx, func(committed bool) { ended = append(ended, committed) })
				if err := put(ctx, db, "a", nil); err != nil {
					return err
				}
				if n := seen(ctx, t, db); n != before+2 {
					t.Errorf("a read within sees %d", n)
				}
				if n := seen(t.Context(), t, db); n != before+1 {
					t.Errorf("a read outside sees %d", n)
				}
				if err := put(ctx, db, "b", errUndo); !errors.Is(err, errUndo) {
					t.Errorf("a part that fails: %v", err)
				}
				if err := put(ctx, db, "a", nil); !errors.Is(err, database.ErrClash) {
					t.Errorf("a part that clashes: %v", err)
				}
				if n := seen(ctx, t, db); n != before+2 {
					t.Errorf("after parts that failed it is %d", n)
				}
				nested := db.Enclose(ctx, nil, func(ctx context.Context) error { return put(ctx, db, "c", errUndo) })
				if n := seen(ctx, t, db); n != before+2 || !errors.Is(nested, errUndo) {
					t.Errorf("after one within: %v, %d", nested, n)
				}
				return result
			}
		}
		notes := db.Subscribe("goods")
		defer notes.Close()
		<-notes.C() // the gap at the beginning
		if err := db.Enclose(t.Context(), nil, all("x", 0, errUndo)); !errors.Is(err, errUndo) {
			t.Fatal(err)
		}
		if n := seen(t.Context(), t, db); n != 1 {
			t.Errorf("undone, and there are %d", n)
		}
		var kept context.Context
		err := db.Enclose(t.Context(), nil, func(ctx context.Context) error {
			kept = ctx
			return all("y", 1, nil)(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := seen(t.Context(), t, db); n != 3 {
			t.Errorf("done, and there are %d", n)
		}
		if len(ended) != 2 || ended[0] || !ended[1] {
			t.Errorf("ended %v", ended)
		}
		if db.Dialect() == database.SQLite {
			var told []string
			for range 3 {
				told = append(told, (<-notes.C()).Payload)
			}
			if !slices.Equal(told, []string{"x", "y", "a"}) || len(notes.C()) != 0 {
				t.Errorf("told %v, and %d more", told, len(notes.C()))
			}
		}
		if err := put(context.WithoutCancel(kept), db, "late", nil); err != nil || seen(t.Context(), t, db) != 4 {
			t.Errorf("who keeps the context for longer: %v", err)
		}
		db.Afterwards(t.Context(), func(committed bool) { ended = append(ended, committed) })
		if len(ended) != 3 || !ended[2] {
			t.Errorf("outside: %v", ended)
		}
	}, shop())
}

func TestTheFirstWriteDecides(t *testing.T) {
	errFirst := errors.New("not again")
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		calls := 0
		first := func(context.Context, *database.Tx) error { calls++; return errFirst }
		if err := db.Enclose(t.Context(), first, func(context.Context) error { return nil }); err != nil || calls != 0 {
			t.Errorf("nothing was written: %v, %d calls", err, calls)
		}
		err := db.Enclose(t.Context(), first, func(ctx context.Context) error {
			for range 2 {
				if err := put(ctx, db, "a", nil); !errors.Is(err, errFirst) {
					t.Errorf("a write: %v", err)
				}
			}
			return nil // overlooked
		})
		if !errors.Is(err, errFirst) || calls != 1 || seen(t.Context(), t, db) != 0 {
			t.Errorf("%v, %d calls", err, calls)
		}
	}, shop())
}

// A panic within ends the transaction: the next write does not wait for it.
func TestAPanicEndsTheTransaction(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		func() {
			defer func() { _ = recover() }()
			_ = db.Enclose(t.Context(), nil, func(ctx context.Context) error {
				if err := put(ctx, db, "a", nil); err != nil {
					t.Error(err)
				}
				panic("boom")
			})
		}()
		if err := put(t.Context(), db, "b", nil); err != nil || seen(t.Context(), t, db) != 1 {
			t.Errorf("after a panic: %v", err)
		}
	}, shop())
}
