package database

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// Run delivers notifications until ctx ends: what other managers commit, and a Gap every Config.Poll. It
// survives the loss of the server: the Gaps go on, and it listens again when the server is back.
func (db *DB) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return db.poll(ctx) })
	if db.dialect == Postgres {
		group.Go(func() error { return db.listen(ctx) })
	}
	_ = group.Wait() // only ever the context's end
	return nil
}

func (db *DB) poll(ctx context.Context) error {
	tick := time.NewTicker(db.cfg.Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			db.bus.deliver(Note{Gap: true})
		}
	}
}

func (db *DB) listen(ctx context.Context) error {
	for {
		err := db.listenOnce(ctx)
		db.bus.setListening(false)
		if db.cfg.Events.Listening != nil {
			db.cfg.Events.Listening(false, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second): // polling goes on meanwhile
		}
	}
}

func (db *DB) listenOnce(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, db.server.Copy())
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	db.bus.setListening(true)
	db.bus.deliver(Note{Gap: true}) // what was committed while nobody listened
	if db.cfg.Events.Listening != nil {
		db.cfg.Events.Listening(true, nil)
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		topic, payload, _ := strings.Cut(n.Payload, " ")
		db.bus.deliver(Note{Topic: topic, Payload: payload})
	}
}

// keeping keeps a lease in the background; the channel is closed when that has ended.
func (db *DB) keeping(ctx context.Context, c Campaign, l Lease, depose context.CancelCauseFunc) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		db.keep(ctx, c, l, depose)
	}()
	return ended
}
