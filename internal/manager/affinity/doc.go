// Package affinity decides which clusters a daemon belongs to, and says why.
//
//	clusters: networks, host names, data centres, places, default ─▶ New ─▶ Searcher
//	a daemon: address, host name, data centre, place ──▶ Rank ──▶ scores, best first, each part with its reason
//
//	part      weight  score
//	network   0.30    1 when one of the cluster's networks holds the address
//	host name 0.30    1 when one of its patterns fits
//	idc       0.25    1 when its list (a|b|c) holds the daemon's, whatever the case
//	location  0.14    the shared beginning of both paths (a|b|c), a fifth for each step; 1 when they are equal
//	default   0.01    1 for the default cluster
//
// The weights are Dragonfly's, so that a daemon lands where it landed before. It promises the same order for the same
// question: equal scores go by the clusters' numbers.
//
// It deliberately does not know which schedulers live: the caller leaves clusters without any out.
package affinity
