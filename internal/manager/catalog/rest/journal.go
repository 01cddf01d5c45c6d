package rest

import (
	"context"
	"errors"
	"net/http"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/rest"
)

// Journal keeps answers in the catalog, in the transaction of their effect.
type Journal struct {
	DB      *database.DB
	Catalog *catalog.Catalog
}

// errReplayed ends a request whose key another one has used meanwhile.
var errReplayed = errors.New("the key has an answer already")

// Once is for rest.Journal. The key is taken with the first thing that effect writes: what it does before, such as
// asking the network, holds nobody up.
func (j Journal) Once(ctx context.Context, k rest.Key, effect func(ctx context.Context) (rest.Answer, error)) (rest.Answer, error) {
	key := catalog.Key(k)
	first, known, err := j.Catalog.Answered(ctx, key)
	if err != nil || known {
		return rest.Answer(first), reused(err)
	}
	var out rest.Answer
	err = j.DB.Enclose(ctx, func(ctx context.Context, tx *database.Tx) error {
		var err error
		if first, known, err = j.Catalog.Claim(ctx, tx, key); err == nil && known {
			err = &darter.Error{Kind: darter.Conflict, Op: "use idempotency key", Err: errReplayed}
		}
		return err
	}, func(ctx context.Context) error {
		var err error
		if out, err = effect(ctx); err != nil {
			return err
		}
		return j.DB.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
			return j.Catalog.Keep(ctx, tx, key, catalog.Answer(out))
		})
	})
	if known { // whatever effect made of it
		return rest.Answer(first), nil
	}
	return out, reused(err)
}

// reused says a mismatch in the API's words.
func reused(err error) error {
	if errors.Is(err, catalog.ErrMismatch) {
		return &darter.Error{Kind: darter.Invalid, Op: "use idempotency key", Hint: "take a new key for a new request", Err: rest.ErrKeyReused}
	}
	return err
}

// errTried ends a transaction of which nothing is to stay.
var errTried = errors.New("it was only tried")

// Try is for rest.Journal.
func (j Journal) Try(ctx context.Context, effect func(ctx context.Context) error) error {
	err := j.DB.Enclose(ctx, nil, func(ctx context.Context) error {
		if err := effect(ctx); err != nil {
			return err
		}
		return errTried
	})
	if errors.Is(err, errTried) {
		return nil
	}
	return err
}

// Explain says what errors of documents and of the database mean to a caller.
func Explain(err error) (rest.Verdict, bool) {
	if faults, ok := errors.AsType[retention.Faults](err); ok {
		v := rest.Verdict{Status: http.StatusUnprocessableEntity, Code: rest.Invalid, Detail: "the policy cannot be used"}
		for _, f := range faults {
			v.Errors = append(v.Errors, rest.Detail{Pointer: f.Pointer, Code: f.Code, Detail: f.Detail})
		}
		return v, true
	}
	switch {
	case errors.Is(err, catalog.ErrStale):
		return rest.Verdict{Status: http.StatusPreconditionFailed, Code: rest.PreconditionFailed}, true
	case errors.Is(err, catalog.ErrNoMatch):
		return rest.Verdict{Status: http.StatusPreconditionRequired, Code: rest.PreconditionRequired}, true
	case errors.Is(err, database.ErrClash):
		return rest.Verdict{Status: http.StatusConflict, Code: rest.Conflict, Detail: "it is there already, or in use"}, true
	}
	return rest.Verdict{}, false
}
