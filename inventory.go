package darter

import (
	"fmt"
	"iter"
	"math/bits"
	"strconv"
	"strings"
)

// Location says that a host holds a task: all of it, or some of its pieces.
type Location struct {
	Task     TaskID
	Layout   Layout // tells two versions of a content apart, where their lengths differ
	Complete bool
	Pieces   PieceSet // what is there of it; empty when it is complete
}

// PieceSet is a set of piece numbers: which pieces someone holds, wants or was asked for.
// The zero value is the empty set. Copying the struct shares the bits: use Clone.
type PieceSet struct{ words []uint64 }

// Pieces returns the set of the numbers given.
func Pieces(numbers ...uint32) PieceSet {
	var s PieceSet
	for _, n := range numbers {
		s.Add(n)
	}
	return s
}

// Add puts n into the set and reports whether it was not there before.
func (s *PieceSet) Add(n uint32) bool {
	w := int(n / 64)
	for len(s.words) <= w {
		s.words = append(s.words, 0)
	}
	mask := uint64(1) << (n % 64)
	fresh := s.words[w]&mask == 0
	s.words[w] |= mask
	return fresh
}

// AddRange puts every number of [from, to) into the set.
func (s *PieceSet) AddRange(from, to uint32) {
	for n := from; n < to; n++ {
		s.Add(n)
	}
}

// Remove takes n out and reports whether it was there.
func (s *PieceSet) Remove(n uint32) bool {
	if !s.Has(n) {
		return false
	}
	s.words[n/64] &^= uint64(1) << (n % 64)
	return true
}

// Has reports whether n is in the set.
func (s PieceSet) Has(n uint32) bool {
	w := int(n / 64)
	return w < len(s.words) && s.words[w]&(uint64(1)<<(n%64)) != 0
}

// Len returns how many numbers the set holds.
func (s PieceSet) Len() int {
	total := 0
	for _, w := range s.words {
		total += bits.OnesCount64(w)
	}
	return total
}

// Empty reports whether the set holds nothing.
func (s PieceSet) Empty() bool {
	for _, w := range s.words {
		if w != 0 {
			return false
		}
	}
	return true
}

// Clone returns an independent copy.
func (s PieceSet) Clone() PieceSet { return PieceSet{words: append([]uint64(nil), s.words...)} }

// Union adds every number of o to s.
func (s *PieceSet) Union(o PieceSet) {
	for len(s.words) < len(o.words) {
		s.words = append(s.words, 0)
	}
	for i, w := range o.words {
		s.words[i] |= w
	}
}

// Minus returns a new set of what is in s and not in o.
func (s PieceSet) Minus(o PieceSet) PieceSet {
	out := s.Clone()
	for i := range min(len(out.words), len(o.words)) {
		out.words[i] &^= o.words[i]
	}
	return out
}

// Intersect returns a new set of what is in both.
func (s PieceSet) Intersect(o PieceSet) PieceSet {
	out := s.Clone()
	for i := range out.words {
		if i < len(o.words) {
			out.words[i] &= o.words[i]
		} else {
			out.words[i] = 0
		}
	}
	return out
}

// Contains reports whether every number of o is in s.
func (s PieceSet) Contains(o PieceSet) bool {
	for i, w := range o.words {
		if i < len(s.words) {
			w &^= s.words[i]
		}
		if w != 0 {
			return false
		}
	}
	return true
}

// Overlap returns how many numbers are in both, without making a set of them.
func (s PieceSet) Overlap(o PieceSet) int {
	total := 0
	for i := range min(len(s.words), len(o.words)) {
		total += bits.OnesCount64(s.words[i] & o.words[i])
	}
	return total
}

// Overlaps reports whether some number is in both.
func (s PieceSet) Overlaps(o PieceSet) bool {
	for i := range min(len(s.words), len(o.words)) {
		if s.words[i]&o.words[i] != 0 {
			return true
		}
	}
	return false
}

// Equal reports whether both hold the same numbers.
func (s PieceSet) Equal(o PieceSet) bool { return s.Contains(o) && o.Contains(s) }

// All yields the numbers in ascending order.
func (s PieceSet) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for i, w := range s.words {
			for w != 0 {
				n := uint32(i*64 + bits.TrailingZeros64(w))
				if !yield(n) {
					return
				}
				w &= w - 1
			}
		}
	}
}

// Numbers returns the members in ascending order.
func (s PieceSet) Numbers() []uint32 {
	out := make([]uint32, 0, s.Len())
	for n := range s.All() {
		out = append(out, n)
	}
	return out
}

// String prints runs, as "0-3,7,9-11"; the empty set is "none".
func (s PieceSet) String() string {
	var b strings.Builder
	numbers := s.Numbers()
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		if j == i {
			fmt.Fprintf(&b, "%d", numbers[i])
		} else {
			fmt.Fprintf(&b, "%d-%d", numbers[i], numbers[j])
		}
		i = j + 1
	}
	if b.Len() == 0 {
		return "none"
	}
	return b.String()
}

// ParsePieceSet reads what String prints. No number may reach limit, so that a hostile text cannot
// ask for a huge set.
func ParsePieceSet(text string, limit uint32) (PieceSet, error) {
	var s PieceSet
	if text == "none" || text == "" {
		return s, nil
	}
	for _, part := range strings.Split(text, ",") {
		lo, hi, isRun := strings.Cut(part, "-")
		if !isRun {
			hi = lo
		}
		from, err1 := strconv.ParseUint(lo, 10, 32)
		to, err2 := strconv.ParseUint(hi, 10, 32)
		if err1 != nil || err2 != nil || from > to || to >= uint64(limit) {
			return PieceSet{}, fmt.Errorf("piece set %q: %q is not a run of numbers below %d", text, part, limit)
		}
		s.AddRange(uint32(from), uint32(to)+1)
	}
	return s, nil
}
