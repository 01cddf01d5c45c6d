package databasetest

import (
	"path/filepath"
	"testing"

	"github.com/darter-p2p/darter/internal/database"
)

// Each runs test on a fresh, empty database of each kind.
func Each(t *testing.T, test func(t *testing.T, db *database.DB), rooms ...database.Migrations) {
	t.Helper()
	EachURL(t, func(t *testing.T, url string) { test(t, Open(t, url, rooms...)) })
}

// EachURL runs test with the URL of a fresh, empty database of each kind; the test opens it.
func EachURL(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, File(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// File returns the URL of a SQLite file that is not there yet.
func File(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "darter.db") }

// Open opens a database for the time of the test. A PostgreSQL may be opened several times: that is
// what several managers do.
func Open(t testing.TB, url string, rooms ...database.Migrations) *database.DB {
	t.Helper()
	cfg := database.DefaultConfig()
	cfg.URL, cfg.Migrations = url, rooms
	return OpenWith(t, cfg)
}

// OpenWith is Open with a configuration of the test's own.
func OpenWith(t testing.TB, cfg database.Config) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
