package e2e

import (
	"context"
	"testing"
	"time"

	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
)

func leave(t *testing.T, ctx context.Context, calls schedulerv2.SchedulerClient, id string, epoch uint64) {
	t.Helper()
	_, err := calls.DeleteHost(withEpoch(ctx, epoch), &schedulerv2.DeleteHostRequest{HostId: id})
	check(t, err)
}

// TestPlainDaemons: Dragonfly's daemons announce themselves, name no run and hold no lease.
func TestPlainDaemons(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	w := watch(t, ctx, quickPolicy, nil)
	calls := w.calls()
	announce := func(m *schedulerv2.AnnounceHostRequest) {
		t.Helper()
		_, err := calls.AnnounceHost(ctx, m)
		check(t, err)
	}

	w.Run("falls silent", func(t *testing.T) {
		announce(plainHost("plain-dies", 4100, time.Second))
		told := w.story(ctx, 0, "plain-dies", "alive", "suspect", "offline", "forgotten")
		if e := told[1]; e.From != "alive" || e.Evidence != "silence" || e.At.Sub(e.LastHeard) < 1500*time.Millisecond {
			t.Errorf("suspect without a call for 1.5 intervals, and not sooner: %+v", e)
		}
		if e := told[2]; e.At.Sub(e.LastHeard) < 1500*time.Millisecond {
			t.Errorf("offline too soon: %+v", e)
		}
		if e := told[3]; e.Exit != "crash" {
			t.Errorf("it fell silent for good: %+v", e)
		}
	})

	w.Run("names no interval", func(t *testing.T) {
		announce(plainHost("plain-zero", 4110, 0))
		w.Row(ctx, "plain-zero", "the policy's interval counts", func(r hostRow) bool { return r.Interval == "1s" })
		w.story(ctx, 0, "plain-zero", "suspect", "offline")
	})

	w.Run("two with one id", func(t *testing.T) {
		for i := range 8 {
			announce(plainHost("plain-twins", 4120+10*int32(i%2), time.Second))
		}
		w.note(ctx, 0, "plain-twins", "host id used twice")
		w.Counts(ctx, `host_oddities_total{reason="host id used twice"}`, 1)
	})
}
