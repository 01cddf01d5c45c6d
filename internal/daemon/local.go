package daemon

import (
	"context"

	"github.com/google/uuid"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon/fetch"
	"github.com/darter-p2p/darter/internal/identity"
	httpsource "github.com/darter-p2p/darter/internal/source/http"
	"github.com/darter-p2p/darter/internal/store/disk"
)

// LocalConfig is what a Local is made of.
type LocalConfig struct {
	Dir      string            // required; pieces are kept here until the download is complete
	Source   httpsource.Config // how origins are reached
	Rate     darter.Size       // bytes per second; 0 means no limit
	Events   fetch.Events
	StoreLog disk.Events
}

// Local downloads without a daemon: straight from the source, with the same store and the same resuming.
type Local struct {
	engine *fetch.Engine
	store  *disk.Store
	origin *httpsource.Source
}

// NewLocal opens the folder. A folder in use is a darter.Conflict.
func NewLocal(cfg LocalConfig) (*Local, error) {
	origin, err := httpsource.New(cfg.Source)
	if err != nil {
		return nil, err
	}
	st, err := disk.Open(disk.Config{Dir: cfg.Dir, IdleFiles: disk.DefaultConfig().IdleFiles, Events: cfg.StoreLog})
	if err != nil {
		origin.Close()
		return nil, err
	}
	fc := fetch.DefaultConfig()
	fc.Store, fc.Source, fc.Events = st, sources(origin), cfg.Events
	fc.Identify, fc.Redact = identity.TaskID, redact
	fc.NewPeer = func() darter.PeerID { return darter.PeerID("local-" + uuid.NewString()) }
	fc.Download, fc.Spool = pacer(cfg.Rate), cfg.Dir
	engine, err := fetch.New(fc)
	if err != nil {
		origin.Close()
		_ = st.Close()
		return nil, err
	}
	return &Local{engine: engine, store: st, origin: origin}, nil
}

// Start begins a download; see fetch.Engine.
func (l *Local) Start(ctx context.Context, w darter.Want) (*fetch.Session, error) {
	return l.engine.Start(ctx, w)
}

// Remove deletes a task that was delivered.
func (l *Local) Remove(id darter.TaskID) error { return l.store.Remove(id) }

// Run makes Start possible until ctx ends, then closes the folder.
func (l *Local) Run(ctx context.Context) error {
	err := l.engine.Run(ctx)
	l.origin.Close()
	if cerr := l.store.Close(); cerr != nil {
		return cerr
	}
	return err
}
