package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

// App is the surroundings of the commands: those of all the others.
type App struct {
	*cli.App
	Now      func() time.Time // default time.Now
	EditWith func(ctx context.Context, editor, file string) error
}

// Commands returns what makes job, schedule, preheat, gc and admin. Each is made only where it is used.
func (a *App) Commands() map[string]func() *cobra.Command {
	return map[string]func() *cobra.Command{"job": a.jobCommand, "schedule": a.scheduleCommand, "preheat": a.preheatCommand,
		"gc": a.gcCommand, "admin": a.adminCommand}
}

func (a *App) now() time.Time {
	if a.Now == nil {
		return time.Now()
	}
	return a.Now()
}

func (a *App) getenv(name string) string {
	if a.Getenv == nil {
		return ""
	}
	return a.Getenv(name)
}

// door is the way to the manager that all commands of a group share: flags, and what they lead to.
type door struct {
	app      *App
	format   *string
	manager  *string
	token    *string
	ca       *string
	settings func() (cli.Settings, error)
}

// group makes the parent of commands that ask the manager.
func (a *App) group(use, short string) (*door, *cobra.Command) {
	c := &cobra.Command{Use: use, Short: short}
	flags := c.PersistentFlags()
	d := &door{app: a, format: sheet.Flag(flags)}
	d.manager = flags.String("manager", "", "address of the manager, such as https://manager.example:8080 (or DARTER_MANAGER_URL); empty means the one on this machine")
	d.token = flags.String("token-file", "", "file with the token to show, mode 0600; else DARTER_TOKEN, else the last sign-in")
	d.ca = flags.String("cacert", "", "certificate of the authority that signed the manager's, in PEM form")
	d.settings = a.Bind(flags)
	for _, name := range []string{"socket", "operator-socket", "scheduler"} { // of other commands
		if flags.Lookup(name) != nil {
			flags.Lookup(name).Hidden = true
		}
	}
	return d, c
}

// folder makes a command that only holds others.
func folder(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short}
	c.AddCommand(subs...)
	return c
}

// call is one command at work.
type call struct {
	*rest.Client
	door   *door
	format string
	now    time.Time
}

// asks finishes a command that asks the manager.
func (d *door) asks(c *cobra.Command, do func(ctx context.Context, k *call, args []string) error) *cobra.Command {
	c.RunE = func(c *cobra.Command, args []string) error {
		k, err := d.open()
		if err != nil {
			return err
		}
		defer k.Close()
		return exits(do(c.Context(), k, args))
	}
	return c
}

// open finds the manager; it is not asked anything yet.
func (d *door) open() (*call, error) {
	if err := sheet.Check(*d.format); err != nil {
		return nil, cli.Usage(err)
	}
	where, err := d.find()
	if err != nil {
		return nil, err
	}
	return d.openAt(where)
}

// exits gives what the manager refused the exit code of its status: for a local file, say, a conflict is something else.
func exits(err error) error {
	p, ok := errors.AsType[*rest.Problem](err)
	if !ok {
		return err
	}
	if p.Code == "needs_confirmation" {
		return cli.Coded(cli.ExitHeld, err)
	}
	switch p.Status {
	case http.StatusConflict, http.StatusPreconditionFailed:
		return cli.Coded(cli.ExitConflict, err)
	case http.StatusTooManyRequests:
		return cli.Coded(cli.ExitRateLimited, err)
	case http.StatusInternalServerError:
		return cli.Coded(cli.ExitRemote, err)
	}
	return err
}

// exactly is cobra.ExactArgs with errors that count as usage.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return cli.Usage(fmt.Errorf("%s takes %s, got %d arguments; see %s --help", c.CommandPath(), what, len(args), c.CommandPath()))
	}
}

// some is for commands that take one thing or more.
func some(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return cli.Usage(fmt.Errorf("%s takes %s; see %s --help", c.CommandPath(), what, c.CommandPath()))
	}
}

// show writes an answer: to programs as it came, to people as t.
func (k *call) show(v any, t sheet.Table) error {
	return sheet.Render(k.door.app.Out, k.format, v, t)
}

// say tells a person something that is no data.
func (k *call) say(format string, args ...any) {
	fmt.Fprintln(k.door.app.Err, sheet.Printable(fmt.Sprintf(format, args...)))
}

// people reports whether the answer is for a person.
func (k *call) people() bool { return k.format == "table" }

// list asks for a list and shows it.
func list[T any](ctx context.Context, k *call, r rest.Request, most int, table func([]T) sheet.Table) error {
	r.Whole = comesWhole(r.Path)
	raw, rows := []json.RawMessage{}, []T{}
	for item, err := range k.Pages(ctx, r, most) {
		if err != nil {
			return err
		}
		var row T
		if err := (&rest.Answer{Body: item}).Decode(&row); err != nil {
			return err
		}
		raw, rows = append(raw, item), append(rows, row)
	}
	return k.show(raw, table(rows))
}

// one asks for one thing, or for something to be done to it, and shows the answer.
func one[T any](ctx context.Context, k *call, r rest.Request, table func(T) sheet.Table) error {
	answer, row, err := ask[T](ctx, k, r)
	if err != nil {
		return err
	}
	return k.show(answer.Body, table(row))
}

// ask asks and decodes.
func ask[T any](ctx context.Context, k *call, r rest.Request) (*rest.Answer, T, error) {
	var row T
	answer, err := k.Do(ctx, r)
	if err != nil {
		return nil, row, err
	}
	return answer, row, answer.Decode(&row)
}

// change is what commands take that change something.
type change struct{ reason, key *string }

// repeatable is for changes that nobody has to give a reason for.
func repeatable(c *cobra.Command) change {
	return change{reason: new(string), key: c.Flags().String("idempotency-key", "", "a name for this very request: sent again with it, it counts once; default a new one")}
}

// changes is for those that stand in a history.
func changes(c *cobra.Command) change {
	ch := repeatable(c)
	ch.reason = c.Flags().String("reason", "", "why, for the history")
	return ch
}

// query carries the reason.
func (ch change) query() url.Values {
	q := url.Values{}
	if *ch.reason != "" {
		q.Set("reason", *ch.reason)
	}
	return q
}

// post asks for something to be done.
func (ch change) post(op, path string, body any) rest.Request {
	return rest.Request{Op: op, Method: http.MethodPost, Path: path, Query: ch.query(), Body: body, Key: *ch.key}
}

// comesWhole reports whether a list has one page and takes no size for it.
func comesWhole(path string) bool {
	switch path {
	case "/v1/settings", "/v1/roles", "/v1/role-bindings", "/v1/notifications", policiesPath:
		return true
	}
	return false
}

// completeIDs completes the first argument with what a list holds. A manager that does not answer completes nothing.
func (d *door) completeIDs(c *cobra.Command, path, field, about string) {
	c.ValidArgsFunction = func(c *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(c.Context(), 2*time.Second)
		defer cancel()
		k, err := d.open()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer k.Close()
		var out []string
		for item, err := range k.Pages(ctx, rest.Request{Op: "complete", Path: path, Whole: comesWhole(path)}, 100) {
			var row map[string]any
			if err != nil || json.Unmarshal(item, &row) != nil {
				break
			}
			id, _ := row[field].(string)
			note, _ := row[about].(string)
			if strings.HasPrefix(id, begin) && id != "" {
				out = append(out, id+"\t"+sheet.Printable(note))
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
