package target

import (
	"cmp"
	"slices"

	"github.com/darter-p2p/darter"
)

// Choose returns the hosts of an order. Those that an earlier attempt chose stay where they are: bits in the manager's
// rows stand for them.
func Choose(o *darter.Order, hosts []darter.Host) []darter.Target {
	var fit []darter.Target
	for _, h := range hosts {
		if fits(o, h) {
			fit = append(fit, darter.Target{ID: h.ID, Hostname: h.Hostname, IP: h.IP, Port: h.Port, Kind: h.Kind})
		}
	}
	slices.SortFunc(fit, func(a, b darter.Target) int { return cmp.Compare(a.ID, b.ID) })
	fit = slices.CompactFunc(fit, func(a, b darter.Target) bool { return a.ID == b.ID })
	if o.Kind == darter.PreheatFiles || o.Kind == darter.PreheatImage {
		fit = few(o.Targets, fit)
	}
	if len(o.Hosts) == 0 {
		return fit
	}
	return again(o, fit)
}

// fits reports whether a host is of the kind that the order is for.
func fits(o *darter.Order, h darter.Host) bool {
	switch {
	case o.Kind == darter.LocateTask || o.Kind == darter.PurgeTask:
		return true // whoever may hold it, seeds included
	case o.Targets.Scope != darter.OneSeed && len(o.Targets.IPs) > 0 && !slices.Contains(o.Targets.IPs, h.IP):
		return false
	case o.Targets.Scope == darter.AllPeers:
		return h.Kind == darter.Normal
	}
	return h.Kind != darter.Normal
}

// few keeps as many as asked for.
func few(t darter.Targets, fit []darter.Target) []darter.Target {
	switch {
	case t.Scope == darter.OneSeed || len(t.IPs) > 0:
		return fit
	case t.Count > 0:
		return fit[:min(len(fit), int(t.Count))]
	case t.Percent > 0 && len(fit) > 0:
		return fit[:max(1, len(fit)*int(t.Percent)/100)]
	}
	return fit
}

// again is the earlier choice, with fresh addresses. Only an order for any one seed gets new ones: for the others the
// choice is what was promised, and a host that left is a failure to be told.
func again(o *darter.Order, fit []darter.Target) []darter.Target {
	at := make(map[darter.HostID]int, len(fit))
	for i, t := range fit {
		at[t.ID] = i
	}
	out := slices.Clone(o.Hosts)
	for i := range out {
		if k, there := at[out[i].ID]; there {
			out[i] = fit[k]
			delete(at, out[i].ID)
		}
	}
	if o.Targets.Scope != darter.OneSeed {
		return out
	}
	for _, t := range fit {
		if _, isNew := at[t.ID]; isNew {
			out = append(out, t)
		}
	}
	return out
}
