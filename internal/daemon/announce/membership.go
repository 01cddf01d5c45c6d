package announce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/darter-p2p/darter"
)

// maxCandidates bounds what a manager or a name server can make us ask.
const maxCandidates = 256

// Membership keeps the set of schedulers in force.
type Membership struct {
	cfg MembershipConfig

	mu struct {
		sync.Mutex
		set     []netip.AddrPort // sorted; replaced, never changed in place
		changed chan struct{}
	}
}

// NewMembership checks the configuration. IP literals of a static list are in force at once, so that
// the first download need not wait for a look.
func NewMembership(cfg MembershipConfig) (*Membership, error) {
	if cfg.Resolve == nil {
		cfg.Resolve = systemResolve
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := &Membership{cfg: cfg}
	m.mu.changed = make(chan struct{})
	if cfg.Manager == nil {
		m.mu.set = ordered(literals(cfg.Static))
	}
	return m, nil
}

// Current returns the set in force, sorted. The slice is not to be changed.
func (m *Membership) Current() []netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.set
}

// Changed returns a channel that is closed when the set changes. Take it before Current.
func (m *Membership) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.changed
}

// replace puts a set in force and reports whether it is another one.
func (m *Membership) replace(set []netip.AddrPort) bool {
	if slices.Equal(m.Current(), set) { // only Run replaces: nobody comes in between
		return false
	}
	m.enforce(set)
	return true
}

// enforce puts a set in force and tells of it, also when it is the same.
func (m *Membership) enforce(set []netip.AddrPort) {
	m.mu.Lock()
	m.mu.set = set
	close(m.mu.changed)
	m.mu.changed = make(chan struct{})
	m.mu.Unlock()
	if m.cfg.Events.Changed != nil {
		m.cfg.Events.Changed(set)
	}
}

// candidate is a scheduler that someone named, before it was asked how it is.
type candidate struct {
	at      netip.AddrPort
	cluster uint64
}

// look finds out who is there now, and reports whether everyone who was named is well. A look
// that finds nobody changes nothing.
func (m *Membership) look(ctx context.Context) (well bool) {
	ctx, cancel := context.WithTimeoutCause(ctx, m.cfg.Limit, errSlow)
	defer cancel()
	named, err := m.candidates(ctx)
	if err == nil && len(named) == 0 {
		err = &darter.Error{Kind: darter.NotFound, Op: "find schedulers", Err: errNobody,
			Hint: "downloads go to their sources until one is there"}
	}
	if len(named) == 0 {
		m.failed(err)
		return false
	}
	set := m.healthy(ctx, named)
	switch {
	case len(set) > 0:
		if m.replace(ordered(set)) {
			m.keep(ordered(set))
		}
	case len(m.Current()) == 0: // better someone who may come back than nobody
		m.replace(ordered(firstCluster(named)))
	}
	return err == nil && len(set) == len(firstClusterOf(named, set))
}

var (
	errNobody = errors.New("no scheduler is named")
	errSlow   = errors.New("looking for schedulers took too long")
)

func (m *Membership) failed(err error) {
	if err != nil && m.cfg.Events.Failed != nil {
		m.cfg.Events.Failed(err)
	}
}

// candidates asks the manager, else resolves the static list. A name that does not resolve does not
// spoil the others: then both results are set.
func (m *Membership) candidates(ctx context.Context) ([]candidate, error) {
	var named []candidate
	add := func(at netip.AddrPort, cluster uint64) {
		if at.IsValid() && len(named) < maxCandidates && !slices.ContainsFunc(named, func(c candidate) bool { return c.at == at }) {
			named = append(named, candidate{at, cluster})
		}
	}
	if m.cfg.Manager != nil {
		if err := m.cfg.Manager.ListSchedulers(ctx, add); err != nil {
			return nil, err
		}
		return named, nil
	}
	var failed error
	for _, s := range m.cfg.Static {
		host, port, err := splitHostPort(s)
		if err != nil {
			return nil, err
		}
		ips, err := m.resolve(ctx, host)
		if err != nil {
			failed = errors.Join(failed, &darter.Error{Kind: darter.Unavailable, Op: "resolve scheduler " + s, Err: err,
				Hint: "check the name, or write the scheduler's IP address"})
			continue
		}
		for _, ip := range ips {
			add(netip.AddrPortFrom(ip.Unmap(), port), 0)
		}
	}
	if failed != nil {
		m.failed(failed)
	}
	return named, failed
}

// resolve prefers IPv4 on a dual stack, as the other daemons of a mixed cluster do: the ring needs
// everyone to see the same members.
func (m *Membership) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	ips, err := m.cfg.Resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	var four []netip.Addr
	for _, ip := range ips {
		if ip.Unmap().Is4() {
			four = append(four, ip)
		}
	}
	if len(four) > 0 {
		return four, nil
	}
	return ips, nil
}

// splitHostPort reads "host:port".
func splitHostPort(s string) (string, uint16, error) {
	host, text, err := net.SplitHostPort(strings.TrimSpace(s))
	port, err2 := strconv.ParseUint(text, 10, 16)
	if err != nil || err2 != nil || host == "" || port == 0 {
		return "", 0, &darter.Error{Kind: darter.Invalid, Op: "read scheduler address",
			Err: fmt.Errorf("%q is not an address", s), Hint: "write it as host:port, for example 10.0.0.5:8002"}
	}
	return host, uint16(port), nil
}

func literals(static []string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range static {
		host, port, err := splitHostPort(s)
		if err != nil {
			continue
		}
		if ip, err := netip.ParseAddr(host); err == nil {
			out = append(out, netip.AddrPortFrom(ip.Unmap(), port))
		}
	}
	return out
}

func ordered(set []netip.AddrPort) []netip.AddrPort {
	out := slices.Clone(set)
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out)
}
