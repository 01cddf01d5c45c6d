package vortex

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxOneShot bounds how many addresses are remembered as closing after each reply.
const maxOneShot = 4 << 10

// pool keeps connections that nobody uses for a while, so that the next request needs no handshake.
type pool struct {
	perAddress, total int
	timeout           time.Duration

	mu struct {
		sync.Mutex
		closed  bool
		count   int
		idle    map[netip.AddrPort][]*resting
		oneShot map[netip.AddrPort]struct{} // parents that close after each reply, as Dragonfly's do
	}
}

// resting is an unused connection; its timer closes it.
type resting struct {
	conn  net.Conn
	timer *time.Timer
}

func newPool(perAddress, total int, timeout time.Duration) *pool {
	p := &pool{perAddress: perAddress, total: total, timeout: timeout}
	p.mu.idle = map[netip.AddrPort][]*resting{}
	p.mu.oneShot = map[netip.AddrPort]struct{}{}
	return p
}

// take returns the connection to addr that was used last and seems alive, nil when there is none.
func (p *pool) take(addr netip.AddrPort) net.Conn {
	for {
		r := p.pop(addr)
		if r == nil {
			return nil
		}
		r.timer.Stop()
		if alive(r.conn) {
			return r.conn
		}
		r.conn.Close()
		p.closes(addr)
	}
}

func (p *pool) pop(addr netip.AddrPort) *resting {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.mu.idle[addr]
	if len(list) == 0 {
		return nil
	}
	r := list[len(list)-1]
	p.drop(addr, list[:len(list)-1])
	return r
}

// drop sets what is left of an address's connections after one was taken out. The lock is held.
func (p *pool) drop(addr netip.AddrPort, left []*resting) {
	p.mu.count--
	if len(left) == 0 {
		delete(p.mu.idle, addr)
		return
	}
	p.mu.idle[addr] = left
}

// put keeps a connection for later, or closes it.
func (p *pool) put(addr netip.AddrPort, conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, oneShot := p.mu.oneShot[addr]
	if oneShot || p.mu.closed || p.mu.count >= p.total || len(p.mu.idle[addr]) >= p.perAddress {
		conn.Close()
		return
	}
	r := &resting{conn: conn}
	r.timer = time.AfterFunc(p.timeout, func() { p.expire(addr, r) })
	p.mu.idle[addr] = append(p.mu.idle[addr], r)
	p.mu.count++
}

// expire closes a connection that was not used in time.
func (p *pool) expire(addr netip.AddrPort, r *resting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.mu.idle[addr]
	for i := range list {
		if list[i] == r {
			left := append(list[:i:i], list[i+1:]...)
			p.drop(addr, left)
			r.conn.Close()
			return
		}
	}
}

// closes remembers that whoever listens on addr closes after each reply, so that keeping connections to
// it only costs.
func (p *pool) closes(addr netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.oneShot) >= maxOneShot {
		clear(p.mu.oneShot)
	}
	p.mu.oneShot[addr] = struct{}{}
}

// close closes what rests here; what is put later is closed at once.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.closed = true
	for _, list := range p.mu.idle {
		for _, r := range list {
			r.timer.Stop()
			r.conn.Close()
		}
	}
	clear(p.mu.idle)
	p.mu.count = 0
}
