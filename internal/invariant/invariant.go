package invariant

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// ledger is the one thing in the module that is counted per process and not per room: a violation is
// news about the program, and cores have no place to carry a counter.
type ledger struct {
	violations atomic.Uint64
	observer   atomic.Pointer[func(string)]
}

var process ledger

// Check reports whether cond holds. When it does not, it panics under go test (simulations run there,
// too); in production it counts, tells the observer and returns false, and the caller takes the safe path.
func Check(cond bool, format string, args ...any) bool {
	if cond {
		return true
	}
	return process.violated(testing.Testing(), format, args...)
}

// Violations returns how many checks have failed in this process.
func Violations() uint64 { return process.violations.Load() }

// Observe names the function that hears of each failed check: wiring turns it into a log line and a
// metric. It can be set once; it reports whether this call set it. The function may be called from any goroutine.
func Observe(heard func(message string)) bool {
	return heard != nil && process.observer.CompareAndSwap(nil, &heard)
}

func (l *ledger) violated(panics bool, format string, args ...any) bool {
	message := fmt.Sprintf(format, args...)
	l.violations.Add(1)
	if panics {
		panic("invariant violated: " + message)
	}
	if heard := l.observer.Load(); heard != nil {
		(*heard)(message)
	}
	return false
}
