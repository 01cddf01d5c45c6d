package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter/test/e2e/rig"
)

// newLab makes a network of namespaces for a test.
func newLab(t *testing.T, ctx context.Context, hosts int) *rig.Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: network namespaces need root")
	}
	lab, err := rig.NewLab(ctx, fmt.Sprintf("de%d", os.Getpid()), hosts)
	if err != nil {
		t.Skip("NOT TESTED: network namespaces cannot be made here:", err)
	}
	t.Cleanup(func() {
		if err := lab.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return lab
}

// A lease that outlives a short cut.
const patientPolicy = `
lease: {interval: 5s}
`

// TestPulledCable pulls a host's cable and puts it in again: soon, when it is offline, and when it is forgotten.
func TestPulledCable(t *testing.T) {
	ctx := deadline(t, 4*time.Minute)
	lab := newLab(t, ctx, 4)
	w := watch(t, ctx, patientPolicy, lab).WithDaemons(ctx, 3)
	o := newOriginAt(t, 0, w.host(0))
	d, other := w.Daemons[0], w.Daemons[1]
	id := w.ID(ctx, d)
	hold := func(path string, seed uint64) (Content, *Page) {
		c := Random(t, 9*mib, seed)
		p := o.Add(path, c)
		Get(t, ctx, d, o.URL+path, c)
		return c, p
	}

	w.Run("nobody saw", func(t *testing.T) {
		c, p := hold("/short", 340)
		seq := w.now()
		check(t, lab.Pull(ctx, 1))
		limited, cancel := context.WithTimeout(ctx, time.Second)
		if conn, err := dialIn(w.host(0).netns)(limited, "tcp", d.Ready["upload"]); err == nil {
			_ = conn.Close()
			t.Error("the cable is out, and it answers")
		}
		cancel()
		check(t, lab.Plug(ctx, 1))
		w.Heard(ctx, d, time.Now())
		w.never(seq, "suspect", "offline", "forgotten")
		w.served(ctx, other, o, "/short", c, p)
	})

	// Connections take a while to come back after a cut: nobody is to be forgotten meanwhile.
	w.setPolicy(strings.Replace(quickPolicy, "after: 1s", "after: 5m", 1))
	for _, n := range w.Daemons { // it is read while the scheduler runs
		w.Row(ctx, n.Name, "the new policy holds", func(r hostRow) bool { d, err := time.ParseDuration(r.Interval); return err == nil && d < time.Second })
	}

	w.Run("offline, and back with everything", func(t *testing.T) {
		c, p := hold("/medium", 341)
		seq, before := w.now(), w.Rows(ctx)[d.Name]
		check(t, lab.Pull(ctx, 1))
		w.story(ctx, seq, id, "suspect", "offline")
		check(t, lab.Plug(ctx, 1))
		back := w.story(ctx, seq, id, "offline", "alive")[1]
		if back.Exit != "partition" || back.From != "offline" || back.Epoch != before.Epoch {
			t.Errorf("it was out of reach only, and the event says %+v", back)
		}
		w.Counts(ctx, "false_offline_total", 1)
		if now := w.Rows(ctx)[d.Name]; now.Tasks != before.Tasks {
			t.Errorf("it holds %d tasks, before the cut it held %d", now.Tasks, before.Tasks)
		}
		w.served(ctx, other, o, "/medium", c, p)
	})

	w.Run("forgotten, and asked what it holds", func(t *testing.T) {
		c, p := hold("/long", 342)
		seq := w.now()
		w.setPolicy(quickPolicy)
		check(t, lab.Pull(ctx, 1))
		w.story(ctx, seq, id, "suspect", "offline", "forgotten")
		check(t, lab.Plug(ctx, 1))
		w.story(ctx, seq, id, "forgotten", "alive")
		w.Holds(ctx, d, 3)
		w.served(ctx, w.Daemons[2], o, "/long", c, p)
	})
}

// TestLossOfPackets drops packets of one host at random, both ways.
func TestLossOfPackets(t *testing.T) {
	ctx := deadline(t, 4*time.Minute)
	lab := newLab(t, ctx, 3)
	// Six intervals of a second until suspicion, as thirty seconds are to the round trip of a real network.
	w := watch(t, ctx, "lease: {interval: 1s, longest: 2s, suspectAfter: 6}\nguard: {hosts: 1000}\n", lab).WithDaemons(ctx, 2)
	o := newOriginAt(t, 0, w.host(0))
	content := Random(t, 5*mib, 350)
	page := o.Add("/lossy", content)
	d := w.Daemons[0]
	Get(t, ctx, d, o.URL+"/lossy", content)

	for _, one := range []struct {
		share float64
		words int      // of it that must get through
		never []string // verdicts
	}{
		{0.1, 6, []string{"offline", "forgotten"}},
		{0.3, 4, []string{"offline", "forgotten"}},
		{0.5, 2, []string{"forgotten"}},
	} {
		w.Run(fmt.Sprintf("%.0f percent", 100*one.share), func(t *testing.T) {
			if testing.Short() && one.share > 0.1 {
				t.Skip("not in -short: retransmissions take their time")
			}
			seq := w.now()
			check(t, lab.Lose(ctx, 1, one.share))
			for range one.words {
				w.Heard(ctx, d, time.Now())
			}
			check(t, lab.Lose(ctx, 1, 0))
			w.Row(ctx, d.Name, "it is well again", func(r hostRow) bool { return r.Verdict == "alive" && r.Tasks >= 1 })
			w.never(seq, one.never...)
		})
	}
	w.served(ctx, w.Daemons[1], o, "/lossy", content, page)
}
