package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"modernc.org/sqlite"

	"github.com/darter-p2p/darter"
)

// oldestServer is the first PostgreSQL that we are tested with.
const oldestServer = 150000

// DB is an open database. Run keeps its notifications going; Close ends it.
type DB struct {
	cfg     Config
	dialect Dialect
	writer  *bun.DB
	reader  *bun.DB // PostgreSQL: the same pool
	lock    io.Closer
	server  *pgx.ConnConfig // PostgreSQL: for the connection that listens
	bus     *bus
	ids     ids
}

// Open opens the database, makes or migrates its tables, and refuses one of a newer schema or one that
// another process has (SQLite).
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "open database", Err: err}
	}
	dialect, target, err := split(cfg.URL)
	if err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "open database", Err: err}
	}
	db := &DB{cfg: cfg, dialect: dialect, bus: newBus()}
	ctx, cancel := context.WithTimeout(ctx, cfg.Limit)
	defer cancel()
	if dialect == SQLite {
		err = db.openFile(ctx, target)
	} else {
		err = db.openServer(ctx, target)
	}
	if err == nil {
		err = db.migrate(ctx)
	}
	if err != nil {
		_ = db.Close()
		return nil, mapped("open database", err)
	}
	return db, nil
}

// openFile opens a SQLite file: one connection that writes, several that cannot.
func (db *DB) openFile(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if db.lock, err = lockFile(path + ".lock"); err != nil {
		return err
	}
	if err := restrict(path); err != nil {
		return err
	}
	busy := "busy_timeout(" + strconv.FormatInt(db.cfg.Busy.Milliseconds(), 10) + ")"
	writer, err := db.sqlite(path, url.Values{"_txlock": {"immediate"}, "_pragma": {busy, "journal_mode(WAL)",
		"synchronous(NORMAL)", "wal_autocheckpoint(8000)", "foreign_keys(1)", "temp_store(MEMORY)", "cache_size(-8000)"}}, 1)
	if err != nil {
		return err
	}
	db.writer = bun.NewDB(writer, sqlitedialect.New())
	if err := db.checkFile(ctx); err != nil {
		return err
	}
	reader, err := db.sqlite(path, url.Values{"mode": {"ro"}, "_query_only": {"1"}, "_pragma": {busy, "temp_store(MEMORY)"}}, db.cfg.Connections)
	if err != nil {
		return err
	}
	db.reader = bun.NewDB(reader, sqlitedialect.New())
	return nil
}

// restrict makes the file before SQLite does, so that nobody else can read it.
func restrict(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

func (db *DB) sqlite(path string, values url.Values, connections int) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: values.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	pool := db.open(connector)
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return pool, nil
}

// checkFile makes sure of what the file system may have refused: a journal that readers do not wait for.
func (db *DB) checkFile(ctx context.Context) error {
	var mode string
	if err := db.writer.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return &darter.Error{Kind: darter.Unavailable, Op: "open database", Hint: "keep the file on a local file system",
			Err: fmt.Errorf("SQLite cannot use a write-ahead log here (journal mode %s)", mode)}
	}
	return nil
}

func (db *DB) openServer(ctx context.Context, target string) error {
	server, err := pgx.ParseConfig(target)
	if err != nil {
		return &darter.Error{Kind: darter.Invalid, Op: "open database", Hint: "write postgres://user:password@host:5432/database",
			Err: errors.New("the PostgreSQL URL does not parse")} // pgx's text may quote the password
	}
	server.DefaultQueryExecMode = pgx.QueryExecModeExec // bun writes values into the text: a prepared statement is used once
	for name, value := range map[string]string{
		"application_name":                    "darter",
		"standard_conforming_strings":         "on", // what bun's quoting relies on
		"timezone":                            "UTC",
		"lock_timeout":                        strconv.FormatInt(db.cfg.Busy.Milliseconds(), 10),
		"statement_timeout":                   strconv.FormatInt(db.cfg.Limit.Milliseconds(), 10),
		"idle_in_transaction_session_timeout": strconv.FormatInt(db.cfg.Limit.Milliseconds(), 10),
	} {
		if _, set := server.RuntimeParams[name]; !set || name == "standard_conforming_strings" {
			server.RuntimeParams[name] = value
		}
	}
	if server.ConnectTimeout == 0 {
		server.ConnectTimeout = 5 * time.Second
	}
	db.server = server
	pool := db.open(stdlib.GetConnector(*server))
	pool.SetMaxOpenConns(db.cfg.Connections)
	pool.SetMaxIdleConns(db.cfg.Connections)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	db.writer = bun.NewDB(pool, pgdialect.New())
	db.reader = db.writer
	var version int
	if err := pool.QueryRowContext(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return err
	}
	if version < oldestServer {
		return &darter.Error{Kind: darter.Invalid, Op: "open database", Hint: "PostgreSQL 15 or newer is needed",
			Err: fmt.Errorf("the server is PostgreSQL %d.%d", version/10000, version%10000)}
	}
	return nil
}

func (db *DB) open(c driver.Connector) *sql.DB {
	if db.cfg.Connector != nil {
		c = db.cfg.Connector(c)
	}
	return sql.OpenDB(c)
}

// Dialect says which database it is.
func (db *DB) Dialect() Dialect { return db.dialect }

// Close gives connections and the file back. Transactions that run end first.
func (db *DB) Close() error {
	var errs []error
	if db.reader != nil && db.reader != db.writer {
		errs = append(errs, db.reader.Close())
	}
	if db.writer != nil {
		errs = append(errs, db.writer.Close())
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	return errors.Join(errs...)
}
