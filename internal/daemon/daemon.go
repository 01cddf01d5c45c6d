package daemon

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon/announce"
	"github.com/darter-p2p/darter/internal/daemon/fetch"
	"github.com/darter-p2p/darter/internal/daemon/rpc"
	"github.com/darter-p2p/darter/internal/daemon/serve"
	"github.com/darter-p2p/darter/internal/identity"
	"github.com/darter-p2p/darter/internal/source"
	httpsource "github.com/darter-p2p/darter/internal/source/http"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/disk"
	"github.com/darter-p2p/darter/internal/throttle"
	"github.com/darter-p2p/darter/internal/vortex"
)

// Daemon is one host's part in the cluster.
type Daemon struct {
	cfg   Config
	host  darter.Host
	ready chan struct{}

	disk       *disk.Store
	store      store.Store // disk, watched by the shelf
	shelf      *serve.Shelf
	origin     *httpsource.Source
	vortex     *vortex.Client
	neighbours *rpc.Neighbours
	schedulers *rpc.Schedulers
	manager    *rpc.Manager // nil without one
	members    *announce.Membership
	announcer  *announce.Announcer
	holdings   *announce.Holdings
	facts      *announce.Facts
	engine     *fetch.Engine
	upload     *rpc.Upload
	socket     *rpc.Socket

	recall chan struct{} // a scheduler may have forgotten what this host holds

	mu struct {
		sync.Mutex
		knows map[netip.AddrPort]bool // schedulers that heard of this host
		owed  map[netip.AddrPort]bool // of them, those of which it is not known yet whether they ask what it holds
		due   map[netip.AddrPort]bool // those that do not: they are to be told
	}
}

// New builds a daemon and opens its store. It starts nothing; a folder that another daemon uses is a darter.Conflict.
// After an error, the listeners still belong to the caller.
func New(cfg Config) (*Daemon, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d := &Daemon{cfg: cfg, ready: make(chan struct{}), recall: make(chan struct{}, 1), holdings: announce.NewHoldings()}
	d.mu.knows, d.mu.owed, d.mu.due = map[netip.AddrPort]bool{}, map[netip.AddrPort]bool{}, map[netip.AddrPort]bool{}
	d.host = introduce(cfg)
	st, err := disk.Open(disk.Config{Dir: filepath.Join(cfg.DataDir, "store"), IdleFiles: disk.DefaultConfig().IdleFiles, Events: cfg.Events.Store})
	if err != nil {
		return nil, err
	}
	d.disk = st
	if d.host.Storage == 0 { // on a full disk it stays unknown, which costs a comparison of inventories
		d.host.Storage, _ = st.Identity()
	}
	if d.host.Epoch == 0 { // once nobody else uses the folder
		d.host.Epoch = nextEpoch(cfg.DataDir, time.Now())
	}
	for _, build := range []func() error{d.buildServing, d.buildUpwards, d.buildFetching, d.buildDoors} {
		if err := build(); err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

// Ready is closed when the daemon serves, and has looked for its schedulers once.
func (d *Daemon) Ready() <-chan struct{} { return d.ready }

// Host returns who this daemon says it is.
func (d *Daemon) Host() darter.Host { return d.host }

// Store returns what the daemon holds, for gauges.
func (d *Daemon) Store() store.Store { return d.store }

// Active returns how many downloads run.
func (d *Daemon) Active() int { return d.engine.Active() }

// Schedulers returns the schedulers in force and how they are, for status.
func (d *Daemon) Schedulers() []rpc.Status { return d.schedulers.Status() }

// introduce completes what the host says of itself.
func introduce(cfg Config) darter.Host {
	h := cfg.Host
	h.Native, h.Interval = true, cfg.AnnounceInterval
	if h.Port == 0 {
		h.Port = portOf(cfg.Upload)
	}
	if h.DownloadPort == 0 {
		h.DownloadPort = h.Port
	}
	if h.Name == "" {
		h.Name = h.Hostname
	}
	if h.ID == "" {
		h.ID = identity.HostID(h.IP, h.Hostname, h.Kind)
	}
	if cfg.UploadRate > 0 && h.Network.MaxTx == 0 {
		h.Network.MaxTx = uint64(cfg.UploadRate) * 8
	}
	return h
}

func portOf(l net.Listener) uint16 {
	a, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return 0
	}
	return a.Port()
}

func (d *Daemon) buildServing() (err error) {
	cfg := serve.DefaultConfig()
	cfg.Store = noted{d.disk, d.holdings.Remove}
	cfg.Transport.Listener, cfg.Transport.DrainTimeout = d.cfg.Pieces, d.cfg.Drain
	if d.cfg.UploadSlots > 0 {
		cfg.Transport.Slots = d.cfg.UploadSlots
		cfg.Transport.MostSlots = max(cfg.Transport.MostSlots, d.cfg.UploadSlots)
	}
	cfg.Transport.Rate, cfg.Transport.Events = limiter(d.cfg.UploadRate), d.cfg.Events.Pieces
	if d.shelf, err = serve.New(cfg); err == nil {
		d.store = d.shelf.Store()
	}
	return err
}

func limiter(rate darter.Size) *throttle.Limiter {
	if rate <= 0 {
		return nil
	}
	return throttle.New(rate)
}

// pacer keeps a nil limiter a nil interface.
func pacer(rate darter.Size) fetch.Pacer {
	if rate <= 0 {
		return nil
	}
	return throttle.New(rate)
}

func (d *Daemon) buildUpwards() (err error) {
	d.facts = announce.NewFacts(d.host, d.cfg.DataDir)
	sc := rpc.DefaultSchedulersConfig()
	sc.Host, sc.Events = d.host.ID, d.cfg.Events.Schedulers
	sc.Introduce = func(ctx context.Context, at netip.AddrPort) error { return d.announcer.Introduce(ctx, at) }
	sc.Events.Returned = d.returned
	if d.schedulers, err = rpc.NewSchedulers(sc); err != nil {
		return err
	}
	mc := announce.DefaultMembershipConfig()
	mc.Static, mc.Health, mc.Events = d.cfg.Schedulers, d.schedulers.Health, d.cfg.Events.Membership
	mc.File = filepath.Join(d.cfg.DataDir, "schedulers")
	mc.Events.Changed = d.regrouped
	mc.Events.FromFile = d.remembered
	if d.cfg.Manager != "" {
		rc := rpc.DefaultManagerConfig()
		rc.Address, rc.Host, rc.TLS = d.cfg.Manager, d.host, d.cfg.ManagerTLS
		if d.manager, err = rpc.NewManager(rc); err != nil {
			return err
		}
		mc.Manager = d.manager
	}
	if d.members, err = announce.NewMembership(mc); err != nil {
		return err
	}
	ac := announce.DefaultConfig()
	ac.Host, ac.Members, ac.Schedulers, ac.Events = d.facts.Host, d.members, d.schedulers, d.cfg.Events.Announce
	ac.Interval = d.cfg.AnnounceInterval
	ac.Leases, ac.Inventory, ac.Load = leaser{d.schedulers}, d.holdings, d.load
	ac.Events.Announced, ac.Events.Leased, ac.Events.LeaseEnded = d.announced, d.leased, d.leaseEnded
	d.announcer, err = announce.New(ac)
	return err
}

// sociable reports whether this daemon was told of schedulers at all.
func (d *Daemon) sociable() bool { return d.cfg.Manager != "" || len(d.cfg.Schedulers) > 0 }

func (d *Daemon) buildFetching() (err error) {
	sc := d.cfg.Source
	sc.Events = d.cfg.Events.Source
	if d.origin, err = httpsource.New(sc); err != nil {
		return err
	}
	if d.vortex, err = vortex.NewClient(vortex.DefaultClientConfig()); err != nil {
		return err
	}
	nc := rpc.DefaultNeighboursConfig()
	nc.Host, nc.Pieces = d.host.ID, d.vortex
	if d.neighbours, err = rpc.NewNeighbours(nc); err != nil {
		return err
	}
	fc := d.cfg.Fetch
	fc.Store, fc.Source, fc.Host = d.store, sources(d.origin), d.host.ID
	fc.Identify, fc.Redact = identity.TaskID, redact
	fc.NewPeer = func() darter.PeerID { return identity.NewPeerID(d.host.IP, d.host.Hostname, d.host.Kind) }
	fc.Download, fc.Origin = pacer(d.cfg.DownloadRate), pacer(d.cfg.SourceRate)
	fc.Spool, fc.MaxUnknown = d.cfg.DataDir, d.cfg.MaxUnknown
	fc.Events = d.cfg.Events.Fetch
	fc.Events.Started, fc.Events.Ended = d.begun, d.ended
	if d.sociable() {
		fc.Scheduler, fc.Neighbours = schedulerAdapter{d.schedulers}, d.neighbours
	}
	d.engine, err = fetch.New(fc)
	return err
}

func sources(h *httpsource.Source) source.Source {
	return source.New(map[string]source.Source{"http": h, "https": h})
}

func redact(url string, filtered []string) string { return identity.Redact(url, filtered...) }

func (d *Daemon) buildDoors() (err error) {
	uc := rpc.DefaultUploadConfig()
	uc.Listener, uc.Downloads, uc.Tasks, uc.Scheduler = d.cfg.Upload, downloads{d.engine}, d.shelf, d.schedulers
	uc.Host, uc.Pieces = d.facts.Host, netip.AddrPortFrom(d.host.IP, portOf(d.cfg.Pieces))
	uc.DrainTimeout, uc.Events = d.cfg.Drain, d.cfg.Events.Upload
	if d.sociable() {
		uc.Recall = d.engine.Recall
	}
	if d.upload, err = rpc.NewUpload(uc); err != nil {
		return err
	}
	d.socket, err = rpc.NewSocket(rpc.SocketConfig{Listener: d.cfg.Download, Downloads: downloads{d.engine}, Store: d.store,
		Swarm: d.schedulers, Host: d.host.ID, Epoch: d.host.Epoch, Drain: d.cfg.Drain, Served: d.shelf.Uploads, Schedulers: d.schedulers.Status, Events: d.cfg.Events.Socket})
	return err
}

// ended tells those who count on this host's pieces that no more will come.
func (d *Daemon) ended(e fetch.Ended) {
	d.note(e.Task)
	if e.Err != nil {
		d.shelf.Failed(e.Task, e.Err)
	}
	if f := d.cfg.Events.Fetch.Ended; f != nil {
		f(e)
	}
}

// regrouped puts another set of schedulers in force.
func (d *Daemon) regrouped(set []netip.AddrPort) {
	d.schedulers.Set(set)
	d.holdings.Divide(set)
	if f := d.cfg.Events.Membership.Changed; f != nil {
		f(set)
	}
}

func (d *Daemon) remembered(set []netip.AddrPort, file string) {
	d.schedulers.Set(set)
	d.holdings.Divide(set)
	if f := d.cfg.Events.Membership.FromFile; f != nil {
		f(set, file)
	}
}

// close lets go of what New opened, but not of the listeners.
func (d *Daemon) close() {
	if d.neighbours != nil {
		_ = d.neighbours.Close()
	}
	if d.vortex != nil {
		_ = d.vortex.Close()
	}
	if d.schedulers != nil {
		d.schedulers.Close()
	}
	if d.manager != nil {
		_ = d.manager.Close()
	}
	if d.origin != nil {
		d.origin.Close()
	}
	_ = d.disk.Close()
}
