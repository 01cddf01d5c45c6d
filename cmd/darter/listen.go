package main

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/darter-p2p/darter"
)

// doors opens listeners and remembers them: for the start screen, and to close them when the start fails.
type doors struct {
	defaultIP string // host part of addresses that name none; empty means all interfaces
	open      []net.Listener
	shown     []door
}

// door is one line of the start screen.
type door struct {
	key     string // in the log line "ready"
	what    string // for people
	address string
	secure  bool // TLS
}

// tcp opens one listener. flag is named in the error.
func (d *doors) tcp(key, what, flag, address string) (net.Listener, error) {
	if strings.HasPrefix(address, ":") && d.defaultIP != "" {
		address = net.JoinHostPort(d.defaultIP, address[1:])
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, listenError(what, flag, address, err)
	}
	d.keep(key, what, l.Addr().String(), l)
	return l, nil
}

func (d *doors) keep(key, what, address string, l net.Listener) {
	d.open = append(d.open, l)
	d.shown = append(d.shown, door{key: key, what: what, address: address})
}

// secure notes that a door has TLS, for its line on the screen.
func (d *doors) secure(key string, is bool) {
	for i := range d.shown {
		if d.shown[i].key == key {
			d.shown[i].secure = is
		}
	}
}

func listenError(what, flag, address string, err error) error {
	e := &darter.Error{Kind: darter.Unavailable, Op: "listen on " + address + " for " + what, Err: err, Hint: "choose another address with --" + flag}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e.Kind, e.Err = darter.Conflict, errors.New("another process listens there")
	case errors.Is(err, fs.ErrPermission):
		e.Kind = darter.Denied
	}
	return e
}

// close gives all listeners back. Roles that run close their own; a second close does no harm.
func (d *doors) close() {
	for _, l := range d.open {
		_ = l.Close()
	}
}

// outward returns the address under which others reach this machine: the one that was set, else the first of a
// network interface that is up and not loopback, else loopback.
func outward(set string) (netip.Addr, error) {
	if set != "" {
		ip, err := netip.ParseAddr(set)
		if err != nil {
			return ip, &darter.Error{Kind: darter.Invalid, Op: "read address", Err: err, Hint: "write it as 10.0.0.1"}
		}
		return ip.Unmap(), nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, &darter.Error{Kind: darter.Unavailable, Op: "find this machine's address", Err: err, Hint: "set it with --host-ip"}
	}
	var six netip.Addr
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().IsGlobalUnicast() {
			continue
		}
		if p.Addr().Is4() {
			return p.Addr(), nil
		}
		if !six.IsValid() {
			six = p.Addr()
		}
	}
	if six.IsValid() {
		return six, nil
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
}

func hostname(set string) string {
	if set != "" {
		return set
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "localhost"
}
