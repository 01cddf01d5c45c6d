package wheel

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// scan is the dumb wheel: it looks at everything.
type scan struct {
	due  map[int]int64
	tick time.Duration
}

func (s scan) fired(now time.Duration) []int {
	var out []int
	for item, due := range s.due {
		if due <= int64(now/s.tick) {
			out = append(out, item)
		}
	}
	slices.Sort(out)
	return out
}

// TestLikeAScan: whatever is added, moved and taken out, the wheel fires what a scan finds due, no sooner and no later.
func TestLikeAScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const tick = 10 * time.Millisecond
		w, dumb := New[int](tick), scan{due: map[int]int64{}, tick: tick}
		timers := map[int]Timer{}
		now, next := time.Duration(0), 0
		later := rapid.OneOf(rapid.Int64Range(0, 100), rapid.Int64Range(0, 70*64), rapid.Int64Range(0, 2*slots), rapid.Int64Range(0, 70*slots), rapid.Int64Range(0, 3*span))
		due := func(t *rapid.T) (time.Duration, int64) {
			n := later.Draw(t, "ticks")
			less := time.Duration(rapid.IntRange(0, 9).Draw(t, "less")) * time.Millisecond
			d := max(now/tick*tick+time.Duration(n)*tick-less, 0)
			return d, max(int64((d+tick-1)/tick), int64(now/tick)+1)
		}
		pick := func(t *rapid.T) int {
			if len(timers) == 0 {
				t.Skip("nothing waits")
			}
			items := make([]int, 0, len(timers))
			for item := range timers {
				items = append(items, item)
			}
			slices.Sort(items)
			return rapid.SampledFrom(items).Draw(t, "item")
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				d, tick := due(t)
				timers[next], dumb.due[next] = w.Add(next, d), tick
				next++
			},
			"move": func(t *rapid.T) {
				item := pick(t)
				d, tick := due(t)
				if !w.Move(timers[item], d) {
					t.Fatalf("%d was not there", item)
				}
				dumb.due[item] = tick
			},
			"remove": func(t *rapid.T) {
				item := pick(t)
				w.Remove(timers[item])
				delete(timers, item)
				delete(dumb.due, item)
			},
			"advance": func(t *rapid.T) {
				now += time.Duration(later.Draw(t, "ticks")) * tick * 2 / 3
				limit := rapid.IntRange(1, 50).Draw(t, "limit")
				var got []int
				for more := true; more; {
					var looked int
					looked, more = w.Advance(now, limit, func(item int) { got = append(got, item) })
					if looked > limit {
						t.Fatalf("looked at %d of at most %d", looked, limit)
					}
				}
				slices.Sort(got)
				if want := dumb.fired(now); !slices.Equal(got, want) {
					t.Fatalf("at %s fired %v, due are %v", now, got, want)
				}
				for _, item := range got {
					delete(timers, item)
					delete(dumb.due, item)
				}
			},
			"": func(t *rapid.T) {
				if w.Len() != len(dumb.due) {
					t.Fatalf("%d wait, not %d", w.Len(), len(dumb.due))
				}
				first := int64(-1)
				for _, d := range dumb.due {
					if first < 0 || d < first {
						first = d
					}
				}
				at, any := w.Next()
				if any != (first >= 0) || any && (int64(at/tick) > first || at <= now-tick) {
					t.Fatalf("at %s next is %s %v, the first is due at tick %d", now, at, any, first)
				}
			},
		})
	})
}

// TestNextOccupied: the next slot that holds something is the one that a walk round the level finds.
func TestNextOccupied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o occupied
		full := map[int]bool{}
		slot := rapid.OneOf(rapid.IntRange(0, slots-1), rapid.SampledFrom([]int{0, 63, 64, 127, slots - 64, slots - 1}))
		for range rapid.IntRange(0, 20).Draw(t, "changes") {
			s := slot.Draw(t, "slot")
			if full[s] = rapid.Bool().Draw(t, "full"); full[s] {
				o.set(s)
			} else {
				o.clear(s)
			}
		}
		from := slot.Draw(t, "from")
		want, some := 0, false
		for d := 1; d <= slots && !some; d++ {
			want, some = d, full[(from+d)%slots]
		}
		if got, any := o.after(from); any != some || any && got != want || o.has(from) != full[from] {
			t.Fatalf("after %d: %d %v, want %d %v", from, got, any, want, some)
		}
	})
}

func TestOrderWithinATick(t *testing.T) {
	w := New[string](time.Second)
	w.Add("a", 5*time.Second)
	w.Add("b", 4500*time.Millisecond)
	c := w.Add("c", 5*time.Second)
	w.Add("d", 5*time.Second)
	w.Move(c, 4001*time.Millisecond)
	var got []string
	w.Advance(4999*time.Millisecond, 10, func(s string) { got = append(got, s) })
	if len(got) > 0 {
		t.Fatalf("%v fired early", got)
	}
	w.Advance(5*time.Second, 10, func(s string) { got = append(got, s) })
	if want := []string{"a", "b", "d", "c"}; !slices.Equal(got, want) {
		t.Errorf("fired %v, want %v", got, want)
	}
}

// TestAddWhileFiring: an item that is added again while it fires, due at once, fires with the next tick and not forever.
func TestAddWhileFiring(t *testing.T) {
	w := New[int](time.Second)
	w.Add(1, 0)
	fired := 0
	again := func(item int) { fired++; w.Add(item, 0) }
	for s := range 10 {
		w.Advance(time.Duration(s)*time.Second, 100, again)
	}
	if fired != 9 {
		t.Errorf("fired %d times in 9 ticks", fired)
	}
}

func TestNothingThere(t *testing.T) {
	w := New[int](time.Second)
	if w.Move(0, time.Second) || w.Move(7, time.Second) {
		t.Error("moved what is not there")
	}
	w.Remove(0)
	w.Remove(7)
	if _, any := w.Due(3); any {
		t.Error("an empty wheel has something due")
	}
	if _, any := w.Next(); any {
		t.Error("an empty wheel has something next")
	}
}

// BenchmarkMillion is a second of a wheel with a million timers of which each fires once in 500 s.
func BenchmarkMillion(b *testing.B) {
	w := New[uint32](time.Second)
	const hosts = 1_000_000
	for i := range hosts {
		w.Add(uint32(i), time.Duration(i%500)*time.Second)
	}
	now := time.Duration(0)
	again := func(item uint32) { w.Add(item, now+500*time.Second) }
	b.ReportAllocs()
	for b.Loop() {
		now += time.Second
		w.Advance(now, hosts, again)
	}
}
