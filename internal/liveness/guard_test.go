package liveness

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"pgregory.net/rapid"
)

// TestFreshIsWhatAListSays: the sliding window against a list of moments, while its length doubles and halves. A bucket at
// each end is the precision that it promises.
func TestFreshIsWhatAListSays(t *testing.T) {
	type moment struct{ at, least, most time.Duration } // windows that it saw
	rapid.Check(t, func(t *rapid.T) {
		var z zone
		var all []moment
		now, window := time.Duration(0), time.Minute
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(*rapid.T) {
				z.entered(now, window)
				all = append(all, moment{now, window, window})
			},
			"time passes": func(t *rapid.T) {
				now += time.Second * time.Duration(rapid.OneOf(rapid.IntRange(0, 2), rapid.IntRange(0, 40), rapid.IntRange(0, 1000)).Draw(t, "seconds"))
				z.slide(now, window)
			},
			"window": func(t *rapid.T) {
				window = time.Minute << rapid.IntRange(0, 4).Draw(t, "doubled")
				z.slide(now, window)
				for i := range all {
					all[i].least, all[i].most = min(all[i].least, window), max(all[i].most, window)
				}
			},
			"": func(t *rapid.T) {
				sure, possible := 0, 0
				for _, m := range all {
					if age := now - m.at; age < m.least-2*m.least/buckets {
						sure++
						possible++
					} else if age <= m.most+2*m.most/buckets {
						possible++
					}
				}
				if got := z.recent(now, window); got < sure || got > possible {
					t.Fatalf("at %s, window %s: %d are fresh, not %d to %d", now, window, got, sure, possible)
				}
			},
		})
	})
}

// failure is a zone of a hundred hosts of which some die in one moment, beside one that is well.
type failure struct {
	plain bool
	every time.Duration
	dead  int
}

// what came of it, since the death; 0 for never.
type aftermath struct{ suspect, tripped, forgotten time.Duration }

func (f failure) play(t *testing.T, seed uint64) (a aftermath) {
	t.Helper()
	cfg := DefaultConfig()
	if cfg.Seed = seed; !f.plain {
		cfg.Policy.Lease.Interval = Duration(f.every)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 7))
	const each = 100
	next := make([]time.Duration, 2*each)
	for i := range next {
		next[i] = time.Duration(rng.Int64N(int64(f.every)))
	}
	died := 3 * f.every
	for now := time.Duration(0); now < died+9*f.every+20*time.Minute; now += cfg.Tick {
		var out []Effect
		for i := range next {
			if now < next[i] || now >= died && i < f.dead {
				continue
			}
			id := darter.HostID(fmt.Sprint("h", i))
			next[i] = now + f.every
			if _, known := r.hosts[id]; !known || f.plain {
				ev := Announced{Host: id, Native: !f.plain, Interval: f.every, Zone: ZoneOf(1, fmt.Sprint(i/each), "")}
				if !f.plain {
					ev.Epoch = 1
				}
				out = append(out, r.Step(epoch.Add(now), ev)...)
			}
			if f.plain {
				continue
			}
			d, done := r.Renew(epoch.Add(now), id, 1)
			if !done {
				for _, e := range r.Step(epoch.Add(now), Renewed{Host: id, Epoch: 1}) {
					if g, is := e.(Grant); is {
						d = g.Interval
					}
				}
			}
			next[i] = now + d
		}
		first := func(at *time.Duration) {
			if *at == 0 {
				*at = now - died
			}
		}
		for _, e := range append(out, r.Step(epoch.Add(now), Tick{})...) {
			switch e := e.(type) {
			case GuardChanged:
				first(&a.tripped)
			case Verdict:
				switch e.To {
				case darter.Suspect:
					first(&a.suspect)
				case darter.Forgotten:
					first(&a.forgotten)
				}
			}
		}
	}
	return a
}

// TestGuardTripsInTime: whatever the leases are, the guard trips with the first suspect of a mass failure, and before anybody is
// forgotten. Of plain daemons, two fifths are overdue then, so that a failure of less than most of a zone takes a part of an
// interval to show. A tenth of a zone trips nothing. Of a zone that failed as a whole, nobody is forgotten until the time of the
// guard is over.
func TestGuardTripsInTime(t *testing.T) {
	for _, f := range []failure{
		{every: 10 * time.Second}, {every: 50 * time.Second}, {every: 500 * time.Second},
		{every: 10 * time.Second, plain: true}, {every: 60 * time.Second, plain: true}, {every: 300 * time.Second, plain: true}, {every: 20 * time.Minute, plain: true},
	} {
		for _, f.dead = range []int{10, 35, 50, 80, 100} {
			for seed := range uint64(3) {
				a := f.play(t, seed)
				late := time.Duration(0)
				if f.plain {
					// Overdue at the first suspicion are two fifths of the dead, and of those alive nobody.
					late = max(0, scaled(f.every, 0.35/(float64(f.dead)/100)-0.4)) + f.every/10 + 2*time.Second
				}
				switch {
				case f.dead < 30:
					if a.tripped != 0 || a.suspect == 0 || a.forgotten == 0 {
						t.Errorf("%+v, seed %d: %+v", f, seed, a)
					}
				case a.tripped == 0 || a.tripped-a.suspect > late || a.forgotten != 0 && a.forgotten < a.tripped || f.dead == 100 && a.forgotten != 0 && a.forgotten < 30*time.Minute:
					t.Errorf("%+v, seed %d: tripped %s after the first suspect: %+v", f, seed, a.tripped-a.suspect, a)
				}
				if seed == 0 {
					t.Logf("%+v: first suspect after %s, tripped %s later, first forgotten after %s", f, a.suspect, a.tripped-a.suspect, a.forgotten)
				}
			}
		}
	}
}
