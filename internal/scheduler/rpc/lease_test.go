package rpc_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/internal/daemon/announce"
	"github.com/darter-p2p/darter/internal/scheduler/rpc"
)

// TestADayOnALease: thousands of renewals, each at the granted time, and an announcement each ten minutes.
func TestADayOnALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.open(true, nil)
		p := s.speak(nil)
		time.Sleep(24*time.Hour + time.Second)
		before := s.bytes.Load()
		time.Sleep(50 * time.Second)
		got := s.book.read()
		if n := len(got.renewals); n != 24*72+2 {
			t.Errorf("%d renewals in a day and 51s at one each 50s", n)
		}
		for i, r := range got.renewals {
			if r.Host != host || r.Epoch != 41 || r.Seq != uint64(i+1) || i > 0 && got.times[i].Sub(got.times[i-1]) != 50*time.Second {
				t.Fatalf("renewal %d at %s: %+v", i, got.times[i], r)
			}
		}
		intervals := s.plain.announced()
		if len(intervals) != 1+24*6 || intervals[0] != time.Minute || slices.ContainsFunc(intervals[1:], func(d time.Duration) bool { return d != 10*time.Minute }) {
			t.Errorf("%d announcements of %v: want 1 and 144, the first promising 1m, the others 10m", len(intervals), slices.Compact(intervals))
		}
		if spent := s.bytes.Load() - before; spent > 300 {
			t.Errorf("50 idle seconds cost %d bytes on the connection", spent)
		}
		leased, lost, _ := p.news()
		p.stop()
		synctest.Wait()
		if got := s.book.read(); leased != 1 || len(lost) > 0 || len(got.broken) != 1 || got.broken[0] != nil {
			t.Errorf("leased %d times, lost %v; at the orderly end the scheduler saw %v, want nil once", leased, lost, got.broken)
		}
		s.close()
	})
}

func TestAPlainSchedulerHearsAnnouncementsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.open(false, nil)
		p := s.speak(nil)
		time.Sleep(15*time.Minute + time.Second)
		intervals := s.plain.announced()
		if len(intervals) != 16 || slices.ContainsFunc(intervals, func(d time.Duration) bool { return d != time.Minute }) {
			t.Errorf("announced %d times: %v, want 16 times 1m", len(intervals), intervals)
		}
		if _, lost, _ := p.news(); len(lost) != 2 || darter.KindOf(lost[0]) != darter.NotFound || darter.KindOf(lost[1]) != darter.NotFound {
			t.Errorf("asked for a lease: %v, want two refusals in 15m", lost)
		}
		s.close() // it is replaced by one of ours
		time.Sleep(time.Minute)
		s.open(true, nil)
		time.Sleep(11 * time.Minute)
		if leased, _, _ := p.news(); leased != 1 {
			t.Errorf("the scheduler that replaced it granted %d leases", leased)
		}
		p.stop()
		s.close()
	})
}

func TestABrokenStreamIsEvidenceAndIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.open(true, nil)
		p := s.speak(nil)
		time.Sleep(3 * time.Minute)
		s.cut()
		synctest.Wait()
		if got := s.book.read(); len(got.broken) != 1 || got.broken[0] == nil {
			t.Fatalf("the scheduler saw %v, want one break", got.broken)
		}
		n := len(s.book.read().renewals)
		time.Sleep(3 * time.Second)
		got := s.book.read()
		if len(got.renewals) != n+1 || got.renewals[n].Seq != 1 {
			t.Errorf("3s after the break %d renewals more: %+v", len(got.renewals)-n, got.renewals[n:])
		}
		if a := s.plain.announced(); len(a) != 2 || a[1] != time.Minute {
			t.Errorf("announced %v: want again after the break, promising the interval of a host without a lease", a)
		}
		p.stop()
		s.close()
	})
}

// TestASchedulerThatIsAway is asked for leases less and less often, and is told of the host when it returns.
func TestASchedulerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.open(true, nil)
		p := s.speak(nil)
		time.Sleep(time.Minute)
		s.close()
		if got := s.book.read(); len(got.broken) != 0 {
			t.Errorf("a scheduler that stops takes it for news of its hosts: %v", got.broken)
		}
		time.Sleep(time.Hour)
		_, lost, _ := p.news()
		if len(lost) < 100 || len(lost) > 200 {
			t.Errorf("asked %d times for a lease in an hour, want some 120", len(lost))
		}
		s.open(true, nil)
		back := len(s.book.read().renewals)
		time.Sleep(45 * time.Second)
		if got := s.book.read(); len(got.renewals) == back {
			t.Error("no renewal within 45s of the return")
		}
		p.stop()
		s.close()
	})
}

func TestASupersededRunStandsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.book.grant = darter.Grant{Superseded: true, Epoch: 99}
		s.open(true, nil)
		p := s.speak(nil)
		time.Sleep(10 * time.Minute)
		_, lost, superseded := p.news()
		if len(superseded) < 15 || len(superseded) > 30 || superseded[0] != 99 {
			t.Errorf("told %d times in 10m that a later run speaks (%v): want one each half minute", len(superseded), superseded)
		}
		if len(lost) != len(superseded) || darter.KindOf(lost[0]) != darter.Conflict {
			t.Errorf("leases lost: %v", lost)
		}
		s.book.change(func(b *book) { b.grant = darter.Grant{Next: 10 * time.Second} }) // the other run ended
		time.Sleep(time.Minute)
		if leased, _, _ := p.news(); leased != 1 {
			t.Errorf("leased %d times after the other run ended", leased)
		}
		p.stop()
		s.close()
	})
}

func TestGrantsAreObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.book.grant = darter.Grant{Next: 250 * time.Millisecond} // fractions of a second are allowed
		s.open(true, nil)
		p := s.speak(nil)
		time.Sleep(10*time.Second + time.Millisecond)
		if n := len(s.book.read().renewals); n != 41 {
			t.Errorf("%d renewals in 10s at one each 250ms", n)
		}
		s.book.change(func(b *book) { b.grant = darter.Grant{Next: time.Minute} })
		time.Sleep(time.Second)
		n := len(s.book.read().renewals)
		if !s.lease.Prompt(host, darter.Grant{RenewNow: true}) {
			t.Error("no stream to prompt")
		}
		synctest.Wait()
		if got := len(s.book.read().renewals); got != n+1 {
			t.Errorf("%d renewals after a prompt", got-n)
		}
		if s.lease.Prompt(host, darter.Grant{AnnounceFull: true}); s.lease.Prompt("nobody", darter.Grant{}) {
			t.Error("a host without a stream was prompted")
		}
		synctest.Wait()
		if a := s.plain.announced(); len(a) != 2 || a[1] != 10*time.Minute {
			t.Errorf("announced %v after AnnounceFull", a)
		}
		s.lease.Prompt(host, darter.Grant{Next: 2 * time.Second})
		time.Sleep(2*time.Second + time.Millisecond)
		if got := len(s.book.read().renewals); got != n+2 {
			t.Errorf("%d renewals after a prompt for another interval", got-n-1)
		}
		p.mu.Lock()
		p.host.Location = "elsewhere"
		p.mu.Unlock()
		time.Sleep(time.Minute + time.Second)
		if a := s.plain.announced(); len(a) != 3 {
			t.Errorf("a host that changed announced itself %d times more", len(a)-2)
		}
		p.stop()
		s.close()
	})
}

// TestASchedulerThatWantsTooMuch always wants to be announced to and renewed with: it gets no more than a host can bear.
func TestASchedulerThatWantsTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.book.grant = darter.Grant{Next: time.Millisecond, AnnounceFull: true}
		s.open(true, nil)
		p := s.speak(nil)
		time.Sleep(10 * time.Second)
		if n, a := len(s.book.read().renewals), len(s.plain.announced()); n > 1001 || a > 11 {
			t.Errorf("%d renewals and %d announcements in 10s", n, a)
		}
		p.stop()
		s.close()
	})
}

func task(n int) darter.Location {
	h := sha256.Sum256(fmt.Append(nil, n))
	return darter.Location{Task: darter.TaskID(hex.EncodeToString(h[:])), Layout: darter.LayoutOf(100<<20, 0), Complete: true}
}

// compare has a host hold held and the scheduler know known, runs one comparison, and returns the bytes it took.
func compare(t *testing.T, s *site, held, known []darter.Location, change func(*rpc.LeaseConfig)) int64 {
	t.Helper()
	holdings := announce.NewHoldings()
	holdings.Known()
	holdings.Divide([]netip.AddrPort{door})
	for _, l := range held {
		holdings.Put(l)
	}
	s.book.known = known
	s.open(true, change)
	p := s.speak(func(c *announce.Config) { c.Inventory = holdings })
	time.Sleep(49 * time.Second)
	before := s.bytes.Load()
	s.book.change(func(b *book) { b.grant.WantInventory = true })
	time.Sleep(2 * time.Second)
	s.book.change(func(b *book) { b.grant.WantInventory = false })
	time.Sleep(45 * time.Second)
	spent := s.bytes.Load() - before
	p.stop()
	s.close()
	if got := s.book.read(); got.compared != 1 || len(got.renewals) != 2 {
		t.Errorf("%d comparisons, %d renewals; want 1 and 2", got.compared, len(got.renewals))
	}
	return spent
}

func TestOnlyDifferencesTravel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		var held, known []darter.Location
		for n := range 10_000 {
			if n != 17 {
				held = append(held, task(n))
			}
			if n != 4711 {
				known = append(known, task(n))
			}
		}
		part := task(99)
		part.Complete, part.Pieces = false, darter.Pieces(0, 3)
		held[98] = part
		spent := compare(t, s, held, known, nil)
		got := s.book.read()
		if len(got.gained) != 2 || len(got.lost) != 1 || got.lost[0] != task(17).Task ||
			!slices.ContainsFunc(got.gained, func(l darter.Location) bool { return l.Task == task(4711).Task && l.Complete }) ||
			!slices.ContainsFunc(got.gained, func(l darter.Location) bool { return l.Task == part.Task && !l.Complete && l.Pieces.Equal(part.Pieces) }) {
			t.Errorf("gained %v, lost %v", got.gained, got.lost)
		}
		if spent > 12_000 { // 10,000 locations have 450,000
			t.Errorf("three differences among 10,000 tasks took %d bytes", spent)
		}
		t.Logf("three differences among 10,000 tasks took %d bytes, %+v", spent, s.done)
	})
}

// TestARestartedSchedulerLearnsEverything within the budget, in pages that its taker can bear.
func TestARestartedSchedulerLearnsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		var held []darter.Location
		for n := range 5_000 {
			held = append(held, task(n))
		}
		spent := compare(t, s, held, nil, func(c *rpc.LeaseConfig) { c.LocationRate = 1000 })
		got := s.book.read()
		if len(got.gained) != len(held) || got.pages > 256 {
			t.Errorf("%d of %d tasks were learnt, at most %d at once", len(got.gained), len(held), got.pages)
		}
		if perTask := spent / int64(len(held)); perTask > 60 {
			t.Errorf("%d bytes for each task", perTask)
		}
		// 5,000 locations with a burst of 8,192 need no wait; the daemon's own budget of 20,000 does not bind either.
		t.Logf("%d bytes for each task, %+v", spent/int64(len(held)), s.done)
	})
}

func TestAnEmptyHostLosesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		var known []darter.Location
		for n := range 3_000 {
			known = append(known, task(n))
		}
		compare(t, s, nil, known, nil)
		if got := s.book.read(); len(got.lost) != len(known) || got.pages > 256 {
			t.Errorf("%d of %d tasks are lost, at most %d at once", len(got.lost), len(known), got.pages)
		}
	})
}

// TestStreamsThatMisbehave end with a reason, and cost nothing afterwards.
func TestStreamsThatMisbehave(t *testing.T) {
	page := &darterv1.Answer{Question: &darterv1.Question{Limit: 1}}
	another := renewal(2)
	another.GetRenewal().HostId = "somebody else"
	for name, c := range map[string]struct {
		words []*darterv1.LeaseRequest
		code  codes.Code
		news  bool // of the host
		after time.Duration
	}{
		"says nothing":           {nil, codes.DeadlineExceeded, false, 10 * time.Second},
		"falls silent":           {[]*darterv1.LeaseRequest{renewal(1)}, codes.DeadlineExceeded, true, 200 * time.Second},
		"an empty word":          {[]*darterv1.LeaseRequest{{}}, codes.InvalidArgument, false, 0},
		"nobody":                 {[]*darterv1.LeaseRequest{{Word: &darterv1.LeaseRequest_Renewal{Renewal: &darterv1.Renewal{Epoch: 1, Seq: 1}}}}, codes.InvalidArgument, false, 0},
		"speaks for another":     {[]*darterv1.LeaseRequest{renewal(1), another}, codes.InvalidArgument, true, 0},
		"answers unasked":        {[]*darterv1.LeaseRequest{renewal(1), {Word: &darterv1.LeaseRequest_Answer{Answer: page}}}, codes.InvalidArgument, true, 0},
		"answers before it says": {[]*darterv1.LeaseRequest{{Word: &darterv1.LeaseRequest_Answer{Answer: page}}}, codes.InvalidArgument, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.open(true, nil)
				stream, end := s.raw(t.Context())
				began := time.Now()
				for _, w := range c.words {
					_ = stream.Send(w)
				}
				var err error
				for err == nil {
					_, err = stream.Recv()
				}
				if status.Code(err) != c.code || time.Since(began) != c.after {
					t.Errorf("ended after %s with %v; want %s after %s", time.Since(began), err, c.code, c.after)
				}
				synctest.Wait()
				if got := s.book.read(); (len(got.broken) == 1) != c.news || len(s.endings()) != 1 {
					t.Errorf("news of the host: %v, streams ended: %v", got.broken, s.endings())
				}
				end()
				s.close()
			})
		})
	}
}

func TestAHostThatRenewsWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.open(true, nil)
		stream, end := s.raw(t.Context())
		go func() {
			for seq := uint64(1); stream.Send(renewal(seq)) == nil; seq++ {
			}
		}()
		var err error
		for err == nil {
			_, err = stream.Recv()
		}
		// Whichever is noticed first: that it renews without end, or that it does not wait for its grants.
		if n := len(s.book.read().renewals); status.Code(err) != codes.InvalidArgument && status.Code(err) != codes.Unavailable || n > 20 {
			t.Errorf("%d renewals were taken at once, then %v", n, err)
		}
		end()
		synctest.Wait()
		s.close()
	})
}

// TestAHostThatDoesNotRead loses its stream when its queue is full; the goroutine that wrote to it is free again.
func TestAHostThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.open(true, nil)
		stream, end := s.raw(t.Context())
		if err := stream.Send(renewal(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		sent := 0
		for ; sent < 1_000_000 && s.lease.Prompt(host, darter.Grant{Epoch: 1, Next: time.Hour}); sent++ {
			if sent%8 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		ends := s.endings()
		if len(ends) != 1 || darter.KindOf(ends[0]) != darter.Unavailable || s.lease.Streams() != 0 || len(s.book.read().broken) != 1 {
			t.Errorf("after %d words that were not read: %v, %d streams, news %v", sent, ends, s.lease.Streams(), s.book.read().broken)
		}
		end()
		s.close()
	})
}

// bytesCodec passes bytes through, so that a test can send what no message is.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (bytesCodec) Unmarshal(mem.BufferSlice, any) error { return nil }
func (bytesCodec) Name() string                         { return "proto" }

func TestBytesThatAreNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.open(true, nil)
		conn, err := grpc.NewClient("passthrough:///scheduler", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(s.dial))
		if err != nil {
			t.Fatal(err)
		}
		stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, darterv1.Liveness_Lease_FullMethodName, grpc.ForceCodecV2(bytesCodec{}))
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.SendMsg([]byte{0xff, 0xff, 0xff, 0xff, 0x07})
		var into []byte
		for err == nil {
			err = stream.RecvMsg(&into)
		}
		synctest.Wait()
		if len(s.endings()) != 1 || s.lease.Streams() != 0 || errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v here, %v there", err, s.endings())
		}
		_ = conn.Close()
		s.close()
	})
}

// TestASecondStreamOfTheSameRun replaces the first, whose end is then no news of the host.
func TestASecondStreamOfTheSameRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.open(true, nil)
		first, endFirst := s.raw(t.Context())
		if err := first.Send(renewal(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		second, endSecond := s.raw(ctx)
		if err := second.Send(renewal(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := s.book.read(); len(got.broken) != 0 || s.lease.Streams() != 1 || darter.KindOf(s.endings()[0]) != darter.Conflict {
			t.Errorf("news %v, %d streams, ended %v", got.broken, s.lease.Streams(), s.endings())
		}
		cancel()
		synctest.Wait()
		if got := s.book.read(); len(got.broken) != 1 {
			t.Errorf("the end of the second stream is no news: %v", got.broken)
		}
		endFirst()
		endSecond()
		s.close()
	})
}

func TestAHostThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.book.grant.WantInventory = true
		s.open(true, func(c *rpc.LeaseConfig) { c.Walks = 1 })
		stream, end := s.raw(t.Context())
		m := renewal(1)
		m.GetRenewal().Inventory = &darterv1.InventoryDigest{Tasks: 5, Sum: 5}
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var err error
		questions := 0
		for err == nil {
			var w *darterv1.LeaseResponse
			if w, err = stream.Recv(); w.GetQuestions() != nil {
				questions++
			}
		}
		if questions != 1 || status.Code(err) != codes.DeadlineExceeded || time.Since(began) != 30*time.Second {
			t.Errorf("%d questions, then %v after %s", questions, err, time.Since(began))
		}
		end()
		synctest.Wait()
		spent := compareAgain(t, s)
		if spent != 1 {
			t.Errorf("%d comparisons after the place of the first was free again", spent)
		}
		s.close()
	})
}

// compareAgain has the daemon answer, and returns how many comparisons came to their end.
func compareAgain(t *testing.T, s *site) int {
	t.Helper()
	holdings := announce.NewHoldings()
	holdings.Known()
	holdings.Divide([]netip.AddrPort{door})
	holdings.Put(task(1))
	p := s.speak(func(c *announce.Config) { c.Inventory = holdings })
	time.Sleep(time.Second)
	p.stop()
	got := s.book.read()
	if len(got.gained) != 1 || got.gained[0].Task != task(1).Task {
		t.Errorf("gained %v", got.gained)
	}
	return got.compared
}
