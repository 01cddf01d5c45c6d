package cli

import (
	"sync"
	"time"

	"github.com/darter-p2p/darter"
)

// window is how far back the shown rate looks.
const window = 5 * time.Second

// meter counts what arrives, over all files of one command. Safe for concurrent use.
type meter struct {
	began time.Time // set once

	mu struct {
		sync.Mutex
		name     string // the file named on the line: the last one that began
		files    int    // in all
		ended    int
		total    int64 // bytes expected of the files that began
		bySource [3]int64
		samples  []reading
	}
}

type reading struct {
	at    time.Time
	bytes int64
}

// view is a meter at one moment: all that a progress line shows.
type view struct {
	name         string
	files, ended int
	total        int64 // of the files that began; 0 when nothing is known yet
	bySource     [3]int64
	rate         float64 // bytes per second
	elapsed      time.Duration
}

func newMeter(now time.Time, files int) *meter {
	m := &meter{began: now}
	m.mu.files = files
	return m
}

// begin names a file whose bytes are expected from now on.
func (m *meter) begin(name string, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.name = name
	m.mu.total += bytes
}

func (m *meter) add(from darter.Traffic, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if int(from) < len(m.mu.bySource) {
		m.mu.bySource[from] += bytes
	}
}

// retract takes back what a failed attempt had counted.
func (m *meter) retract(total int64, bySource [3]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.total -= total
	for i, n := range bySource {
		m.mu.bySource[i] -= n
	}
}

func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.ended++
}

// look returns the meter as of now, and remembers the moment for the rate.
func (m *meter) look(now time.Time) view {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := view{name: m.mu.name, files: m.mu.files, ended: m.mu.ended, total: m.mu.total, bySource: m.mu.bySource, elapsed: now.Sub(m.began)}
	m.mu.samples = append(m.mu.samples, reading{now, v.bytes()})
	for len(m.mu.samples) > 2 && now.Sub(m.mu.samples[1].at) >= window {
		m.mu.samples = m.mu.samples[1:]
	}
	first := m.mu.samples[0]
	if len(m.mu.samples) == 1 {
		first = reading{m.began, 0}
	}
	if d := now.Sub(first.at).Seconds(); d > 0 {
		v.rate = max(0, float64(v.bytes()-first.bytes)/d)
	}
	return v
}

func (v view) bytes() int64 { return v.bySource[0] + v.bySource[1] + v.bySource[2] }

// fraction returns how much is here, 0 to 1, and whether that is known.
func (v view) fraction() (float64, bool) {
	if v.total <= 0 {
		return 0, false
	}
	return min(1, float64(v.bytes())/float64(v.total)), true
}

// left returns the time to go, and whether that is known.
func (v view) left() (time.Duration, bool) {
	if _, known := v.fraction(); !known || v.rate < 1 || v.files > 1 {
		return 0, false
	}
	seconds := float64(v.total-v.bytes()) / v.rate
	if seconds > 100*3600 {
		return 0, false
	}
	return time.Duration(max(0, seconds) * float64(time.Second)), true
}
