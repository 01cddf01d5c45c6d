package wire

import (
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

// TestEventsAndGapsComeAcross: a gap names no host, and is no event of one.
func TestEventsAndGapsComeAcross(t *testing.T) {
	for _, want := range []darter.HostEvent{
		{Seq: 7, Run: 9, Gap: true, Missed: 3},
		{Run: 9, Gap: true},
		{Seq: 8, Run: 9, At: time.Unix(5, 6).UTC(), Host: "h", Epoch: 4, From: darter.Late, To: darter.Suspect, Reason: "silent", Evidence: "silence",
			LastHeard: time.Unix(1, 0).UTC(), Exit: darter.ExitCrash, Times: 2, Policy: 3},
	} {
		got, err := ToHostEvent(FromHostEvent(want))
		if err != nil || got != want {
			t.Errorf("%+v came across as %+v, %v", want, got, err)
		}
	}
}
