package fetch

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// slowDisk takes its time for Sync and Create, or fails.
type slowDisk struct {
	store.Store
	sync, create time.Duration
	syncErr      error
	createErr    error
	synced       *atomic.Int64
}

func (s slowDisk) Create(m store.Meta) (store.Task, error) {
	time.Sleep(s.create)
	if s.createErr != nil {
		return nil, s.createErr
	}
	t, err := s.Store.Create(m)
	return slowTask{t, s}, err
}

func (s slowDisk) Open(id darter.TaskID) (store.Task, error) {
	t, err := s.Store.Open(id)
	return slowTask{t, s}, err
}

type slowTask struct {
	store.Task
	disk slowDisk
}

func (t slowTask) Sync() error {
	time.Sleep(t.disk.sync)
	t.disk.synced.Add(1)
	return t.disk.syncErr
}

func onDisk(s *slowDisk) func(*Config) {
	return func(c *Config) {
		s.Store, s.synced = c.Store, new(atomic.Int64)
		c.Store = *s
	}
}

func TestNobodyWhoHasTheBytesWaitsForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1024)
		disk := &slowDisk{sync: time.Hour}
		n := w.node("a", false, onDisk(disk))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		want := w.want()
		want.Digest = w.sum()
		got, _, err := n.get(ctx, want)
		if err != nil || !bytes.Equal(got, w.data) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if disk.synced.Load() != 0 || n.downloads() != 0 {
			t.Error("the download was reported before it was durable")
		}
		// A second asker finds it complete meanwhile, and does not ask the source.
		stats := w.origin.stats.Load()
		if _, from, err := n.get(ctx, want); err != nil || from[darter.FromCache] != 1024 || w.origin.stats.Load() != stats {
			t.Errorf("again: %v, %v", from, err)
		}
		n.stop() // waits for the disk
		if disk.synced.Load() == 0 || n.downloads() == 0 {
			t.Error("the engine ended before what it fetched was durable")
		}
	})
}

func TestADiskThatCannotKeepFailsTheDownloadButNotTheAsker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1024)
		full := &darter.Error{Kind: darter.NoSpace, Op: "save"}
		n := w.node("a", true, onDisk(&slowDisk{syncErr: full}))
		getAll(t, w, []*node{n})
		if n.downloads() != 1 || darter.KindOf(n.ends[0].Err) != darter.NoSpace {
			t.Errorf("reported %+v", n.ends)
		}
		if k := w.sched.talks[n.ends[0].Task][0]; k.end == nil || k.end.Err == nil {
			t.Errorf("the scheduler heard %+v", k.end)
		}
		if len(n.store.List()) != 1 {
			t.Error("the bytes went while somebody may read them")
		}
		n.stop()
	})
}

func TestTheSchedulerHearsWhileTheStoreMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1024)
		n := w.node("a", true, onDisk(&slowDisk{create: time.Minute}))
		session := make(chan error, 1)
		go func() {
			_, _, err := n.get(t.Context(), w.want())
			session <- err
		}()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		w.sched.mu.Lock()
		talks := 0
		for _, k := range w.sched.talks {
			talks += len(k)
			if l := k[0].reg.Want; !l.LayoutKnown || l.Layout.Length != 1024 {
				t.Errorf("registered with %+v", l.Layout)
			}
		}
		w.sched.mu.Unlock()
		if talks != 1 {
			t.Errorf("%d conversations while the store makes room, want 1", talks)
		}
		if err := <-session; err != nil {
			t.Error(err)
		}
		if len(w.sched.talks) != 1 || talks != 1 {
			t.Error("it registered twice")
		}
		n.stop()
	})
}

func TestAStoreThatRefusesEndsTheConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1024)
		full := &darter.Error{Kind: darter.NoSpace, Op: "create"}
		n := w.node("a", true, onDisk(&slowDisk{create: time.Second, createErr: full}))
		if _, _, err := n.get(t.Context(), w.want()); darter.KindOf(err) != darter.NoSpace {
			t.Errorf("got %v, want no space", err)
		}
		if n.downloads() != 1 {
			t.Error("not reported")
		}
		for _, talks := range w.sched.talks {
			if len(talks) != 1 || !talks[0].closed {
				t.Error("a conversation stays open")
			}
		}
		n.stop()
	})
}
