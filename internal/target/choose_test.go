package target

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
)

func fleet(names ...string) []darter.Host {
	var out []darter.Host
	for i, n := range names {
		h := darter.Host{ID: darter.HostID(n), IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Port: 1}
		if strings.HasSuffix(n, "-seed") {
			h.Kind = darter.Seed
		}
		out = append(out, h)
	}
	return out
}

func ids(ts []darter.Target) string {
	var out []string
	for _, t := range ts {
		out = append(out, string(t.ID))
	}
	return strings.Join(out, " ")
}

func TestChoose(t *testing.T) {
	hosts := fleet("d", "b-seed", "a", "c", "b", "a-seed", "a")
	order := func(kind darter.JobKind, targets darter.Targets, earlier ...string) *darter.Order {
		o := &darter.Order{Kind: kind, Targets: targets}
		for _, n := range earlier {
			o.Hosts = append(o.Hosts, darter.Target{ID: darter.HostID(n)})
		}
		return o
	}
	for name, c := range map[string]struct {
		order *darter.Order
		want  string
	}{
		"all":                    {order(darter.PreheatFiles, darter.Targets{Scope: darter.AllPeers}), "a b c d"},
		"seeds":                  {order(darter.PreheatFiles, darter.Targets{Scope: darter.AllSeeds}), "a-seed b-seed"},
		"one seed":               {order(darter.PreheatFiles, darter.Targets{Scope: darter.OneSeed, Count: 1}), "a-seed b-seed"},
		"count":                  {order(darter.PreheatFiles, darter.Targets{Scope: darter.AllPeers, Count: 3, Percent: 1}), "a b c"},
		"count of more":          {order(darter.PreheatFiles, darter.Targets{Scope: darter.AllPeers, Count: 30}), "a b c d"},
		"half":                   {order(darter.PreheatFiles, darter.Targets{Scope: darter.AllPeers, Percent: 50}), "a b"},
		"at least one":           {order(darter.PreheatFiles, darter.Targets{Scope: darter.AllPeers, Percent: 1}), "a"},
		"addresses first":        {order(darter.PreheatFiles, darter.Targets{Scope: darter.AllPeers, Count: 1, IPs: []netip.Addr{hosts[0].IP, hosts[3].IP}}), "c d"},
		"locate asks seeds, too": {order(darter.LocateTask, darter.Targets{Scope: darter.AllPeers, Count: 1}), "a a-seed b b-seed c d"},
		"earlier stay in place":  {order(darter.PreheatFiles, darter.Targets{Scope: darter.AllPeers, Count: 2}, "d", "gone", "a"), "d gone a"},
		"new seeds join behind":  {order(darter.PreheatFiles, darter.Targets{Scope: darter.OneSeed}, "b-seed", "gone-seed"), "b-seed gone-seed a-seed"},
	} {
		require.Equal(t, c.want, ids(Choose(c.order, hosts)), name)
	}
	again := Choose(order(darter.PreheatFiles, darter.Targets{Scope: darter.AllPeers}, "d"), hosts)
	require.Equal(t, hosts[0].IP, again[0].IP, "an earlier host is reached where it is now")
}
