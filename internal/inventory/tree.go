package inventory

import (
	"slices"

	"github.com/darter-p2p/darter"
)

// A leaf divides when it holds more than full records, and a node whose children hold no more than few becomes
// a leaf again. The gap keeps one task that comes and goes from dividing and joining each time.
const (
	full = 64
	few  = 32
)

// Tree is a set of locations, one per task. It is not safe for concurrent use. The zero value is not ready: use New.
type Tree struct {
	root   *node
	pieces map[key]darter.PieceSet // of partial tasks; looked up, never walked
}

// node is either a leaf with records, ordered by key, or has children by the digit at its depth.
type node struct {
	digest   darter.InventoryDigest
	children *[16]*node
	records  []record
}

// New returns an empty tree.
func New() *Tree { return &Tree{root: &node{}, pieces: map[key]darter.PieceSet{}} }

// Digest returns the digest of everything in the tree.
func (t *Tree) Digest() darter.InventoryDigest { return t.root.digest }

// Put enters a location, or replaces that of its task. It returns false, and changes nothing, when no host
// can hold such a thing: an id that is not 64 hexadecimal digits, a length below zero.
func (t *Tree) Put(l darter.Location) bool {
	r, ok := recordOf(l)
	if !ok {
		return false
	}
	t.root.put(r, 0)
	if r.partial {
		t.pieces[r.key] = l.Pieces.Clone()
	} else {
		delete(t.pieces, r.key)
	}
	return true
}

// Remove takes a task out and reports whether it was there.
func (t *Tree) Remove(id darter.TaskID) bool {
	k, ok := keyOf(id)
	if !ok {
		return false
	}
	delete(t.pieces, k)
	_, was := t.root.remove(k, 0)
	return was
}

// Get returns the location of a task.
func (t *Tree) Get(id darter.TaskID) (darter.Location, bool) {
	k, ok := keyOf(id)
	if !ok {
		return darter.Location{}, false
	}
	n := t.root
	for depth := 0; n != nil && n.children != nil; depth++ {
		n = n.children[k.digit(depth)]
	}
	if n == nil {
		return darter.Location{}, false
	}
	i, found := n.find(k)
	if !found {
		return darter.Location{}, false
	}
	return t.location(&n.records[i]), true
}

// All yields every location, ordered by task.
func (t *Tree) All(yield func(darter.Location) bool) {
	t.root.each(0, key{}, false, func(r *record) bool { return yield(t.location(r)) })
}

func (t *Tree) location(r *record) darter.Location {
	l := darter.Location{Task: r.key.task(), Layout: darter.Layout{Length: r.length, PieceLength: int64(r.pieceLength)}, Complete: !r.partial}
	if r.partial {
		l.Pieces = t.pieces[r.key].Clone()
	}
	return l
}

func (n *node) find(k key) (int, bool) {
	return slices.BinarySearchFunc(n.records, k, func(r record, k key) int { return r.key.compare(k) })
}

// put enters a record below a node of the given depth and returns what it replaced.
func (n *node) put(r record, depth int) (old record, had bool) {
	switch {
	case n.children != nil:
		child := n.children[r.key.digit(depth)]
		if child == nil {
			child = &node{}
			n.children[r.key.digit(depth)] = child
		}
		old, had = child.put(r, depth+1)
	default:
		i, found := n.find(r.key)
		if found {
			old, had = n.records[i], true
			n.records[i] = r
		} else {
			n.records = slices.Insert(n.records, i, r)
		}
	}
	n.digest.Sum += r.sum - old.sum
	if !had {
		n.digest.Tasks++
	}
	if n.children == nil && len(n.records) > full && depth < 2*len(r.key)-1 {
		n.divide(depth)
	}
	return old, had
}

// divide hands the records of a leaf to children. They stay in order, because they share what comes before.
func (n *node) divide(depth int) {
	n.children = &[16]*node{}
	for _, r := range n.records {
		child := n.children[r.key.digit(depth)]
		if child == nil {
			child = &node{}
			n.children[r.key.digit(depth)] = child
		}
		child.records = append(child.records, r)
		child.digest.Tasks++
		child.digest.Sum += r.sum
	}
	n.records = nil
}

func (n *node) remove(k key, depth int) (old record, had bool) {
	if n.children == nil {
		i, found := n.find(k)
		if !found {
			return record{}, false
		}
		old = n.records[i]
		n.records = slices.Delete(n.records, i, i+1)
	} else {
		d := k.digit(depth)
		if n.children[d] == nil {
			return record{}, false
		}
		if old, had = n.children[d].remove(k, depth+1); !had {
			return record{}, false
		}
		if n.children[d].digest.Tasks == 0 {
			n.children[d] = nil
		}
	}
	n.digest.Tasks--
	n.digest.Sum -= old.sum
	if n.children != nil && n.digest.Tasks <= few {
		n.join(depth)
	}
	return old, true
}

// join makes a leaf of a node.
func (n *node) join(depth int) {
	records := make([]record, 0, n.digest.Tasks)
	n.each(depth, key{}, false, func(r *record) bool {
		records = append(records, *r)
		return true
	})
	n.children, n.records = nil, records
}

// each calls do for the records below a node in order, those after a key when bounded, until it returns false.
func (n *node) each(depth int, after key, bounded bool, do func(*record) bool) bool {
	if n.children == nil {
		from := 0
		if bounded {
			i, found := n.find(after)
			if from = i; found {
				from++
			}
		}
		for i := from; i < len(n.records); i++ {
			if !do(&n.records[i]) {
				return false
			}
		}
		return true
	}
	first := byte(0)
	if bounded {
		first = after.digit(depth)
	}
	for d := first; d < 16; d++ {
		if child := n.children[d]; child != nil && !child.each(depth+1, after, bounded && d == first, do) {
			return false
		}
	}
	return true
}
