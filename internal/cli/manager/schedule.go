package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

const schedulesPath = "/v1/schedules"

// schedule is what the tables need of one.
type schedule struct {
	ID      string          `json:"id"`
	Name    string          `json:"name"`
	Cron    string          `json:"cron"`
	Zone    string          `json:"zone"`
	Owner   string          `json:"owner"`
	Paused  bool            `json:"paused"`
	Next    time.Time       `json:"next_at"`
	Kind    string          `json:"kind"`
	Spec    json.RawMessage `json:"spec"`
	Created time.Time       `json:"created"`
	Updated time.Time       `json:"updated"`
}

func (a *App) scheduleCommand() *cobra.Command {
	d, c := a.group("schedule", "Have jobs made at given times")
	c.AddCommand(d.scheduleList(), d.scheduleShow(), d.scheduleCreate(),
		d.scheduleVerb("pause", "Make no more jobs until it is resumed"),
		d.scheduleVerb("resume", "Go on; times that passed are not made up for"), d.scheduleRemove())
	return c
}

func scheduleTable(now time.Time) func([]schedule) sheet.Table {
	return func(rows []schedule) sheet.Table {
		t := sheet.Table{Head: []string{"ID", "NAME", "CRON", "ZONE", "KIND", "NEXT", "OWNER"}}
		for _, s := range rows {
			next := sheet.When(s.Next, now)
			if s.Paused {
				next = "paused"
			}
			t.Add(s.ID, s.Name, s.Cron, s.Zone, s.Kind, next, s.Owner)
		}
		return t
	}
}

func (d *door) scheduleList() *cobra.Command {
	c := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List schedules", Args: exactly(0, "no argument")}
	return d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		return list(ctx, k, rest.Request{Op: "list the schedules", Path: schedulesPath}, 0, scheduleTable(k.now))
	})
}

func (d *door) scheduleShow() *cobra.Command {
	c := &cobra.Command{Use: "show ID", Short: "Show a schedule, and the jobs that it made last", Args: exactly(1, "the id of a schedule")}
	d.completeIDs(c, schedulesPath, "id", "name")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		answer, s, err := ask[schedule](ctx, k, rest.Request{Op: "read the schedule", Path: rest.Path("v1", "schedules", args[0])})
		if err != nil || !k.people() {
			return orShow(k, answer, err)
		}
		var t sheet.Table
		t.Add("schedule", s.ID)
		t.Add("name", s.Name)
		t.Add("cron", s.Cron+" "+s.Zone)
		t.Add("next", sheet.Stamp(s.Next, k.now))
		t.Add("paused", sheet.YesNo(s.Paused))
		t.Add("makes", s.Kind)
		t.Add("with", briefSpec(s.Spec))
		t.Add("owner", s.Owner)
		t.Add("created", sheet.Stamp(s.Created, k.now))
		if err := k.show(nil, t); err != nil {
			return err
		}
		fmt.Fprintln(d.app.Out)
		fires := resource{columns: []string{"due", "job", "skipped", "error"}}
		return k.showList(ctx, fires, rest.Request{Op: "read when it fired", Path: rest.Path("v1", "schedules", args[0]) + "/fires"}, 10)
	})
}

// briefSpec is what a person wants to know of a job: without what nobody set.
func briefSpec(spec json.RawMessage) string {
	var all map[string]json.RawMessage
	if json.Unmarshal(spec, &all) != nil {
		return string(spec)
	}
	for _, name := range []string{"kind", "filtered_query_params", "digest_as_id", "tasks_at_once", "hosts_at_once", "timeout", "start_within", "run_for", "max_attempts", "success_threshold"} {
		delete(all, name)
	}
	text, err := json.Marshal(all)
	if err != nil {
		return string(spec)
	}
	return compact(text)
}

func (d *door) scheduleCreate() *cobra.Command {
	c := &cobra.Command{Use: "create NAME --cron LINE FILE", Short: "Have the job that a file describes made at given times", Args: exactly(2, "a name and a file"),
		Long: "FILE is YAML or JSON as POST /v1/preheats and POST /v1/jobs take it; - reads it from stdin. Request headers are refused: a credential that waits " +
			"for weeks is stale or too strong",
		Example: "  darter schedule create nightly --cron \"0 2 * * *\" --zone Europe/Berlin preheat.yaml"}
	ch := repeatable(c)
	cron := c.Flags().String("cron", "", "five fields, or @hourly, @daily, @every 10m. Required")
	zone := c.Flags().String("zone", "UTC", "time zone of the cron line")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		if *cron == "" {
			return cli.Usage(errors.New("--cron says when; it is required"))
		}
		document, err := d.app.readDocument(args[1])
		if err != nil {
			return err
		}
		body := map[string]any{"name": args[0], "cron": *cron, "zone": *zone, "job": json.RawMessage(document)}
		return one(ctx, k, ch.post("create the schedule", schedulesPath, body), func(s schedule) sheet.Table {
			return scheduleTable(k.now)([]schedule{s})
		})
	})
}

func (d *door) scheduleVerb(verb, short string) *cobra.Command {
	c := &cobra.Command{Use: verb + " ID", Short: short, Args: exactly(1, "the id of a schedule")}
	ch := repeatable(c)
	d.completeIDs(c, schedulesPath, "id", "name")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		return one(ctx, k, ch.post(verb+" the schedule", rest.Path("v1", "schedules", args[0])+":"+verb, nil), func(s schedule) sheet.Table {
			return scheduleTable(k.now)([]schedule{s})
		})
	})
}

func (d *door) scheduleRemove() *cobra.Command {
	c := &cobra.Command{Use: "rm ID", Short: "Delete a schedule; the jobs that it made stay", Args: exactly(1, "the id of a schedule")}
	d.completeIDs(c, schedulesPath, "id", "name")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		return k.remove(ctx, "delete the schedule", rest.Path("v1", "schedules", args[0]))
	})
}

// remove deletes what is at a path, as it is now.
func (k *call) remove(ctx context.Context, op, path string) error {
	answer, err := k.Do(ctx, rest.Request{Op: op, Path: path})
	if err != nil {
		return err
	}
	if _, err := k.Do(ctx, rest.Request{Op: op, Method: http.MethodDelete, Path: path, IfMatch: answer.ETag}); err != nil {
		return err
	}
	if k.people() {
		k.say("done: %s", op)
		return nil
	}
	return k.show(answer.Body, sheet.Table{})
}

// maxDocument bounds a file that is sent: the manager takes no more.
const maxDocument = 1 << 20

// readDocument reads YAML or JSON from a file, or from stdin for "-", and returns it as JSON.
func (a *App) readDocument(file string) ([]byte, error) {
	text, err := readSome(a, file)
	if err != nil {
		return nil, err
	}
	return toJSON(file, text)
}

func readSome(a *App, file string) ([]byte, error) {
	in := a.In
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, cli.Coded(cli.ExitFile, &darter.Error{Kind: darter.NotFound, Op: "read " + file, Err: err, Hint: "name a file of YAML or JSON, or - for stdin"})
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if err != nil {
		return nil, cli.Coded(cli.ExitFile, fmt.Errorf("read %s: %w", file, err))
	}
	if len(text) > maxDocument {
		return nil, cli.Usage(fmt.Errorf("%s is longer than a megabyte", file))
	}
	return text, nil
}

func toJSON(file string, text []byte) ([]byte, error) {
	if json.Valid(text) {
		return text, nil
	}
	out, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("%s is neither YAML nor JSON: %w", file, err))
	}
	return out, nil
}
