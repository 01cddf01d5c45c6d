package ring

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/darter-p2p/darter"
)

func ExampleNew() {
	r := New([]netip.AddrPort{
		netip.MustParseAddrPort("192.168.1.10:8002"),
		netip.MustParseAddrPort("192.168.1.11:8002"),
		netip.MustParseAddrPort("192.168.1.12:8002"),
	})
	fmt.Println(r.Pick("9f7c9aafbc6f30f8f41a96ca77eeae80c5b60964b3034b0ee43ccf7b2f9e52b8"))
	// Output: 192.168.1.11:8002 true
}

// Made with Rust's own Hash and SipHasher.
func TestMemberVectors(t *testing.T) {
	for member, want := range map[string]uint64{
		"192.168.1.10:8002": 0x66bb86f995f476ca,
		"192.168.1.11:8002": 0x3d622d18edd0b172,
		"192.168.1.12:8002": 0x97d32668cf08d4f9,
		"127.0.0.1:8002":    0x2c30ce45aaaf7546,
		"10.1.2.3:8002":     0xea9ca233af898ee5,
		"[::1]:8002":        0x3f52c1d091552b23,
		"[fe80::1%3]:9000":  0x350e812e039d00ac,
	} {
		if got := memberHash(netip.MustParseAddrPort(member)); got != want {
			t.Errorf("memberHash(%s) = %#x, want %#x", member, got, want)
		}
	}
	if scope("eth0") != 0 {
		t.Error("a named zone changes the choice from machine to machine")
	}
}

func TestKeyVectors(t *testing.T) {
	for key, want := range map[darter.TaskID]uint64{
		"5844f":  0xefec496e8810c73a,
		"06408":  0xd6b27f30679d0b91,
		"3c3f2":  0x0ab2cf5a340b992b,
		"c9f92":  0xda5bc50bfa003546,
		"9f7c9":  0x3c2104d782d4da03,
		"457b4":  0xa96e1294e304728d,
		"457b4x": 0xa96e1294e304728d, // five characters count
	} {
		if got := keyHash(key); got != want {
			t.Errorf("keyHash(%s) = %#x, want %#x", key, got, want)
		}
	}
}

func TestPickVectors(t *testing.T) {
	members := []netip.AddrPort{
		netip.MustParseAddrPort("192.168.1.12:8002"),
		netip.MustParseAddrPort("192.168.1.10:8002"),
		netip.MustParseAddrPort("192.168.1.11:8002"),
	}
	want := members[2] // for all six: two directly, four around the end
	for _, id := range []darter.TaskID{"5844f", "06408", "3c3f2", "c9f92", "9f7c9", "457b4"} {
		if got, ok := New(members).Pick(id); !ok || got != want {
			t.Errorf("Pick(%s) = %s, %v; want %s", id, got, ok, want)
		}
	}
	// Between .11 and .10 on the ring; found by trying keys.
	for i := range 1000 {
		id := darter.TaskID(fmt.Sprintf("%05x", i))
		if h := keyHash(id); h > 0x3d622d18edd0b172 && h < 0x66bb86f995f476ca {
			if got, _ := New(members).Pick(id); got != members[1] {
				t.Errorf("Pick(%s) = %s, want %s", id, got, members[1])
			}
			return
		}
	}
	t.Error("no key hashes between .11 and .10")
}

func TestNobodyToPick(t *testing.T) {
	for _, r := range []Ring{{}, New(nil), New([]netip.AddrPort{{}})} {
		if m, ok := r.Pick("5844f"); ok || r.Len() != 0 || len(r.Order("5844f")) != 0 {
			t.Errorf("an empty ring picked %s", m)
		}
	}
	one := netip.MustParseAddrPort("10.0.0.1:1")
	if m, ok := New([]netip.AddrPort{one, one, {}}).Pick(""); !ok || m != one {
		t.Errorf("the only member was not picked for an empty id: %s, %v", m, ok)
	}
}

func drawMembers(t *rapid.T) []netip.AddrPort {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) netip.AddrPort {
		octets := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "octets")
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(octets)), rapid.Uint16().Draw(t, "port"))
	}), 1, 12).Draw(t, "members")
}

func TestOrderOfMembersDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t)
		id := darter.TaskID(rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "id"))
		back := slices.Clone(members)
		slices.Reverse(back)
		a, b := New(members), New(back)
		if !slices.Equal(a.Order(id), b.Order(id)) {
			t.Fatalf("%v and reversed: %v and %v", members, a.Order(id), b.Order(id))
		}
		if first, _ := a.Pick(id); first != a.Order(id)[0] || !slices.Contains(members, first) {
			t.Fatalf("Pick gives %s, Order %v", first, a.Order(id))
		}
	})
}

// Consistency is what the ring is for: losing a member moves only that member's tasks.
func TestLosingAMemberMovesOnlyItsTasks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		full := New(drawMembers(t))
		id := darter.TaskID(rapid.StringMatching(`[0-9a-f]{5}`).Draw(t, "id"))
		order := full.Order(id)
		gone := rapid.SampledFrom(order).Draw(t, "gone")
		rest := slices.DeleteFunc(slices.Clone(order), func(m netip.AddrPort) bool { return m == gone })
		got, ok := New(rest).Pick(id)
		want := order[0]
		if gone == want {
			if len(order) == 1 {
				return
			}
			want = order[1]
		}
		if !ok || got != want {
			t.Fatalf("without %s: %s, want %s", gone, got, want)
		}
	})
}
