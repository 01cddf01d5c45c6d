package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Rule is one entry of a list of hosts:
//
//	registry.example       that host, every port
//	registry.example:5000  that host, that port
//	*.example              every host below example, not example itself
//	10.1.2.3  [fd00::1]:80 an address, as a URL names it or as a name resolves to
//	10.1.0.0/16            addresses in a prefix, as a URL names them or as a name resolves to
type Rule struct {
	host   string // lower case; begins with "." for a whole domain
	port   uint16 // 0: every
	prefix netip.Prefix
}

// ParseRule reads one entry.
func ParseRule(s string) (Rule, error) {
	text := strings.TrimSpace(s)
	if p, err := netip.ParsePrefix(text); err == nil {
		if p.Addr().Is4In6() {
			return Rule{}, fmt.Errorf("host rule %q: write the IPv4 prefix instead of a mapped one", s)
		}
		return Rule{prefix: p.Masked()}, nil
	}
	host, port, err := splitPort(text)
	if err != nil {
		return Rule{}, fmt.Errorf("host rule %q: %w", s, err)
	}
	domain, below := strings.CutPrefix(host, "*.")
	name, addr, err := Host(domain)
	switch {
	case err != nil:
		return Rule{}, fmt.Errorf("host rule %q: %w", s, err)
	case addr.IsValid() && below:
		return Rule{}, fmt.Errorf("host rule %q: a wildcard before an address; write a prefix such as 10.0.0.0/8", s)
	case addr.IsValid():
		return Rule{prefix: netip.PrefixFrom(addr, addr.BitLen()), port: port}, nil
	case below:
		return Rule{host: "." + name, port: port}, nil
	}
	return Rule{host: name, port: port}, nil
}

func splitPort(s string) (host string, port uint16, err error) {
	at := strings.LastIndexByte(s, ':')
	switch {
	case strings.HasPrefix(s, "["):
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, errors.New("no ] after [")
		}
		host = s[1:end]
		if s = s[end+1:]; s == "" {
			return host, 0, nil
		}
		if s[0] != ':' {
			return "", 0, errors.New("only a port may follow ]")
		}
		at = 0
	case at < 0 || strings.Count(s, ":") > 1:
		return s, 0, nil
	default:
		host = s[:at]
	}
	n, err := strconv.ParseUint(s[at+1:], 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("port %q is not a number from 1 to 65535", s[at+1:])
	}
	return host, uint16(n), nil
}

// matchesName reports whether the rule names host, which is lower case and without a last dot.
func (r Rule) matchesName(host string, port uint16) bool {
	if r.host == "" || r.port != 0 && r.port != port {
		return false
	}
	if strings.HasPrefix(r.host, ".") {
		return strings.HasSuffix(host, r.host) && len(host) > len(r.host)
	}
	return host == r.host
}

func (r Rule) matchesAddr(a netip.Addr, port uint16) bool {
	return r.host == "" && (r.port == 0 || r.port == port) && r.prefix.Contains(a)
}

func (r Rule) String() string {
	var host string
	switch {
	case strings.HasPrefix(r.host, "."):
		host = "*" + r.host
	case r.host != "":
		host = r.host
	case !r.prefix.IsSingleIP():
		return r.prefix.String()
	case r.prefix.Addr().Is6() && r.port != 0:
		host = "[" + r.prefix.Addr().String() + "]"
	default:
		host = r.prefix.Addr().String()
	}
	if r.port != 0 {
		return host + ":" + strconv.Itoa(int(r.port))
	}
	return host
}

// Host reads the host of a URL, without port and brackets: a name in lower case ASCII without its last dot,
// or an address. Addresses in the notations that only some resolvers understand (decimal, octal, hexadecimal,
// fewer than four parts) are refused, since two readers of one such text can see two places.
func Host(s string) (name string, addr netip.Addr, err error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return "", a.Unmap(), nil
	}
	if strings.ContainsAny(s, ":%[]") || !utf8.ValidString(s) {
		return "", netip.Addr{}, fmt.Errorf("%q is neither a name nor an address", s)
	}
	name, err = idna.Lookup.ToASCII(s)
	if err != nil { // also for underscores, which internal names have; goodLabel refuses what is not ASCII
		name = lower(s)
	}
	name = strings.TrimSuffix(name, ".")
	if a, err := netip.ParseAddr(name); err == nil {
		return "", a.Unmap(), nil // "127.0.0.1.", or digits of another script
	}
	labels := strings.Split(name, ".")
	if len(name) > 253 {
		return "", netip.Addr{}, errors.New("a host name of more than 253 letters")
	}
	for _, l := range labels {
		if !goodLabel(l) {
			return "", netip.Addr{}, fmt.Errorf("%q is not a host name", s)
		}
	}
	if numeric(labels[len(labels)-1]) {
		return "", netip.Addr{}, fmt.Errorf("%q ends in a number and is not an address of four decimal parts", s)
	}
	return name, netip.Addr{}, nil
}

// lower is ASCII only: strings.ToLower would make a k of the Kelvin sign.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func goodLabel(l string) bool {
	for _, c := range []byte(l) {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return l != "" && len(l) <= 63
}

// numeric follows the URL standard's "ends in a number": such a host is an address or nothing.
func numeric(l string) bool {
	if strings.Trim(l, "0123456789") == "" {
		return true
	}
	digits, hex := strings.CutPrefix(l, "0x")
	return hex && strings.Trim(digits, "0123456789abcdef") == ""
}
