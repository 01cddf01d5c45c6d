package gate

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is how often something may happen: so many per second in the long run, Burst at once.
type Rate struct {
	PerSecond float64
	Burst     int
}

// buckets keeps one bucket per key, in two generations: when the young one is full, the old one is forgotten. So
// memory is bounded, and who comes regularly is not forgotten.
type buckets struct {
	rate Rate
	mu   struct {
		sync.Mutex
		young, old map[string]*rate.Limiter
	}
}

const generation = 8192

func newBuckets(r Rate) *buckets {
	b := &buckets{rate: r}
	b.mu.young = make(map[string]*rate.Limiter)
	return b
}

func (b *buckets) of(key string) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.mu.young[key]
	if ok {
		return l
	}
	if l, ok = b.mu.old[key]; !ok {
		l = rate.NewLimiter(rate.Limit(b.rate.PerSecond), b.rate.Burst)
	}
	if len(b.mu.young) >= generation {
		b.mu.old, b.mu.young = b.mu.young, make(map[string]*rate.Limiter)
	}
	b.mu.young[key] = l
	return l
}

// take takes one out of the key's bucket and returns how long to wait when it is empty.
func (b *buckets) take(key string, now time.Time) time.Duration {
	l := b.of(key)
	r := l.ReserveN(now, 1)
	if !r.OK() {
		return time.Minute
	}
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// empty says how long until there is one, and takes none.
func (b *buckets) empty(key string, now time.Time) time.Duration {
	l := b.of(key)
	if l.TokensAt(now) >= 1 {
		return 0
	}
	return time.Duration((1 - l.TokensAt(now)) / b.rate.PerSecond * float64(time.Second))
}

// network is the key of an address: an IPv6 host has a whole /64 to choose from.
func network(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
