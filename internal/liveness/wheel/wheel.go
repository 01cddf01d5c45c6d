package wheel

import "time"

const (
	slotBits = 12
	slots    = 1 << slotBits // 64 * 64, as occupied needs it
	levels   = 2
	mask     = slots - 1
	// span is how many ticks ahead a slot exists for. What is due later waits in the last one and is filed again.
	span = 1 << (slotBits * levels)

	// chunk is the number of nodes allocated at once: growing never copies a million of them.
	chunk = 1024

	lists  = levels * slots
	noList = lists
)

// Timer names the place of a waiting item. The zero Timer is no place. Once an item fired or was taken out, its Timer may
// name another item's place: its owner forgets it then.
type Timer uint32

// Wheel holds items until they are due. It is not safe for concurrent use.
type Wheel[T any] struct {
	tick   time.Duration
	cursor int64 // ticks that are over
	heads  [lists]list
	full   [levels]occupied
	nodes  []*[chunk]node[T]
	free   Timer
	used   uint32 // nodes ever taken
	count  int
}

type list struct{ first, last Timer }

type node[T any] struct {
	item       T
	due        int64 // in ticks
	next, prev Timer
	list       uint16
}

// New returns an empty wheel. The tick must be above zero.
func New[T any](tick time.Duration) *Wheel[T] {
	return &Wheel[T]{tick: max(tick, 1)}
}

// Len returns how many items wait.
func (w *Wheel[T]) Len() int { return w.count }

// Add puts an item in, to fire once due is over. What is due already fires with the next tick.
func (w *Wheel[T]) Add(item T, due time.Duration) Timer {
	t := w.take()
	n := w.at(t)
	n.item, n.due = item, w.ticks(due)
	w.file(t, n)
	w.count++
	return t
}

// Move gives a waiting item another time. It reports false, and does nothing, when t is not a place.
func (w *Wheel[T]) Move(t Timer, due time.Duration) bool {
	n := w.waiting(t)
	if n == nil {
		return false
	}
	w.unlink(t, n)
	n.due = w.ticks(due)
	w.file(t, n)
	return true
}

// Due returns when a waiting item fires: its time, rounded up to a tick.
func (w *Wheel[T]) Due(t Timer) (time.Duration, bool) {
	n := w.waiting(t)
	if n == nil {
		return 0, false
	}
	return time.Duration(n.due) * w.tick, true
}

// Remove takes an item out. Taking out what is not there does nothing.
func (w *Wheel[T]) Remove(t Timer) {
	if n := w.waiting(t); n != nil {
		w.unlink(t, n)
		w.release(t, n)
	}
}

// Advance lets time pass and calls fire for what is due, at most limit items, those that were only filed
// again included. It returns how many it looked at and whether more is due. An item is out of the wheel before
// fire is called, so that fire may add it anew.
func (w *Wheel[T]) Advance(now time.Duration, limit int, fire func(T)) (looked int, more bool) {
	target := int64(now / w.tick)
	for {
		for slot := w.open(); slot != noList; slot = w.open() {
			if looked >= limit {
				return looked, true
			}
			looked++
			t := w.heads[slot].first
			n := w.at(t)
			w.unlink(t, n)
			if n.due > w.cursor {
				w.file(t, n)
				continue
			}
			item := n.item
			w.release(t, n)
			fire(item)
		}
		next, any := w.nextTick()
		if !any || next > target {
			w.cursor = max(w.cursor, target)
			return looked, false
		}
		w.cursor = next
	}
}

// Next returns the earliest time at which Advance may have something to do. It is early by less than a slot
// when what waits is far away.
func (w *Wheel[T]) Next() (time.Duration, bool) {
	if w.open() != noList {
		return time.Duration(w.cursor) * w.tick, true
	}
	next, any := w.nextTick()
	return time.Duration(next) * w.tick, any
}

// open returns a slot whose time has come and that is not empty yet, the widest first: what was filed there came
// first. While the cursor stands, nothing is filed into such a slot.
func (w *Wheel[T]) open() int {
	for level := levels - 1; level >= 0; level-- {
		if w.cursor&(1<<(slotBits*level)-1) != 0 {
			continue
		}
		s := int(w.cursor >> (slotBits * level) & mask)
		if w.full[level].has(s) {
			return level*slots + s
		}
	}
	return noList
}

// nextTick returns the next tick at which a slot of any level has to be opened.
func (w *Wheel[T]) nextTick() (int64, bool) {
	best, any := int64(0), false
	for level := range levels {
		here := w.cursor >> (slotBits * level)
		distance, some := w.full[level].after(int(here & mask))
		if !some {
			continue
		}
		t := (here + int64(distance)) << (slotBits * level)
		if !any || t < best {
			best, any = t, true
		}
	}
	return best, any
}

func (w *Wheel[T]) ticks(due time.Duration) int64 {
	if due <= 0 {
		return 0
	}
	return int64((due-1)/w.tick) + 1
}

// file links a node into the slot of its time: on the lowest level whose slots reach that far without coming round to
// the one that is open.
func (w *Wheel[T]) file(t Timer, n *node[T]) {
	at := min(max(n.due, w.cursor+1), w.cursor+span-span/slots)
	for level := range levels {
		slot := at >> (slotBits * level)
		if slot-w.cursor>>(slotBits*level) < slots {
			w.push(t, n, uint16(level*slots+int(slot&mask)))
			return
		}
	}
}

func (w *Wheel[T]) push(t Timer, n *node[T], to uint16) {
	l := &w.heads[to]
	n.list, n.next, n.prev = to, 0, l.last
	if l.last == 0 {
		l.first = t
	} else {
		w.at(l.last).next = t
	}
	l.last = t
	w.full[to/slots].set(int(to % slots))
}

func (w *Wheel[T]) unlink(t Timer, n *node[T]) {
	l := &w.heads[n.list]
	if n.prev == 0 {
		l.first = n.next
	} else {
		w.at(n.prev).next = n.next
	}
	if n.next == 0 {
		l.last = n.prev
	} else {
		w.at(n.next).prev = n.prev
	}
	if l.first == 0 {
		w.full[n.list/slots].clear(int(n.list % slots))
	}
	n.next, n.prev, n.list = 0, 0, noList
}

func (w *Wheel[T]) take() Timer {
	if t := w.free; t != 0 {
		w.free = w.at(t).next
		return t
	}
	if w.used%chunk == 0 {
		w.nodes = append(w.nodes, new([chunk]node[T]))
	}
	w.used++
	return Timer(w.used)
}

func (w *Wheel[T]) release(t Timer, n *node[T]) {
	var none T
	n.item, n.prev, n.list, n.next = none, 0, noList, w.free
	w.free = t
	w.count--
}

func (w *Wheel[T]) at(t Timer) *node[T] { return &w.nodes[(t-1)/chunk][(t-1)%chunk] }

func (w *Wheel[T]) waiting(t Timer) *node[T] {
	if t == 0 || uint32(t) > w.used {
		return nil
	}
	if n := w.at(t); n.list != noList {
		return n
	}
	return nil
}
