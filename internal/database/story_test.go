package database_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
)

// newer is shop as a later program knows it.
func newer() database.Migrations {
	m := shop()
	m.Files.(fstest.MapFS)["00902_later.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE later (a TEXT);\n")}
	return m
}

func open(url string, rooms ...database.Migrations) (*database.DB, error) {
	cfg := database.DefaultConfig()
	cfg.URL, cfg.Migrations = url, rooms
	return database.Open(context.Background(), cfg)
}

func TestOlderProgramsStayAway(t *testing.T) {
	databasetest.EachURL(t, func(t *testing.T, url string) {
		for range 2 { // again: up to date
			db, err := open(url, newer())
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		db, err := open(url, shop())
		if !errors.Is(err, database.ErrNewer) || darter.KindOf(err) != darter.Conflict || db != nil {
			t.Errorf("an older program opened it: %v", err)
		}
	})
}

func TestOneManagerPerFile(t *testing.T) {
	url := databasetest.File(t)
	db, err := open(url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(url); !errors.Is(err, database.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second manager: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = open(url); err != nil {
		t.Fatalf("after the first one's end: %v", err)
	}
	_ = db.Close()
}

func TestBadPlaces(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]darter.Kind{
		"": darter.Invalid, "mysql://h/d": darter.Invalid, "sqlite::memory:": darter.Invalid, "postgres://u:secret@h:99999/d": darter.Invalid,
		"postgres://u:secret@127.0.0.1:1/d?connect_timeout=1": darter.Unavailable, text: darter.Corrupt,
	} {
		_, err := open(url)
		if darter.KindOf(err) != want || err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v (%s), want %s", url, err, darter.KindOf(err), want)
		}
	}
}

func TestBrokenDatabasesSaySo(t *testing.T) {
	databasetest.EachURL(t, func(t *testing.T, url string) {
		b := &databasetest.Breaker{}
		cfg := database.DefaultConfig()
		cfg.URL, cfg.Migrations, cfg.Connector = url, []database.Migrations{shop()}, b.Connector
		db := databasetest.OpenWith(t, cfg)
		b.ArmAt(1, databasetest.Before, func(s string) bool { return strings.HasPrefix(s, "INSERT") })
		put := func() error {
			return db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO goods (id, n) VALUES ('a', 1)")
				return err
			})
		}
		if err := put(); !errors.Is(err, database.ErrGone) || darter.KindOf(err) != darter.Unavailable || darter.HintOf(err) == "" {
			t.Errorf("a database that is gone: %v", err)
		}
		b.Mend()
		if err := put(); err != nil {
			t.Errorf("it is back: %v", err)
		}
	})
}

// TestEditsAreNotLost counts up from many goroutines, each reading before it writes.
func TestEditsAreNotLost(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		err := db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO goods (id, n) VALUES ('a', 0), ('b', 0)")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for i := range 4 {
			order := []string{"a", "b"}
			if i%2 == 1 {
				slices.Reverse(order) // deadlocks on PostgreSQL: one of two is undone, and tried again
			}
			group.Go(func() {
				for range 10 {
					err := db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
						for _, id := range order {
							var n int
							if err := tx.QueryRowContext(ctx, "SELECT n FROM goods WHERE id = ? ?", id, tx.ForUpdate()).Scan(&n); err != nil {
								return err
							}
							if _, err := tx.ExecContext(ctx, "UPDATE goods SET n = ? WHERE id = ?", n+1, id); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		var a, b int
		err = db.Read(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			return tx.QueryRowContext(ctx, "SELECT (SELECT n FROM goods WHERE id = 'a'), (SELECT n FROM goods WHERE id = 'b')").Scan(&a, &b)
		})
		if err != nil || a != 40 || b != 40 {
			t.Errorf("%d and %d, %v; want 40 each", a, b, err)
		}
	}, shop())
}

func TestNotesComeAfterTheCommit(t *testing.T) {
	databasetest.EachURL(t, func(t *testing.T, url string) {
		here := databasetest.Open(t, url)
		there := here
		if here.Dialect() == database.Postgres {
			there = databasetest.Open(t, url) // another manager
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- there.Run(ctx) }()
		sub := there.Subscribe("news")
		defer sub.Close()
		if n := <-sub.C(); !n.Gap {
			t.Errorf("a subscription begins with %+v", n)
		}
		if there != here {
			for n := range sub.C() { // the first Gap after that comes when it listens
				if n.Gap {
					break
				}
			}
		}
		send := func(topic, payload string, fail error) {
			_ = here.Write(ctx, func(_ context.Context, tx *database.Tx) error { return errors.Join(tx.Notify(topic, payload), fail) })
		}
		send("news", "undone", errors.New("no"))
		send("other", "for others", nil)
		send("news", "it's \"quoted\"; -- ", nil)
		deadline := time.After(10 * time.Second)
		for {
			select {
			case n := <-sub.C():
				if n.Gap {
					continue
				}
				if n.Payload != "it's \"quoted\"; -- " || n.Topic != "news" {
					t.Errorf("heard %+v", n)
				}
			case <-deadline:
				t.Error("heard nothing")
			}
			break
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := here.Write(t.Context(), func(_ context.Context, tx *database.Tx) error { return tx.Notify("two words", "") }); err == nil {
			t.Error("a topic of two words was taken")
		}
	})
}

// TestLeaderIsDeposed lets the leader's lease pass on while it acts: its context ends.
func TestLeaderIsDeposed(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		ctx, stop := context.WithCancel(t.Context())
		terms := make(chan database.Lease, 10)
		over := make(chan error, 10)
		ended := make(chan error)
		go func() {
			ended <- db.Lead(ctx, database.Campaign{Scope: "s", Holder: "me", TTL: 300 * time.Millisecond}, func(ctx context.Context, l database.Lease) error {
				terms <- l
				<-ctx.Done()
				over <- context.Cause(ctx)
				return nil
			})
		}()
		first := <-terms
		err := db.Write(ctx, func(ctx context.Context, tx *database.Tx) error { // a rival takes over, as if our lease had run out
			_, err := tx.ExecContext(ctx, "UPDATE leases SET holder = 'rival', token = token + 1, expires_at = 0 WHERE scope = 's'")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-over; !errors.Is(err, database.ErrFenced) {
			t.Errorf("it was deposed because of %v", err)
		}
		if second := <-terms; second.Token != first.Token+2 {
			t.Errorf("the next term has token %d after %d", second.Token, first.Token)
		}
		stop()
		<-over
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, err := db.Acquire(t.Context(), "s", "other", time.Minute); err != nil {
			t.Errorf("a leader that stops gives the lease back: %v", err)
		}
		if _, err := db.Acquire(t.Context(), "s", "third", time.Minute); !errors.Is(err, database.ErrHeld) {
			t.Errorf("a held lease was given away: %v", err)
		}
	})
}

func TestIDsGrow(t *testing.T) {
	db := databasetest.Open(t, databasetest.File(t))
	last := ""
	for range 10_000 {
		id := db.NewID()
		if id <= last || len(id) != 26 || strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
			t.Fatalf("%q after %q", id, last)
		}
		last = id
	}
}

func TestInstantsComeBack(t *testing.T) {
	now := time.Now().Truncate(time.Microsecond)
	if !database.At(now).Time().Equal(now) || !database.At(time.Time{}).Time().IsZero() || database.At(time.Time{}) != 0 {
		t.Error("an instant changed on its way")
	}
}
