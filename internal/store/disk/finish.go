package disk

import (
	"io"
	"path/filepath"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// Finish implements store.Task. What is complete already needs no turn: a Sync under way holds nobody up.
func (t *task) Finish(d darter.Digest) error {
	if d == "" {
		d = t.meta.Digest
	}
	if complete, err := t.ready(d); err != nil || complete {
		return err
	}
	t.turn.take()
	defer t.turn.give()
	complete, err := t.ready(d)
	if err != nil || complete {
		return err
	}
	if err := t.verify(d); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.removed {
		return t.gone("finish")
	}
	t.mu.digest, t.mu.unsaved = d, true
	if !t.mu.complete {
		t.mu.complete, t.mu.finished = true, moment(nanos(time.Now()))
		t.wake()
	}
	return nil
}

// Sync implements store.Task. A task that cannot be made durable is partial again, as it is on disk.
func (t *task) Sync() error {
	t.turn.take()
	defer t.turn.give()
	t.mu.Lock()
	unsaved, removed, digest := t.mu.unsaved, t.mu.removed, t.mu.digest
	t.mu.Unlock()
	switch {
	case removed:
		return t.gone("save")
	case !unsaved:
		return nil
	}
	err := t.vouch(digest)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.unsaved = false
	if err != nil {
		t.mu.complete, t.mu.digest, t.mu.finished, t.mu.dirty = false, "", time.Time{}, true
		t.wake()
		return err
	}
	t.mu.dirty = false
	return nil
}

// vouch makes the task's bytes durable, then the record that says they are complete, then the names by which both
// are found: the order of the syncs is what makes the state survive.
func (t *task) vouch(d darter.Digest) error {
	h, err := t.use("save", dataWrite)
	if err != nil {
		return err
	}
	err = h.Sync()
	t.store.handles.put(h)
	if err != nil {
		return fault(t.op("save"), err)
	}
	err = t.write("save", func(l *ledger) []record {
		text, texts := l.intern(string(d))
		return append(texts, record{kind: kindComplete, text: text, at: l.finished, sum: l.sum})
	}, true)
	if err != nil {
		return err
	}
	return t.syncNames("save")
}

// ready tells whether there is nothing left to finish, or why it cannot be.
func (t *task) ready(d darter.Digest) (complete bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.removed {
		return false, t.gone("finish")
	}
	if t.mu.complete && (d == "" || d == t.mu.digest) {
		return true, nil
	}
	if missing := t.meta.Layout.Covering(nil).Minus(t.mu.have); !missing.Empty() {
		return false, t.fail(darter.NotFound, "finish", "pieces %s are missing", missing)
	}
	return false, nil
}

// verify compares the content with a digest; the empty digest fits everything.
func (t *task) verify(d darter.Digest) error {
	if d == "" {
		return nil
	}
	h, err := t.use("finish", dataRead)
	if err != nil {
		return err
	}
	defer t.store.handles.put(h)
	b := t.store.buffer()
	defer t.store.recycle(b)
	got, err := store.Sum(d, &chunked{r: io.NewSectionReader(h, 0, t.meta.Layout.Length), buffer: *b})
	if err != nil {
		return fault(t.op("finish"), err)
	}
	if got != d {
		return t.fail(darter.Corrupt, "finish", "the content is %s, not %s", got, d)
	}
	return nil
}

// chunked lets io.Copy read in pieces of its buffer, larger than those io.Copy would take.
type chunked struct {
	r      io.Reader
	buffer []byte
}

func (c *chunked) Read(p []byte) (int, error) { return c.r.Read(p) }

func (c *chunked) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, c.r, c.buffer)
}

// syncNames makes the names durable by which the task is found.
func (t *task) syncNames(verb string) error {
	for _, dir := range []string{t.dir, filepath.Dir(t.dir)} {
		if err := t.store.files.SyncDir(dir); err != nil {
			return t.trouble(verb, err)
		}
	}
	if err := t.store.savePrefix(prefix(t.meta.ID)); err != nil {
		return t.trouble(verb, err)
	}
	return nil
}

// Drop implements store.Task. The records are durable before the pieces are forgotten, because what is
// written into their place afterwards must never be taken for what they vouched for.
func (t *task) Drop(set darter.PieceSet) error {
	t.turn.take()
	defer t.turn.give()
	if t.Removed() {
		return t.gone("drop pieces of")
	}
	set = set.Intersect(t.Pieces())
	if set.Empty() {
		return nil
	}
	err := t.write("drop pieces of", func(*ledger) []record { return drops(set) }, true)
	if err != nil {
		return err
	}
	t.forget(set)
	return nil
}

func drops(set darter.PieceSet) []record {
	out := make([]record, 0, set.Len())
	for n := range set.All() {
		out = append(out, record{kind: kindDrop, number: n})
	}
	return out
}

func (t *task) forget(set darter.PieceSet) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.removed {
		return
	}
	before := t.mu.held
	for n := range set.All() {
		t.mu.drop(n)
	}
	t.mu.complete, t.mu.digest, t.mu.finished, t.mu.dirty, t.mu.unsaved = false, "", time.Time{}, true, false
	t.store.held.Add(t.mu.held - before)
	t.wake()
}

// checkpoint makes a partial task durable as it is. What is written while it runs is left out by its sum, and
// will be checked after a crash like everything without a checkpoint.
func (t *task) checkpoint() error {
	t.turn.take()
	defer t.turn.give()
	t.mu.Lock()
	sum, read := t.mu.sum, t.mu.read
	sync := t.mu.dirty && !t.mu.removed && !t.mu.complete && t.mu.suspect.Empty() && !t.mu.have.Empty()
	note := t.mu.readNew && !t.mu.removed
	t.mu.Unlock()
	var records []record
	if note {
		records = append(records, record{kind: kindRead, at: read})
	}
	if sync {
		h, err := t.use("close", dataWrite)
		if err != nil {
			return err
		}
		err = h.Sync()
		t.store.handles.put(h)
		if err != nil {
			return fault(t.op("close"), err)
		}
		records = append(records, record{kind: kindCheckpoint, at: time.Now(), sum: sum})
	}
	if len(records) == 0 {
		return nil
	}
	if err := t.write("close", func(*ledger) []record { return records }, sync); err != nil || !sync {
		return err
	}
	return t.syncNames("close")
}
