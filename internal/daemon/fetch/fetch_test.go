package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/mem"
)

const mib = 1 << 20

// getAll downloads on all nodes at once and checks every byte.
func getAll(t *testing.T, w *world, nodes []*node) [3]int64 {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var total [3]int64
	for _, n := range nodes {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			got, from, err := n.get(ctx, w.want())
			if err != nil {
				t.Errorf("%s: %v", n.name, err)
			} else if !bytes.Equal(got, w.data) {
				t.Errorf("%s: got %d bytes that differ from the source's %d", n.name, len(got), len(w.data))
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range from {
				total[i] += from[i]
			}
		})
	}
	wg.Wait()
	return total
}

func TestAloneAtTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10*mib+3)
		n := w.node("a", false)
		from := getAll(t, w, []*node{n})
		if from[darter.FromSource] != int64(len(w.data)) || w.origin.sent.Load() != int64(len(w.data)) {
			t.Errorf("from %v, origin sent %d, want one copy of %d", from, w.origin.sent.Load(), len(w.data))
		}
		// The second time everything is here: the source is not even asked.
		stats := w.origin.stats.Load()
		from = getAll(t, w, []*node{n})
		if from[darter.FromCache] != int64(len(w.data)) || w.origin.stats.Load() != stats {
			t.Errorf("from %v, %d questions to the source, want all from the cache and none", from, w.origin.stats.Load()-stats)
		}
		n.stop()
	})
}

func TestSwarmTakesOneCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 48*mib)
		var nodes []*node
		for i := range 8 {
			nodes = append(nodes, w.node(string(rune('a'+i)), true))
		}
		from := getAll(t, w, nodes)
		if sent := w.origin.sent.Load(); sent != int64(len(w.data)) {
			t.Errorf("the origin sent %d bytes, want exactly one copy of %d", sent, len(w.data))
		}
		if want := 7 * int64(len(w.data)); from[darter.FromPeer] != want {
			t.Errorf("peers gave %d bytes, want %d", from[darter.FromPeer], want)
		}
		for _, n := range nodes {
			n.stop()
		}
	})
}

func TestManyAskersShareOneDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 12*mib)
		n := w.node("a", false)
		getAll(t, w, []*node{n, n, n, n, n, n})
		if sent := w.origin.sent.Load(); sent != int64(len(w.data)) {
			t.Errorf("the origin sent %d bytes, want one copy of %d", sent, len(w.data))
		}
		if ran := n.downloads(); ran != 1 {
			t.Errorf("%d downloads ran, want one", ran)
		}
		n.stop()
	})
}

func TestSourceGoerDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 64*mib)
		first := w.node("first", true)
		others := []*node{w.node("b", true), w.node("c", true), w.node("d", true)}
		s, err := first.engine.Start(t.Context(), w.want())
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(800 * time.Millisecond) // half-way at twice 20 MB/s
			first.kill()
			s.Close()
		}()
		time.Sleep(50 * time.Millisecond)
		getAll(t, w, others)
		if sent, most := w.origin.sent.Load(), int64(len(w.data)+darter.MinPieceLength/2); sent > most {
			t.Errorf("the origin sent %d bytes, want at most one copy and what was on the wire: %d", sent, most)
		}
		for _, n := range others {
			n.stop()
		}
	})
}

// The source is gone, a neighbour has everything: whoever needs no word of the source's gets it.
func TestSourceIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 12*mib)
		holder, child := w.node("holder", true), w.node("child", true)
		getAll(t, w, []*node{holder})
		w.origin.down.Store(true)
		secret := w.want()
		secret.Header = map[string]string{"Authorization": "Bearer x"}
		if _, _, err := child.get(t.Context(), secret); darter.KindOf(err) != darter.Unavailable {
			t.Errorf("with credentials: got %v, want the source's silence", err)
		}
		if from := getAll(t, w, []*node{child}); from[darter.FromPeer] != int64(len(w.data)) {
			t.Errorf("from %v, want everything from the neighbour", from)
		}
		holder.stop()
		child.stop()
	})
}

func TestSchedulerDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 64*mib)
		nodes := []*node{w.node("a", true), w.node("b", true), w.node("c", true)}
		var outage sync.WaitGroup
		outage.Go(func() {
			time.Sleep(time.Second)
			w.sched.crash()
			time.Sleep(5 * time.Second)
			w.sched.mu.Lock()
			w.sched.down = false
			w.sched.mu.Unlock()
		})
		getAll(t, w, nodes)
		outage.Wait()
		// New downloads work as well.
		fresh := w.node("fresh", true)
		getAll(t, w, []*node{fresh})
		for _, n := range append(nodes, fresh) {
			n.stop()
		}
	})
}

func TestBadParentsCostNothingButTime(t *testing.T) {
	for name, spoil := range map[string]func(*node){
		"wrong bytes": func(n *node) { n.bad.Store(true) },
		"mute":        func(n *node) { n.mute.Store(true) },
		"dead":        func(n *node) { n.dead.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 16*mib)
				good, evil := w.node("good", true), w.node("evil", true)
				getAll(t, w, []*node{good, evil})
				spoil(evil)
				child := w.node("child", true)
				getAll(t, w, []*node{child})
				if name == "wrong bytes" && !slices.Contains(child.fails, BadBytes) {
					t.Errorf("failures noted: %v, want one of %s", child.fails, BadBytes)
				}
				if told := w.sched.heard(child, darter.PieceFailed); name == "wrong bytes" && !told {
					t.Error("the scheduler was not told who sends wrong bytes")
				}
				for _, n := range []*node{good, evil, child} {
					n.stop()
				}
			})
		})
	}
}

// A parent that turns a request away is asked again, and the scheduler, which would block it, does not hear of it.
func TestBusyParentIsNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib)
		holder, child := w.node("holder", true), w.node("child", true)
		getAll(t, w, []*node{holder})
		holder.busy.Store(2)
		if from := getAll(t, w, []*node{child}); from[darter.FromPeer] != int64(len(w.data)) {
			t.Errorf("from %v, want everything from the parent", from)
		}
		if holder.busy.Load() >= 0 {
			t.Error("the parent turned nobody away: this test shows nothing")
		}
		if w.sched.heard(child, darter.PieceFailed) {
			t.Error("the scheduler was told that a busy parent failed")
		}
		holder.stop()
		child.stop()
	})
}

// A parent that refuses connections is reported at its first refusal, although no piece was ever asked of it: three strikes
// with rests between them would keep it on offer to others for seconds.
func TestRefusedConnectionIsReportedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib)
		holder, child := w.node("holder", true), w.node("child", true)
		getAll(t, w, []*node{holder})
		holder.shut.Store(true)
		var whole sync.WaitGroup
		whole.Go(func() { getAll(t, w, []*node{child}) })
		time.Sleep(500 * time.Millisecond)
		if !w.sched.heard(child, darter.PieceFailed) {
			t.Error("half a second after the refusal the scheduler does not know of it")
		}
		whole.Wait()
		holder.stop()
		child.stop()
	})
}

// A parent whose bytes are wrong but agree with their CRC is caught by the digest, and the
// source mends it.
func TestDigestCatchesALyingParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 16*mib)
		evil := w.node("evil", true)
		getAll(t, w, []*node{evil})
		evil.lie.Store(true)
		child := w.node("child", true)
		want := w.want()
		want.Digest = w.sum()
		s, err := child.engine.Start(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(w.data))
		if _, err := s.Task().ReadAt(got, 0); err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(got, w.data) {
			t.Errorf("the stored bytes are wrong (%v)", err)
		}
		if !slices.Contains(child.falls, BadDigest) {
			t.Errorf("fallbacks: %v, want %s", child.falls, BadDigest)
		}
		evil.stop()
		child.stop()
	})
}

func TestWrongDigestFailsOnlyItsAsker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5*mib)
		n := w.node("a", false)
		wrong := w.want()
		wrong.Digest = darter.Digest("sha256:" + string(bytes.Repeat([]byte("0"), 64)))
		if _, _, err := n.get(t.Context(), wrong); darter.KindOf(err) != darter.Corrupt {
			t.Errorf("got %v, want a corrupt-content error", err)
		}
		getAll(t, w, []*node{n})
		n.stop()
	})
}

func TestChangeMidDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 96*mib)
		w.origin.rate, w.origin.changeAt = 200*mib, 20*mib
		n := w.node("a", false)
		_, _, err := n.get(t.Context(), w.want())
		if _, ok := errors.AsType[*source.ChangedError](err); !ok {
			t.Fatalf("got %v, want a changed-content error", err)
		}
		getAll(t, w, []*node{n}) // the new content, whole
		n.stop()
	})
}

func TestOriginTroubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5*mib)
		n := w.node("a", true)
		w.origin.status = 404
		_, _, err := n.get(t.Context(), w.want())
		if e, ok := errors.AsType[*source.Error](err); !ok || e.Status != 404 {
			t.Errorf("got %v, want the source's 404", err)
		}
		w.origin.status = 0
		w.origin.short.Store(true)
		if _, _, err := n.get(t.Context(), w.want()); err == nil {
			t.Error("a body that always ends early gave no error")
		}
		w.origin.short.Store(false)
		getAll(t, w, []*node{n})
		n.stop()
	})
}

func TestResumeFetchesOnlyWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*mib)
		n := w.node("a", false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // about half
		defer cancel()
		if _, _, err := n.get(ctx, w.want()); darter.KindOf(err) != darter.TimedOut {
			t.Fatalf("got %v, want a timeout", err)
		}
		time.Sleep(5 * time.Second) // longer than the linger: the download is abandoned
		if n.engine.Active() != 0 {
			t.Fatal("a download nobody waits for goes on")
		}
		_, from, err := n.get(t.Context(), w.want())
		if err != nil || from[darter.FromCache] < 30*mib {
			t.Errorf("from %v (%v), want at least 30 MiB from the cache", from, err)
		}
		if sent := w.origin.sent.Load(); sent > int64(len(w.data))+darter.MinPieceLength {
			t.Errorf("the origin sent %d bytes, want one copy and less than a piece", sent)
		}
		n.stop()
	})
}

func TestUnknownLengthAndNoRanges(t *testing.T) {
	for name, set := range map[string]func(*origin){
		"no length": func(o *origin) { o.noLength = true },
		"no ranges": func(o *origin) { o.noRanges = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 9*mib)
				set(w.origin)
				n := w.node("a", false)
				getAll(t, w, []*node{n})
				if sent := w.origin.sent.Load(); sent != int64(len(w.data)) {
					t.Errorf("the origin sent %d bytes, want one copy of %d", sent, len(w.data))
				}
				n.stop()
			})
		})
	}
}

func TestRangeFetchesItsPiecesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*mib)
		n := w.node("a", false)
		want := w.want()
		want.Range = &darter.Range{Start: 5 * mib, Length: 1}
		got, _, err := n.get(t.Context(), want)
		if err != nil || !bytes.Equal(got, w.data[4*mib:8*mib]) {
			t.Errorf("%d bytes (%v), want piece 1", len(got), err)
		}
		if sent := w.origin.sent.Load(); sent != 4*mib {
			t.Errorf("the origin sent %d bytes, want one piece", sent)
		}
		want.Range, want.Header = nil, map[string]string{"range": "bytes=-1"}
		if got, _, err := n.get(t.Context(), want); err != nil || !bytes.Equal(got, w.data[36*mib:]) {
			t.Errorf("%d bytes (%v), want the last piece for the Range header", len(got), err)
		}
		want.Header["range"] = "bytes=50000000-"
		if _, _, err := n.get(t.Context(), want); err == nil {
			t.Error("a Range header past the end gave no error")
		}
		want.Range = &darter.Range{Start: 40 * mib, Length: 1}
		if _, _, err := n.get(t.Context(), want); darter.KindOf(err) != darter.Invalid {
			t.Errorf("a range past the end gave %v, want an invalid-request error", err)
		}
		n.stop()
	})
}

func TestSourceNotAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5*mib)
		n := w.node("a", false)
		want := w.want()
		want.DisableSource = true
		if _, _, err := n.get(t.Context(), want); darter.KindOf(err) != darter.Unavailable {
			t.Errorf("got %v, want an unavailable error", err)
		}
		if w.origin.sent.Load() != 0 {
			t.Error("the source was asked")
		}
		n.stop()
	})
}

// A seed that is asked right after its scheduler came back may not be connected yet: the scheduler is alive, so its word
// is awaited.
func TestAskedSeedWaitsForItsScheduler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 12*mib)
		n := w.node("seed", true)
		w.sched.crash()
		want := w.want()
		want.NeedSource = true
		s, err := n.engine.Start(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		time.Sleep(500 * time.Millisecond)
		if sent := w.origin.sent.Load(); sent != 0 {
			t.Errorf("the origin sent %d bytes before the scheduler spoke", sent)
		}
		w.sched.mu.Lock()
		w.sched.down = false
		w.sched.mu.Unlock()
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.mu.Lock()
		falls := slices.Clone(n.falls)
		n.mu.Unlock()
		if len(falls) != 0 {
			t.Errorf("fallbacks: %v, want none", falls)
		}
		n.stop()
	})
}

// A download that does not fit must not keep the disk full.
func TestFullStoreLetsGoOfWhatDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 24*mib)
		var st store.Store
		n := w.node("a", false, func(c *Config) { st = mem.New(mem.Config{Limit: 10 * mib}); c.Store = st })
		if _, _, err := n.get(t.Context(), w.want()); darter.KindOf(err) != darter.NoSpace {
			t.Errorf("got %v, want no space", err)
		}
		synctest.Wait()
		if left := st.List(); len(left) != 0 {
			t.Errorf("%d tasks are left, want none", len(left))
		}
		n.stop()
	})
}

func TestEmptyContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0)
		n := w.node("a", true)
		getAll(t, w, []*node{n})
		n.stop()
	})
}

func TestOutputFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5*mib)
		n := w.node("a", false)
		want := w.want()
		want.OutputPath = filepath.Join(t.TempDir(), "out")
		if _, _, err := n.get(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(want.OutputPath); err != nil || !bytes.Equal(got, w.data) {
			t.Errorf("the output file is wrong (%v)", err)
		}
		if _, _, err := n.get(t.Context(), want); darter.KindOf(err) != darter.Conflict {
			t.Errorf("an existing file gave %v, want a conflict", err)
		}
		want.Overwrite = true
		if _, _, err := n.get(t.Context(), want); err != nil {
			t.Error(err)
		}
		n.stop()
	})
}

func TestDeletedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 64*mib)
		n := w.node("a", false)
		s, err := n.engine.Start(t.Context(), w.want())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := n.store.Remove(s.ID()); err != nil {
			t.Fatal(err)
		}
		if err := s.Wait(t.Context()); darter.KindOf(err) != darter.NotFound {
			t.Errorf("got %v, want not found", err)
		}
		n.stop()
	})
}

func TestRecallAnnouncesACompleteTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5*mib)
		n := w.node("a", true, func(c *Config) { c.Farewell = time.Second })
		getAll(t, w, []*node{n})
		id, _ := n.engine.cfg.Identify(w.want())
		if st, err := n.store.Open(id); err != nil || st.State() != store.Complete {
			t.Fatalf("the task is not complete (%v)", err)
		}
		// This scheduler does not know metadata-only registrations: the recall must say so, in bounded time.
		if err := n.engine.Recall(t.Context(), id, w.want()); err == nil {
			t.Error("a recall that was not recorded gave no error")
		}
		n.stop()
	})
}
