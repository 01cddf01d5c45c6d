package rpc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/darter-p2p/darter"
)

// frost holds back what schedulers send, as a frozen process does: connections stay, and nothing comes.
type frost struct {
	mu   sync.Mutex
	gate chan struct{} // nil while nothing is frozen; closed by the thaw
}

func (f *frost) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gate = make(chan struct{})
}

func (f *frost) thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gate != nil {
		close(f.gate)
		f.gate = nil
	}
}

func (f *frost) wait() {
	f.mu.Lock()
	gate := f.gate
	f.mu.Unlock()
	if gate != nil {
		<-gate
	}
}

type frostedConn struct {
	net.Conn
	frost *frost
}

func (c frostedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.frost.wait()
	return n, err
}

// frostyRig is a rig whose schedulers can freeze, and what its events told.
func frostyRig(t *testing.T) (r *rig, f *frost, silent, awake *int) {
	f, silent, awake = &frost{}, new(int), new(int)
	r = newRig(t, func(c *SchedulersConfig) {
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := r.dial(ctx, address)
			if err != nil {
				return nil, err
			}
			return frostedConn{conn, f}, nil
		}
		c.Events.Silent = func(netip.AddrPort) { *silent++ }
		c.Events.Awake = func(netip.AddrPort) { *awake++ }
	})
	r.Set([]netip.AddrPort{one})
	return r, f, silent, awake
}

// connect has conversations until a connection stands that one of our own schedulers gets.
func (r *rig) connect() {
	r.t.Helper()
	for range 2 {
		if err := r.register().Finish(r.t.Context(), darter.Outcome{}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func TestFrozenSchedulerIsFoundOutWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, frost, silent, awake := frostyRig(t)
		defer r.end()
		defer frost.thaw()
		talks := 0
		r.serve(one, &fakeScheduler{native: true, talk: func(f *fakeScheduler, s peerServer) error {
			if talks++; talks > 2 {
				_ = offer(s, 1)
			}
			return f.untilTerminal(s)
		}})
		r.connect()
		frost.freeze()
		began := time.Now()
		first := r.register()
		if a := <-first.Advice(); a.Kind != darter.Silent || time.Since(began) > time.Second {
			t.Errorf("advice %+v after %s, want Silent within a second", a, time.Since(began))
		}
		began = time.Now()
		second := r.register()
		if a := <-second.Advice(); a.Kind != darter.Silent || time.Since(began) != 0 {
			t.Errorf("the next download: advice %+v after %s, want Silent at once", a, time.Since(began))
		}
		if _, err := r.StatTask(t.Context(), testTask); darter.KindOf(err) != darter.TimedOut || time.Since(began) > time.Second {
			t.Errorf("a plain call: %v after %s, want timed out within a second", err, time.Since(began))
		}
		frost.thaw()
		for _, c := range []*Conversation{first, second} {
			if a := <-c.Advice(); a.Kind != darter.UseParents {
				t.Errorf("after the thaw: %+v, want the answer", a)
			}
			if err := c.Finish(t.Context(), darter.Outcome{}); err != nil {
				t.Error(err)
			}
		}
		if *silent != 1 || *awake != 1 {
			t.Errorf("told %d times of silence and %d times of its end, want once each", *silent, *awake)
		}
	})
}

// A crowd must not run to the source because its scheduler takes long.
func TestBusySchedulerIsWaitedFor(t *testing.T) {
	for name, noHealth := range map[string]bool{"tells its health": false, "knows no such question": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _, silent, _ := frostyRig(t)
				defer r.end()
				r.serve(one, &fakeScheduler{mute: true, noHealth: noHealth, talk: func(f *fakeScheduler, s peerServer) error {
					time.Sleep(9 * time.Second)
					return errors.Join(offer(s, 1), f.untilTerminal(s))
				}})
				c := r.register()
				if a := <-c.Advice(); a.Kind != darter.UseParents {
					t.Errorf("advice %+v, want what the scheduler says", a)
				}
				if err := c.Finish(t.Context(), darter.Outcome{}); err != nil || *silent != 0 {
					t.Errorf("%v, told %d times of silence", err, *silent)
				}
			})
		})
	}
}

// What takes long every time is waited for longer.
func TestSlowPathIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, frost, silent, _ := frostyRig(t)
		defer r.end()
		defer frost.thaw()
		r.serve(one, &fakeScheduler{native: true, talk: func(f *fakeScheduler, s peerServer) error {
			return errors.Join(offer(s, 1), f.untilTerminal(s))
		}})
		r.connect()
		for range 10 { // answers that take 300 ms
			frost.freeze()
			lift := time.AfterFunc(300*time.Millisecond, frost.thaw)
			if err := r.Health(t.Context(), one); err != nil {
				t.Fatal(err)
			}
			lift.Stop()
		}
		frost.freeze()
		c := r.register()
		time.Sleep(1300 * time.Millisecond)
		frost.thaw()
		if a := <-c.Advice(); a.Kind != darter.UseParents || *silent != 0 {
			t.Errorf("advice %+v, told %d times of silence; want the answer alone", a, *silent)
		}
		if err := c.Finish(t.Context(), darter.Outcome{}); err != nil {
			t.Error(err)
		}
	})
}

func TestSchedulerThatFreezesLaterIsFoundOutWhenOthersAreNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, frost, _, _ := frostyRig(t)
		defer r.end()
		defer frost.thaw()
		r.serve(one, &fakeScheduler{native: true, talk: func(f *fakeScheduler, s peerServer) error {
			return errors.Join(offer(s, 1), f.untilTerminal(s))
		}})
		c := r.register()
		<-c.Advice()
		frost.freeze()
		time.Sleep(5 * time.Second)
		if len(c.Advice()) > 0 {
			t.Errorf("nothing was owed: %+v", <-c.Advice())
		}
		began := time.Now()
		c.Report(darter.Report{Kind: darter.NeedOthers})
		if a := <-c.Advice(); a.Kind != darter.Silent || time.Since(began) > time.Second {
			t.Errorf("advice %+v after %s, want Silent within a second", a, time.Since(began))
		}
		c.Close()
		frost.thaw()
	})
}

func TestFrozenSchedulerWithoutAConnectionIsGivenUpWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, _, _ := frostyRig(t)
		defer r.end()
		r.doors[one.String()] = bufconn.Listen(64 << 10) // takes connections, as the kernel does for a stopped process
		began := time.Now()
		_, err := r.Register(t.Context(), registration())
		if darter.KindOf(err) != darter.Unavailable || !errors.Is(err, errNoLink) || time.Since(began) > time.Second {
			t.Errorf("%v after %s, want unavailable within a second", err, time.Since(began))
		}
		if _, err := r.Register(t.Context(), registration()); !errors.Is(err, errResting) {
			t.Errorf("the next download: %v, want a refusal without a wait", err)
		}
	})
}
