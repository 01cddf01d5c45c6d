package database

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/darter-p2p/darter"
)

// Campaign says what to lead, and how eagerly.
type Campaign struct {
	Scope  string
	Holder string        // who this is: different in each process
	TTL    time.Duration // how long others wait when the leader falls silent; default 15s
}

// Lead waits for the scope, calls fn while this process holds it, and waits again after it was lost. The
// context of fn ends when the lease is lost or could not be prolonged in time; fn returns soon after.
// Lead returns when ctx ends or when fn returns by itself: its error, or nil.
func (db *DB) Lead(ctx context.Context, c Campaign, fn func(ctx context.Context, l Lease) error) error {
	if c.TTL == 0 {
		c.TTL = 15 * time.Second
	}
	for {
		l, err := db.Acquire(ctx, c.Scope, c.Holder, c.TTL)
		if err == nil {
			over, err := db.term(ctx, c, l, fn)
			if over || ctx.Err() != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(c.TTL/5 + rand.N(c.TTL/10+1)): // not all at once
		}
	}
}

// term is one time in office. over tells that fn ended by itself.
func (db *DB) term(ctx context.Context, c Campaign, l Lease, fn func(ctx context.Context, l Lease) error) (over bool, err error) {
	db.leaseChanged(LeaseChange{Lease: l, Gained: true})
	acting, depose := context.WithCancelCause(ctx)
	defer depose(nil)
	kept := db.keeping(acting, c, l, depose)
	err = fn(acting, l)
	lost := context.Cause(acting)
	depose(nil)
	<-kept
	if lost != nil && ctx.Err() == nil {
		db.leaseChanged(LeaseChange{Lease: l, Err: lost})
		return false, nil
	}
	away, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	_ = db.Release(away, l) // else it runs out
	db.leaseChanged(LeaseChange{Lease: l})
	return true, err
}

// keep prolongs the lease three times per TTL, and deposes when it is lost or may be.
func (db *DB) keep(ctx context.Context, c Campaign, l Lease, depose context.CancelCauseFunc) {
	sure := time.Now().Add(c.TTL) // by our own clock: no later than the database's
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(c.TTL/3 - rand.N(c.TTL/15+1)):
		}
		asked := time.Now()
		limited, cancel := context.WithDeadline(ctx, sure)
		_, err := db.Renew(limited, l, c.TTL)
		cancel()
		switch {
		case err == nil:
			sure = asked.Add(c.TTL)
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrFenced):
			depose(err)
			return
		case !time.Now().Before(sure):
			depose(&darter.Error{Kind: darter.Unavailable, Op: "keep lease " + l.Scope, Err: err})
			return
		}
	}
}

func (db *DB) leaseChanged(c LeaseChange) {
	if db.cfg.Events.Lease != nil {
		db.cfg.Events.Lease(c)
	}
}
