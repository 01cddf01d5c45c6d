package daemon

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

// TestRunsRiseThoughTheClockFalls: a host whose clock was set back is not taken for an older run of itself.
func TestRunsRiseThoughTheClockFalls(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1_800_000_000, 0)
	var last darter.Epoch
	for i, at := range []time.Time{now, now, now.Add(-time.Hour), time.Unix(-5, 0), {}, now.Add(time.Second)} {
		e := nextEpoch(dir, at)
		if e <= last {
			t.Errorf("run %d at %s has the number %d, the one before %d", i, at, e, last)
		}
		last = e
	}
	if last != darter.Epoch(now.Add(time.Second).UnixNano()) {
		t.Errorf("the clock is ahead again, and the run has the number %d", last)
	}
	for _, text := range []string{"", "darter epoch 1 18446744073709551615\n", "darter epoch 1 99999999999999999999\n", "darter epoch 2 1900000000000000000\n", "1900000000000000000"} {
		if err := os.WriteFile(filepath.Join(dir, epochName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if e := nextEpoch(dir, now); e != darter.Epoch(now.UnixNano()) {
			t.Errorf("with %q in its file it has the number %d", text, e)
		}
	}
	if e := nextEpoch(filepath.Join(dir, "missing"), now); e != darter.Epoch(now.UnixNano()) {
		t.Errorf("without a folder it has the number %d", e)
	}
}
