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

// Once is for rest.Journal.
func (j Journal) Once(ctx context.Context, k rest.Key, effect func(ctx context.Context) (rest.Answer, error)) (out rest.Answer, err error) {
	err = j.DB.Enclose(ctx, func(ctx context.Context, tx *database.Tx) error {
		a, err := j.Catalog.Once(ctx, tx, catalog.Key(k), func(ctx context.Context, _ *database.Tx) (catalog.Answer, error) {
			a, err := effect(ctx)
			return catalog.Answer(a), err
		})
		out = rest.Answer(a)
		return err
	})
	if errors.Is(err, catalog.ErrMismatch) {
		err = &darter.Error{Kind: darter.Invalid, Op: "use idempotency key", Hint: "take a new key for a new request", Err: rest.ErrKeyReused}
	}
	return out, err
}

// errTried ends a transaction of which nothing is to stay.
var errTried = errors.New("it was only tried")

// Try is for rest.Journal.
func (j Journal) Try(ctx context.Context, effect func(ctx context.Context) error) error {
	err := j.DB.Enclose(ctx, func(ctx context.Context, _ *database.Tx) error {
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
