package gc

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func bounds() Bounds {
	return Bounds{Start: 1000, Min: 50, Max: 50_000, Target: 150 * time.Millisecond, Busy: 0.2}
}

func TestPacerFollowsTheDatabase(t *testing.T) {
	p := NewPacer(bounds())
	perRow := 10 * time.Microsecond
	for range 30 {
		p.Done(p.Size(), time.Duration(p.Size())*perRow)
	}
	if took := time.Duration(p.Size()) * perRow; took < 100*time.Millisecond || took > 200*time.Millisecond {
		t.Errorf("on a quick database a batch takes %s", took)
	}
	perRow *= 20 // it becomes busy
	for range 10 {
		p.Done(p.Size(), time.Duration(p.Size())*perRow)
	}
	if took := time.Duration(p.Size()) * perRow; took > 200*time.Millisecond {
		t.Errorf("on a slow database a batch takes %s", took)
	}
}

func TestPacerAfterFailures(t *testing.T) {
	p := NewPacer(Bounds{Start: 8000, Min: 50, Max: 50_000, Target: 150 * time.Millisecond, Busy: 1})
	first := p.Failed(time.Second)
	p.Failed(time.Second)
	third := p.Failed(time.Second)
	if p.Size() != 200 || third <= first {
		t.Errorf("after three failures: %d rows, rests %s then %s; want 200 rows and longer rests", p.Size(), first, third)
	}
	for range 100 {
		p.Done(p.Size(), time.Millisecond)
	}
	if p.Size() != 50_000 {
		t.Errorf("it recovers to %d rows only", p.Size())
	}
}

func TestPacerKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := bounds()
		b.Rate = rapid.SampledFrom([]int64{0, 100, 10_000}).Draw(t, "rate")
		b.Pause = rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "pause")
		p := NewPacer(b)
		var busy, all time.Duration
		for range rapid.IntRange(1, 50).Draw(t, "batches") {
			took := time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "took"))
			rest := time.Duration(0)
			rows := rapid.IntRange(0, p.Size()).Draw(t, "rows")
			if rapid.Bool().Draw(t, "failed") {
				rest = p.Failed(took)
			} else {
				rest = p.Done(rows, took)
				if b.Rate > 0 && rest < time.Minute && float64(rows) > float64(b.Rate)*(took+rest).Seconds()+1 {
					t.Fatalf("%d rows in %s, faster than %d per second", rows, took+rest, b.Rate)
				}
			}
			busy, all = busy+took, all+took+rest
			if p.Size() < b.Min || p.Size() > b.Max || rest < b.Pause || rest > time.Minute {
				t.Fatalf("%d rows, rest %s", p.Size(), rest)
			}
		}
		if busy.Seconds() > 0.2*all.Seconds()+0.001 {
			t.Fatalf("busy for %s of %s", busy, all)
		}
	})
}

func TestBlast(t *testing.T) {
	b := Blast{Factor: 10, Share: 0.5, Floor: 1000}
	for name, c := range map[string]struct {
		eligible, total int64
		recent          []int64
		asks            bool
	}{
		"half of all":              {1_000_000, 2_000_000, nil, false},
		"more than half":           {1_000_001, 2_000_000, nil, true},
		"below the floor":          {999, 1000, nil, false},
		"ten times the usual":      {9000, 10_000, []int64{900, 1, 5000}, false},
		"more than that":           {9001, 10_000, []int64{900, 1, 5000}, true},
		"an even number of runs":   {15_001, 20_000, []int64{1000, 2000}, true},
		"nothing there":            {0, 0, nil, false},
		"usual is more than share": {60_000, 100_000, []int64{6000, 6000}, false},
	} {
		if why := b.Judge(c.eligible, c.total, c.recent); (why != "") != c.asks {
			t.Errorf("%s: %q, want asked=%v", name, why, c.asks)
		}
	}
}
