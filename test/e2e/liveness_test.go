package e2e

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestDeathsAndReturns follows one host through the ways in which a host goes and comes back.
func TestDeathsAndReturns(t *testing.T) {
	ctx := deadline(t, 4*time.Minute)
	w := watch(t, ctx, quickPolicy, nil).WithDaemons(ctx, 3)
	o := NewOrigin(t, 0)
	d, other := w.Daemons[1], w.Daemons[2]
	id := w.ID(ctx, d)
	// One content for each return: it must be found at the host that came back, and nowhere else.
	hold := func(path string, seed uint64) (Content, *Page) {
		c := Random(t, 9*mib, seed)
		p := o.Add(path, c)
		Get(t, ctx, d, o.URL+path, c)
		return c, p
	}

	w.Run("graceful stop", func(t *testing.T) {
		leaver := w.Daemons[0]
		seq, gone := w.now(), w.ID(ctx, leaver)
		leaver.Stop(ctx)
		left := w.story(ctx, seq, gone, "left")[0]
		if left.Exit != "graceful" || left.Evidence != "leave" {
			t.Errorf("it stopped in order, and the event says %+v", left)
		}
		w.WaitHosts(ctx, d.Name, other.Name)
		w.Counts(ctx, `host_exits_total{type="graceful"}`, 1)
		leaver.Start(ctx)
		w.story(ctx, left.Seq, gone, "alive")
	})

	w.Run("stopped for a moment", func(t *testing.T) {
		c, p := hold("/flap", 301)
		seq, run := w.now(), w.Rows(ctx)[d.Name].Epoch
		check(t, d.Process.Signal(syscall.SIGSTOP))
		w.story(ctx, seq, id, "suspect")
		check(t, d.Process.Signal(syscall.SIGCONT))
		back := w.story(ctx, seq, id, "suspect", "alive")[1]
		if back.Epoch != run || back.Reason != "returned" {
			t.Errorf("the same run goes on, and the event says %+v", back)
		}
		w.served(ctx, other, o, "/flap", c, p)
	})

	w.Run("stopped for long", func(t *testing.T) {
		c, p := hold("/frozen", 302)
		seq := w.now()
		check(t, d.Process.Signal(syscall.SIGSTOP))
		w.story(ctx, seq, id, "suspect", "offline", "forgotten")
		check(t, d.Process.Signal(syscall.SIGCONT))
		w.story(ctx, seq, id, "forgotten", "alive")
		w.Holds(ctx, d, 2) // its inventory was asked for
		w.served(ctx, other, o, "/frozen", c, p)
	})

	w.Run("killed while idle", func(t *testing.T) {
		c, p := hold("/killed", 303)
		seq := w.now()
		d.Kill()
		told := w.story(ctx, seq, id, "suspect", "offline", "forgotten")
		if last := told[2]; last.Exit != "crash" || last.Reason != "gone for too long" {
			t.Errorf("it was killed, and the last event says %+v", last)
		}
		w.Counts(ctx, `host_exits_total{type="crash"}`, 1)
		w.Counts(ctx, `host_cleanup_seconds_count`, 2)
		if n, err := w.Scheduler.Metric(ctx, "host_detect_seconds_count"); err != nil || n < 5 {
			t.Errorf("%v detections were measured (%v)", n, err)
		}
		readable(t, w.CLI(ctx, "host", "events", id), "alive", "suspect -> offline", "not refuted", "offline -> forgotten", "gone for too long", "exit crash", "quiet", "epoch", "policy")
		readable(t, w.CLI(ctx, "host", "show", id), "forgotten (only a tombstone is left)", "gone for too long")

		d.Start(ctx)
		w.story(ctx, told[2].Seq, id, "alive")
		w.Holds(ctx, d, 3)
		w.served(ctx, other, o, "/killed", c, p)
		w.Counts(ctx, "inventory_comparisons_total", 1)
	})
}

// readable wants a command to have succeeded and its words to be there.
func readable(t *testing.T, r Done, words ...string) {
	t.Helper()
	for _, word := range words {
		if r.Code != 0 || !strings.Contains(r.Stdout, word) {
			t.Errorf("exit %d, and %q is not in:\n%s%s", r.Code, word, r.Stdout, r.Stderr)
		}
	}
}

// TestChildrenTellOfADeadParent: with leases of ten seconds silence would tell after thirty only.
func TestChildrenTellOfADeadParent(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	w := watch(t, ctx, "", nil)
	parent := w.Daemon(ctx, 1, "parent", "--upload-rate", "24MiB")
	o := NewOrigin(t, 0)
	content := Random(t, 64*mib, 310)
	o.Add("/busy", content)
	Get(t, ctx, parent, o.URL+"/busy", content)
	w.WithDaemons(ctx, 3)
	id := w.ID(ctx, parent)

	var wg sync.WaitGroup
	for _, child := range w.Daemons[1:] {
		wg.Go(func() { Get(t, ctx, child, o.URL+"/busy", content) })
	}
	w.WaitPeers(ctx, 4)
	seq := w.now()
	parent.Kill()
	dead := w.story(ctx, seq, id, "suspect")[0]
	if dead.Evidence == "silence" {
		t.Errorf("nobody told: %+v", dead)
	}
	wg.Wait()
	w.never(seq, "forgotten")
}

// TestRollingRestartKeepsIdentities restarts each daemon in turn, and lets the earlier run's leave arrive late.
func TestRollingRestartKeepsIdentities(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	w := watch(t, ctx, "", nil).WithDaemons(ctx, 3)
	o := NewOrigin(t, 0)
	content := Random(t, 9*mib, 320)
	page := o.Add("/rolled", content)
	Get(t, ctx, w.Daemons[0], o.URL+"/rolled", content)
	before, begin := w.Rows(ctx), w.now()
	for _, d := range w.Daemons {
		seq := w.now()
		d.Kill()
		d.Start(ctx)
		again := w.await(ctx, seq, d.Name+" runs again", func(e event) bool { return e.Host == before[d.Name].ID && e.Exit == "restart" })
		if again.Epoch <= before[d.Name].Epoch || again.To != "alive" {
			t.Errorf("%s is another run now, and the event says %+v after run %d", d.Name, again, before[d.Name].Epoch)
		}
	}
	w.WaitHosts(ctx, "d0", "d1", "d2")
	w.never(begin, "offline", "forgotten", "left")
	w.Holds(ctx, w.Daemons[0], 1)

	seq, calls := w.now(), w.calls()
	old := before["d0"]
	leave(t, ctx, calls, old.ID, old.Epoch)
	w.note(ctx, seq, old.ID, "stale leave")
	w.Counts(ctx, "stale_leaves_ignored_total", 1)
	w.never(begin, "left")
	w.served(ctx, w.Daemons[1], o, "/rolled", content, page)
}

func TestSchedulerThatStoodStillForgetsNobody(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	w := watch(t, ctx, quickPolicy, nil).WithDaemons(ctx, 3)
	seq := w.now()
	check(t, w.Scheduler.Process.Signal(syscall.SIGSTOP))
	began := time.Now()
	// A command gives up after longer than it takes to be suspect, offline and forgotten.
	for time.Since(began) < 5*time.Second {
		if r := w.CLI(ctx, "host", "ls"); r.Code == 0 {
			t.Fatal("the scheduler answers although it stands still")
		}
	}
	check(t, w.Scheduler.Process.Signal(syscall.SIGCONT))
	on := time.Now()
	for _, d := range w.Daemons {
		w.Heard(ctx, d, on)
	}
	w.never(seq, "offline", "forgotten", "left")
}

func TestSchedulerRestartForgetsNobodyAndLearnsTheInventory(t *testing.T) {
	ctx := deadline(t, 3*time.Minute)
	w := watch(t, ctx, quickPolicy, nil).WithDaemons(ctx, 3)
	o := NewOrigin(t, 0)
	lost := w.Daemons[2]
	dead := w.ID(ctx, lost)
	for i, how := range []string{"killed", "stopped"} {
		w.Run(how, func(t *testing.T) {
			path, content := "/"+how, Random(t, 9*mib, uint64(330+i))
			page := o.Add(path, content)
			Get(t, ctx, w.Daemons[0], o.URL+path, content)
			if how == "stopped" { // and wrote down whom it knew; one of them dies meanwhile
				w.Scheduler.Stop(ctx)
				lost.Kill()
			} else {
				w.Scheduler.Kill()
			}
			down := time.Now()
			w.Scheduler.Start(ctx)
			w.Follow()
			w.Holds(ctx, w.Daemons[0], i+1) // which nobody asked for since
			w.Heard(ctx, w.Daemons[1], down)
			w.Counts(ctx, "leases", float64(3-i)) // to be heard, an answer to a probe would do
			w.served(ctx, w.Daemons[1], o, path, content, page)
			w.Counts(ctx, "inventory_comparisons_total", 1)
		})
	}
	// Nobody is forgotten for two of the longest intervals after a start, at least two seconds here; the one that did
	// not come back is, after that, and it alone.
	told := w.story(ctx, 0, dead, "late", "suspect", "offline", "forgotten")
	if grace := told[3].At.Sub(told[0].At); grace < 2*time.Second {
		t.Errorf("%s was forgotten %s after the start of the scheduler", dead, grace)
	}
	for _, e := range w.events() {
		if e.Host != dead && (e.To == "offline" || e.To == "forgotten" || e.To == "left") {
			t.Errorf("%s is well, and became %s: %s", e.Host, e.To, e.Reason)
		}
	}
}
