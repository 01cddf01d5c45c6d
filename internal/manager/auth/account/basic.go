package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
)

// basicMemory is how long a name and password that were right are taken without hashing again. Clients that
// know nothing else send them with every poll.
const basicMemory = time.Minute

// Basic returns whom a name and password stand for, for routes that other programs call with Basic
// authentication. A token in place of the password counts as the token, whatever the name.
func (a *Accounts) Basic(ctx context.Context, name, password string, c auth.Caller) (auth.Principal, error) {
	if strings.HasPrefix(password, "dtr_") {
		return a.Token(ctx, password, c.From)
	}
	mac := hmac.New(sha256.New, a.key[:])
	_, _ = mac.Write([]byte(name + "\x00" + password)) // never fails
	key := "basic/" + hex.EncodeToString(mac.Sum(nil))
	if r, known := a.recall(key); known {
		return r.principal, nil
	}
	u, err := a.prove(ctx, name, password, c)
	if err != nil {
		return auth.Principal{}, err
	}
	var version int64
	at := a.now()
	r := remembered{expires: at.Add(basicMemory)}
	err = a.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		if version, err = versionOf(ctx, tx); err != nil {
			return err
		}
		now, err := userByID(ctx, tx, u.ID)
		if err == nil && now.Version != u.Version {
			err = auth.Unauthenticated("sign in", errWrong)
		}
		if err == nil {
			r.principal, err = principal(ctx, tx, u.ID, auth.ByBasic, "")
		}
		return err
	})
	if err != nil {
		return auth.Principal{}, err
	}
	a.remember(key, r, version, at)
	return r.principal, nil
}

// used notes a use, to be written by Run.
func (a *Accounts) used(key string, at time.Time, from netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.mu.uses) < maxRemembered || a.mu.uses[key] != (use{}) { // full: a use goes unnoted, a request does not fail
		a.mu.uses[key] = use{at: at, from: from.Unmap()}
	}
}
