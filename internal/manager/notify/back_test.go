package notify_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/notify"
)

// TestTheNewestComeFirst reads the journal from its end, page by page, past events that nobody wants.
func TestTheNewestComeFirst(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		r := build(t, db, nil)
		if page, err := r.ListBack(t.Context(), notify.Filter{}, 0, 10); err != nil || len(page.Events) != 0 || page.Last != 0 {
			t.Errorf("an empty journal: %+v, %v", page, err)
		}
		for i := range 7 {
			r.announce(t, darter.Event{Type: []string{"job.queued", "gc.run.queued"}[i%2], Resource: fmt.Sprintf("jobs/%d", i+1)})
		}
		if _, err := r.Number(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.announce(t, darter.Event{Type: "job.queued", Resource: "jobs/8"}) // which has no number yet
		var got []int64
		for before := int64(0); ; {
			page, err := r.ListBack(t.Context(), notify.Filter{Types: []string{"job.*"}}, before, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Events {
				got = append(got, e.Sequence)
			}
			if page.Last == before {
				break
			}
			before = page.Last
		}
		if !slices.Equal(got, []int64{7, 5, 3, 1}) {
			t.Errorf("%v", got)
		}
	}, notify.Migrations())
}
