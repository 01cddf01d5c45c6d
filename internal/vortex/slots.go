package vortex

import "time"

// tuner finds how many bodies to send at once. Few at a time is best while this host's uplink is the limit: pieces that go out
// one after the other can be passed on by their receivers long before many at once would be through. More at
// a time is right only while the receivers are the limit. So one more slot is tried now and then while requests
// wait, and kept when everything together then moves markedly faster.
type tuner struct {
	least, most int
	slots       int
	bytes       int64     // sent since the last look
	since       time.Time // of the last look; zero when nobody waited then
	before      float64   // bytes per second before the last change
	trying      bool      // the last change was an increase
	rest        int       // looks to let pass before the next trial
	next        int       // length of the next rest
}

const (
	lookEvery = time.Second
	fairGain  = 0.5 // a further slot must bring half of what it would if each moved the same,
	leastGain = 0.1 // and at least this share
	shortRest = 10  // looks
	longRest  = 120 // looks
)

func newTuner(least, most int) tuner {
	return tuner{least: least, most: max(least, most), slots: least, next: shortRest}
}

// sent counts n more bytes and, once per look, thinks about the number of slots. Only stretches in which
// requests wait from beginning to end say anything.
func (t *tuner) sent(n int64, waiting bool, now time.Time) {
	t.bytes += n
	switch {
	case !waiting:
		t.since = time.Time{}
		t.revert()
	case t.since.IsZero():
		t.begin(now)
	case now.Sub(t.since) >= lookEvery:
		t.look(float64(t.bytes) / now.Sub(t.since).Seconds())
		t.begin(now)
	}
}

func (t *tuner) begin(now time.Time) { t.bytes, t.since = 0, now }

// revert takes back a trial that could not be judged.
func (t *tuner) revert() {
	if t.trying {
		t.slots, t.trying = t.slots-1, false
	}
}

func (t *tuner) look(rate float64) {
	switch {
	case t.trying && rate < t.before*(1+max(leastGain, fairGain/float64(t.slots-1))):
		t.revert()
		t.rest, t.next = t.next, min(2*t.next, longRest)
	case t.trying:
		t.trying, t.next = false, shortRest
	case t.rest > 0:
		t.rest--
	case t.slots < t.most:
		t.before, t.trying = rate, true
		t.slots++
	}
}
