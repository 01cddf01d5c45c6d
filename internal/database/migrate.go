package database

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/darter-p2p/darter"
)

//go:embed migrations
var files embed.FS

// own is the room of our own tables.
const own = "database"

// Migrations are the tables of one room: goose files, numbered within the room's range.
type Migrations struct {
	Room  string // small letters; its versions are kept in table schema_<room>
	Files fs.FS  // *.sql, and sqlite/*.sql or postgres/*.sql for what differs
}

// migrate brings every room's tables up to date. Several managers may start at once.
func (db *DB) migrate(ctx context.Context) error {
	ours, err := fs.Sub(files, "migrations")
	if err != nil {
		return err
	}
	for _, m := range slices.Concat([]Migrations{{Room: own, Files: ours}}, db.cfg.Migrations) {
		if err := db.migrateRoom(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) migrateRoom(ctx context.Context, m Migrations) error {
	dialect := goose.DialectSQLite3
	options := []goose.ProviderOption{goose.WithTableName("schema_" + m.Room), goose.WithDisableGlobalRegistry(true)}
	if db.dialect == Postgres {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 30))
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(dialect, db.writer.DB, layered(m.Files, string(db.dialect)), options...)
	if err != nil {
		return &darter.Error{Kind: darter.Internal, Op: "migrate " + m.Room, Err: err}
	}
	if err := refuseNewer(ctx, provider, m.Room); err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate %s: %w", m.Room, err)
	}
	return nil
}

// refuseNewer keeps an older program away from tables that it does not know.
func refuseNewer(ctx context.Context, p *goose.Provider, room string) error {
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", room, err)
	}
	var newest int64
	for _, s := range p.ListSources() {
		newest = max(newest, s.Version)
	}
	if have > newest {
		return &darter.Error{Kind: darter.Conflict, Op: "open database", Hint: "run the newer Darter, or restore a backup from before the update",
			Err: fmt.Errorf("%w: its %s tables are of version %d, this program knows %d", ErrNewer, room, have, newest)}
	}
	return nil
}

// layers is a folder of files, some of which are replaced by, or joined with, those of a subfolder.
type layers struct{ bottom, top fs.FS }

func layered(files fs.FS, subfolder string) fs.FS {
	if _, err := fs.Stat(files, subfolder); err != nil {
		return files
	}
	top, err := fs.Sub(files, subfolder)
	if err != nil {
		return files
	}
	return layers{bottom: files, top: top}
}

func (l layers) Open(name string) (fs.File, error) {
	if f, err := l.top.Open(name); name != "." && err == nil {
		return f, nil
	}
	return l.bottom.Open(name)
}

func (l layers) ReadDir(name string) ([]fs.DirEntry, error) {
	out, err := fs.ReadDir(l.bottom, name)
	more, err2 := fs.ReadDir(l.top, name)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	for _, e := range more {
		out = slices.DeleteFunc(out, func(old fs.DirEntry) bool { return old.Name() == e.Name() })
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}
