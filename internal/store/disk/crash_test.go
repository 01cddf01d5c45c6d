package disk

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/storetest"
)

// witness drives a store and knows what it was promised: which tasks must be complete, and which must be gone.
type witness struct {
	fs    *crashFS
	s     *Store
	facts []fact
}

// fact says what must hold from change number from on, up to change number to; to is -1 while it lasts.
type fact struct {
	id       darter.TaskID
	complete bool // else gone
	from, to int
}

const pieceLength, length = 100, 330

// truth is the only content a task of this id and version may show.
func truth(m store.Meta) []byte {
	seed := uint64(m.ID[63]) * 7
	for _, c := range m.Version {
		seed += uint64(c)
	}
	return storetest.Bytes(seed, m.Layout.Length)
}

func meta(n int, version string) store.Meta {
	m := storetest.Meta(n, length, pieceLength)
	m.Version = version
	return m
}

func (w *witness) void(id darter.TaskID) {
	for i := range w.facts {
		if w.facts[i].id == id && w.facts[i].to < 0 {
			w.facts[i].to = w.fs.size()
		}
	}
}

func (w *witness) open() error {
	s, err := openOn(config("/store"), w.fs)
	w.s = s
	return err
}

func (w *witness) put(m store.Meta, pieces ...uint32) error {
	w.endGone(m.ID)
	t, err := w.s.Create(m)
	if err != nil {
		return err
	}
	for _, n := range pieces {
		if err := storetest.Put(t, n, truth(m)); err != nil && darter.KindOf(err) != darter.Conflict {
			return err
		}
	}
	return nil
}

// endGone ends a promise that the task is gone.
func (w *witness) endGone(id darter.TaskID) {
	for i, f := range w.facts {
		if f.id == id && f.to < 0 && !f.complete {
			w.facts[i].to = w.fs.size()
		}
	}
}

// hedge lets a writer of wrong bytes begin, and either give up or lose against one that has the right ones.
func (w *witness) hedge(m store.Meta, n uint32, win bool) error {
	w.endGone(m.ID)
	t, err := w.s.Create(m)
	if err != nil {
		return err
	}
	first, err := t.Writer(n)
	if err != nil {
		return nil // held already
	}
	defer first.Abort()
	if _, err := first.Write(make([]byte, 17)); err != nil {
		return err
	}
	if !win {
		return nil
	}
	return storetest.Put(t, n, truth(m))
}

func (w *witness) finish(id darter.TaskID) error {
	t, err := w.s.Open(id)
	if err != nil {
		return err
	}
	d, _ := store.Sum("crc32:", bytes.NewReader(truth(t.Meta())))
	if err := t.Finish(d); err != nil {
		return err
	}
	if err := t.Sync(); err != nil {
		return err
	}
	for _, f := range w.facts {
		if f.id == id && f.to < 0 && f.complete {
			return nil
		}
	}
	w.facts = append(w.facts, fact{id: id, complete: true, from: w.fs.size(), to: -1})
	return nil
}

// matched completes a task and promises nothing: it is not synced.
func (w *witness) matched(id darter.TaskID) error {
	t, err := w.s.Open(id)
	if err != nil {
		return err
	}
	return t.Finish("")
}

func (w *witness) drop(id darter.TaskID, n uint32) error {
	t, err := w.s.Open(id)
	if err != nil {
		return err
	}
	if t.Has(n) {
		w.void(id)
	}
	return t.Drop(darter.Pieces(n))
}

func (w *witness) remove(id darter.TaskID) error {
	w.void(id)
	if err := w.s.Remove(id); err != nil {
		return err
	}
	w.facts = append(w.facts, fact{id: id, from: w.fs.size(), to: -1})
	return nil
}

// inspect opens a store on what a crash left and holds it against the facts that held at change number at.
func (w *witness) inspect(disk world, at int) error {
	s, err := openOn(config("/store"), newCrashFS(disk))
	if err != nil {
		return fmt.Errorf("the store does not open: %w", err)
	}
	for _, t := range s.all() {
		if err := storetest.Check(t, truth(t.meta)); err != nil {
			return fmt.Errorf("task %s as listed: %w", t.meta.ID[60:], err)
		}
		again, err := s.Open(t.meta.ID)
		if err != nil {
			return err
		}
		if err := storetest.Check(again, truth(t.meta)); err != nil {
			return fmt.Errorf("task %s as opened: %w", t.meta.ID[60:], err)
		}
		if again.State() == store.Complete && uint32(again.Pieces().Len()) != t.meta.Layout.Count() {
			return fmt.Errorf("task %s is complete without all pieces", t.meta.ID[60:])
		}
	}
	for _, f := range w.facts {
		if at < f.from || f.to >= 0 && at > f.to {
			continue
		}
		t, err := s.Open(f.id)
		switch {
		case f.complete && (err != nil || t.State() != store.Complete):
			return fmt.Errorf("the finished task %s is lost: %w", f.id[60:], err)
		case !f.complete && err == nil:
			return fmt.Errorf("the removed task %s is back", f.id[60:])
		}
	}
	return usable(s)
}

// usable fetches what is missing of everything, and one new task.
func usable(s *Store) error {
	metas := []store.Meta{meta(99, "v9")}
	for _, t := range s.all() {
		metas = append(metas, t.meta)
	}
	for _, m := range metas {
		t, err := s.Create(m)
		if err != nil {
			return fmt.Errorf("afterwards: %w", err)
		}
		if err := storetest.PutAll(t, truth(m)); err != nil {
			return fmt.Errorf("afterwards: %w", err)
		}
		if err := errors.Join(t.Finish(""), t.Sync()); err != nil {
			return fmt.Errorf("afterwards: %w", err)
		}
		if err := storetest.Check(t, truth(m)); err != nil {
			return fmt.Errorf("afterwards: %w", err)
		}
	}
	return s.Close()
}

// story is what every crash test goes through; each step may be the one at which the machine stops.
func (w *witness) story() error {
	a, b, c := meta(1, "v1"), meta(2, "v1"), meta(3, "v1")
	b2 := meta(2, "v2")
	steps := []func() error{
		w.open,
		func() error { return w.put(a, 2, 0) },
		func() error { return w.hedge(a, 1, true) },
		func() error { return w.put(a, 3) },
		func() error { return w.finish(a.ID) },
		func() error { return w.put(b, 0, 1) },
		func() error { return w.hedge(b, 2, false) },
		w.close,
		w.open,
		func() error { return w.drop(b.ID, 1) },
		func() error { return w.hedge(b, 1, false) }, // garbage where a piece was that had been vouched for
		func() error { return w.put(b, 3, 2, 1) },
		func() error { return w.finish(b.ID) },
		func() error { return w.drop(a.ID, 0) },
		func() error { return w.hedge(a, 0, false) },
		func() error { return w.put(a, 0) },
		func() error { return w.finish(a.ID) },
		func() error { return w.remove(b.ID) },
		func() error { return w.put(b2, 0, 1, 2, 3) },
		func() error { return w.put(c, 1) },
		func() error { return w.finish(b2.ID) },
		w.close,
		w.open,
		func() error { return w.put(c, 0, 2) },
		func() error { return w.put(c, 3) },
		func() error { return w.matched(c.ID) },
		func() error { return w.drop(c.ID, 2) },
		func() error { return w.put(c, 2) },
		func() error { return w.matched(c.ID) },
		func() error { return w.closed(c.ID) },
		w.open,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (w *witness) close() error { return w.s.Close() }

// closed closes the store, which syncs what was complete.
func (w *witness) closed(id darter.TaskID) error {
	if err := w.s.Close(); err != nil {
		return err
	}
	w.facts = append(w.facts, fact{id: id, complete: true, from: w.fs.size(), to: -1})
	return nil
}

// choosers are the ways in which unsynced changes survive a crash.
func choosers(seed uint64) []func() int {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := []func() int{func() int { return 0 }, func() int { return 1 }}
	for range 6 {
		out = append(out, func() int { return rng.IntN(4) })
	}
	return append(out, func() int { return min(1, rng.IntN(8)) }, func() int { return max(0, rng.IntN(8)-6) })
}

func TestACrashAfterAnyChangeLosesNothingThatWasPromised(t *testing.T) {
	w := &witness{fs: newCrashFS(nil)}
	if err := w.story(); err != nil {
		t.Fatal(err)
	}
	total := w.fs.size()
	for k := 0; k <= total; k++ {
		for i, choose := range choosers(uint64(k)) {
			if err := w.inspect(w.fs.after(k, choose), k); err != nil {
				t.Fatalf("crash after change %d of %d, way %d: %v", k, total, i, err)
			}
		}
	}
}

// TestManyCrashesInARow lives through random work with a crash at a random change, again and again on the same disk.
func TestManyCrashesInARow(t *testing.T) {
	lives := 60
	if testing.Short() {
		lives = 10
	}
	for seed := range uint64(lives) {
		rng := rand.New(rand.NewPCG(seed, 2))
		w := &witness{fs: newCrashFS(nil)}
		for life := range 12 {
			w.fs.stopAt = 1 + rng.IntN(120)
			err := w.open()
			for err == nil {
				err = w.random(rng)
			}
			if !errors.Is(err, errStopped) {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			at := w.fs.size()
			disk := w.fs.after(at, choosers(rng.Uint64())[rng.IntN(10)])
			if err := w.inspect(disk, at); err != nil {
				t.Fatalf("seed %d, life %d, crash after change %d: %v", seed, life, at, err)
			}
			w.rebase(disk)
		}
	}
}

// rebase makes what the crash left the beginning of the next life: facts that held hold from its start.
func (w *witness) rebase(disk world) {
	at := w.fs.size()
	var kept []fact
	for _, f := range w.facts {
		if f.to < 0 && at >= f.from {
			kept = append(kept, fact{id: f.id, complete: f.complete, from: 0, to: -1})
		}
	}
	w.facts = kept
	w.fs = newCrashFS(disk)
}

func (w *witness) random(rng *rand.Rand) error {
	m := meta(1+rng.IntN(3), "v1")
	t, err := w.s.Open(m.ID)
	if err == nil {
		m = t.Meta()
	} else if darter.KindOf(err) != darter.NotFound {
		return err
	} else {
		m.Version = fmt.Sprint("v", rng.IntN(50))
	}
	n := uint32(rng.IntN(4))
	switch rng.IntN(10) {
	case 0:
		err = w.remove(m.ID)
	case 1:
		err = w.drop(m.ID, n)
	case 2:
		if err = w.close(); err == nil {
			err = w.open()
		}
	case 3:
		err = w.hedge(m, n, true)
	case 4:
		err = w.hedge(m, n, false)
	case 5:
		err = w.finish(m.ID)
	case 6:
		if err = w.matched(m.ID); err == nil && rng.IntN(2) == 0 {
			err = w.finish(m.ID)
		}
	default:
		err = w.put(m, n, uint32(rng.IntN(4)))
	}
	if darter.KindOf(err) == darter.NotFound { // nothing to finish, drop or remove
		return nil
	}
	return err
}

// TestAnyChangeMayFailOnce lets each change of the story fail with a full disk or an I/O error, and goes on.
func TestAnyChangeMayFailOnce(t *testing.T) {
	dry := &witness{fs: newCrashFS(nil)}
	if err := dry.story(); err != nil {
		t.Fatal(err)
	}
	for _, number := range []unix.Errno{unix.ENOSPC, unix.EIO} {
		for k := 1; k <= dry.fs.size(); k++ {
			w := &witness{fs: newCrashFS(nil)}
			w.fs.failAt, w.fs.fail = k, number
			err := w.story()
			if err != nil && !errors.Is(err, number) {
				t.Fatalf("change %d fails with %v: %v", k, number, err)
			}
			if kind := darter.KindOf(err); err != nil && (kind != darter.NoSpace && kind != darter.Unavailable || darter.HintOf(err) == "") {
				t.Errorf("change %d: %v is a %v without a hint", k, err, kind)
			}
			if w.s != nil && !w.s.mu.closed {
				if err := usable(w.s); err != nil {
					t.Fatalf("after change %d failed with %v: %v", k, number, err)
				}
			}
			w.facts = slicesComplete(w.facts)
			if err := w.inspect(w.fs.after(w.fs.size(), func() int { return 1 }), w.fs.size()); err != nil {
				t.Fatalf("change %d failed with %v, then a restart: %v", k, number, err)
			}
		}
	}
}

// slicesComplete keeps the facts about finished tasks; a removal that failed half-way promises nothing.
func slicesComplete(facts []fact) []fact {
	var out []fact
	for _, f := range facts {
		if f.complete {
			out = append(out, f)
		}
	}
	return out
}
