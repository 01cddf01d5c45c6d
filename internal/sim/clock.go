package sim

import (
	"container/heap"
	"time"
)

// clock is virtual time: what is due runs in order of time, then of planning.
type clock struct {
	now   time.Duration
	queue queue
	seq   uint64
}

type planned struct {
	at  time.Duration
	seq uint64
	do  func()
}

// after plans do for d from now.
func (c *clock) after(d time.Duration, do func()) { c.at(c.now+d, do) }

func (c *clock) at(t time.Duration, do func()) {
	c.seq++
	heap.Push(&c.queue, planned{at: max(t, c.now), seq: c.seq, do: do})
}

// next returns when something is due, false when nothing is planned.
func (c *clock) next() (time.Duration, bool) {
	if len(c.queue) == 0 {
		return 0, false
	}
	return c.queue[0].at, true
}

func (c *clock) pop() func() { return heap.Pop(&c.queue).(planned).do }

type queue []planned

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || (q[i].at == q[j].at && q[i].seq < q[j].seq)
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(planned)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1].do = nil
	*q = old[:len(old)-1]
	return x
}
