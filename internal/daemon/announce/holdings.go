package announce

import (
	"net/netip"
	"sync"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/inventory"
	"github.com/darter-p2p/darter/internal/ring"
)

// Holdings is what this host holds at rest, divided among the schedulers that answer for it: each is to know its own tasks,
// and nothing else. Make one with NewHoldings. It is safe for concurrent use.
//
//	a download ended, a task was removed ─▶ Put, Remove ─▶ tree of the task's scheduler ─▶ Digest, Answer ─▶ lease
//	another set of schedulers ────────────▶ Divide
type Holdings struct {
	mu struct {
		sync.Mutex
		known bool // everything that was held at the start is in
		ring  ring.Ring
		all   *inventory.Tree                    // every task
		trees map[netip.AddrPort]*inventory.Tree // by scheduler
	}
}

// NewHoldings returns holdings without tasks and without schedulers. Nobody is told of them before Known.
func NewHoldings() *Holdings {
	h := &Holdings{}
	h.mu.all = inventory.New()
	h.mu.trees = map[netip.AddrPort]*inventory.Tree{}
	return h
}

// Known says that everything held at the start was put in. Before, a host would seem to have lost what it holds.
func (h *Holdings) Known() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.known = true
}

// Put notes that the host holds a task at rest. What a neighbour could not use is left out, and taken out: an empty content,
// and a part without pieces or with all of them that nobody has verified.
func (h *Holdings) Put(l darter.Location) {
	count := l.Layout.Count()
	if held := l.Pieces.Len(); count == 0 || !l.Complete && (held == 0 || uint32(held) >= count) {
		h.Remove(l.Task)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.all.Put(l)
	if tree := h.tree(l.Task); tree != nil && tree != h.mu.all {
		tree.Put(l)
	}
}

// Remove notes that the host does not hold a task, or not at rest.
func (h *Holdings) Remove(id darter.TaskID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.all.Remove(id)
	if tree := h.tree(id); tree != nil && tree != h.mu.all {
		tree.Remove(id)
	}
}

// Divide puts another set of schedulers in force.
func (h *Holdings) Divide(set []netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.ring = ring.New(set)
	clear(h.mu.trees)
	for _, at := range set {
		h.mu.trees[at] = inventory.New()
	}
	if len(set) == 1 { // most clusters have one: it answers for everything, and one tree is enough
		h.mu.trees[set[0]] = h.mu.all
		return
	}
	for l := range h.mu.all.All {
		if tree := h.tree(l.Task); tree != nil {
			tree.Put(l)
		}
	}
}

// tree returns that of a task's scheduler. The lock is held.
func (h *Holdings) tree(id darter.TaskID) *inventory.Tree {
	at, ok := h.mu.ring.Pick(id)
	if !ok {
		return nil
	}
	return h.mu.trees[at]
}

// Scheduler returns the one that answers for a task; false while there is none.
func (h *Holdings) Scheduler(id darter.TaskID) (netip.AddrPort, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.ring.Pick(id)
}

// Digest implements Inventory.
func (h *Holdings) Digest(at netip.AddrPort) (darter.InventoryDigest, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	tree := h.mu.trees[at]
	if tree == nil || !h.mu.known {
		return darter.InventoryDigest{}, false
	}
	return tree.Digest(), true
}

// Answer implements Inventory. Who was told a digest asks; a scheduler that answers for nothing is told that there is nothing.
func (h *Holdings) Answer(at netip.AddrPort, q inventory.Question) (inventory.Answer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	tree := h.mu.trees[at]
	if tree == nil {
		tree = inventory.New()
	}
	return tree.Answer(q)
}
