package account

import (
	"context"
	"time"

	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
)

// maxRemembered bounds memory. When it is full everything is forgotten: rows say it again.
const maxRemembered = 10000

// remembered is what rows said of a credential at a version.
type remembered struct {
	principal auth.Principal
	hash      string    // of the secret; the id alone proves nothing
	expires   time.Time // never past the end of the credential
	seen      time.Time // sessions: last use known to the rows
	csrf      string
}

// recall returns what is remembered, if it still counts.
func (a *Accounts) recall(key string) (remembered, bool) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.mu.remembered[key]
	if !ok || now.Sub(a.mu.looked) > a.cfg.Fresh || !now.Before(r.expires) {
		return remembered{}, false
	}
	if u, used := a.mu.uses[key]; used && u.at.After(r.seen) {
		r.seen = u.at
	}
	return r, true
}

// remember keeps what rows said at version. Rows that were read before a change that is known by now are not kept.
func (a *Accounts) remember(key string, r remembered, version int64, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(version, at)
	if version < a.mu.version {
		return
	}
	if len(a.mu.remembered) >= maxRemembered {
		clear(a.mu.remembered)
	}
	a.mu.remembered[key] = r
}

// advance notes that version was the newest at that time; callers hold the lock.
func (a *Accounts) advance(version int64, at time.Time) {
	if version < a.mu.version {
		return
	}
	if version > a.mu.version {
		clear(a.mu.remembered)
		a.mu.version = version
	}
	if at.After(a.mu.looked) {
		a.mu.looked = at
	}
}

// forget is for this manager's own changes, which count at once: version is theirs, 0 if it is not known. A read
// that began before the change is not believed afterwards.
func (a *Accounts) forget(version int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.mu.remembered)
	a.mu.looked = time.Time{}
	a.mu.version = max(a.mu.version, version)
}

// look asks for the version.
func (a *Accounts) look(ctx context.Context) error {
	at := a.now() // before the read: what it says is at least that new
	var version int64
	err := a.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		var err error
		version, err = versionOf(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(version, at)
	return nil
}

func versionOf(ctx context.Context, tx *database.Tx) (int64, error) {
	var version int64
	err := tx.QueryRowContext(ctx, "SELECT version FROM auth_versions WHERE id = 1").Scan(&version)
	return version, err
}
