package gc

import (
	"fmt"
	"slices"
)

// Blast says how much may go without a person having looked.
type Blast struct {
	Factor float64 `json:"factor"` // times the median of the last runs
	Share  float64 `json:"share"`  // of all there is
	Floor  int64   `json:"floor"`  // below it nobody is asked
}

// Judge returns why a person should confirm, or nothing. recent is what the last runs removed, in any order.
func (b Blast) Judge(eligible, total int64, recent []int64) string {
	byRuns := b.Factor * median(recent)
	byShare := b.Share * float64(total)
	limit := max(byRuns, byShare, float64(b.Floor))
	if float64(eligible) <= limit {
		return ""
	}
	return fmt.Sprintf("%d of %d would go; more than %.0f needs a person's word (%.4g times the usual %.0f, or %.4g of all)",
		eligible, total, limit, b.Factor, median(recent), b.Share)
}

func median(of []int64) float64 {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	if n := len(sorted); n%2 == 0 {
		return float64(sorted[n/2-1]+sorted[n/2]) / 2
	}
	return float64(sorted[len(sorted)/2])
}
