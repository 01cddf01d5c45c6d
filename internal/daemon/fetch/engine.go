package fetch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
)

// Engine runs the downloads of one host.
type Engine struct {
	cfg     Config
	wg      sync.WaitGroup
	running chan struct{} // closed when Run began

	mu struct {
		sync.Mutex
		ctx    context.Context // of Run; set before running is closed
		active map[darter.TaskID]*download
	}
}

// New returns an engine. It starts nothing: call Run.
func New(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, running: make(chan struct{})}
	e.mu.active = map[darter.TaskID]*download{}
	return e, nil
}

// Start joins the download of what w asks for, or begins it, and returns once the content's length is known. The session
// must be closed. A download nobody waits for ends after Config.Linger, except one that w.NeedSource began.
// ctx bounds only the wait for the length. Errors are those of the source (*source.Error) or a darter.Error.
func (e *Engine) Start(ctx context.Context, w darter.Want) (*Session, error) {
	id, err := e.cfg.Identify(w)
	if err != nil {
		return nil, err
	}
	if err := e.up(ctx); err != nil {
		return nil, err
	}
	for {
		d, s, err := e.join(id, w)
		if err != nil {
			return nil, err
		}
		select {
		case <-d.prepared:
		case <-ctx.Done():
			s.Close()
			return nil, waitError(ctx, w.URL)
		}
		if d.prepareErr == nil {
			return s, s.begin()
		}
		s.Close()
		if !errors.Is(d.prepareErr, errEnded) {
			return nil, d.prepareErr
		}
	}
}

// up waits a little for Run, so that the first request after a start does not fail.
func (e *Engine) up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	select {
	case <-e.running:
		return nil
	case <-ctx.Done():
		return &darter.Error{Kind: darter.Unavailable, Op: "start download", Err: errors.New("this daemon is not running yet"), Hint: "try again"}
	}
}

// errEnded says that a download ended between finding and joining it.
var errEnded = errors.New("the download ended")

func waitError(ctx context.Context, url string) error {
	return &darter.Error{Kind: darter.TimedOut, Op: "download " + url, Err: context.Cause(ctx),
		Hint: "the source did not say how long the content is in time"}
}

// join finds or begins the download of a task and enters a session into it.
func (e *Engine) join(id darter.TaskID, w darter.Want) (*download, *Session, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.ctx.Err() != nil {
		return nil, nil, &darter.Error{Kind: darter.Unavailable, Op: "download " + w.URL,
			Err: errors.New("this daemon is stopping"), Hint: "try again, or ask another daemon"}
	}
	if d := e.mu.active[id]; d != nil {
		if s := d.enter(w); s != nil {
			return d, s, nil
		}
	}
	d := newDownload(e, id, w)
	e.mu.active[id] = d
	s := d.enter(w)
	e.launch(e.mu.ctx, d)
	return d, s, nil
}

// forget takes a download out of the list, unless another took its place.
func (e *Engine) forget(d *download) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.active[d.id] == d {
		delete(e.mu.active, d.id)
	}
}

// Active returns how many downloads run.
func (e *Engine) Active() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.mu.active)
}

// Running reports whether a task is being downloaded.
func (e *Engine) Running(id darter.TaskID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.active[id] != nil
}

// Recall tells the scheduler that this host holds a complete task, so that a scheduler that forgot it can offer it again.
// w names the task; only what is needed to identify it is used.
func (e *Engine) Recall(ctx context.Context, id darter.TaskID, w darter.Want) error {
	if e.cfg.Scheduler == nil {
		return nil
	}
	t, err := e.cfg.Store.Open(id)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Farewell)
	defer cancel()
	w.MetadataOnly, w.NeedSource = true, false
	w.Layout, w.LayoutKnown = t.Meta().Layout, true
	c, err := e.cfg.Scheduler.Register(ctx, darter.Registration{Task: id, Peer: e.cfg.NewPeer(), Want: w, Held: t.Pieces()})
	if err != nil {
		return err
	}
	defer c.Close()
	select {
	case a, ok := <-c.Advice():
		if !ok || a.Kind != darter.Recorded {
			return &darter.Error{Kind: darter.Unavailable, Op: "announce task " + id.Short(), Err: errors.Join(errors.New("the scheduler did not record it"), c.Err())}
		}
	case <-ctx.Done():
		return &darter.Error{Kind: darter.TimedOut, Op: "announce task " + id.Short(), Err: context.Cause(ctx)}
	}
	c.Report(darter.Report{Kind: darter.Started})
	return c.Finish(ctx, darter.Outcome{})
}

// now is the engine's only clock.
func now() time.Time { return time.Now() }
