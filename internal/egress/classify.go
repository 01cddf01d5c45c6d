package egress

import "net/netip"

// Class says what kind of place an address is.
type Class uint8

// Classes of addresses. Only Public and Private ones can be allowed by a host's rule.
const (
	Public      Class = iota // anywhere on the Internet
	Private                  // RFC 1918, shared address space (RFC 6598), unique local IPv6
	Unspecified              // 0.0.0.0/8, ::
	Loopback                 // 127.0.0.0/8, ::1
	LinkLocal                // 169.254.0.0/16, fe80::/10, anything with a zone
	Multicast                // 224.0.0.0/4, ff00::/8
	Reserved                 // documentation, benchmarking, broadcast, tunnels, and what is not assigned
	Metadata                 // where clouds tell a machine its secrets
)

func (c Class) String() string {
	return [...]string{"public", "private", "unspecified", "loopback", "link-local", "multicast", "reserved", "metadata"}[c&7]
}

// metadata are the addresses of metadata services that are known to answer machines without a password.
var metadata = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), // AWS, GCP, Azure, OpenStack, DigitalOcean, Oracle
	netip.MustParseAddr("169.254.170.2"),   // AWS container credentials
	netip.MustParseAddr("169.254.170.23"),  // AWS pod identity
	netip.MustParseAddr("169.254.0.23"),    // Tencent
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("168.63.129.16"),   // Azure wire server
	netip.MustParseAddr("192.0.0.192"),     // Oracle, formerly
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd00:ec2::23"),    // AWS pod identity
	netip.MustParseAddr("fd20:ce::254"),    // GCP
	netip.MustParseAddr("fd00:42::42"),     // Scaleway
}

// span is a row of an address registry.
type span struct {
	prefix netip.Prefix
	class  Class
}

// spans4 and spans6 follow IANA's special-purpose registries. The first row that holds an address decides;
// what no row of spans4 holds is public, what no row of spans6 holds is reserved.
var spans4 = []span{
	{netip.MustParsePrefix("0.0.0.0/8"), Unspecified},
	{netip.MustParsePrefix("127.0.0.0/8"), Loopback},
	{netip.MustParsePrefix("10.0.0.0/8"), Private},
	{netip.MustParsePrefix("172.16.0.0/12"), Private},
	{netip.MustParsePrefix("192.168.0.0/16"), Private},
	{netip.MustParsePrefix("100.64.0.0/10"), Private},
	{netip.MustParsePrefix("169.254.0.0/16"), LinkLocal},
	{netip.MustParsePrefix("192.0.0.0/24"), Reserved},
	{netip.MustParsePrefix("192.0.2.0/24"), Reserved},
	{netip.MustParsePrefix("192.88.99.0/24"), Reserved},
	{netip.MustParsePrefix("198.18.0.0/15"), Reserved},
	{netip.MustParsePrefix("198.51.100.0/24"), Reserved},
	{netip.MustParsePrefix("203.0.113.0/24"), Reserved},
	{netip.MustParsePrefix("224.0.0.0/4"), Multicast},
	{netip.MustParsePrefix("240.0.0.0/4"), Reserved},
}

var spans6 = []span{
	{netip.MustParsePrefix("::/128"), Unspecified},
	{netip.MustParsePrefix("::1/128"), Loopback},
	{netip.MustParsePrefix("fe80::/10"), LinkLocal},
	{netip.MustParsePrefix("fc00::/7"), Private},
	{netip.MustParsePrefix("ff00::/8"), Multicast},
	{netip.MustParsePrefix("2001::/23"), Reserved}, // Teredo, benchmarking, ORCHID
	{netip.MustParsePrefix("2001:db8::/32"), Reserved},
	{netip.MustParsePrefix("3fff::/20"), Reserved},
	{netip.MustParsePrefix("2000::/3"), Public},
}

// carriers are IPv6 prefixes under which an IPv4 address travels, with the place of its first byte. Such an
// address is as good as the IPv4 address in it.
var carriers = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // translated (SIIT); ::ffff:a.b.c.d itself is unmapped before
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4
	{netip.MustParsePrefix("::/96"), 12},           // IPv4-compatible, long gone; :: and ::1 are looked up before
}

// Classify returns the class of an address, whichever way it is written. The zero Addr is Reserved.
//
// NAT64 under a prefix of the network's own cannot be told from a public address; put that prefix into
// Config.Deny.
func Classify(a netip.Addr) Class {
	if !a.IsValid() {
		return Reserved
	}
	if a.Zone() != "" {
		return LinkLocal
	}
	a = a.Unmap()
	for _, m := range metadata {
		if a == m {
			return Metadata
		}
	}
	if a.Is4() {
		return lookUp(spans4, a, Public)
	}
	if a == netip.IPv6Unspecified() || a == netip.IPv6Loopback() {
		return lookUp(spans6, a, Reserved)
	}
	for _, c := range carriers {
		if c.prefix.Contains(a) {
			b := a.As16()
			return Classify(netip.AddrFrom4([4]byte(b[c.at : c.at+4])))
		}
	}
	return lookUp(spans6, a, Reserved)
}

func lookUp(spans []span, a netip.Addr, otherwise Class) Class {
	for _, s := range spans {
		if s.prefix.Contains(a) {
			return s.class
		}
	}
	return otherwise
}
