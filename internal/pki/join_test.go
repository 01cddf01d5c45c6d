package pki_test

import (
	"strings"
	"testing"

	"github.com/darter-p2p/darter/internal/pki"
)

func FuzzJoin(f *testing.F) {
	pin := strings.Repeat("0a", 32)
	f.Add("dtj_x." + pin)
	f.Add("dtj_x")
	f.Add("dtj_x." + strings.ToUpper(pin))
	f.Add("." + pin)
	f.Fuzz(func(t *testing.T, s string) {
		token, pin, err := pki.ParseJoin(s)
		if err == nil && (pki.FormatJoin(token, pin) != strings.TrimSpace(s) || len(pin) != 64) {
			t.Fatalf("%q reads as %q and %q", s, token, pin)
		}
	})
}

func TestParseJoin(t *testing.T) {
	a, _ := authority(t)
	token, pin, err := pki.ParseJoin(" " + pki.FormatJoin("dtj_abc", a.Pin()) + "\n")
	if err != nil || token != "dtj_abc" || pin != a.Pin() {
		t.Errorf("%q %q %v", token, pin, err)
	}
	for _, bad := range []string{"", "dtj_abc", "dtj_abc.", "dtj_abc.00", "dtr_abc." + a.Pin(), "dtj_a b." + a.Pin(), "dtj_abc." + a.Pin() + "00"} {
		if _, _, err := pki.ParseJoin(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
