package manager

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth/gate"
	"github.com/darter-p2p/darter/internal/manager/auth/oidc"
	authrest "github.com/darter-p2p/darter/internal/manager/auth/rest"
	catalogrest "github.com/darter-p2p/darter/internal/manager/catalog/rest"
	"github.com/darter-p2p/darter/internal/manager/compat"
	systemrest "github.com/darter-p2p/darter/internal/manager/rest"
	"github.com/darter-p2p/darter/internal/rest"
)

// surface is the REST API with its gate.
type surface struct {
	*rest.API
	front    authrest.Front
	ready    atomic.Bool
	stopping chan struct{} // closed when streams are to end
}

// openAPI adds every operation there is. A route without a policy is an error here, and no manager starts with it.
func (m *Manager) openAPI(ctx context.Context) (*surface, error) {
	r := m.rooms
	s := &surface{stopping: make(chan struct{})}
	key, err := r.Catalog.SharedKey(ctx, "page-tokens")
	if err != nil {
		return nil, err
	}
	gc := gate.DefaultConfig()
	secure, err := m.cfg.door(&gc)
	if err != nil {
		return nil, err
	}
	s.API, err = rest.New(rest.Config{Title: "Darter", Journal: catalogrest.Journal{DB: r.DB, Catalog: r.Catalog}, Secret: key, Secure: secure,
		Stopping: s.stopping, Events: m.cfg.Events.REST})
	if err != nil {
		return nil, err
	}
	gc.Auth, gc.Local = r.Accounts, LocalPrincipal
	gc.Refuse = func(w http.ResponseWriter, r *http.Request, err error) { compat.Refuse(s.API, w, r, err) }
	if r.Desk != nil && m.cfg.TLS != nil {
		gc.Node = r.Desk.Principal(m.cfg.TLS.Verify)
	}
	g, err := gate.New(gc)
	if err != nil {
		return nil, err
	}
	s.front = authrest.Front{Gate: g}
	s.Open(s.front)
	systemrest.Register(s.API, systemrest.System{Version: m.cfg.Version, Commit: m.cfg.Commit, Go: runtime.Version(), Started: time.Now().UTC()},
		func(ctx context.Context) (bool, []systemrest.Component) { return m.components(ctx, s) })
	provider, err := m.provider()
	if err != nil {
		return nil, err
	}
	authrest.Register(s.API, s.front, authrest.Rooms{Accounts: r.Accounts, Desk: r.Desk, Provider: provider, Secure: secure})
	catalogrest.Register(s.API, catalogrest.Rooms{DB: r.DB, Catalog: r.Catalog, Matcher: matcher{m}, Orders: commands{r}})
	r.work(s.API)
	if err := s.Finish(); err != nil {
		return nil, err
	}
	return s, g.Check()
}

// provider is the identity provider, nil when there is none. It is asked through the egress policy, as everything is.
func (m *Manager) provider() (*oidc.Provider, error) {
	c := m.cfg.OIDC
	if c.Issuer == "" {
		return nil, nil
	}
	c.Client = m.rooms.Egress.Client(15 * time.Second)
	return oidc.New(m.rooms.DB, c)
}

// components says how what the manager needs is.
func (m *Manager) components(ctx context.Context, s *surface) (bool, []systemrest.Component) {
	r := m.rooms
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	db := systemrest.Component{Name: "database", Ready: true, Detail: string(r.DB.Dialect())}
	leads := systemrest.Component{Name: "leaders", Ready: true}
	err := r.DB.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		var all, ours int
		err = tx.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(CASE WHEN holder = ? THEN 1 ELSE 0 END), 0) FROM leases WHERE expires_at > ?", r.Replica, database.At(now)).Scan(&all, &ours)
		leads.Detail = fmt.Sprintf("%d scopes are led, %d of them by this manager", all, ours)
		return err
	})
	if err != nil {
		db.Ready, db.Detail, leads.Detail = false, "it does not answer", "nobody knows: the database does not answer"
	}
	age := m.server.Age()
	picture := systemrest.Component{Name: "configuration", Ready: age < stalePicture, Detail: fmt.Sprintf("%s old", age.Truncate(time.Millisecond))}
	calls := systemrest.Component{Name: "calls", Ready: s.ready.Load()}
	if !calls.Ready {
		calls.Detail = "the manager is starting or stopping"
	}
	tables := systemrest.Component{Name: "migrations", Ready: true, Detail: fmt.Sprintf("the tables of %d rooms are up to date", len(Migrations()))} // else no manager starts
	return db.Ready && calls.Ready && picture.Ready, []systemrest.Component{calls, db, tables, picture, leads}
}

// stalePicture is when lists are so old that probes should send callers to another manager, if there is one.
const stalePicture = time.Minute

// Routes returns every route with its policy, for whoever reviews them.
func (m *Manager) Routes() []gate.Route { return m.api.front.Routes() }

// OpenAPI returns the document of the REST API as the repository has it.
func (m *Manager) OpenAPI() ([]byte, error) { return m.api.YAML() }

// stop ends streams, which no drain would see the end of.
func (s *surface) stop() {
	s.ready.Store(false)
	close(s.stopping)
}
