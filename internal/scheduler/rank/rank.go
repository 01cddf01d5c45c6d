package rank

import (
	"cmp"
	"slices"
	"strings"
)

// Zone is where a host stands. The zero Zone says nothing.
type Zone struct {
	idc  string
	path []string // location, widest first
	key  string
}

// ZoneOf reads a zone as hosts announce it: a data centre and a location "a|b|c". Case does not matter.
func ZoneOf(idc, location string) Zone {
	z := Zone{idc: strings.ToLower(idc), key: strings.ToLower(idc + "\x00" + location)}
	if location != "" {
		z.path = strings.Split(strings.ToLower(location), "|")
	}
	return z
}

// Key is equal for equal zones.
func (z Zone) Key() string { return z.key }

// Weights of the parts of a score. They add up to 1, so that a score lies in 0..1.
//
//	affinity  0.40  the same data centre and location: bytes stay on near links
//	idle      0.30  few children for its bandwidth: load spreads
//	useful    0.20  holds much of what the child misses
//	spare     0.10  not a seed that others can stand in for
//
// The sum is divided by 1 + recent failures, so that one failure outweighs any single part.
const (
	weightAffinity = 0.40
	weightIdle     = 0.30
	weightUseful   = 0.20
	weightSpare    = 0.10
)

// Bandwidth that one child is reckoned to take, in bits per second, and the bounds of the number of
// children that follow from a host's bandwidth.
const (
	perChild    = 100e6
	minChildren = 4
	maxChildren = 64
	children    = 10 // when the host announced no bandwidth
)

// Candidate is what is known of one possible parent.
type Candidate struct {
	Zone     Zone
	MaxTx    uint64  // announced bandwidth in bits per second; 0 means unknown
	Children int     // active children it has now
	Useful   float64 // share of the child's missing pieces that it holds, 0..1
	Spare    bool    // a seed, and others hold pieces too
	Failures int     // recent failures that children reported
	Late     bool    // quiet for longer than it promised: counts like one failure
	Tie      uint64  // decides between equal scores, lower first; different per child and candidate
}

// Affinity tells how near two zones are: 0.6 for the same data centre, up to 0.4 for the leading parts
// of the location they share (all of five parts, or full equality). Unknown is not near.
func Affinity(a, b Zone) float64 {
	score := 0.0
	if a.idc != "" && a.idc == b.idc {
		score = 0.6
	}
	if len(a.path) == 0 || len(b.path) == 0 {
		return score
	}
	if slices.Equal(a.path, b.path) {
		return score + 0.4
	}
	same := 0
	for same < min(len(a.path), len(b.path), 5) && a.path[same] == b.path[same] {
		same++
	}
	return score + 0.4*float64(same)/5
}

// Score rates a candidate for a child in the given zone, 0..1.
func Score(child Zone, c Candidate) float64 {
	room := float64(children)
	if c.MaxTx > 0 {
		room = min(max(float64(c.MaxTx)/perChild, minChildren), maxChildren)
	}
	idle := max(0, 1-float64(c.Children)/room)
	spare := 1.0
	if c.Spare {
		spare = 0
	}
	sum := weightAffinity*Affinity(child, c.Zone) + weightIdle*idle + weightUseful*min(max(c.Useful, 0), 1) + weightSpare*spare
	doubts := max(c.Failures, 0)
	if c.Late {
		doubts++
	}
	return sum / float64(1+doubts)
}

// Order returns the indices of candidates, best first.
func Order(child Zone, candidates []Candidate) []int {
	scores := make([]float64, len(candidates))
	order := make([]int, len(candidates))
	for i, c := range candidates {
		scores[i], order[i] = Score(child, c), i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(candidates[a].Tie, candidates[b].Tie))
	})
	return order
}
