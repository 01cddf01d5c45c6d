package rpc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

func TestSchedulerThatNeverAnswersIsGivenUpAndLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down int
		r := newRig(t, func(c *SchedulersConfig) { c.Events.Down = func(netip.AddrPort, error) { down++ } })
		defer r.end()
		f := &fakeScheduler{mute: true, talk: func(_ *fakeScheduler, s peerServer) error { <-s.Context().Done(); return nil }}
		r.serve(one, f)
		r.Set([]netip.AddrPort{one})
		began := time.Now()
		c := r.register()
		if _, open := <-c.Advice(); open {
			t.Fatal("advice from nobody")
		}
		if took := time.Since(began); took != 10*time.Second || darter.KindOf(c.Err()) != darter.Unavailable {
			t.Errorf("after %s: %v, want unavailable after 10s", took, c.Err())
		}
		began = time.Now()
		if _, err := r.Register(t.Context(), registration()); darter.KindOf(err) != darter.Unavailable || time.Since(began) != 0 || !errors.Is(err, errResting) {
			t.Errorf("at once after: %v in %s, want a refusal without a wait", err, time.Since(began))
		}
		time.Sleep(6 * time.Second)
		again := r.register()
		again.Close()
		if down != 1 {
			t.Errorf("Down was told %d times, want once", down)
		}
	})
}

func TestSchedulerThatCannotBeReachedFailsWithinThreeSeconds(t *testing.T) {
	for name, dial := range map[string]func(context.Context, string) (net.Conn, error){
		"refuses": func(context.Context, string) (net.Conn, error) { return nil, errors.New("connection refused") },
		"swallows": func(ctx context.Context, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var down int
				r := newRig(t, func(c *SchedulersConfig) {
					c.Dial = dial
					c.Events.Down = func(netip.AddrPort, error) { down++ }
				})
				defer r.end()
				if _, err := r.Register(t.Context(), registration()); darter.KindOf(err) != darter.Unavailable {
					t.Errorf("without any scheduler: %v", err)
				}
				r.Set([]netip.AddrPort{one})
				began := time.Now()
				_, err := r.Register(t.Context(), registration())
				if took := time.Since(began); darter.KindOf(err) != darter.Unavailable || took > 3*time.Second {
					t.Errorf("%v after %s, want unavailable within 3s", err, took)
				}
				time.Sleep(10 * time.Second)
				if _, err := r.Register(t.Context(), registration()); darter.KindOf(err) != darter.Unavailable || errors.Is(err, errResting) {
					t.Errorf("after a rest: %v, want another try", err)
				}
				if down != 1 {
					t.Errorf("Down was told %d times in one outage, want once", down)
				}
			})
		})
	}
}

func TestSchedulerThatClosesEarly(t *testing.T) {
	for name, c := range map[string]struct {
		answer error
		want   darter.Kind
	}{
		"well":      {nil, darter.Unavailable},
		"forbidden": {status.Error(codes.FailedPrecondition, "priority 1"), darter.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				defer r.end()
				r.serve(one, &fakeScheduler{talk: func(f *fakeScheduler, s peerServer) error {
					_, err := f.read(s)
					return errors.Join(err, c.answer)
				}})
				r.Set([]netip.AddrPort{one})
				conv := r.register()
				if _, open := <-conv.Advice(); open {
					t.Fatal("advice from nobody")
				}
				conv.Report(darter.Report{Kind: darter.Started}) // to nobody
				if err := conv.Finish(t.Context(), darter.Outcome{}); darter.KindOf(err) != c.want {
					t.Errorf("Finish: %v (%s), want %s", err, darter.KindOf(err), c.want)
				}
				next := r.register() // one conversation that went wrong says nothing of the scheduler
				next.Close()
			})
		})
	}
}

func TestSchedulerThatNeverReadsIsGivenUpWhenTheQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.end()
		r.serve(one, &fakeScheduler{talk: func(_ *fakeScheduler, s peerServer) error { <-s.Context().Done(); return nil }})
		r.Set([]netip.AddrPort{one})
		c := r.register()
		for range 20_000 { // gRPC's windows take the first ones
			c.Report(darter.Report{Kind: darter.PieceDone, Piece: piece(1, "parent", darter.FromPeer)})
		}
		if _, open := <-c.Advice(); open || darter.KindOf(c.Err()) != darter.Unavailable || !errors.Is(c.Err(), errOverflow) {
			t.Errorf("after 20,000 reports to a deaf scheduler: %v", c.Err())
		}
	})
}

func TestSchedulerThatNeverClosesDoesNotHoldFinishUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.end()
		r.serve(one, &fakeScheduler{talk: func(f *fakeScheduler, s peerServer) error {
			_ = f.untilTerminal(s)
			<-s.Context().Done()
			return nil
		}})
		r.Set([]netip.AddrPort{one})
		c := r.register()
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		began := time.Now()
		if err := c.Finish(ctx, darter.Outcome{}); darter.KindOf(err) != darter.TimedOut || time.Since(began) != 7*time.Second {
			t.Errorf("Finish: %v after %s, want timed out after 7s", err, time.Since(began))
		}
	})
}

// What nobody reads any more must not keep the end of the stream from being seen.
func TestSchedulerThatTalksOnDoesNotHoldFinishUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.end()
		r.serve(one, &fakeScheduler{talk: func(f *fakeScheduler, s peerServer) error {
			for range 100 {
				if err := offer(s, 1); err != nil {
					return err
				}
			}
			return f.untilTerminal(s)
		}})
		r.Set([]netip.AddrPort{one})
		c := r.register()
		<-c.Advice()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Finish(ctx, darter.Outcome{}); err != nil {
			t.Errorf("Finish: %v", err)
		}
	})
}

func TestSchedulerThatForgotThisHostIsIntroducedToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *rig
		r = newRig(t, func(c *SchedulersConfig) {
			c.Introduce = func(ctx context.Context, at netip.AddrPort) error {
				return r.AnnounceHost(ctx, at, darter.Host{ID: "10.0.0.1-child", Hostname: "child", IP: netip.MustParseAddr("10.0.0.1"), Port: 4000, Epoch: 7})
			}
		})
		defer r.end()
		f := &fakeScheduler{native: true}
		f.talk = func(f *fakeScheduler, s peerServer) error {
			m, err := f.read(s)
			if err != nil {
				return err
			}
			f.mu.Lock()
			known := f.known[m.GetHostId()]
			f.mu.Unlock()
			if !known {
				for range 2 { // what was said before must be said again
					if _, err := f.read(s); err != nil {
						return err
					}
				}
				return status.Error(codes.NotFound, "host is not known")
			}
			return errors.Join(toSource(s, "source"), f.untilTerminal(s))
		}
		r.serve(one, f)
		r.Set([]netip.AddrPort{one})
		c := r.register(2)
		c.Report(darter.Report{Kind: darter.Started})
		if a := <-c.Advice(); a.Kind != darter.GoToSource {
			t.Fatalf("advice %+v, err %v", a, c.Err())
		}
		if err := c.Finish(t.Context(), darter.Outcome{}); err != nil {
			t.Fatal(err)
		}
		once := []string{"register_peer_request", "download_piece_finished_request", "download_peer_started_request"}
		want := append(slices.Concat(once, once), "download_peer_finished_request")
		if got := words(f.messages()); !slices.Equal(got, want) {
			t.Errorf("said %v, want %v", got, want)
		}
		if md := f.metadata[1].Get(wire.MetaEpoch); !slices.Equal(md, []string{"7"}) {
			t.Errorf("the introduction carried epoch %v, want 7", md)
		}
	})
}

func TestSetMovesTasksAndLetsConversationsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.end()
		two := netip.MustParseAddrPort("192.168.1.12:8002")
		first := &fakeScheduler{talk: (*fakeScheduler).untilTerminal}
		second := &fakeScheduler{talk: (*fakeScheduler).untilTerminal}
		r.serve(one, first)
		r.serve(two, second)
		r.Set([]netip.AddrPort{one})
		old := r.register()
		r.Set([]netip.AddrPort{two})
		fresh := r.register()
		for _, c := range []*Conversation{old, fresh} {
			if err := c.Finish(t.Context(), darter.Outcome{}); err != nil {
				t.Error(err)
			}
		}
		if len(first.messages()) != 2 || len(second.messages()) != 2 {
			t.Errorf("the schedulers heard %v and %v", words(first.messages()), words(second.messages()))
		}
		if err := r.Leave(t.Context(), "10.0.0.1-child", 7); err != nil || len(second.deleted) != 1 || len(first.deleted) != 0 {
			t.Errorf("Leave: %v; goodbyes heard %v, %v", err, first.deleted, second.deleted)
		}
	})
}

func TestRunNoticesASchedulerThatReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		returned := make(chan netip.AddrPort, 8)
		r := newRig(t, func(c *SchedulersConfig) { c.Events.Returned = func(at netip.AddrPort) { returned <- at } })
		defer r.end()
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- r.Run(ctx) }()
		f := &fakeScheduler{native: true, talk: (*fakeScheduler).untilTerminal}
		stop := r.serve(one, f)
		r.Set([]netip.AddrPort{one})
		if err := r.AnnounceHost(t.Context(), one, darter.Host{ID: "h", Hostname: "h", IP: one.Addr(), Port: 4000}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if st := r.Status(); len(st) != 1 || !st[0].Up || !st[0].Native || len(returned) != 0 {
			t.Errorf("status %+v, %d returns; want up, native, none", st, len(returned))
		}
		stop()
		synctest.Wait()
		if st := r.Status(); st[0].Up {
			t.Errorf("after its end: %+v, want down", st)
		}
		time.Sleep(time.Minute)
		defer r.serve(one, f)()
		began := time.Now()
		if at := <-returned; at != one || time.Since(began) > 4*time.Second {
			t.Errorf("%s returned after %s, want within 4s", at, time.Since(began))
		}
		cancel()
		if err := <-ran; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
}

// A frozen process keeps its connections; only pings tell. Plain schedulers are spared them.
func TestOnlyOurOwnSchedulersArePinged(t *testing.T) {
	for name, native := range map[string]bool{"native": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				defer r.end()
				r.serve(one, &fakeScheduler{native: native, talk: (*fakeScheduler).untilTerminal})
				r.Set([]netip.AddrPort{one})
				for range 2 {
					if err := r.register().Finish(t.Context(), darter.Outcome{}); err != nil {
						t.Fatal(err)
					}
				}
				m, done := r.member(one)
				defer done()
				if m.mu.link.pings != native {
					t.Errorf("the second connection pings: %v", m.mu.link.pings)
				}
			})
		})
	}
}

func TestHealthAsksOutsideTheSetAsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.end()
		r.serve(one, &fakeScheduler{})
		if err := r.Health(t.Context(), one); err != nil {
			t.Error(err)
		}
		if err := r.Health(t.Context(), netip.MustParseAddrPort("10.9.9.9:1")); darter.KindOf(err) != darter.Unavailable {
			t.Errorf("nobody is there: %v", err)
		}
		if _, err := r.ListHosts(t.Context()); darter.KindOf(err) != darter.Unavailable {
			t.Errorf("ListHosts without schedulers: %v", err)
		}
	})
}

// TestAnnouncementsNameRunAndStore: what the API has no field for, and nothing where nothing is known.
func TestAnnouncementsNameRunAndStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.end()
		f := &fakeScheduler{native: true}
		r.serve(one, f)
		r.Set([]netip.AddrPort{one})
		h := darter.Host{ID: "h", Hostname: "h", IP: netip.MustParseAddr("10.0.0.1"), Port: 4000}
		for i, want := range []map[string]string{{}, {wire.MetaEpoch: "9", wire.MetaStorage: "ffffffffffffffff", wire.MetaKeeps: "3600"}} {
			if i > 0 {
				h.Epoch, h.Storage, h.Keeps = 9, 1<<64-1, time.Hour
			}
			if err := r.AnnounceHost(t.Context(), one, h); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{wire.MetaEpoch, wire.MetaStorage, wire.MetaKeeps} {
				if got := strings.Join(f.metadata[i].Get(key), ","); got != want[key] {
					t.Errorf("announcement %d: %s is %q, want %q", i, key, got, want[key])
				}
			}
		}
	})
}
