package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
)

// askLimit bounds one question to a daemon or a scheduler.
const askLimit = 5 * time.Second

// Status is what "darter status" tells.
type Status struct {
	Version string `json:"version"`
	Daemon  struct {
		Socket  string `json:"socket"`
		Healthy bool   `json:"healthy"`
		Error   string `json:"error,omitempty"`
	} `json:"daemon"`
	Store      *StoreStatus      `json:"store,omitempty"`
	Schedulers []SchedulerStatus `json:"schedulers"`
}

// StoreStatus is what the daemon's store holds.
type StoreStatus struct {
	Tasks    int   `json:"tasks"`
	Complete int   `json:"complete"`
	Bytes    int64 `json:"bytes"` // lengths of the complete tasks
}

// SchedulerStatus is one scheduler as seen from here.
type SchedulerStatus struct {
	Address   string `json:"address"`
	Reachable bool   `json:"reachable"`
	Hosts     int    `json:"hosts"`
	Seeds     int    `json:"seeds"`
	Error     string `json:"error,omitempty"`
}

func (a *App) statusCommand() *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "Show whether this machine's daemon and its schedulers work", Args: exactly(0, "no argument")}
	format := formatFlag(c)
	settings := a.Bind(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := checkFormat(*format); err != nil {
			return err
		}
		s, err := settings()
		if err != nil {
			return err
		}
		status, err := a.status(c.Context(), s)
		if perr := render(a.Out, *format, status, status.table()); perr != nil {
			return perr
		}
		return err
	}
	return c
}

// status asks around. The error is the daemon's: without it the exit code tells that nothing runs here.
func (a *App) status(ctx context.Context, s Settings) (Status, error) {
	st := Status{Version: a.Version}
	st.Daemon.Socket = s.Socket
	err := a.askDaemon(ctx, s, &st)
	if err != nil {
		st.Daemon.Error = err.Error()
	}
	for _, address := range a.schedulers(ctx, s) {
		st.Schedulers = append(st.Schedulers, a.askScheduler(ctx, address))
	}
	return st, err
}

// schedulers are those that were named, else those that this machine's daemon asks, else the one that "darter up" runs here.
func (a *App) schedulers(ctx context.Context, s Settings) []string {
	if len(s.Scheduler) > 0 {
		return s.Scheduler
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	if d, err := a.OpenDaemon(ctx, s.Socket); err == nil {
		defer d.Close()
		if told, err := d.Schedulers(ctx); err == nil && told != nil {
			return told
		}
	}
	return []string{"127.0.0.1:8002"}
}

func (a *App) askDaemon(ctx context.Context, s Settings, st *Status) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	d, err := a.OpenDaemon(ctx, s.Socket)
	if err != nil {
		return noDaemon(s.Socket, err)
	}
	defer d.Close()
	if err := d.Health(ctx); err != nil {
		return noDaemon(s.Socket, err)
	}
	st.Daemon.Healthy = true
	tasks, err := d.Tasks(ctx)
	if err != nil {
		return err
	}
	store := StoreStatus{Tasks: len(tasks)}
	for _, t := range tasks {
		if t.Complete {
			store.Complete++
			store.Bytes += t.Length
		}
	}
	st.Store = &store
	return nil
}

func (a *App) askScheduler(ctx context.Context, address string) SchedulerStatus {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	out := SchedulerStatus{Address: address}
	c, err := a.OpenCluster(ctx, address)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	defer c.Close()
	hosts, err := c.Hosts(ctx)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.Reachable, out.Hosts = true, len(hosts)
	for _, h := range hosts {
		if h.Kind != darter.Normal {
			out.Seeds++
		}
	}
	return out
}

func (s Status) table() table {
	health := "serving"
	if !s.Daemon.Healthy {
		health = "not reachable"
	}
	t := table{rows: [][]string{{"darter", s.Version}, {"daemon", health + " at " + s.Daemon.Socket}}}
	if s.Store != nil {
		t.rows = append(t.rows, []string{"store", fmt.Sprintf("%d tasks, %d complete, %s", s.Store.Tasks, s.Store.Complete, sizeText(s.Store.Bytes))})
	}
	for _, sch := range s.Schedulers {
		state := fmt.Sprintf("reachable at %s, %d hosts (%d seeds)", sch.Address, sch.Hosts, sch.Seeds)
		if !sch.Reachable {
			state = "not reachable at " + sch.Address
		}
		t.rows = append(t.rows, []string{"scheduler", state})
	}
	return t
}

// withCluster asks the first scheduler that answers.
func (a *App) withCluster(ctx context.Context, s Settings, ask func(context.Context, Cluster) error) error {
	var all []error
	for _, address := range a.schedulers(ctx, s) {
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, askLimit)
			defer cancel()
			c, err := a.OpenCluster(ctx, address)
			if err != nil {
				return err
			}
			defer c.Close()
			return ask(ctx, c)
		}()
		if err == nil || darter.KindOf(err) != darter.Unavailable {
			return err
		}
		all = append(all, fmt.Errorf("%s: %w", address, err))
	}
	if len(all) == 0 {
		all = append(all, errors.New("this machine's daemon asks none"))
	}
	return &darter.Error{Kind: darter.Unavailable, Op: "reach a scheduler", Err: errors.Join(all...), Hint: "name one with --scheduler HOST:PORT"}
}

func (a *App) withDaemon(ctx context.Context, s Settings, ask func(context.Context, Daemon) error) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	d, err := a.OpenDaemon(ctx, s.Socket)
	if err != nil {
		return noDaemon(s.Socket, err)
	}
	defer d.Close()
	return ask(ctx, d)
}
