package records_test

import (
	"flag"
	"testing"
	"time"

	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/records/recordstest"
)

var (
	scale  = flag.Int("scale", 20_000, "rows of TestScale, half of them eligible")
	paced  = flag.Bool("paced", false, "TestScale rests between batches")
	spread = flag.Bool("spread", false, "TestScale spreads the eligible rows between the others")
	naive  = flag.Bool("naive", false, "TestScale deletes in the naive batches of 1000 instead")
)

// TestScale removes half of many rows and prints what that took; with -scale=2000000 it is the large load.
func TestScale(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		if err := recordstest.Fill(t.Context(), db, recordstest.Load{Rows: *scale, Eligible: *scale / 2, Spread: *spread}); err != nil {
			t.Fatal(err)
		}
		if *naive {
			begin := time.Now()
			n, err := recordstest.NaiveBatches(t.Context(), db, time.Now().Add(-7*day), 1000)
			t.Logf("naive: %d rows in %.2fs, %v", n, time.Since(begin).Seconds(), err)
			return
		}
		f, err := recordstest.Measure(t.Context(), db, *paced)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(f)
		if f.Deleted != int64(*scale/2) || f.Orphans != 0 {
			t.Errorf("%d rows are gone and %d parts without a row; want %d and none", f.Deleted, f.Orphans, *scale/2)
		}
	})
}
