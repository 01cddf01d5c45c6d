package affinity

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Cluster is what is said of a cluster.
type Cluster struct {
	ID        uint64
	Name      string
	Default   bool
	IDC       string   // a|b
	Location  string   // a|b|c, widest first
	Networks  []string // prefixes
	Hostnames []string // regular expressions
}

// Asker is a daemon that looks for its cluster.
type Asker struct {
	IP       netip.Addr
	Hostname string
	IDC      string
	Location string
}

// Part is one reason for a cluster, or against it.
type Part struct {
	Weight float64
	Score  float64 // 0 to 1
	Why    string
}

// Score is how well a cluster fits.
type Score struct {
	Cluster  uint64
	Name     string
	Total    float64 // 0 to 1
	Network  Part
	Hostname Part
	IDC      Part
	Location Part
	Default  Part
}

// The weights of the parts.
const (
	weightNetwork  = 0.3
	weightHostname = 0.3
	weightIDC      = 0.25
	weightLocation = 0.14
	weightDefault  = 0.01
)

// maxSteps is how many steps of a place count.
const maxSteps = 5

// Searcher ranks a set of clusters. It never changes, and may be used by many at once.
type Searcher struct{ clusters []compiled }

type compiled struct {
	Cluster
	networks []netip.Prefix
	patterns []*regexp.Regexp
	idcs     []string
}

// New reads the clusters' scopes. What does not parse fits nobody.
func New(clusters []Cluster) *Searcher {
	s := &Searcher{clusters: make([]compiled, len(clusters))}
	for i, c := range clusters {
		out := compiled{Cluster: c, idcs: strings.Split(c.IDC, "|")}
		for _, text := range c.Networks {
			if p, err := netip.ParsePrefix(text); err == nil {
				out.networks = append(out.networks, p)
			}
		}
		for _, text := range c.Hostnames {
			if p, err := regexp.Compile(text); err == nil {
				out.patterns = append(out.patterns, p)
			}
		}
		s.clusters[i] = out
	}
	return s
}

// Rank returns every cluster's score, the best first.
func (s *Searcher) Rank(a Asker) []Score {
	out := make([]Score, len(s.clusters))
	for i := range s.clusters {
		out[i] = s.clusters[i].score(a)
	}
	slices.SortStableFunc(out, func(x, y Score) int { return cmp.Or(cmp.Compare(y.Total, x.Total), cmp.Compare(x.Cluster, y.Cluster)) })
	return out
}

func (c *compiled) score(a Asker) Score {
	out := Score{Cluster: c.ID, Name: c.Name, Network: c.network(a), Hostname: c.hostname(a), IDC: c.idc(a), Location: c.location(a), Default: c.byDefault()}
	for _, p := range []Part{out.Network, out.Hostname, out.IDC, out.Location, out.Default} {
		out.Total += p.Weight * p.Score
	}
	return out
}

func (c *compiled) network(a Asker) Part {
	p := Part{Weight: weightNetwork}
	switch {
	case len(c.networks) == 0:
		p.Why = "the cluster names no network"
	case !a.IP.IsValid():
		p.Why = "the daemon's address is not known"
	default:
		p.Why = fmt.Sprintf("%s is in none of its networks", a.IP)
		for _, n := range c.networks {
			if n.Contains(a.IP.Unmap()) {
				p.Score, p.Why = 1, fmt.Sprintf("%s is in %s", a.IP, n)
				break
			}
		}
	}
	return p
}

func (c *compiled) hostname(a Asker) Part {
	p := Part{Weight: weightHostname}
	switch {
	case len(c.patterns) == 0:
		p.Why = "the cluster names no host names"
	case a.Hostname == "":
		p.Why = "the daemon's host name is not known"
	default:
		p.Why = "no pattern fits " + a.Hostname
		for _, r := range c.patterns {
			if r.MatchString(a.Hostname) {
				p.Score, p.Why = 1, fmt.Sprintf("%s fits %s", a.Hostname, r)
				break
			}
		}
	}
	return p
}

func (c *compiled) idc(a Asker) Part {
	p := Part{Weight: weightIDC}
	switch {
	case c.IDC == "":
		p.Why = "the cluster names no data centre"
	case a.IDC == "":
		p.Why = "the daemon names no data centre"
	case slices.ContainsFunc(c.idcs, func(s string) bool { return s != "" && strings.EqualFold(s, a.IDC) }):
		p.Score, p.Why = 1, a.IDC+" is one of "+c.IDC
	default:
		p.Why = a.IDC + " is none of " + c.IDC
	}
	return p
}

func (c *compiled) location(a Asker) Part {
	p := Part{Weight: weightLocation}
	switch {
	case c.Location == "":
		p.Why = "the cluster names no place"
	case a.Location == "":
		p.Why = "the daemon names no place"
	case strings.EqualFold(c.Location, a.Location):
		p.Score, p.Why = 1, "both are at "+c.Location
	default:
		steps := shared(c.Location, a.Location)
		p.Score, p.Why = float64(steps)/maxSteps, fmt.Sprintf("%s and %s share %d steps", a.Location, c.Location, steps)
	}
	return p
}

// shared counts the steps with which both places begin.
func shared(a, b string) int {
	x, y := strings.Split(a, "|"), strings.Split(b, "|")
	n := 0
	for n < min(len(x), len(y), maxSteps) && strings.EqualFold(x[n], y[n]) {
		n++
	}
	return n
}

func (c *compiled) byDefault() Part {
	if c.Default {
		return Part{Weight: weightDefault, Score: 1, Why: "it is the default cluster"}
	}
	return Part{Weight: weightDefault, Why: "it is not the default cluster"}
}
