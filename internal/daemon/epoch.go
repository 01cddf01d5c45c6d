package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/atomicfile"
)

// The file "epoch" in the data folder holds the number of the latest run, as a line of text:
//
//	darter epoch 1 1763739912345678901
const (
	epochName   = "epoch"
	epochFormat = "darter epoch 1 %d\n"
	maxEpoch    = 64 // bytes
)

// nextEpoch returns the number of a run that begins now: the time, but above every run before, though the clock was set back
// meanwhile: schedulers do not listen to a run below one that they know. Where the folder cannot be written, the time has to
// do: better a host that may be taken for an old one, some day, than none.
func nextEpoch(dir string, now time.Time) darter.Epoch {
	next := uint64(max(now.UnixNano(), 1))
	path := filepath.Join(dir, epochName)
	if text, err := os.ReadFile(path); err == nil && len(text) <= maxEpoch {
		if last := parseEpoch(text); last >= next {
			next = last + 1
		}
	}
	_ = atomicfile.Write(path, fmt.Appendf(nil, epochFormat, next), 0o600)
	return darter.Epoch(next)
}

// parseEpoch reads what nextEpoch writes; 0 for anything else, and for a number that leaves no room for a next one.
func parseEpoch(text []byte) uint64 {
	var last uint64
	if _, err := fmt.Sscanf(string(text), epochFormat, &last); err != nil || !bytes.Equal(text, fmt.Appendf(nil, epochFormat, last)) || last+1 == 0 {
		return 0
	}
	return last
}
