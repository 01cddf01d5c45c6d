package retention

import (
	"slices"
	"time"

	"github.com/darter-p2p/darter"
)

// Point is a place in the order of rows: by time, then by key.
type Point struct {
	At  int64  `json:"at"` // microseconds since 1970
	Key string `json:"key,omitempty"`
}

// Before is the order.
func (p Point) Before(q Point) bool { return p.At < q.At || p.At == q.At && p.Key < q.Key }

// Group is one group and state that rows are in.
type Group struct{ Group, State string }

// Facts is what the tables say.
type Facts struct {
	Groups  []Group          // that there are; states that are not final are passed over
	Final   []string         // states that are final; none: rows have no state and all are final
	Newest  map[string]Point // with keep_last per group: the N-th newest final row; a group that has fewer is missing
	Ceiling int64            // time of the newest row that must go for the ceiling, in microseconds; 0: none must
}

// Slice is all rows of one group and state that lie before a point.
type Slice struct {
	Group     string        `json:"group"`
	State     string        `json:"state"`
	Reason    darter.Reason `json:"reason"`
	Below     Point         `json:"below"`     // rows before it go
	Cutoff    int64         `json:"cutoff"`    // where the rule or the ceiling alone would set it
	Protected bool          `json:"protected"` // keep_last set Below, not the cutoff
}

// Slices decides what goes, oldest groups' names first. Slices that can hold nothing are left out.
func Slices(s Spec, f Facts, now time.Time) []Slice {
	groups := slices.Clone(f.Groups)
	slices.SortFunc(groups, func(a, b Group) int {
		if a.Group != b.Group {
			return compare(a.Group, b.Group)
		}
		return compare(a.State, b.State)
	})
	var out []Slice
	for _, g := range slices.Compact(groups) {
		if len(f.Final) > 0 && !slices.Contains(f.Final, g.State) {
			continue
		}
		after, ok := s.After(g.Group, g.State)
		if !ok {
			continue
		}
		slice := Slice{Group: g.Group, State: g.State, Reason: darter.Expired, Cutoff: now.Add(-after).UnixMicro()}
		if f.Ceiling >= slice.Cutoff && f.Ceiling > 0 {
			slice.Reason, slice.Cutoff = darter.OverQuota, f.Ceiling+1
		}
		slice.Below = Point{At: slice.Cutoff}
		if s.KeepLast.Count > 0 && s.KeepLast.Per == "group" {
			newest, enough := f.Newest[g.Group]
			if !enough {
				newest = Point{} // the group has no more than it may keep
			}
			if newest.Before(slice.Below) {
				slice.Below, slice.Protected = newest, true
			}
		}
		out = append(out, slice)
	}
	return out
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
