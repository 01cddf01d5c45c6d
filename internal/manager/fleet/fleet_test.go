package fleet_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/fleet"
)

func each(t *testing.T, test func(t *testing.T, db *database.DB, o *fleet.Orders)) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) { test(t, db, fleet.New(db)) }, fleet.Migrations())
}

func TestAnOrderStaysOpenForEachSchedulerUntilItAnswers(t *testing.T) {
	each(t, func(t *testing.T, _ *database.DB, o *fleet.Orders) {
		ctx := t.Context()
		first, err := o.Give(ctx, fleet.Order{Verb: fleet.Drain, Whom: "h1", Reason: "a disk", Actor: "me"})
		require.NoError(t, err)
		second, err := o.Give(ctx, fleet.Order{Verb: fleet.Lift, Whom: "1//", Lift: time.Minute})
		require.NoError(t, err)
		open := func(scheduler string) (out []string) {
			all, err := o.Open(ctx, scheduler)
			require.NoError(t, err)
			for _, x := range all {
				out = append(out, x.ID)
			}
			return out
		}
		require.Equal(t, []string{first, second}, open("s1"))
		require.NoError(t, o.Answer(ctx, first, "s1", ""))
		require.NoError(t, o.Answer(ctx, first, "s1", "said again"))
		require.NoError(t, o.Answer(ctx, "no such order", "s1", ""))
		require.Equal(t, []string{second}, open("s1"))
		require.Equal(t, []string{first, second}, open("s2"))
		require.NoError(t, o.Answer(ctx, first, "s2", "there is no such host"))
		got, said, err := o.Show(ctx, first)
		require.NoError(t, err)
		require.Equal(t, "a disk", got.Reason)
		require.Len(t, said, 2)
		require.Empty(t, said[0].Error, "the first word counts")
		require.Equal(t, "there is no such host", said[1].Error)
		got, _, err = o.Show(ctx, second)
		require.NoError(t, err)
		require.Equal(t, time.Minute, got.Lift)
		_, _, err = o.Show(ctx, "none")
		require.Equal(t, darter.NotFound, darter.KindOf(err))
	})
}

func TestAnOrderRunsOutAndGoes(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB, o *fleet.Orders) {
		id, err := o.Give(t.Context(), fleet.Order{Verb: fleet.Forget, Whom: "h1", Force: true})
		require.NoError(t, err)
		age := func(by time.Duration) {
			require.NoError(t, db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
				_, err := tx.ExecContext(ctx, "UPDATE host_orders SET expires_at = expires_at - ?", by.Microseconds())
				return err
			}))
		}
		age(6 * time.Minute)
		open, err := o.Open(t.Context(), "s1")
		require.NoError(t, err)
		require.Empty(t, open, "a scheduler that comes late does not drain a host tomorrow")
		require.NoError(t, o.Sweep(t.Context()))
		_, _, err = o.Show(t.Context(), id)
		require.NoError(t, err, "it can be looked at for a day")
		age(25 * time.Hour)
		require.NoError(t, o.Sweep(t.Context()))
		_, _, err = o.Show(t.Context(), id)
		require.Equal(t, darter.NotFound, darter.KindOf(err))
	})
}

func TestWrongOrdersAreRefused(t *testing.T) {
	each(t, func(t *testing.T, _ *database.DB, o *fleet.Orders) {
		for name, q := range map[string]fleet.Order{
			"no verb": {Whom: "h"}, "unknown verb": {Verb: "burn", Whom: "h"}, "nobody": {Verb: fleet.Drain}, "long name": {Verb: fleet.Drain, Whom: strings.Repeat("h", 256)},
			"long reason": {Verb: fleet.Drain, Whom: "h", Reason: strings.Repeat("x", 5000)}, "lifted for a week": {Verb: fleet.Lift, Whom: "z", Lift: 200 * time.Hour},
		} {
			_, err := o.Give(t.Context(), q)
			require.Equal(t, darter.Invalid, darter.KindOf(err), name)
		}
	})
}
