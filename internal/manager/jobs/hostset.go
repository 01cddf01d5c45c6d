package jobs

import "math/bits"

// hostSet is a set of hosts of a step, a bit each, as it lies in a row. A thousand hosts take 125 bytes.
type hostSet []byte

func (s hostSet) has(n uint32) bool { return int(n/8) < len(s) && s[n/8]&(1<<(n%8)) != 0 }

func (s hostSet) with(n uint32) hostSet {
	for int(n/8) >= len(s) {
		s = append(s, 0)
	}
	s[n/8] |= 1 << (n % 8)
	return s
}

func (s hostSet) without(n uint32) hostSet {
	if int(n/8) < len(s) {
		s[n/8] &^= 1 << (n % 8)
	}
	return s
}

func (s hostSet) count() (n uint32) {
	for _, b := range s {
		n += uint32(bits.OnesCount8(b))
	}
	return n
}

// members returns the set's numbers in order.
func (s hostSet) members() []uint32 {
	var out []uint32
	for i, b := range s {
		for ; b != 0; b &= b - 1 {
			out = append(out, uint32(i*8+bits.TrailingZeros8(b)))
		}
	}
	return out
}
