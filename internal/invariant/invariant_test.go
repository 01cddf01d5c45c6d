package invariant

import (
	"strings"
	"testing"
)

func TestCheckPanicsUnderTest(t *testing.T) {
	before := Violations()
	defer func() {
		got, _ := recover().(string)
		if !strings.Contains(got, "piece 7 counted twice") {
			t.Errorf("panic said %q, want it to carry the message", got)
		}
		if Violations() != before+1 {
			t.Errorf("violations went from %d to %d, want one more", before, Violations())
		}
	}()
	Check(false, "piece %d counted twice", 7)
	t.Error("a failed check went on under go test")
}

func TestCheckThatHoldsCostsNothing(t *testing.T) {
	before := Violations()
	if !Check(true, "unused") || Violations() != before {
		t.Error("a check that holds must return true and count nothing")
	}
	if n := testing.AllocsPerRun(100, func() { Check(true, "unused") }); n != 0 {
		t.Errorf("a check that holds allocates %v times", n)
	}
}

func TestProductionCountsTellsAndReturnsFalse(t *testing.T) {
	var l ledger
	var heard []string
	if l.violated(false, "no observer yet") {
		t.Error("a failed check returned true")
	}
	tell := func(m string) { heard = append(heard, m) }
	l.observer.Store(&tell)
	if l.violated(false, "host %s offered after it left", "a") {
		t.Error("a failed check returned true")
	}
	if l.violations.Load() != 2 {
		t.Errorf("counted %d violations, want 2", l.violations.Load())
	}
	if len(heard) != 1 || heard[0] != "host a offered after it left" {
		t.Errorf("observer heard %q", heard)
	}
}

func TestObserveSetsOnce(t *testing.T) {
	if Observe(nil) {
		t.Error("nil was taken as an observer")
	}
	if !Observe(func(string) {}) {
		t.Error("the first observer was refused")
	}
	if Observe(func(string) {}) {
		t.Error("a second observer replaced the first")
	}
}
