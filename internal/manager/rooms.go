package manager

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/manager/auth/enroll"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/fleet"
	fleetrpc "github.com/darter-p2p/darter/internal/manager/fleet/rpc"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	jobsrpc "github.com/darter-p2p/darter/internal/manager/jobs/rpc"
	"github.com/darter-p2p/darter/internal/manager/notify"
	"github.com/darter-p2p/darter/internal/manager/preheat"
	"github.com/darter-p2p/darter/internal/manager/records"
	"github.com/darter-p2p/darter/internal/pki"
	"github.com/darter-p2p/darter/internal/secretbox"
)

// Rooms are the parts that keep rows, built on one database.
type Rooms struct {
	DB       *database.DB
	Box      *secretbox.Box // seals secrets that lie in rows
	Egress   *Egress        // where the manager goes for others
	Catalog  *catalog.Catalog
	Accounts *account.Accounts
	Desk     *enroll.Desk // nil without an authority
	Jobs     *jobs.Engine
	Control  *jobsrpc.Server
	Bridge   *jobsrpc.Bridge
	Records  *records.Reclaimer
	News     *notify.Notifier
	Fleet    *fleet.Orders
	Hosts    *fleetrpc.Server

	Replica string // names this run of this manager
}

// Migrations are the tables of all rooms, in the order in which they are made.
func Migrations() []database.Migrations {
	return []database.Migrations{catalog.Migrations(), auth.Migrations(), jobs.Tables(), records.Migrations(), notify.Migrations(), fleet.Migrations()}
}

// openRooms opens the database and builds the rooms. On an error nothing stays open.
func openRooms(ctx context.Context, cfg *Config) (_ *Rooms, err error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, &darter.Error{Kind: darter.Denied, Op: "open the manager's folder " + cfg.DataDir, Err: err, Hint: "choose another --data-dir, or give this user the right to write there"}
	}
	r := &Rooms{}
	dc := database.DefaultConfig()
	dc.URL, dc.Migrations, dc.Events = cfg.Database, Migrations(), cfg.Events.Database
	if r.DB, err = database.Open(ctx, dc); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.DB.Close())
		}
	}()
	r.Replica = replica(r.DB)
	if r.Box, err = openBox(cfg.KeyFile); err != nil {
		return nil, err
	}
	if r.Egress, err = newEgress(cfg.Egress, cfg.Own); err != nil {
		return nil, err
	}
	for _, build := range []func(context.Context, *Config) error{r.openCatalog, r.openNews, r.openAuth, r.openJobs, r.openRecords, r.openFleet} {
		if err = build(ctx, cfg); err != nil {
			return nil, err
		}
	}
	if err = r.checkKey(ctx, cfg.KeyFile); err != nil {
		return nil, err
	}
	if err = r.firstCluster(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// replica is another name after each start: a former run's leases are a stranger's.
func replica(db *database.DB) string {
	host, err := os.Hostname()
	if err != nil {
		host = "manager"
	}
	return host + "/" + db.NewID()
}

// openBox opens the key file, and makes one at the first start.
func openBox(path string) (*secretbox.Box, error) {
	err := secretbox.Create(path, time.Now())
	if err != nil && darter.KindOf(err) != darter.Conflict {
		return nil, err
	}
	return secretbox.Load(path)
}

// checkKey makes sure that all managers of a database seal with the same keys: else one could not open what another
// has sealed, and that would show only when it is needed.
func (r *Rooms) checkKey(ctx context.Context, file string) error {
	const place = "key check"
	sealed, err := r.Box.Seal([]byte("darter"), place)
	if err != nil {
		return err
	}
	text, err := r.Catalog.Agree(ctx, "key-check", hex.EncodeToString(sealed))
	if err != nil {
		return err
	}
	if sealed, err = hex.DecodeString(text); err == nil {
		_, err = r.Box.Open(sealed, place)
	}
	if err != nil {
		return &darter.Error{Kind: darter.Conflict, Op: "check key file " + file, Err: err,
			Hint: "the secrets in this database are sealed under another key file: copy it from a manager that has it, or name it with --secret-key"}
	}
	return nil
}

func (r *Rooms) openCatalog(_ context.Context, cfg *Config) (err error) {
	events := cfg.Events.Catalog
	applied := events.Applied
	events.Applied = func(d catalog.Document, behind time.Duration) {
		if d.Class == catalog.Setting && d.Name == EgressSetting {
			if err := r.Egress.apply(d.Body); err != nil {
				cfg.Log.Error("the egress setting cannot be applied; the one before it stays", "version", d.Number, "error", err)
			}
		}
		if applied != nil {
			applied(d, behind)
		}
	}
	events.Joined = cfg.memberEvent(events.Joined, "joined", false, cfg.Events.SchedulerJoined)
	events.Silent = cfg.memberEvent(events.Silent, "lost", true, cfg.Events.SchedulerLost)
	r.Catalog, err = catalog.New(catalog.Config{DB: r.DB, News: herald{r}, Settings: settings(), Events: events,
		Schedule: func(s retention.Schedule) error {
			_, err := records.Timetable(s)
			return err
		}})
	return err
}

func (r *Rooms) openFleet(_ context.Context, cfg *Config) error {
	r.Fleet = fleet.New(r.DB)
	r.Hosts = fleetrpc.New(fleetrpc.Config{Book: book{r.Catalog}, Orders: r.Fleet, Permit: permit(cfg.TLS != nil)})
	return nil
}

// firstCluster makes the cluster that everybody belongs to until there are others. Dragonfly's tools know it as
// number 1.
func (r *Rooms) firstCluster(ctx context.Context) error {
	there, err := r.Catalog.Clusters(ctx, "", 1)
	if err != nil || len(there) > 0 {
		return err
	}
	_, err = r.Catalog.CreateCluster(ctx, catalog.ClusterSpec{Name: "default", Bio: "made at the first start", Default: true},
		catalog.Edit{Actor: darter.System("manager"), Reason: "first start"})
	if darter.KindOf(err) == darter.Conflict {
		return nil // another manager was quicker
	}
	return err
}

func (r *Rooms) openAuth(ctx context.Context, cfg *Config) (err error) {
	ac := account.DefaultConfig()
	ac.Events = cfg.Events.Accounts
	if r.Accounts, err = account.New(r.DB, r.Catalog, ac); err != nil {
		return err
	}
	if cfg.Authority == "" {
		return nil
	}
	ec := enroll.DefaultConfig()
	if ec.Authority, err = pki.OpenAuthority(cfg.Authority, time.Now()); err != nil {
		return err
	}
	ec.Failed = func(err error) { cfg.Log.Warn("revocations could not be read", "error", err) }
	if r.Desk, err = enroll.New(r.DB, r.Catalog, ec); err != nil {
		return err
	}
	return r.Desk.Look(ctx)
}

func (r *Rooms) openJobs(_ context.Context, cfg *Config) (err error) {
	known := book{r.Catalog}
	jc := jobs.DefaultConfig()
	jc.DB, jc.Replica, jc.Events = r.DB, r.Replica, cfg.Events.Jobs
	jc.Clusters, jc.Hosts, jc.Auditor, jc.News = known, known, known, herald{r}
	jc.Images = preheat.New(r.Egress.Client(time.Minute))
	jc.Records = cleaner{func() *records.Reclaimer { return r.Records }}
	jc.Sealer = sealer{r.Box}
	if r.Jobs, err = jobs.New(jc); err != nil {
		return err
	}
	r.Control, err = jobsrpc.New(jobsrpc.Config{Engine: r.Jobs, Permit: permit(cfg.TLS != nil), Events: cfg.Events.Control})
	if err != nil {
		return err
	}
	r.Bridge, err = jobsrpc.NewBridge(jobsrpc.BridgeConfig{Engine: r.Jobs, Owner: r.Replica + bridgeSuffix, Schedulers: known,
		Error: func(what string, err error) { cfg.Log.Warn("could not "+what, "error", err) }})
	return err
}

func (r *Rooms) openRecords(_ context.Context, cfg *Config) (err error) {
	r.Records, err = records.New(records.Config{DB: r.DB, Policies: r.Catalog, Audit: r.Catalog, News: herald{r}, Tables: RecordTables(), Holder: r.Replica, Events: cfg.Events.Records})
	return err
}

// permit asks a scheduler for its certificate where there are any.
func permit(certificates bool) func(context.Context, string) error {
	if !certificates {
		return nil
	}
	return func(ctx context.Context, id string) error {
		who, err := pki.IdentityFrom(ctx)
		if err != nil {
			return err
		}
		if who.Role != pki.Scheduler {
			return &darter.Error{Kind: darter.Denied, Op: "attach scheduler " + id, Err: fmt.Errorf("%s is no scheduler", who)}
		}
		return nil
	}
}
