package pick

import (
	"fmt"
	"time"

	"github.com/darter-p2p/darter"
)

// Config holds the picker's limits.
type Config struct {
	Window        int           // pieces after the first missing one that compete by rarity; default 64
	Total         int           // pieces asked of parents at once; default 12
	PerParent     int           // asks in flight at one parent when there are many; default 3
	LonelyParent  int           // asks in flight at one parent when it is the only one; default 4
	Racers        int           // asks for one piece at different parents while none has brought a byte; default 6
	SourceStreams int           // most parallel requests to the source; default 4
	FirstStreams  int           // parallel requests to the source at the beginning; default 2
	SourceRun     int           // most consecutive pieces in one request to the source; default 16
	Spare         time.Duration // the source is not asked for what a parent offered that broke off so lately, while there are others; default 500ms
	ProbeEvery    time.Duration // how often another source stream is tried; default 1s
	Stall         time.Duration // an ask whose bytes stop for this long is given up; default 8s
	Queue         time.Duration // an ask that got no byte for this long is withdrawn; default 25s, less than the transport waits
	Waits         int           // withdrawn asks in a row after which a parent that gave nothing counts as failed; default 12
	RaceAfter     time.Duration // an ask that got no byte for this long is asked of an idle parent, too; default 50ms
	HedgeAfter    time.Duration // an ask that is slow may be hedged at the end after twice this time; default 300ms
	Strikes       int           // failures in a row after which a parent is ignored; default 3
	Penalty       time.Duration // how long a failed parent rests, times its strikes; default 1s
}

// DefaultConfig returns the values named in Config.
func DefaultConfig() Config {
	return Config{
		Window: 64, Total: 12, PerParent: 3, LonelyParent: 4, Racers: 6, SourceStreams: 4, FirstStreams: 2, SourceRun: 16,
		Spare: 500 * time.Millisecond, ProbeEvery: time.Second, Stall: 8 * time.Second, Queue: 25 * time.Second, Waits: 12,
		RaceAfter: 50 * time.Millisecond, HedgeAfter: 300 * time.Millisecond, Strikes: 3, Penalty: time.Second,
	}
}

// Validate refuses limits that could not work.
func (c Config) Validate() error {
	for name, v := range map[string]int{"Window": c.Window, "Total": c.Total, "PerParent": c.PerParent,
		"LonelyParent": c.LonelyParent, "SourceStreams": c.SourceStreams, "FirstStreams": c.FirstStreams, "SourceRun": c.SourceRun, "Racers": c.Racers, "Waits": c.Waits, "Strikes": c.Strikes} {
		if v < 1 {
			return &darter.Error{Kind: darter.Invalid, Op: "configure piece selection",
				Err: fmt.Errorf("%s is %d", name, v), Hint: "it must be at least 1"}
		}
	}
	for name, v := range map[string]time.Duration{"Spare": c.Spare, "ProbeEvery": c.ProbeEvery, "Stall": c.Stall, "Queue": c.Queue,
		"RaceAfter": c.RaceAfter, "HedgeAfter": c.HedgeAfter, "Penalty": c.Penalty} {
		if v <= 0 {
			return &darter.Error{Kind: darter.Invalid, Op: "configure piece selection",
				Err: fmt.Errorf("%s is %s", name, v), Hint: "it must be more than zero"}
		}
	}
	return nil
}
