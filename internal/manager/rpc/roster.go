package rpc

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
)

// maxAnnounced bounds how many schedulers can announce themselves.
const maxAnnounced = 1024

// Scheduler is one scheduler as daemons are told of it.
type Scheduler struct {
	ID       uint64 // 0: one is given
	Cluster  uint64 // 0 counts as 1
	Hostname string
	IP       netip.Addr // where daemons reach it
	Port     uint16
	IDC      string
	Location string
	Features []string // empty counts as "schedule"
}

// Validate checks what daemons rely on.
func (s Scheduler) Validate() error {
	if !s.IP.IsValid() || s.IP.IsUnspecified() || s.Port == 0 {
		return &darter.Error{Kind: darter.Invalid, Op: "list scheduler " + s.Hostname,
			Err:  fmt.Errorf("%s:%d is not an address that daemons can reach", s.IP, s.Port),
			Hint: "give the scheduler's own IP address and port, as 10.0.0.5:8002"}
	}
	return nil
}

func (s Scheduler) String() string {
	return fmt.Sprintf("%s (%s)", s.Hostname, netip.AddrPortFrom(s.IP, s.Port))
}

// key is what tells schedulers apart, as the reference does.
type key struct {
	cluster  uint64
	hostname string
	ip       netip.Addr
}

type row struct {
	Scheduler
	fixed bool
	until time.Time // when it stops being alive, unless it is fixed
	lost  bool      // Lost was told
}

func (r *row) alive(now time.Time) bool { return r.fixed || now.Before(r.until) }

// roster is who is known. Rows that fell silent stay, so that their numbers do, up to a limit.
type roster struct {
	mu struct {
		sync.Mutex
		rows map[key]*row
		next uint64
	}
}

func newRoster(fixed []Scheduler) *roster {
	r := &roster{}
	r.mu.rows = make(map[key]*row)
	r.mu.next = 1
	for _, s := range fixed {
		r.put(s, true)
	}
	return r
}

// put adds or replaces a row and returns it. The caller holds the lock, or is alone.
func (r *roster) put(s Scheduler, fixed bool) *row {
	s.Cluster = max(s.Cluster, 1)
	if len(s.Features) == 0 {
		s.Features = []string{"schedule"}
	}
	k := key{s.Cluster, s.Hostname, s.IP}
	old := r.mu.rows[k]
	switch {
	case old != nil:
		s.ID, fixed = old.ID, fixed || old.fixed
	case s.ID == 0:
		s.ID = r.mu.next
	}
	r.mu.next = max(r.mu.next, s.ID+1)
	fresh := &row{Scheduler: s, fixed: fixed}
	if old != nil {
		fresh.until, fresh.lost = old.until, old.lost
	}
	r.mu.rows[k] = fresh
	return fresh
}

// announce takes a scheduler's word about itself. joined is true when it was not alive before.
func (r *roster) announce(s Scheduler, now time.Time, ttl time.Duration) (known Scheduler, joined bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := key{max(s.Cluster, 1), s.Hostname, s.IP}
	old := r.mu.rows[k]
	joined = old == nil || !old.alive(now)
	if old == nil && len(r.mu.rows) >= maxAnnounced && !r.forgetOne(now) {
		return Scheduler{}, false, &darter.Error{Kind: darter.Unavailable, Op: "announce scheduler " + s.Hostname,
			Err: fmt.Errorf("%d schedulers are known already", len(r.mu.rows))}
	}
	row := r.put(s, false)
	row.until, row.lost = now.Add(ttl), false
	return row.Scheduler, joined, nil
}

// forgetOne makes room by dropping the row that fell silent first.
func (r *roster) forgetOne(now time.Time) bool {
	var oldest key
	var at time.Time
	for k, row := range r.mu.rows {
		if !row.alive(now) && (at.IsZero() || row.until.Before(at)) {
			oldest, at = k, row.until
		}
	}
	delete(r.mu.rows, oldest)
	return !at.IsZero()
}

// touch notes a sign of life. rejoined is true when the scheduler was thought lost.
func (r *roster) touch(k key, now time.Time, ttl time.Duration) (s Scheduler, known, rejoined bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	row := r.mu.rows[k]
	if row == nil {
		return Scheduler{}, false, false
	}
	rejoined = !row.alive(now)
	row.until, row.lost = now.Add(ttl), false
	return row.Scheduler, true, rejoined
}

// get returns one row.
func (r *roster) get(k key, now time.Time) (s Scheduler, alive, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	row := r.mu.rows[k]
	if row == nil {
		return Scheduler{}, false, false
	}
	return row.Scheduler, row.alive(now), true
}

// listed is a scheduler and whether it is alive.
type listed struct {
	Scheduler
	alive bool
}

// list returns the schedulers of one cluster, or of all when it is 0, by cluster and number.
func (r *roster) list(cluster uint64, now time.Time) []listed {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []listed
	for _, row := range r.mu.rows {
		if cluster == 0 || row.Cluster == cluster {
			out = append(out, listed{row.Scheduler, row.alive(now)})
		}
	}
	slices.SortFunc(out, func(a, b listed) int { return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.ID, b.ID)) })
	return out
}

// fallen returns, once each, the schedulers that fell silent.
func (r *roster) fallen(now time.Time) []Scheduler {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Scheduler
	for _, row := range r.mu.rows {
		if !row.alive(now) && !row.lost {
			row.lost = true
			out = append(out, row.Scheduler)
		}
	}
	slices.SortFunc(out, func(a, b Scheduler) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
