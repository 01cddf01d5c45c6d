package manager

import (
	"context"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	"github.com/darter-p2p/darter/internal/manager/records"
)

// TestRecordTablesAreThere plans and runs every kind over the rooms' real tables.
func TestRecordTablesAreThere(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c, err := catalog.New(catalog.Config{DB: db, Schedule: func(s retention.Schedule) error {
			_, err := records.Timetable(s)
			return err
		}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := records.New(records.Config{DB: db, Policies: c, Audit: c, Tables: RecordTables(), Holder: "test", Unpaced: true})
		if err != nil {
			t.Fatal(err)
		}
		old := database.At(time.Now().Add(-400 * 24 * time.Hour))
		err = db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO host_events (id, host_id, at, epoch, verdict, before, reporter, detail) VALUES ('e', 'h', ?, 1, 'alive', '', 's', '')", old)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- db.Run(ctx) }()
		go func() { ended <- r.Run(ctx) }()
		for _, kind := range r.Kinds() {
			run, err := r.Start(t.Context(), records.StartRequest{Kind: kind, Trigger: darter.ByAPI, Actor: darter.System("test")})
			if err != nil {
				t.Fatal(err)
			}
			for now, err := range r.Watch(t.Context(), run.ID) {
				if err != nil {
					t.Fatal(err)
				}
				run = now
			}
			want := int64(0)
			if kind == retention.HostEvent {
				want = 1
			}
			if run.State != darter.RunSucceeded || run.Deleted != want {
				t.Errorf("%s: %+v", kind, run)
			}
		}
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}, catalog.Migrations(), jobs.Tables(), records.Migrations())
}
