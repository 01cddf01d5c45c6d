package wheel

import "math/bits"

// occupied says which slots of a level hold something, and finds the next one in a few steps: a bit per slot, and a bit
// per word of those.
type occupied struct {
	words [slots / 64]uint64
	any   uint64 // which words are not zero
}

func (o *occupied) has(slot int) bool { return o.words[slot/64]&(1<<(slot%64)) != 0 }

func (o *occupied) set(slot int) {
	o.words[slot/64] |= 1 << (slot % 64)
	o.any |= 1 << (slot / 64)
}

func (o *occupied) clear(slot int) {
	if o.words[slot/64] &^= 1 << (slot % 64); o.words[slot/64] == 0 {
		o.any &^= 1 << (slot / 64)
	}
}

// after returns how far the next slot that holds something lies after a slot, round the level: 1 for its neighbour,
// slots for itself.
func (o *occupied) after(slot int) (distance int, any bool) {
	if o.any == 0 {
		return 0, false
	}
	word := slot / 64
	found := o.words[word] &^ (1<<(slot%64+1) - 1) // behind it in its own word
	if found == 0 {
		word = (word + 1 + bits.TrailingZeros64(bits.RotateLeft64(o.any, -(word+1)))) % len(o.words)
		found = o.words[word]
	}
	distance = (word*64 + bits.TrailingZeros64(found) - slot) & mask
	if distance == 0 {
		distance = slots
	}
	return distance, true
}
