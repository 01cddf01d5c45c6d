package vortex

import (
	"testing"
	"time"
)

// drive sends for the seconds given at a rate that depends on the slots, with requests waiting.
func drive(t *tuner, seconds int, rate func(slots int) int64) (most int) {
	now := time.Unix(0, 0)
	for range seconds * 10 {
		now = now.Add(100 * time.Millisecond)
		t.sent(rate(t.slots)/10, true, now)
		most = max(most, t.slots)
	}
	return most
}

func TestSlotsStayFewWhenTheUplinkIsTheLimit(t *testing.T) {
	u := newTuner(2, 16)
	over := 0
	now := time.Unix(0, 0)
	for range 6000 { // ten minutes
		now = now.Add(100 * time.Millisecond)
		u.sent(1<<20, true, now)
		if u.slots > 2 {
			over++
		}
		if u.slots > 3 {
			t.Fatalf("%d slots while more bring nothing", u.slots)
		}
	}
	if over == 0 || over > 600 {
		t.Errorf("%d of 6000 steps were trials, want some, and less than a tenth", over)
	}
}

func TestSlotsGrowWhenReceiversAreTheLimit(t *testing.T) {
	u := newTuner(2, 16)
	// Each receiver takes 10 MB/s, the uplink gives 100: ten slots fill it.
	drive(&u, 120, func(slots int) int64 { return int64(min(slots*10, 100)) << 20 })
	if u.slots < 8 || u.slots > 11 {
		t.Errorf("%d slots, want about ten", u.slots)
	}
}

func TestSlotsKeepTheirLimitAndForgetATrialNobodyWaitedFor(t *testing.T) {
	u := newTuner(2, 4)
	if most := drive(&u, 60, func(slots int) int64 { return int64(slots) << 20 }); most > 4 {
		t.Errorf("%d slots, want at most 4", most)
	}
	v := newTuner(2, 16)
	now := time.Unix(0, 0)
	for !v.trying {
		now = now.Add(lookEvery)
		v.sent(1<<20, true, now)
	}
	v.sent(1<<20, false, now)
	if v.slots != 2 || v.trying {
		t.Errorf("%d slots after a trial that could not be judged, want 2", v.slots)
	}
}
