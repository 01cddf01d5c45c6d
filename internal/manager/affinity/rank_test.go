package affinity

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func ExampleSearcher_Rank() {
	s := New([]Cluster{
		{ID: 1, Name: "default", Default: true},
		{ID: 2, Name: "berlin", IDC: "ber1|ber2", Location: "eu|de|berlin", Networks: []string{"10.2.0.0/16"}, Hostnames: []string{`^ber-`}},
		{ID: 3, Name: "hamburg", IDC: "ham1", Location: "eu|de|hamburg", Networks: []string{"10.3.0.0/16"}},
	})
	for _, c := range s.Rank(Asker{IP: netip.MustParseAddr("10.3.4.5"), Hostname: "node-7", IDC: "HAM1", Location: "EU|DE|Berlin"}) {
		fmt.Printf("%-7s %.3f  %s; %s\n", c.Name, c.Total, c.Network.Why, c.Location.Why)
	}
	// Output:
	// hamburg 0.606  10.3.4.5 is in 10.3.0.0/16; EU|DE|Berlin and eu|de|hamburg share 2 steps
	// berlin  0.140  10.3.4.5 is in none of its networks; both are at eu|de|berlin
	// default 0.010  the cluster names no network; the cluster names no place
}

// TestAgainstTheTable computes scores as the table in doc.go has them, without anything clever.
func TestAgainstTheTable(t *testing.T) {
	word := rapid.SampledFrom([]string{"", "a", "b", "A", "a|b", "a|b|c", "A|B", "b|a", "a|b|c|d|e|f"})
	address := rapid.SampledFrom([]string{"10.0.0.1", "10.1.0.1", "::ffff:10.0.0.1", "fd00::1"})
	rapid.Check(t, func(t *rapid.T) {
		var all []Cluster
		for i := range rapid.IntRange(0, 5).Draw(t, "clusters") {
			all = append(all, Cluster{ID: uint64(i + 1), Default: rapid.Bool().Draw(t, "default"), IDC: word.Draw(t, "idc"), Location: word.Draw(t, "location"),
				Networks:  rapid.SliceOfN(rapid.SampledFrom([]string{"10.0.0.0/16", "fd00::/8", "wrong"}), 0, 2).Draw(t, "networks"),
				Hostnames: rapid.SliceOfN(rapid.SampledFrom([]string{"^n", "x$", "("}), 0, 2).Draw(t, "hostnames")})
		}
		a := Asker{IP: netip.MustParseAddr(address.Draw(t, "ip")), Hostname: rapid.SampledFrom([]string{"", "node", "x"}).Draw(t, "hostname"),
			IDC: word.Draw(t, "own idc"), Location: word.Draw(t, "own location")}
		got := New(all).Rank(a)
		if len(got) != len(all) {
			t.Fatalf("%d scores for %d clusters", len(got), len(all))
		}
		last := 2.0
		for i, s := range got {
			want := slow(all[s.Cluster-1], a)
			if diff := s.Total - want; diff > 1e-9 || diff < -1e-9 {
				t.Fatalf("cluster %d: %v, want %v: %+v", s.Cluster, s.Total, want, s)
			}
			if s.Total > last || i > 0 && s.Total == last && s.Cluster < got[i-1].Cluster {
				t.Fatalf("order %+v", got)
			}
			last = s.Total
		}
	})
}

func slow(c Cluster, a Asker) (total float64) {
	for _, text := range c.Networks {
		if p, err := netip.ParsePrefix(text); err == nil && p.Contains(a.IP.Unmap()) {
			total += 0.3
			break
		}
	}
	for _, text := range c.Hostnames {
		if ok, err := regexp.MatchString(text, a.Hostname); err == nil && ok && a.Hostname != "" {
			total += 0.3
			break
		}
	}
	lower := strings.ToLower
	if a.IDC != "" && slices.Contains(strings.Split(lower(c.IDC), "|"), lower(a.IDC)) {
		total += 0.25
	}
	if c.Location != "" && a.Location != "" {
		x, y := strings.Split(lower(c.Location), "|"), strings.Split(lower(a.Location), "|")
		n := 0.0
		for i := range min(len(x), len(y), 5) {
			if x[i] != y[i] {
				break
			}
			n++
		}
		if lower(c.Location) == lower(a.Location) {
			n = 5
		}
		total += 0.14 * n / 5
	}
	if c.Default {
		total += 0.01
	}
	return total
}
