package e2e

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"
)

// faulty is a cluster in the middle of a transfer: the origin holds back the second half.
type faulty struct {
	*Cluster
	origin  *Origin
	page    *Page
	content Content
	wg      sync.WaitGroup
}

// midTransfer starts a download at every daemon of askers and returns when the origin has sent half.
func midTransfer(t *testing.T, ctx context.Context, seed uint64, askers []int) *faulty {
	t.Helper()
	return midTransferOf(t, ctx, seed, askers, 96*mib+777, 64*mib)
}

// midTransferOf is midTransfer with a content of so many bytes, from an origin of so many bytes per second.
func midTransferOf(t *testing.T, ctx context.Context, seed uint64, askers []int, size, rate int64) *faulty {
	t.Helper()
	f := &faulty{origin: NewOrigin(t, int(rate)), content: Random(t, size, seed)}
	f.page = f.origin.Add("/half", f.content)
	// In the middle of a piece: what came before it had the time to travel on.
	f.page.HoldAt(f.content.Size/2/piece*piece + piece/2)
	f.Cluster = newCluster(t, ctx, Shape{Seed: true, Daemons: 8})
	for _, i := range askers {
		f.wg.Go(func() { Get(t, ctx, f.Daemons[i], f.origin.URL+"/half", f.content) })
	}
	f.page.WaitHeld(t, ctx)
	return f
}

// finish lets the rest flow and waits for every download.
func (f *faulty) finish() {
	f.page.Release()
	f.wg.Wait()
}

func eight() []int { return []int{0, 1, 2, 3, 4, 5, 6, 7} }

// TestKilledSeedCostsLessThanAPiece: what the seed had read travelled on as it came, pieces under way included, and others
// go on from there. What was in the origin's and the seed's hands dies with it. The origin is as slow as an origin that many
// share: how much is in the seed's hands is its rate times the delay of ten processes on one machine.
func TestKilledSeedCostsLessThanAPiece(t *testing.T) {
	ctx := deadline(t, 90*time.Second)
	f := midTransferOf(t, ctx, 10, eight(), 48*mib+777, 8*mib)
	f.page.AfterReadersLeft(t, ctx, f.Seed.Kill)
	f.finish()
	wantOneCopy(t, f.page, f.content, piece-1)
}

// From a fast origin, nothing is promised but that every download ends well.
func TestKilledSeedLosesNoDownload(t *testing.T) {
	ctx := deadline(t, 90*time.Second)
	f := midTransfer(t, ctx, 10, eight())
	f.page.AfterReadersLeft(t, ctx, f.Seed.Kill)
	f.finish()
	wantOneCopy(t, f.page, f.content, 2*piece)
}

func TestTwoKilledDaemonsLoseNoOtherDownload(t *testing.T) {
	ctx := deadline(t, 90*time.Second)
	f := midTransfer(t, ctx, 11, []int{0, 1, 2, 3, 4, 5})
	for _, i := range []int{6, 7} { // these fetch too, and nobody expects them to finish
		n := f.Daemons[i]
		startGet(t, n.Dir, f.origin.URL+"/half", "-o", n.Dir+"/lost", "--socket", n.Socket, "--require-daemon", "-q")
	}
	f.WaitPeers(ctx, 9) // the seed and eight daemons are in the swarm
	f.Daemons[6].Kill()
	f.Daemons[7].Kill()
	f.finish()
	wantOneCopy(t, f.page, f.content, 0)
}

func TestSchedulerRestartedMidTransferLosesNoDownload(t *testing.T) {
	ctx := deadline(t, 90*time.Second)
	f := midTransfer(t, ctx, 12, eight())
	f.Scheduler.Kill()
	f.Scheduler.Start(ctx)
	f.finish()
	f.WaitHosts(ctx, "seed", "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7")
}

func TestRunningDownloadsOutliveTheScheduler(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	f := midTransfer(t, ctx, 14, eight())
	f.Scheduler.Kill()
	f.finish()

	fresh := Random(t, 9*mib, 13)
	page := f.origin.Add("/new", fresh)
	Get(t, ctx, f.Daemons[0], f.origin.URL+"/new", fresh)
	if page.Sent() < fresh.Size {
		t.Errorf("a new download without a scheduler took %d bytes from the origin, want %d", page.Sent(), fresh.Size)
	}
}

func TestSchedulerRestartKeepsHosts(t *testing.T) {
	ctx := deadline(t, time.Minute)
	c := newCluster(t, ctx, Shape{Seed: true, Daemons: 2})
	// Stopped first and gracefully, the scheduler wrote what it knew; killed, the daemons cannot say
	// it again.
	c.Scheduler.Stop(ctx)
	c.Daemons[0].Kill()
	c.Daemons[1].Kill()
	c.Scheduler.Start(ctx)
	c.WaitHosts(ctx, "seed", "d0", "d1")

	o := NewOrigin(t, 0)
	content := Random(t, 13*mib, 15)
	page := o.Add("/after", content)
	c.Daemons[0].Start(ctx)
	c.Daemons[1].Start(ctx)
	GetAll(t, ctx, c.Daemons, o.URL+"/after", content)
	wantOneCopy(t, page, content, 0)
}

func TestRestartedDaemonServesFromItsStore(t *testing.T) {
	ctx := deadline(t, 90*time.Second)
	for _, how := range []string{"stopped", "killed"} {
		t.Run(how, func(t *testing.T) {
			o := NewOrigin(t, 0)
			content := Random(t, 30*mib+1, 16)
			page := o.Add("/kept", content)
			c := newCluster(t, ctx, Shape{Daemons: 2})
			Get(t, ctx, c.Daemons[0], o.URL+"/kept", content)
			o.Stop()

			if how == "stopped" {
				c.Daemons[0].Stop(ctx)
			} else {
				c.Daemons[0].Kill()
			}
			c.Daemons[0].Start(ctx)
			own := Get(t, ctx, c.Daemons[0], o.URL+"/kept", content)
			if own.FromCache != content.Size {
				t.Errorf("after the restart %d of %d bytes came from the cache", own.FromCache, content.Size)
			}
			other := Get(t, ctx, c.Daemons[1], o.URL+"/kept", content)
			if other.FromPeers != content.Size {
				t.Errorf("the neighbour had %d of %d bytes from the restarted daemon", other.FromPeers, content.Size)
			}
			wantOneCopy(t, page, content, 0)
		})
	}
}

func TestGracefulStopWithdrawsAndLosesNoDownload(t *testing.T) {
	ctx := deadline(t, 90*time.Second)
	o := NewOrigin(t, 0)
	content := Random(t, 64*mib, 17)
	o.Add("/drain", content)
	c := newCluster(t, ctx, Shape{Daemons: 1, Flags: []string{"--upload-rate", "24MiB"}})
	Get(t, ctx, c.Daemons[0], o.URL+"/drain", content)
	child := c.AddDaemon(ctx, "child")
	c.WaitHosts(ctx, "d0", "child")

	var wg sync.WaitGroup
	wg.Go(func() { Get(t, ctx, child, o.URL+"/drain", content) })
	c.WaitPeers(ctx, 2) // the child has begun
	c.Daemons[0].Stop(ctx)
	c.WaitHosts(ctx, "child")
	wg.Wait()
}

// TestFrozenProcessesLoseNoDownload stops processes without ending them: connections stay open and
// nothing moves, which is what a dead machine looks like.
func TestFrozenProcessesLoseNoDownload(t *testing.T) {
	if testing.Short() {
		t.Skip("not in -short: it waits for the stall deadlines of every role")
	}
	ctx := deadline(t, 4*time.Minute)
	for _, one := range []struct {
		name string
		pick func(*faulty) *Node
	}{
		{"seed", func(f *faulty) *Node { return f.Seed }},
		{"daemon", func(f *faulty) *Node { return f.Daemons[7] }},
		{"scheduler", func(f *faulty) *Node { return f.Scheduler }},
	} {
		t.Run(one.name, func(t *testing.T) {
			f := midTransfer(t, ctx, 18, []int{0, 1, 2, 3, 4, 5})
			idle := f.Daemons[7]
			if one.name == "daemon" { // it must take part, or nobody would miss it
				startGet(t, idle.Dir, f.origin.URL+"/half", "-o", idle.Dir+"/frozen", "--socket", idle.Socket, "--require-daemon", "-q")
				f.WaitPeers(ctx, 8)
			}
			frozen := one.pick(f).Process
			check(t, frozen.Signal(syscall.SIGSTOP))
			f.finish()
			if one.name == "scheduler" { // new downloads do not hang on it either
				fresh := Random(t, 5*mib, 19)
				f.origin.Add("/fresh", fresh)
				Get(t, ctx, f.Daemons[0], f.origin.URL+"/fresh", fresh)
			}
			check(t, frozen.Signal(syscall.SIGCONT))
		})
	}
}
