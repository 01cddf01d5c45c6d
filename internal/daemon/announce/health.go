package announce

import (
	"context"
	"net/netip"
	"sync"
)

// healthy asks all candidates at once, and keeps those that serve, of one cluster: the first, in the
// order named, that has one. Different clusters know nothing of each other's tasks.
func (m *Membership) healthy(ctx context.Context, named []candidate) []netip.AddrPort {
	problems := make([]error, len(named))
	var asked sync.WaitGroup
	for i, c := range named {
		asked.Go(func() { problems[i] = m.cfg.Health(ctx, c.at) })
	}
	asked.Wait()
	var set []netip.AddrPort
	var cluster uint64
	for i, c := range named {
		switch {
		case problems[i] != nil:
			if m.cfg.Events.Unwell != nil {
				m.cfg.Events.Unwell(c.at, problems[i])
			}
		case len(set) == 0:
			cluster = c.cluster
			set = append(set, c.at)
		case c.cluster == cluster:
			set = append(set, c.at)
		}
	}
	return set
}

func firstCluster(named []candidate) []netip.AddrPort {
	var out []netip.AddrPort
	for _, c := range named {
		if c.cluster == named[0].cluster {
			out = append(out, c.at)
		}
	}
	return out
}

// firstClusterOf returns the candidates of the cluster that set was taken from; of all clusters when
// nobody served, so that the caller sees something is missing.
func firstClusterOf(named []candidate, set []netip.AddrPort) []netip.AddrPort {
	var out []netip.AddrPort
	for _, c := range named {
		if len(set) > 0 && c.at == set[0] {
			for _, d := range named {
				if d.cluster == c.cluster {
					out = append(out, d.at)
				}
			}
			return out
		}
	}
	return firstCluster(named)
}
