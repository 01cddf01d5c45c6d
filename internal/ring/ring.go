package ring

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"

	"github.com/dchest/siphash"

	"github.com/darter-p2p/darter"
)

// keyLength is how many characters of a task id choose its scheduler.
const keyLength = 5

// Ring is an immutable choice among schedulers. The zero value has no members.
type Ring struct{ points []point }

type point struct {
	hash   uint64
	member netip.AddrPort
}

// New returns the ring of the members given; a repeated one counts once, an invalid one not at all.
func New(members []netip.AddrPort) Ring {
	points := make([]point, 0, len(members))
	for _, m := range members {
		if m.IsValid() {
			points = append(points, point{memberHash(m), m})
		}
	}
	slices.SortFunc(points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), a.member.Compare(b.member))
	})
	return Ring{slices.CompactFunc(points, func(a, b point) bool { return a.member == b.member })}
}

// Len returns the number of members.
func (r Ring) Len() int { return len(r.points) }

// Pick returns the scheduler of a task; false when the ring has no members.
func (r Ring) Pick(id darter.TaskID) (netip.AddrPort, bool) {
	if len(r.points) == 0 {
		return netip.AddrPort{}, false
	}
	return r.points[r.at(id)].member, true
}

// Order returns every member once, beginning with the one that Pick returns: where to turn, in this
// order, when that one does not answer.
func (r Ring) Order(id darter.TaskID) []netip.AddrPort {
	out := make([]netip.AddrPort, 0, len(r.points))
	if len(r.points) == 0 {
		return out
	}
	first := r.at(id)
	for i := range r.points {
		out = append(out, r.points[(first+i)%len(r.points)].member)
	}
	return out
}

func (r Ring) at(id darter.TaskID) int {
	i, _ := slices.BinarySearchFunc(r.points, keyHash(id), func(p point, key uint64) int {
		return cmp.Compare(p.hash, key)
	})
	return i % len(r.points)
}

// keyHash hashes the key as Rust hashes a string: its bytes, then 0xff. An id shorter than the key
// (which no valid id is) hashes whole.
func keyHash(id darter.TaskID) uint64 {
	key := append([]byte(nil), id[:min(keyLength, len(id))]...)
	return siphash.Hash(0, 0, append(key, 0xff))
}

// memberHash hashes an address as Rust hashes a SocketAddr; integers are little-endian.
//
//	IPv4 │ 0 u64 │  4 octets │ port u16 │
//	IPv6 │ 1 u64 │ 16 octets │ port u16 │ flow information u32 = 0 │ scope id u32 │
func memberHash(m netip.AddrPort) uint64 {
	b := make([]byte, 0, 34)
	if a := m.Addr(); a.Is4() {
		b = binary.LittleEndian.AppendUint64(b, 0)
		b = append(b, a.AsSlice()...)
		b = binary.LittleEndian.AppendUint16(b, m.Port())
		return siphash.Hash(0, 0, b)
	}
	b = binary.LittleEndian.AppendUint64(b, 1)
	b = append(b, m.Addr().AsSlice()...)
	b = binary.LittleEndian.AppendUint16(b, m.Port())
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, scope(m.Addr().Zone()))
	return siphash.Hash(0, 0, b)
}

// scope reads a numeric zone. A named one (an interface) counts as 0: its number differs from machine
// to machine, and so would the choice.
func scope(zone string) uint32 {
	n, err := strconv.ParseUint(zone, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
