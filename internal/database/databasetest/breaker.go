package databasetest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
)

// ErrKilled is what a database says after a Breaker has killed it.
var ErrKilled = errors.New("killed by the test")

// Mode is how a statement fails.
type Mode int

// Modes of failure. All but Error make the process look dead to the database: no connection takes
// another statement, so what had not been committed is undone when they are closed, and nothing works
// until Mend.
const (
	Error  Mode = iota // the statement fails once, with Breaker.Err
	Before             // killed before the statement reached the database
	After              // killed after the database has done it, before the answer
)

// Breaker fails at the n-th statement. Begin, commit and each statement count as one; rollback counts as none.
type Breaker struct {
	Err error // for mode Error

	mu struct {
		sync.Mutex
		at   int // fail at this one; 0 is never
		mode Mode
		seen int
		dead bool
		log  []string
		when func(statement string) bool // which statements count
	}
}

// Arm counts from now on, and fails at the n-th statement; 0 only counts.
func (b *Breaker) Arm(n int, mode Mode) { b.ArmAt(n, mode, func(string) bool { return true }) }

// ArmAt is Arm that counts only some statements.
func (b *Breaker) ArmAt(n int, mode Mode, when func(statement string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.at, b.mu.mode, b.mu.seen, b.mu.log, b.mu.when = n, mode, 0, nil, when
}

// Mend makes everything work again and returns what was counted since Arm.
func (b *Breaker) Mend() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.at, b.mu.dead = 0, false
	return b.mu.log
}

// Dead reports whether the breaker has killed.
func (b *Breaker) Dead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.dead
}

// Connector is for database.Config.
func (b *Breaker) Connector(inner driver.Connector) driver.Connector {
	return connector{Connector: inner, b: b}
}

// run does one counted step.
func (b *Breaker) run(statement string, do func() error) error {
	b.mu.Lock()
	if b.mu.dead {
		b.mu.Unlock()
		return fmt.Errorf("%w: %w", driver.ErrBadConn, ErrKilled)
	}
	fail := false
	if b.mu.when != nil && b.mu.when(statement) {
		b.mu.seen++
		b.mu.log = append(b.mu.log, statement)
		fail = b.mu.seen == b.mu.at
	}
	mode := b.mu.mode
	b.mu.Unlock()
	if !fail {
		return do()
	}
	if mode == Error {
		return b.Err
	}
	if mode == After {
		_ = do()
	}
	b.mu.Lock()
	b.mu.dead = true
	b.mu.Unlock()
	return fmt.Errorf("%w: %w", driver.ErrBadConn, ErrKilled)
}

type connector struct {
	driver.Connector
	b *Breaker
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.b.Dead() {
		return nil, ErrKilled
	}
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: inner, b: c.b}, nil
}

// conn passes everything on, counted.
type conn struct {
	driver.Conn
	b *Breaker
}

func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (out driver.Tx, err error) {
	err = c.b.run("BEGIN", func() error {
		out, err = c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &tx{Tx: out, b: c.b}, nil
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (out driver.Result, err error) {
	err = c.b.run(query, func() error {
		out, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return out, err
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (out driver.Rows, err error) {
	err = c.b.run(query, func() error {
		out, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	if err != nil && out != nil { // killed after it was done: an open statement would keep the connection from closing
		_ = out.Close()
		out = nil
	}
	return out, err
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
}

func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *conn) Ping(ctx context.Context) error {
	if p, ok := c.Conn.(driver.Pinger); ok {
		return c.b.run("PING", func() error { return p.Ping(ctx) })
	}
	return nil
}

func (c *conn) ResetSession(ctx context.Context) error {
	if c.b.Dead() {
		return driver.ErrBadConn
	}
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

func (c *conn) IsValid() bool {
	if v, ok := c.Conn.(driver.Validator); ok {
		return v.IsValid()
	}
	return true
}

type tx struct {
	driver.Tx
	b *Breaker
}

func (t *tx) Commit() error { return t.b.run("COMMIT", t.Tx.Commit) }

func (t *tx) Rollback() error {
	if t.b.Dead() {
		return driver.ErrBadConn // the pool closes the connection, and that rolls back
	}
	return t.Tx.Rollback()
}
