package rank_test

import (
	"slices"
	"testing"

	"github.com/darter-p2p/darter/internal/scheduler/rank"
)

func TestAffinity(t *testing.T) {
	for _, c := range []struct {
		a, b rank.Zone
		want float64
	}{
		{rank.ZoneOf("", ""), rank.ZoneOf("", ""), 0},
		{rank.ZoneOf("x", ""), rank.ZoneOf("X", ""), 0.6},
		{rank.ZoneOf("x", "a|b"), rank.ZoneOf("x", "A|B"), 1},
		{rank.ZoneOf("x", "a|b"), rank.ZoneOf("y", "a|c"), 0.08},
		{rank.ZoneOf("", "a|b|c|d|e|f"), rank.ZoneOf("", "a|b|c|d|e|g"), 0.4},
		{rank.ZoneOf("", "a"), rank.ZoneOf("", "b"), 0},
	} {
		if got := rank.Affinity(c.a, c.b); got < c.want-1e-9 || got > c.want+1e-9 {
			t.Errorf("%v and %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestOrder(t *testing.T) {
	near, far := rank.ZoneOf("x", "a|b"), rank.ZoneOf("y", "c")
	for name, c := range map[string]struct {
		in   []rank.Candidate
		want []int
	}{
		"near before far":               {[]rank.Candidate{{Zone: far}, {Zone: near}}, []int{1, 0}},
		"idle before loaded":            {[]rank.Candidate{{Children: 9}, {Children: 1}}, []int{1, 0}},
		"bandwidth carries more":        {[]rank.Candidate{{Children: 9}, {Children: 9, MaxTx: 10e9}}, []int{1, 0}},
		"useful before empty":           {[]rank.Candidate{{}, {Useful: 0.5}}, []int{1, 0}},
		"seeds are spared":              {[]rank.Candidate{{Spare: true}, {}}, []int{1, 0}},
		"a failure outweighs nearness":  {[]rank.Candidate{{Zone: near, Failures: 2}, {Zone: far}}, []int{1, 0}},
		"late behind its like":          {[]rank.Candidate{{Late: true}, {}}, []int{1, 0}},
		"late before failing":           {[]rank.Candidate{{Failures: 2}, {Late: true}}, []int{1, 0}},
		"tie decides":                   {[]rank.Candidate{{Tie: 7}, {Tie: 3}, {Tie: 5}}, []int{1, 2, 0}},
		"a loaded seed before nobody":   {[]rank.Candidate{{Spare: true, Children: 1000}}, []int{0}},
		"near and loaded before remote": {[]rank.Candidate{{Zone: near, Children: 10}, {Zone: far}}, []int{0, 1}},
	} {
		if got := rank.Order(near, c.in); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestScoreStaysInBounds(t *testing.T) {
	z := rank.ZoneOf("x", "a")
	for _, c := range []rank.Candidate{{}, {Useful: 9, Zone: z}, {Useful: -1, Failures: -3, Spare: true, Children: 1 << 30}} {
		if got := rank.Score(z, c); got < 0 || got > 1 {
			t.Errorf("%+v scores %v, outside 0..1", c, got)
		}
	}
}
