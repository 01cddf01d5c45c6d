package disk

import (
	"hash/crc32"
	"io"

	"github.com/darter-p2p/darter"
)

// settle compares the pieces that a crash made doubtful with their CRC. It is the only way from suspect to held,
// and is done before anyone gets hold of the task.
func (t *task) settle() error {
	if t.settled() {
		return nil
	}
	t.turn.take()
	defer t.turn.give()
	t.mu.Lock()
	suspect := t.mu.suspect.Clone()
	t.mu.Unlock()
	if suspect.Empty() {
		return nil
	}
	good, err := t.sound(suspect)
	if err != nil {
		return err
	}
	bad := suspect.Minus(good)
	if !bad.Empty() {
		// Not synced: until a checkpoint vouches for them, their old records are doubted again after a crash.
		if err := t.write("check", func(*ledger) []record { return drops(bad) }, false); err != nil {
			return err
		}
	}
	t.mu.Lock()
	before := t.mu.held
	t.mu.trust(good)
	for n := range bad.All() {
		t.mu.drop(n)
	}
	if !t.mu.removed {
		t.store.held.Add(t.mu.held - before)
	}
	t.wake()
	t.mu.Unlock()
	if !bad.Empty() {
		t.store.cfg.Events.dropped(Dropped{ID: t.meta.ID, Pieces: bad, Bytes: lengths(t.meta.Layout, bad)})
	}
	return nil
}

func (t *task) settled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.suspect.Empty()
}

// sound returns those of set whose bytes match their CRC.
func (t *task) sound(set darter.PieceSet) (darter.PieceSet, error) {
	var good darter.PieceSet
	h, err := t.use("check", dataRead)
	if err != nil {
		return good, err
	}
	defer t.store.handles.put(h)
	b := t.store.buffer()
	defer t.store.recycle(b)
	for n := range set.All() {
		t.mu.Lock()
		want := t.mu.entries[n].crc
		t.mu.Unlock()
		sum, span := crc32.NewIEEE(), t.meta.Layout.Span(n)
		_, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{io.NewSectionReader(h, span.Offset, span.Length)}, *b)
		if err == nil && sum.Sum32() == want { // what cannot be read is as good as lost
			good.Add(n)
		}
	}
	return good, nil
}

func lengths(l darter.Layout, set darter.PieceSet) int64 {
	var total int64
	for n := range set.All() {
		total += l.Span(n).Length
	}
	return total
}
