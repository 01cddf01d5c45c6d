package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
)

// TestOddWords: what no well-made daemon says is corrected, counted or refused, and nothing grows by it.
func TestOddWords(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	w := watch(t, ctx, strings.Replace(quickPolicy, "hastyBelow: 10ms", "hastyBelow: 500ms", 1), nil)
	calls := w.calls()
	announce := func(m *schedulerv2.AnnounceHostRequest) {
		t.Helper()
		_, err := calls.AnnounceHost(ctx, m)
		check(t, err)
	}

	for name, c := range map[string]struct{ told, counts time.Duration }{
		"negative": {-5 * time.Second, time.Second}, "a-year": {365 * 24 * time.Hour, 2 * time.Second}, "tiny": {time.Microsecond, 200 * time.Millisecond},
	} {
		w.Run("interval "+name, func(t *testing.T) {
			announce(plainHost("odd-"+name, 4200, c.told))
			w.note(ctx, 0, "odd-"+name, "interval corrected")
			told := w.await(ctx, 0, name+" is suspect", func(e event) bool { return e.Host == "odd-"+name && e.To == "suspect" })
			if quiet := told.At.Sub(told.LastHeard); quiet < c.counts || quiet > 3*c.counts+time.Second {
				t.Errorf("it counts as one of %s, and is suspect after %s", c.counts, quiet)
			}
		})
	}

	w.Run("interval out of range", func(t *testing.T) {
		m := plainHost("odd-range", 4210, 0)
		m.Interval = &durationpb.Duration{Seconds: 1 << 60, Nanos: -1}
		announce(m)
		w.note(ctx, 0, "odd-range", "interval corrected")
	})

	w.Run("ten times a second", func(t *testing.T) {
		for range 30 {
			announce(plainHost("odd-hasty", 4220, time.Second))
		}
		w.note(ctx, 0, "odd-hasty", "announces too often")
		w.Counts(ctx, `host_oddities_total{reason="announces too often"}`, 20)
		r := w.CLI(ctx, "host", "events", "odd-hasty")
		if n := strings.Count(r.Stdout, "announces too often"); n != 1 {
			t.Errorf("its timeline says so in %d lines:\n%s", n, r.Stdout)
		}
	})

	w.Run("leave of nobody", func(t *testing.T) {
		leave(t, ctx, calls, "odd-nobody", 7)
		leave(t, ctx, calls, "odd-nobody", 0)
		w.Counts(ctx, `host_oddities_total{reason="leave of an unknown host"}`, 2)
	})

	w.Run("names of zones", func(t *testing.T) {
		m := plainHost("odd-zone", 4230, time.Second)
		idc, location := strings.Repeat("x/", 3000), "  "
		m.Host.Network.Idc, m.Host.Network.Location = &idc, &location
		announce(m)
		w.Row(ctx, "odd-zone", "its zone has a short name", func(r hostRow) bool {
			return r.Zone == "0/"+strings.Repeat("x_", 32)+"/-"
		})
	})

	w.Run("a run that goes back", func(t *testing.T) {
		ours := metadata.AppendToOutgoingContext(ctx, wire.MetaNative, "1")
		for _, c := range []struct {
			epoch uint64
			want  codes.Code
		}{{5, codes.OK}, {4, codes.FailedPrecondition}, {5, codes.OK}, {6, codes.OK}, {5, codes.FailedPrecondition}} {
			if _, err := calls.AnnounceHost(withEpoch(ours, c.epoch), plainHost("odd-epoch", 4240, time.Second)); status.Code(err) != c.want {
				t.Errorf("run %d: %v, want %s", c.epoch, err, c.want)
			}
		}
		w.note(ctx, 0, "odd-epoch", "word of an older run")
	})

	w.Run("a policy that cannot be", func(t *testing.T) {
		before := w.CLI(ctx, "zone", "policy").Stdout
		for i, text := range []string{"guard: {hosts: 0}", "lease: {intervall: 1s}", "\tguard"} {
			w.setPolicy(text)
			w.Counts(ctx, `liveness_policies_total{outcome="invalid"}`, float64(i+1))
		}
		if now := w.CLI(ctx, "zone", "policy").Stdout; now != before {
			t.Errorf("after wrong ones there is another policy in force:\n%s\nbefore:\n%s", now, before)
		}
		w.setPolicy("forget: {after: 77s}")
		if !eventually(ctx, time.Minute, func() bool { return strings.Contains(w.CLI(ctx, "zone", "policy").Stdout, "after: 1m17s") }) {
			t.Errorf("a good one is not in force:\n%s", w.CLI(ctx, "zone", "policy").Stdout)
		}
	})
}

// TestTwoMachinesWithOneID: the later run is listened to, the earlier one is refused, and operators hear of it. Neither loses a
// download.
func TestTwoMachinesWithOneID(t *testing.T) {
	ctx := deadline(t, time.Minute)
	w := watch(t, ctx, "", nil)
	first := w.Daemon(ctx, 1, "first", "--hostname", "same", "--announce-interval", "200ms")
	second := w.Daemon(ctx, 2, "second", "--hostname", "same", "--announce-interval", "200ms")
	id := "127.0.0.1-same"
	w.note(ctx, 0, id, "word of an older run")
	w.note(ctx, 0, id, "host id used twice")
	w.Counts(ctx, `host_oddities_total{reason="host id used twice"}`, 1)
	if !strings.Contains(first.Log(), "later run") {
		t.Errorf("the first does not say that it is not listened to:\n%s", lastLines(first.Log(), 10))
	}
	o := NewOrigin(t, 0)
	c := Random(t, 5*mib, 360)
	o.Add("/twins", c)
	Get(t, ctx, first, o.URL+"/twins", c)
	Get(t, ctx, second, o.URL+"/twins", c)
	w.never(0, "offline", "forgotten", "left")
}

// TestAStoreThatIsGone: a host whose content was wiped while it was down holds nothing from its first word on; one that comes
// back with its store is believed without being told again, also after its clock was set back.
func TestAStoreThatIsGone(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	w := watch(t, ctx, "", nil).WithDaemons(ctx, 2)
	o := NewOrigin(t, 0)
	d, other := w.Daemons[0], w.Daemons[1]
	id := w.ID(ctx, d)
	c := Random(t, 9*mib, 370)
	page := o.Add("/kept", c)
	Get(t, ctx, d, o.URL+"/kept", c)
	w.Holds(ctx, d, 1)
	again := func(what, exit string) event {
		t.Helper()
		seq := w.now()
		d.Kill()
		return func() event {
			d.Start(ctx)
			return w.await(ctx, seq, what, func(e event) bool { return e.Host == id && e.Exit == exit })
		}()
	}

	w.Run("kept", func(t *testing.T) {
		again("it runs again", "restart")
		w.Counts(ctx, "inventory_comparisons_total", 1)
		if added, err := w.Figure(ctx, `inventory_items_total{what="added"}`); err == nil && added > 0 {
			t.Errorf("%v locations travelled although nothing changed", added)
		}
		w.served(ctx, other, o, "/kept", c, page)
	})

	w.Run("with a clock that was set back", func(t *testing.T) {
		ahead := uint64(time.Now().Add(time.Hour).UnixNano())
		d.Stop(ctx)
		writeFile(t, d, "daemon/epoch", fmt.Sprintf("darter epoch 1 %d\n", ahead))
		seq := w.now()
		d.Start(ctx)
		first := w.await(ctx, seq, "it is back", func(e event) bool { return e.Host == id && e.To == "alive" })
		next := again("it runs again", "restart")
		if first.Epoch != ahead+1 || next.Epoch != ahead+2 {
			t.Errorf("runs %d and %d after %d", first.Epoch, next.Epoch, ahead)
		}
	})

	w.Run("with its name and without its content", func(t *testing.T) {
		seq := w.now()
		d.Kill()
		removeAll(t, d, "daemon/store/tasks")
		d.Start(ctx)
		w.await(ctx, seq, "it runs again", func(e event) bool { return e.Host == id && e.Exit == "restart" })
		w.Row(ctx, d.Name, "it says that it holds nothing", func(r hostRow) bool { return r.Tasks == 0 })
		Get(t, ctx, d, o.URL+"/kept", c)
		w.Holds(ctx, d, 1)
	})

	w.Run("wiped", func(t *testing.T) {
		seq := w.now()
		d.Kill()
		removeAll(t, d, "daemon/store")
		d.Start(ctx)
		w.await(ctx, seq, "it was replaced", func(e event) bool { return e.Host == id && e.Exit == "replaced" })
		w.Row(ctx, d.Name, "it holds nothing", func(r hostRow) bool { return r.Tasks == 0 })
	})
}

// TestProbes: a host whose lease breaks without a word is asked, and an answer is enough.
func TestProbes(t *testing.T) {
	ctx := deadline(t, time.Minute)
	w := watch(t, ctx, "", nil)
	d := w.Daemon(ctx, 1, "asked")
	// Two more hosts, by hand: one is where that daemon answers, nobody listens where the other is.
	port := portOf(t, d.Ready["upload"])
	for host, at := range map[string]int32{"probe-well": port, "probe-dead": 1} {
		seq := w.now()
		breakLease(t, ctx, w, host, at)
		if host == "probe-dead" {
			told := w.story(ctx, seq, host, "suspect")[0]
			if told.Evidence == "silence" {
				t.Errorf("it was not asked: %+v", told)
			}
			w.Counts(ctx, `host_probes_total{result="failed"}`, 1)
		} else {
			w.Counts(ctx, `host_probes_total{result="answered"}`, 1)
		}
	}
	for _, e := range w.events() {
		if e.Host == "probe-well" && e.To == "suspect" {
			t.Errorf("it answered, and is suspect: %+v", e)
		}
	}
}

// breakLease announces one of our own, takes a lease for it, and breaks the stream.
func breakLease(t *testing.T, ctx context.Context, w *watched, host string, port int32) {
	t.Helper()
	m := plainHost(host, port, time.Minute)
	_, err := w.calls().AnnounceHost(withEpoch(metadata.AppendToOutgoingContext(ctx, wire.MetaNative, "1"), 3), m)
	check(t, err)
	within, cut := context.WithCancel(ctx)
	defer cut()
	stream, err := darterv1.NewLivenessClient(w.conn()).Lease(within)
	check(t, err)
	check(t, stream.Send(&darterv1.LeaseRequest{Word: &darterv1.LeaseRequest_Renewal{Renewal: &darterv1.Renewal{HostId: host, Epoch: 3, Seq: 1}}}))
	_, err = stream.Recv()
	check(t, err)
}
