package egress_test

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/darter-p2p/darter/internal/egress"
)

func TestClassify(t *testing.T) {
	for text, want := range map[string]egress.Class{
		"8.8.8.8": egress.Public, "1.1.1.1": egress.Public, "172.15.255.255": egress.Public, "172.32.0.0": egress.Public,
		"192.167.255.255": egress.Public, "192.169.0.0": egress.Public, "11.0.0.0": egress.Public, "9.255.255.255": egress.Public,
		"126.255.255.255": egress.Public, "128.0.0.0": egress.Public, "169.253.255.255": egress.Public, "169.255.0.0": egress.Public,
		"100.63.255.255": egress.Public, "100.128.0.0": egress.Public, "223.255.255.255": egress.Public,
		"10.0.0.0": egress.Private, "10.255.255.255": egress.Private, "172.16.0.0": egress.Private, "172.31.255.255": egress.Private,
		"192.168.0.1": egress.Private, "100.64.0.1": egress.Private, "100.127.255.255": egress.Private,
		"0.0.0.0": egress.Unspecified, "0.1.2.3": egress.Unspecified,
		"127.0.0.1": egress.Loopback, "127.255.255.255": egress.Loopback,
		"169.254.0.1": egress.LinkLocal, "169.254.255.255": egress.LinkLocal,
		"224.0.0.1": egress.Multicast, "239.255.255.255": egress.Multicast,
		"240.0.0.1": egress.Reserved, "255.255.255.255": egress.Reserved, "192.0.2.1": egress.Reserved, "198.51.100.1": egress.Reserved,
		"203.0.113.1": egress.Reserved, "198.18.0.1": egress.Reserved, "198.19.255.255": egress.Reserved, "192.0.0.1": egress.Reserved,
		"192.88.99.1":     egress.Reserved,
		"169.254.169.254": egress.Metadata, "169.254.170.2": egress.Metadata, "169.254.170.23": egress.Metadata, "100.100.100.200": egress.Metadata, "168.63.129.16": egress.Metadata,
		"192.0.0.192": egress.Metadata, "169.254.0.23": egress.Metadata, "fd00:ec2::254": egress.Metadata, "fd00:ec2::23": egress.Metadata,
		"fd20:ce::254": egress.Metadata, "fd00:42::42": egress.Metadata,

		"2606:4700::1111": egress.Public, "2a00::1": egress.Public, "3ffe::1": egress.Public,
		"::": egress.Unspecified, "::1": egress.Loopback, "fe80::1": egress.LinkLocal, "febf::1": egress.LinkLocal,
		"fe80::1%eth0": egress.LinkLocal, "2606:4700::1%eth0": egress.LinkLocal,
		"fc00::1": egress.Private, "fdff::1": egress.Private, "ff02::1": egress.Multicast,
		"fec0::1": egress.Reserved, "2001:db8::1": egress.Reserved, "3fff::1": egress.Reserved, "4000::1": egress.Reserved,
		"2001::1": egress.Reserved /* Teredo */, "2001:20::1": egress.Reserved /* ORCHID */, "100::1": egress.Reserved, /* discard */
		"5f00::1": egress.Reserved,

		// IPv4 in IPv6, in all its forms: as good as the IPv4 address.
		"::ffff:127.0.0.1": egress.Loopback, "::ffff:169.254.169.254": egress.Metadata, "::ffff:10.0.0.1": egress.Private, "::ffff:8.8.8.8": egress.Public,
		"::ffff:7f00:1":      egress.Loopback,
		"::ffff:0:127.0.0.1": egress.Loopback,                                       // translated
		"::127.0.0.1":        egress.Loopback, "::169.254.169.254": egress.Metadata, // compatible
		"64:ff9b::127.0.0.1": egress.Loopback, "64:ff9b::a9fe:a9fe": egress.Metadata, "64:ff9b::10.0.0.1": egress.Private, "64:ff9b::8.8.8.8": egress.Public,
		"64:ff9b:1::7f00:1": egress.Reserved, // translation for local use: could be anything
		"2002:7f00:1::":     egress.Loopback, "2002:a9fe:a9fe::1": egress.Metadata, "2002:c0a8:1::": egress.Private, "2002:808:808::": egress.Public,
	} {
		if got := egress.Classify(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if got := egress.Classify(netip.Addr{}); got != egress.Reserved {
		t.Errorf("no address: %v", got)
	}
}

// What the standard library calls loopback, private and so on is never public here.
func TestClassifyAgreesWithNetip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var a netip.Addr
		if rapid.Bool().Draw(r, "six") {
			a = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(r, "address")))
		} else {
			a = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(r, "address")))
		}
		u := a.Unmap()
		dull := !u.IsGlobalUnicast() || u.IsPrivate() || u.IsLoopback() || u.IsLinkLocalUnicast() || u.IsMulticast() || u.IsUnspecified()
		if class := egress.Classify(a); dull && class == egress.Public {
			r.Fatalf("%v is public", a)
		}
		mapped := netip.AddrFrom16(a.As16())
		if egress.Classify(a) != egress.Classify(mapped) {
			r.Fatalf("%v and %v differ", a, mapped)
		}
	})
}
