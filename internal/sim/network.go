package sim

import (
	"math"
	"slices"
	"time"
)

// link is one direction of a host's connection, or the origin's.
type link struct {
	cap float64 // bytes per second
	// scratch of share
	free, weight float64
	flows        []*flow
	listed       bool
}

// flow is bytes on their way over two links. reached is called each time mark bytes have left the sender; it
// either sets a higher mark or ends the flow.
type flow struct {
	up, down *link
	weight   float64
	done     float64
	mark     float64
	rate     float64
	since    time.Duration // done was true then
	due      time.Duration // when mark is reached
	fixed    bool
	reached  func()
	behind   func() (have, rate float64, some bool) // what a relay cannot overtake; nil for others
	limit    float64                                // of the rate, while a relay has caught up
	meets    time.Duration                          // when it will have
}

// network shares links among flows, max-min fair by weight, as TCP roughly does.
type network struct {
	clock *clock
	flows []*flow
	dirty bool
	due   time.Duration
	links []*link // scratch
}

const never = time.Duration(math.MaxInt64)

func (n *network) add(f *flow) {
	f.since = n.clock.now
	n.flows = append(n.flows, f)
	n.dirty = true
}

func (n *network) remove(f *flow) {
	if i := slices.Index(n.flows, f); i >= 0 {
		f.settle(n.clock.now)
		f.rate = 0
		n.flows = slices.Delete(n.flows, i, i+1)
		n.dirty = true
	}
}

// settle counts the bytes that went since the last look.
func (f *flow) settle(now time.Duration) {
	f.done = min(f.mark, f.done+f.rate*(now-f.since).Seconds())
	f.since = now
}

// share computes the rates anew. A relay that has caught up with what it relays is no faster than that, whose rate is
// known only afterwards: so it is done again until nothing changes, or nearly.
func (n *network) share() {
	n.dirty, n.due = false, never
	for _, f := range n.flows {
		f.settle(n.clock.now)
		f.limit = math.Inf(1)
	}
	for range 6 {
		n.fill()
		if !n.hold() {
			break
		}
	}
	for _, f := range n.flows {
		f.due, f.meets = never, never
		if f.rate > 1e-6 {
			f.due = n.clock.now + time.Duration(math.Ceil((f.mark-f.done)/f.rate*1e9))
		}
		if f.behind != nil && math.IsInf(f.limit, 1) {
			if have, rate, some := f.behind(); some && f.rate > rate+1e-6 {
				f.meets = n.clock.now + time.Duration(math.Ceil((have-f.done)/(f.rate-rate)*1e9))
			}
		}
		n.due = min(n.due, f.due, f.meets)
	}
}

// hold limits the relays that caught up, and reports whether one of them was too fast.
func (n *network) hold() bool {
	changed := false
	for _, f := range n.flows {
		if f.behind == nil {
			continue
		}
		have, rate, some := f.behind()
		if some && f.done >= have-1 && f.rate > rate+1 {
			f.limit, changed = rate, true
		}
	}
	return changed
}

// fill shares the links: the tightest first, its flows get its fair share, and so on.
func (n *network) fill() {
	n.gather()
	for _, f := range n.flows { // who may have little takes it first
		if !math.IsInf(f.limit, 1) {
			f.fix(min(f.limit, f.up.free, f.down.free))
		}
	}
	n.level()
}

// fix settles the rate of a flow.
func (f *flow) fix(rate float64) {
	f.fixed, f.rate = true, max(rate, 0)
	for _, l := range [2]*link{f.up, f.down} {
		l.free -= f.rate
		if l.weight -= f.weight; l.weight < 1e-9 {
			l.weight = 0
		}
	}
}

// level gives the flows that are left their fair shares.
func (n *network) level() {
	for left := len(n.flows); left > 0; {
		var tight *link
		for _, l := range n.links {
			if l.weight > 0 && (tight == nil || l.free*tight.weight < tight.free*l.weight) {
				tight = l
			}
		}
		if tight == nil {
			break
		}
		per := max(tight.free, 0) / tight.weight
		for _, f := range tight.flows {
			if f.fixed {
				continue
			}
			f.fix(per * f.weight)
			left--
		}
		tight.weight = 0
	}
}

func (n *network) gather() {
	for _, l := range n.links {
		l.listed, l.flows = false, l.flows[:0]
	}
	n.links = n.links[:0]
	for _, f := range n.flows {
		f.fixed, f.rate = false, 0
		for _, l := range [2]*link{f.up, f.down} {
			if !l.listed {
				l.listed, l.free, l.weight = true, l.cap, 0
				n.links = append(n.links, l)
			}
			l.weight += f.weight
			l.flows = append(l.flows, f)
		}
	}
}

// deliver tells the flows that reached their marks, in order of start.
func (n *network) deliver() {
	for _, f := range slices.Clone(n.flows) {
		if f.meets <= n.clock.now {
			n.dirty = true
		}
		if f.due <= n.clock.now && slices.Contains(n.flows, f) {
			f.done, f.since = f.mark, n.clock.now
			n.dirty = true
			f.reached()
		}
	}
}
