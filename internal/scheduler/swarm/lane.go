package swarm

// lane keeps things in order of arrival, and takes one out in constant time on the average: it leaves a
// hole, and closes the holes once they are the greater part. Who walks list skips what is nil. A walk goes on
// undisturbed while things come and go, because closing holes makes a new list.
type lane[T any] struct {
	list []*T
	live int
}

// add puts v at the end and returns its place.
func (l *lane[T]) add(v *T) int32 {
	l.list = append(l.list, v)
	l.live++
	return int32(len(l.list) - 1)
}

// remove takes out what is at a place; moved hears of the new places of the others.
func (l *lane[T]) remove(at int32, moved func(*T, int32)) {
	l.list[at] = nil
	l.live--
	if len(l.list) < 16 || l.live > len(l.list)/2 {
		return
	}
	rest := make([]*T, 0, l.live+l.live/2)
	for _, v := range l.list {
		if v != nil {
			moved(v, int32(len(rest)))
			rest = append(rest, v)
		}
	}
	l.list = rest
}

// slots gives things small numbers, which are used again once they are free.
type slots[T any] struct {
	list []*T
	free []uint32
}

func (s *slots[T]) add(v *T) uint32 {
	if n := len(s.free); n > 0 {
		at := s.free[n-1]
		s.free = s.free[:n-1]
		s.list[at] = v
		return at
	}
	s.list = append(s.list, v)
	return uint32(len(s.list) - 1)
}

func (s *slots[T]) remove(at uint32) {
	s.list[at] = nil
	s.free = append(s.free, at)
}

// queue is first in, first out.
type queue[T any] struct {
	list []T
	head int
}

func (q *queue[T]) push(v T)  { q.list = append(q.list, v) }
func (q *queue[T]) len() int  { return len(q.list) - q.head }
func (q *queue[T]) front() *T { return &q.list[q.head] }
func (q *queue[T]) rest() []T { return q.list[q.head:] }
func (q *queue[T]) pop() (v T) {
	v, q.list[q.head] = q.list[q.head], v
	q.head++
	if q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
	} else if q.head >= 64 && q.head > len(q.list)/2 {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	return v
}
