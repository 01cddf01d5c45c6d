package livenesstest

import (
	"fmt"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
)

// Crowd is a roster with many hosts that renew their leases on time. It makes no garbage while it runs, so that what is
// measured is the roster.
type Crowd struct {
	R   *liveness.Roster
	Now time.Time
	IDs []darter.HostID

	step  time.Duration
	due   [][]uint32 // by tick, a ring
	at    int
	alive []bool
}

const ring = 1 << 14

// NewCrowd returns a crowd whose hosts have all joined and renewed once, spread over zones of a thousand. It advances in
// steps of the given length.
func NewCrowd(hosts int, step time.Duration) (*Crowd, error) {
	cfg := liveness.DefaultConfig()
	cfg.Tick = step
	cfg.MaxGap = max(cfg.MaxGap, 4*step)
	r, err := liveness.New(cfg)
	if err != nil {
		return nil, err
	}
	c := &Crowd{R: r, Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), step: step, due: make([][]uint32, ring), alive: make([]bool, hosts)}
	r.Step(c.Now, liveness.Tick{})
	for i := range hosts {
		id := darter.HostID(fmt.Sprintf("10.%d.%d.%d-node-%07d", i>>16, i>>8&255, i&255, i))
		c.IDs = append(c.IDs, id)
		c.alive[i] = true
		r.Step(c.Now, liveness.Announced{Host: id, Epoch: 1, Native: true, Zone: liveness.ZoneOf(1, "dc", fmt.Sprint(i/1000))})
		c.renew(uint32(i), i%ring)
	}
	return c, nil
}

// renew renews one host's lease and notes when the next one is due. spread moves the first ones apart.
func (c *Crowd) renew(i uint32, spread int) {
	d, done := c.R.Renew(c.Now, c.IDs[i], 1)
	if !done {
		for _, e := range c.R.Step(c.Now, liveness.Renewed{Host: c.IDs[i], Epoch: 1}) {
			if g, is := e.(liveness.Grant); is {
				d = g.Interval
			}
		}
	}
	ticks := max(int(d/c.step), 1)
	if spread > 0 {
		ticks = 1 + spread%ticks
	}
	at := (c.at + min(ticks, ring-1)) % ring
	c.due[at] = append(c.due[at], i)
}

// Renewals lets one step pass and does the renewals that are due in it. It returns how many.
func (c *Crowd) Renewals() int {
	c.Now = c.Now.Add(c.step)
	c.at = (c.at + 1) % ring
	list := c.due[c.at]
	c.due[c.at] = list[:0]
	n := 0
	for _, i := range list {
		if c.alive[i] {
			c.renew(i, 0)
			n++
		}
	}
	return n
}

// Tick gives the roster its turn, as often as it asks for it at this moment, and calls each for every effect. It returns
// the number of turns.
func (c *Crowd) Tick(each func(liveness.Effect), turn func(items int)) (turns int) {
	for more := true; more; {
		more = false
		for _, e := range c.R.Step(c.Now, liveness.Tick{}) {
			if _, is := e.(liveness.Wake); is {
				more = true
			} else if each != nil {
				each(e)
			}
		}
		turns++
		if turn != nil {
			turn(c.R.Stats().Items)
		}
	}
	return turns
}

// Kill silences hosts for good.
func (c *Crowd) Kill(from, to int) {
	for i := from; i < to; i++ {
		c.alive[i] = false
	}
}
