package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

// run is the record of a plan being carried out.
type run struct {
	ID        string          `json:"id"`
	Kind      string          `json:"kind"`
	Version   int64           `json:"policy_version"`
	Trigger   string          `json:"trigger"`
	Requester darter.Actor    `json:"requester"`
	Plan      string          `json:"plan"`
	Resumes   string          `json:"resumes"`
	State     darter.RunState `json:"state"`
	Executor  string          `json:"executor"`
	Eligible  int64           `json:"eligible"`
	Scanned   int64           `json:"scanned"`
	Deleted   int64           `json:"deleted"`
	Children  int64           `json:"children"`
	Batches   int64           `json:"batches"`
	Busy      string          `json:"busy"`
	Waits     int64           `json:"waits"`
	Code      string          `json:"code"`
	Message   string          `json:"message"`
	Created   time.Time       `json:"created"`
	Started   time.Time       `json:"started"`
	Finished  time.Time       `json:"finished"`
}

func (d *door) runCommand() *cobra.Command {
	c := &cobra.Command{Use: "run", Short: "Remove what a policy says, in batches", Args: exactly(0, "no argument"),
		Long: "With --plan that plan is carried out and no other; without, a new one is made. Exit code with --wait: 0, all of it went; 13, it ended early; " +
			"17, it waits for a confirmation; 1, it failed or was cancelled. Ctrl-C ends the watching, not the run",
		Example: "  darter gc run --kind job --wait\n  darter gc run --plan 01J9Z3NDEKTSV4RRFFQ69G5FAV"}
	ch := changes(c)
	kind := c.Flags().String("kind", "job", "kind of records, as \"darter gc policy ls\" lists them")
	plan := c.Flags().String("plan", "", "carry out this plan, and no other")
	confirm := c.Flags().Bool("confirm", false, "I have seen the plan: remove more than is usual. Needs --plan")
	wait := c.Flags().Bool("wait", false, "show how it goes on until it is over; the exit code says how it ended")
	return d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		if *confirm && *plan == "" {
			return cli.Usage(errors.New("--confirm needs --plan: confirm what you have seen"))
		}
		r := ch.post("start the run", runsPath, map[string]any{"kind": *kind})
		if *plan != "" {
			r = ch.post("carry out the plan "+*plan, rest.Path("v1", "gc", "plans", *plan)+":apply", map[string]any{"confirm": *confirm})
		}
		return k.started(ctx, r, *wait)
	})
}

// started sends a request that makes a run, and watches it when that is wanted.
func (k *call) started(ctx context.Context, r rest.Request, wait bool) error {
	answer, v, err := ask[run](ctx, k, r)
	if err != nil {
		return err
	}
	if wait {
		return k.watchRun(ctx, v.ID)
	}
	if k.people() && !v.State.Final() {
		k.say("watch it: darter gc watch %s", v.ID)
	}
	return k.show(answer.Body, runTable([]run{v}, k.now))
}

func runTable(rows []run, now time.Time) sheet.Table {
	t := sheet.Table{Head: []string{"ID", "KIND", "STATE", "REMOVED", "OF", "POLICY", "TRIGGER", "BY", "CREATED", "TOOK"}}
	for _, r := range rows {
		t.Add(r.ID, r.Kind, string(r.State), sheet.Count(r.Deleted), sheet.Count(r.Eligible), fmt.Sprintf("v%d", r.Version), r.Trigger,
			actorText(r.Requester), sheet.Ago(r.Created, now), r.took(now))
	}
	return t
}

func actorText(a darter.Actor) string {
	if a.Name != "" {
		return a.Name
	}
	return a.ID
}

func (r run) took(now time.Time) string {
	switch {
	case r.Started.IsZero():
		return ""
	case r.Finished.IsZero():
		return sheet.Clock(now.Sub(r.Started))
	}
	return sheet.Clock(r.Finished.Sub(r.Started))
}

func (d *door) runsCommand() *cobra.Command {
	c := &cobra.Command{Use: "runs", Aliases: []string{"ls"}, Short: "List runs, the newest first", Args: exactly(0, "no argument")}
	kind := c.Flags().String("kind", "", "only of this kind of records")
	states := c.Flags().StringSlice("state", nil, "only these states: queued, running, paused, cancelling, succeeded, partial, failed, cancelled, lost, needs_confirmation")
	most := c.Flags().Int("limit", 50, "how many at most; 0 is all")
	return d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		q := url.Values{}
		if *kind != "" {
			q.Set("kind", *kind)
		}
		if len(*states) > 0 {
			q.Set("state", strings.Join(*states, ","))
		}
		return list(ctx, k, rest.Request{Op: "list the runs", Path: runsPath, Query: q}, *most, func(rows []run) sheet.Table { return runTable(rows, k.now) })
	})
}

// batch is one transaction of a run.
type batch struct {
	Sequence int64     `json:"sequence"`
	First    string    `json:"first"`
	Last     string    `json:"last"`
	Deleted  int64     `json:"deleted"`
	Children int64     `json:"children"`
	Took     string    `json:"took"`
	At       time.Time `json:"at"`
}

func (d *door) runShow() *cobra.Command {
	c := &cobra.Command{Use: "show RUN", Short: "Show one run, and with --batches its transactions", Args: exactly(1, "the id of a run")}
	batches := c.Flags().Bool("batches", false, "list its transactions")
	d.completeIDs(c, runsPath, "id", "kind")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		path := rest.Path("v1", "gc", "runs", args[0])
		if *batches {
			return list(ctx, k, rest.Request{Op: "read the run's batches", Path: path + "/batches"}, 0, func(rows []batch) sheet.Table {
				t := sheet.Table{Head: []string{"#", "WHEN", "REMOVED", "CHILDREN", "TOOK", "FIRST", "LAST"}}
				for _, b := range rows {
					t.Add(fmt.Sprint(b.Sequence), b.At.Local().Format(time.DateTime), sheet.Count(b.Deleted), sheet.Count(b.Children), b.Took, b.First, b.Last)
				}
				return t
			})
		}
		return one(ctx, k, rest.Request{Op: "read the run", Path: path}, func(r run) sheet.Table { return r.sheet(k.now) })
	})
}

func (r run) sheet(now time.Time) sheet.Table {
	var t sheet.Table
	t.Add("run", r.ID)
	t.Add("kind", r.Kind)
	t.Add("state", string(r.State))
	if r.Message != "" {
		t.Add("why", r.Message)
	}
	t.Add("removed", fmt.Sprintf("%s of %s (%s), with %s rows that belonged to them", sheet.Count(r.Deleted), sheet.Count(r.Eligible), percent(r.Deleted, r.Eligible), sheet.Count(r.Children)))
	t.Add("policy", fmt.Sprintf("version %d", r.Version))
	t.Add("plan", r.Plan)
	by := actorText(r.Requester)
	if r.Requester.Method != "" {
		by += " (" + r.Requester.Method + ")"
	}
	t.Add("asked for by", by+", "+r.Trigger)
	if r.Resumes != "" {
		t.Add("goes on from", r.Resumes)
	}
	t.Add("batches", fmt.Sprintf("%s, %s in the database, waited %d times", sheet.Count(r.Batches), r.Busy, r.Waits))
	t.Add("carried out by", r.Executor)
	t.Add("created", sheet.Stamp(r.Created, now))
	if !r.Started.IsZero() {
		t.Add("started", sheet.Stamp(r.Started, now))
	}
	if !r.Finished.IsZero() {
		t.Add("finished", sheet.Stamp(r.Finished, now))
	}
	return t
}

// runVerb makes a command that says one word to a run.
func (d *door) runVerb(verb, short string) *cobra.Command {
	c := &cobra.Command{Use: verb + " RUN", Short: short, Args: exactly(1, "the id of a run")}
	ch := changes(c)
	d.completeIDs(c, runsPath, "id", "kind")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		return one(ctx, k, ch.post(verb+" the run", rest.Path("v1", "gc", "runs", args[0])+":"+verb, nil), func(r run) sheet.Table { return runTable([]run{r}, k.now) })
	})
}

func (d *door) runConfirm() *cobra.Command {
	c := &cobra.Command{Use: "confirm RUN", Short: "Let a run that was held go on: you have seen what it would remove", Args: exactly(1, "the id of a run"),
		Long: "The plan that is confirmed is the held run's own while that is fresh. Later, make a new one with \"darter gc plan\", look at it, and name it with --plan"}
	ch := changes(c)
	plan := c.Flags().String("plan", "", "the plan that you have seen; default the run's own")
	wait := c.Flags().Bool("wait", false, "show how it goes on until it is over")
	d.completeIDs(c, runsPath, "id", "kind")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		path := rest.Path("v1", "gc", "runs", args[0])
		if *plan == "" {
			_, held, err := ask[run](ctx, k, rest.Request{Op: "read the run", Path: path})
			if err != nil {
				return err
			}
			*plan = held.Plan
		}
		return k.started(ctx, ch.post("confirm the run", path+":confirm", map[string]any{"plan": *plan}), *wait)
	})
}

func (d *door) runWatch() *cobra.Command {
	c := &cobra.Command{Use: "watch RUN", Short: "Show how a run goes on until it is over; the exit code says how it ended", Args: exactly(1, "the id of a run"),
		Long: "Exit code 0: it removed all that was planned. 13: it ended early. 17: it waits for a confirmation. 1: it failed or was cancelled"}
	d.completeIDs(c, runsPath, "id", "kind")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error { return k.watchRun(ctx, args[0]) })
}

// watchRun shows a run until it is final. Each event of the stream is the run as it stands.
func (k *call) watchRun(ctx context.Context, id string) error {
	path := rest.Path("v1", "gc", "runs", id)
	var last json.RawMessage
	var r run
	line := k.door.app.ticker()
	take := func(data []byte) error {
		var seen run
		if err := json.Unmarshal(data, &seen); err != nil || seen.ID == "" {
			return nil // another kind of event
		}
		r, last = seen, data
		line.show(r.line(k.door.app.now()))
		if r.State.Final() {
			return rest.ErrEnough
		}
		return nil
	}
	look := func() error {
		answer, err := k.Do(ctx, rest.Request{Op: "read the run", Path: path})
		if err != nil {
			return err
		}
		return take(answer.Body)
	}
	err := look()
	if err == nil {
		err = k.Follow(ctx, rest.Request{Op: "watch the run", Path: path + ":watch"}, "", func(e rest.Event) error {
			if e.Type == rest.Closed || e.Type == "gap" {
				return look()
			}
			return take(e.Data)
		})
	}
	line.end()
	if err != nil && !errors.Is(err, rest.ErrEnough) {
		return err
	}
	if err := k.show(last, r.sheet(k.door.app.now())); err != nil {
		return err
	}
	return r.verdict()
}

func (r run) line(now time.Time) string {
	text := fmt.Sprintf("%s  %s  %s of %s removed  %s", r.ID, r.State, sheet.Count(r.Deleted), sheet.Count(r.Eligible), percent(r.Deleted, r.Eligible))
	if took := r.took(now); took != "" {
		text += "  " + took
	}
	return text
}

// verdict is how the command ends: as the run did.
func (r run) verdict() error {
	e := &darter.Error{Kind: darter.Internal, Op: "run " + r.ID, Hint: "darter gc show " + r.ID}
	why := r.Message
	if why == "" {
		why = r.Code
	}
	switch r.State {
	case darter.RunSucceeded:
		return nil
	case darter.RunPartial:
		e.Err, e.Hint = fmt.Errorf("it ended early, %s of %s removed: %s", sheet.Count(r.Deleted), sheet.Count(r.Eligible), why), "the next run goes on; or raise time_limit in the policy"
		return cli.Coded(cli.ExitSomeFailed, e)
	case darter.RunHeld:
		e.Err = fmt.Errorf("it would remove %s of them, and waits: %s", sheet.Count(r.Eligible), why)
		e.Hint = fmt.Sprintf("look at what would go with \"darter gc plan --kind %s\", then: darter gc confirm %s", r.Kind, r.ID)
		return cli.Coded(cli.ExitHeld, e)
	case darter.RunLost:
		e.Err = errors.New("the manager that did it fell silent; another one goes on in a new run")
		e.Hint = "darter gc runs --kind " + r.Kind
		return cli.Coded(cli.ExitFailed, e)
	}
	e.Err = fmt.Errorf("it is %s: %s", r.State, why)
	return cli.Coded(cli.ExitFailed, e)
}
