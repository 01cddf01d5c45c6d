package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/identity"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
)

// Bounds of one dispatch step: an order fits a message, and several schedulers of a cluster share a large job.
const (
	chunkItems = 500
	chunkBytes = 1 << 20
)

// work does one step that belongs to a manager. The error is of the engine's own doing; what the work itself failed
// with is reported as the step's end.
func (e *Engine) work(ctx context.Context, o *darter.Order) error {
	l, err := e.peek(ctx, o.Lease.Job)
	if err != nil {
		return err
	}
	spec, err := e.spec(l)
	if err != nil {
		return e.broke(ctx, o.Lease, err)
	}
	if l.job.Steps[o.Lease.Step].Kind == machine.Local {
		return e.local(ctx, o.Lease, spec)
	}
	wants, err := e.wants(ctx, l.row.Kind, spec)
	if err != nil {
		return e.broke(ctx, o.Lease, err)
	}
	clusters, err := e.clusters(ctx, spec)
	if err != nil {
		return e.broke(ctx, o.Lease, err)
	}
	return e.grow(ctx, o.Lease, spec, wants, clusters)
}

func (e *Engine) peek(ctx context.Context, id darter.JobID) (l *loaded, err error) {
	err = e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		l, err = load(ctx, tx, id, noLock)
		return err
	})
	return l, err
}

// broke ends a step that could not be done as a whole.
func (e *Engine) broke(ctx context.Context, lease darter.OrderLease, why error) error {
	if ctx.Err() != nil { // the manager stops: give the work back
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		return e.Report(ctx, darter.OrderReport{Lease: lease, Released: true})
	}
	return e.finish(ctx, lease, machine.End{Step: lease.Step, Epoch: lease.Epoch, Broken: true, Failure: FailureOf(why), Text: clip(why.Error())})
}

func (e *Engine) finish(ctx context.Context, lease darter.OrderLease, ev machine.Event) error {
	return e.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		_, err := e.change(ctx, tx, lease.Job, ev)
		return err
	})
}

// FailureOf classes an error of our own. Errors of origins carry their class in darter.OrderOutcome already.
func FailureOf(err error) darter.Failure {
	if f, ok := errors.AsType[interface {
		error
		Failure() darter.Failure
	}](err); ok {
		return f.Failure()
	}
	switch darter.KindOf(err) {
	case darter.Invalid:
		return darter.FailedInvalid
	case darter.NotFound:
		return darter.Failed404
	case darter.Denied:
		return darter.FailedEgress
	case darter.Unavailable:
		return darter.FailedConnect
	case darter.TimedOut:
		return darter.FailedTimeout
	case darter.Corrupt:
		return darter.FailedDigest
	case darter.NoSpace:
		return darter.FailedDiskFull
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return darter.FailedTimeout
	}
	return darter.FailedInternal
}

// wants lists the contents of a job.
func (e *Engine) wants(ctx context.Context, kind darter.JobKind, spec *Spec) ([]darter.Want, error) {
	switch kind {
	case darter.PreheatFiles:
		out := make([]darter.Want, len(spec.URLs))
		for i, u := range spec.URLs {
			out[i] = spec.Want(u)
		}
		return out, nil
	case darter.PreheatImage:
		if e.cfg.Images == nil {
			return nil, &darter.Error{Kind: darter.Invalid, Op: "resolve image", Err: errors.New("this manager resolves no images")}
		}
		out, err := e.cfg.Images.ResolveImage(ctx, spec.Want(spec.URLs[0]), spec.Platforms)
		if err == nil && (len(out) == 0 || len(out) > MaxItems) {
			err = &darter.Error{Kind: darter.Invalid, Op: "resolve image", Err: fmt.Errorf("it names %d contents; 1 to %d are possible", len(out), MaxItems)}
		}
		return out, err
	case darter.LocateTask, darter.PurgeTask:
		if spec.TaskID != "" {
			return []darter.Want{{}}, nil
		}
		return []darter.Want{spec.Want(spec.URLs[0])}, nil
	}
	return []darter.Want{{}}, nil // hosts.sync: one item that is no content
}

// clusters are those asked for, or all.
func (e *Engine) clusters(ctx context.Context, spec *Spec) ([]uint64, error) {
	if e.cfg.Clusters == nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "find clusters", Err: errors.New("this manager knows no clusters")}
	}
	all, err := e.cfg.Clusters.ClusterIDs(ctx)
	if err != nil || len(spec.Clusters) == 0 {
		return all, err
	}
	asked := slices.Compact(slices.Sorted(slices.Values(spec.Clusters)))
	for _, c := range asked {
		if !slices.Contains(all, c) {
			return nil, &darter.Error{Kind: darter.Invalid, Op: "find clusters", Err: fmt.Errorf("cluster %d is unknown", c), Hint: "list clusters to see which there are"}
		}
	}
	return asked, nil
}

// grow adds the dispatch steps with their items and ends the resolve step, in one transaction.
func (e *Engine) grow(ctx context.Context, lease darter.OrderLease, spec *Spec, wants []darter.Want, clusters []uint64) error {
	items := make([]itemRow, len(wants))
	for i, w := range wants {
		it, err := newItem(uint32(i), w, spec)
		if err != nil {
			return e.broke(ctx, lease, err)
		}
		items[i] = it
	}
	chunks := chunksOf(items)
	ev := machine.Grow{Step: lease.Step, Epoch: lease.Epoch}
	for _, c := range clusters {
		for _, chunk := range chunks {
			t := machine.Tally{Items: uint32(len(chunk))}
			if spec.Targets.Scope == darter.OneSeed {
				t.Pairs = t.Items
			}
			ev.Steps = append(ev.Steps, machine.Part{Kind: machine.Dispatch, Cluster: c, Tally: t})
		}
	}
	return e.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		l, err := load(ctx, tx, lease.Job, tx.ForUpdate())
		if err != nil {
			return err
		}
		first := len(l.job.Steps)
		now, err := e.now(ctx, tx)
		if err != nil {
			return err
		}
		if err := e.apply(ctx, tx, l, now, ev); err != nil {
			return err
		}
		for i := range ev.Steps {
			rows := slices.Clone(chunks[i%len(chunks)])
			for k := range rows {
				rows[k].JobID, rows[k].Step = lease.Job, uint32(first+i)
			}
			if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// newItem is the row of one content, without credentials.
func newItem(number uint32, w darter.Want, spec *Spec) (itemRow, error) {
	it := itemRow{Number: number, URL: w.URL, TaskID: spec.TaskID}
	if w.URL != "" {
		id, err := identity.TaskID(w)
		if err != nil {
			return it, err
		}
		it.TaskID, it.GoTask = id, identity.GoTaskID(w)
	}
	w.Header, w.Timeout = nil, 0
	raw, err := json.Marshal(w)
	it.Want = string(raw)
	return it, err
}

func chunksOf(items []itemRow) [][]itemRow {
	var out [][]itemRow
	from, size := 0, 0
	for i := range items {
		more := len(items[i].Want)
		if i > from && (i-from >= chunkItems || size+more > chunkBytes) {
			out, from, size = append(out, items[from:i]), i, 0
		}
		size += more
	}
	return append(out, items[from:])
}

// local does the work of a step that no host has a part in.
func (e *Engine) local(ctx context.Context, lease darter.OrderLease, spec *Spec) error {
	if e.cfg.Records == nil {
		return e.broke(ctx, lease, &darter.Error{Kind: darter.Invalid, Op: "clean records", Err: errors.New("this manager cleans no records")})
	}
	rows, err := e.cfg.Records.CleanRecords(ctx, lease.Job, spec.Records)
	if err != nil {
		return e.broke(ctx, lease, err)
	}
	t := machine.Tally{Items: 1, Warm: 1, Complete: 1, Pairs: 1, Done: 1}
	return e.finish(ctx, lease, machine.End{Step: lease.Step, Epoch: lease.Epoch, Tally: t, Text: fmt.Sprintf("%d rows went", rows)})
}
