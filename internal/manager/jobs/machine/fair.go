package machine

import (
	"cmp"
	"slices"
)

// Lane is the queue of one tenant (an application, else an owner), as a claimer sees it.
type Lane struct {
	Tenant     string
	Weight     uint32 // share of the turns; 0 counts as 1
	Running    uint32 // jobs with a leased step
	Targets    uint32 // hosts of those jobs
	MaxJobs    uint32 // 0: no limit
	MaxTargets uint32 // 0: no limit
	Best       int32  // highest priority that waits
	Oldest     int64  // when its head began to wait
}

func (l Lane) full() bool {
	return l.MaxJobs > 0 && l.Running >= l.MaxJobs || l.MaxTargets > 0 && l.Targets >= l.MaxTargets
}

// Turn puts the lanes that may be served into the order in which to serve them: who runs least for its weight first, so
// that a tenant with a thousand jobs delays nobody else's first; then by priority, then by age, then by name.
// Priority deliberately does not go before fairness: one tenant could take every turn by calling everything urgent.
func Turn(lanes []Lane) []Lane {
	out := slices.DeleteFunc(slices.Clone(lanes), Lane.full)
	slices.SortFunc(out, func(a, b Lane) int {
		return cmp.Or(
			cmp.Compare(uint64(a.Running)*uint64(max(b.Weight, 1)), uint64(b.Running)*uint64(max(a.Weight, 1))),
			cmp.Compare(b.Best, a.Best),
			cmp.Compare(a.Oldest, b.Oldest),
			cmp.Compare(a.Tenant, b.Tenant),
		)
	})
	return out
}
