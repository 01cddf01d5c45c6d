package manager

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/catalog"
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
			for _, row := range []string{
				"INSERT INTO host_events (id, host_id, at, epoch, verdict, before, reporter, detail) VALUES ('e', 'h', ?, 1, 'alive', '', 's', '')",
				"INSERT INTO hosts (id, cluster_id, hostname, ip, kind, body, epoch, verdict, since, first_seen, seen_at) VALUES ('gone', 'c', 'h', '10.0.0.1', 'normal', '{}', 1, 'left', ?, 0, 0)",
				"INSERT INTO host_views (host_id, reporter, epoch, verdict, at) VALUES ('gone', 's', 1, 'left', ?)",
				"INSERT INTO hosts (id, cluster_id, hostname, ip, kind, body, epoch, verdict, since, first_seen, seen_at) VALUES ('lost', 'c', 'h', '10.0.0.1', 'normal', '{}', 1, 'forgotten', ?, 0, 0)",
				"INSERT INTO hosts (id, cluster_id, hostname, ip, kind, body, epoch, verdict, since, first_seen, seen_at) VALUES ('away', 'c', 'h', '10.0.0.1', 'normal', '{}', 1, 'offline', ?, 0, 0)",
				"INSERT INTO host_views (host_id, reporter, epoch, verdict, at) VALUES ('away', 's', 1, 'offline', ?)",
				"INSERT INTO job_requests (request_key, hash, job_id, expires_at) VALUES ('k', 'h', 'j', ?)",
				"INSERT INTO events (id, at, sequence, type, resource, cluster, body) VALUES ('told', ?, 1, 't', 'r', '', '{}')",
				"INSERT INTO notification_deliveries (id, event_id, target_id, state, next_at, created_at) VALUES ('d1', 'told', 't', 'delivered', 0, ?)",
				"INSERT INTO events (id, at, sequence, type, resource, cluster, body) VALUES ('waits', ?, 2, 't', 'r', '', '{}')",
				"INSERT INTO notification_deliveries (id, event_id, target_id, state, next_at, created_at) VALUES ('d2', 'waits', 't', 'waiting', 0, ?)",
				"INSERT INTO events (id, at, sequence, type, resource, cluster, body) VALUES ('new', ?, 0, 't', 'r', '', '{}')",
			} {
				if _, err := tx.ExecContext(ctx, row, old); err != nil {
					return err
				}
			}
			for i := range 22 { // the last twenty stay
				if _, err := tx.ExecContext(ctx, "INSERT INTO schedule_fires (id, schedule_id, fire_at, fired_at) VALUES (?, 's', ?, ?)", fmt.Sprintf("s/%d", i), int64(old)+int64(i), int64(old)+int64(i)); err != nil {
					return err
				}
			}
			return nil
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
			want := map[string]int64{retention.HostEvent: 1, retention.GoneHost: 2, retention.JobRequest: 1, retention.Event: 1, retention.Fire: 2}[kind]
			if run.State != darter.RunSucceeded || run.Deleted != want {
				t.Errorf("%s: %+v", kind, run)
			}
		}
		var hosts, views string
		err = db.Read(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			if err := tx.QueryRowContext(ctx, "SELECT max(id) || count(*) FROM hosts").Scan(&hosts); err != nil {
				return err
			}
			return tx.QueryRowContext(ctx, "SELECT max(host_id) || count(*) FROM host_views").Scan(&views)
		})
		if err != nil || hosts != "away1" || views != "away1" {
			t.Errorf("of hosts there are left %s, of what was said of them %s, %v", hosts, views, err)
		}
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}, Migrations()...)
}
