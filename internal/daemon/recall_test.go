package daemon

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
)

// TestOnlyThoseWhoDoNotAskAreTold: one of our own schedulers asks for the inventory, and no task is registered with it as well; a
// plain one is told each complete task once for each time that it heard of this host anew.
func TestOnlyThoseWhoDoNotAskAreTold(t *testing.T) {
	d := open(t, t.TempDir())
	defer d.close()
	other := netip.MustParseAddrPort("127.0.0.1:8102")
	d.regrouped([]netip.AddrPort{scheduler, other})
	mine := map[darter.TaskID]bool{}
	for _, digit := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c"} {
		id := put(t, d.store, digit, 2, true)
		if at, ok := d.holdings.Scheduler(id); ok && at == scheduler {
			mine[id] = true
		}
	}
	put(t, d.store, "d", 1, false) // not whole
	require.NotEmpty(t, mine)
	require.Less(t, len(mine), 12, "the other scheduler answers for none")
	recalled := func() int {
		select {
		case <-d.recall:
		default:
			return 0
		}
		found := d.toRecall()
		for _, i := range found {
			require.True(t, mine[i.ID], "task %s is the other scheduler's", i.ID.Short())
		}
		return len(found)
	}
	none := &darter.Error{Kind: darter.NotFound, Op: "take a lease", Err: errors.New("it grants no leases")}

	d.announced(scheduler, 0)
	d.leased(scheduler, time.Minute)
	require.Zero(t, recalled(), "one that grants leases")
	d.leaseEnded(scheduler, none)
	require.Zero(t, recalled(), "and ceases to")

	d.returned(scheduler)
	d.announced(scheduler, 0)
	d.leaseEnded(scheduler, &darter.Error{Kind: darter.Unavailable, Op: "take a lease"})
	require.Zero(t, recalled(), "nobody knows yet")
	d.leaseEnded(scheduler, none)
	require.Equal(t, len(mine), recalled(), "one that grants none")
	d.announced(scheduler, 0)
	d.leaseEnded(scheduler, none)
	require.Zero(t, recalled(), "it was told already")
	d.returned(scheduler)
	d.announced(scheduler, 0)
	d.leaseEnded(scheduler, none)
	require.Equal(t, len(mine), recalled(), "it came back")
}
