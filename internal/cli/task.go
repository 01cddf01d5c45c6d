package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
)

// TaskDetail is one task as "darter task show" tells it: what this machine holds, and what the scheduler knows.
type TaskDetail struct {
	ID        darter.TaskID `json:"id"`
	Local     *LocalTask    `json:"local"`           // null when this machine holds nothing of it
	Scheduler *ClusterTask  `json:"scheduler"`       // null when no scheduler knows it
	Error     string        `json:"error,omitempty"` // why one of the two did not answer

	unknown string // what the table says where Scheduler is null
}

func (a *App) taskCommand() *cobra.Command {
	c := &cobra.Command{Use: "task", Short: "Show tasks"}
	c.AddCommand(a.taskListCommand(), a.taskShowCommand())
	return c
}

func (a *App) taskListCommand() *cobra.Command {
	c := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List the tasks in this machine's store", Args: exactly(0, "no argument")}
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
		rows := []LocalTask{}
		err = a.withDaemon(c.Context(), s, func(ctx context.Context, d Daemon) error {
			tasks, err := d.Tasks(ctx)
			rows = append(rows, tasks...)
			return err
		})
		if err != nil {
			return err
		}
		slices.SortFunc(rows, func(x, y LocalTask) int {
			return cmpTime(y.Updated, x.Updated, strings.Compare(string(x.ID), string(y.ID)))
		})
		return render(a.Out, *format, rows, taskTable(rows, now()))
	}
	return c
}

func cmpTime(x, y time.Time, tie int) int {
	if c := x.Compare(y); c != 0 {
		return c
	}
	return tie
}

func taskTable(rows []LocalTask, now time.Time) table {
	t := table{head: []string{"ID", "SIZE", "STATE", "UPLOADED", "CREATED"}}
	for _, r := range rows {
		t.rows = append(t.rows, []string{string(r.ID), sizeText(r.Length), state(r), strconv.FormatUint(r.Uploaded, 10), ago(r.Created, now)})
	}
	return t
}

func state(t LocalTask) string {
	if t.Complete {
		return "complete"
	}
	return "partial"
}

func (a *App) taskShowCommand() *cobra.Command {
	c := &cobra.Command{Use: "show ID", Short: "Show one task, here and at its scheduler", Args: exactly(1, "a task id")}
	format := formatFlag(c)
	settings := a.Bind(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := checkFormat(*format); err != nil {
			return err
		}
		s, err := settings()
		if err != nil {
			return err
		}
		d, err := a.taskDetail(c.Context(), s, darter.TaskID(args[0]))
		if err != nil {
			return err
		}
		return render(a.Out, *format, d, d.table(now()))
	}
	return c
}

// taskDetail asks both. One answer is enough; none is the daemon's error, or the scheduler's.
func (a *App) taskDetail(ctx context.Context, s Settings, id darter.TaskID) (TaskDetail, error) {
	out := TaskDetail{ID: id}
	if !id.Valid() {
		return out, Usage(fmt.Errorf("%q is no task id: it has 64 hexadecimal digits; \"darter task ls\" lists them", id))
	}
	here := a.withDaemon(ctx, s, func(ctx context.Context, d Daemon) error {
		t, err := d.Task(ctx, id)
		if err == nil {
			out.Local = &t
		}
		return err
	})
	there := a.withCluster(ctx, s, func(ctx context.Context, c Cluster) error {
		t, err := c.Task(ctx, id)
		if err == nil {
			out.Scheduler = &t
		}
		return err
	})
	out.unknown = "does not know it"
	for _, err := range []error{here, there} {
		if err != nil && darter.KindOf(err) != darter.NotFound {
			out.Error = err.Error()
		}
	}
	if there != nil && darter.KindOf(there) != darter.NotFound {
		out.unknown = there.Error()
	}
	if here == nil || there == nil {
		return out, nil
	}
	if darter.KindOf(here) == darter.NotFound && darter.KindOf(there) == darter.NotFound {
		return out, &darter.Error{Kind: darter.NotFound, Op: "find task " + id.Short(), Err: errors.New("neither this machine nor a scheduler knows it"),
			Hint: "\"darter task ls\" lists what this machine holds"}
	}
	if darter.KindOf(here) == darter.NotFound {
		return out, there
	}
	return out, here
}

func (d TaskDetail) table(now time.Time) table {
	t := table{rows: [][]string{{"task", string(d.ID)}}}
	if c := d.Scheduler; c != nil {
		t.rows = append(t.rows, []string{"url", c.URL}, []string{"size", sizeText(c.Length)},
			[]string{"scheduler", fmt.Sprintf("%s, %d peers, %d pieces, available: %s", strings.ToLower(c.State), c.Peers, c.Pieces, yesNo(c.Available))},
			[]string{"known since", ago(c.Created, now)})
	} else {
		t.rows = append(t.rows, []string{"scheduler", d.unknown})
	}
	if l := d.Local; l != nil {
		t.rows = append(t.rows, []string{"here", fmt.Sprintf("%s, %s in pieces of %s, uploaded %d times, made %s", state(*l), sizeText(l.Length), sizeText(l.PieceLength), l.Uploaded, ago(l.Created, now))})
	} else {
		t.rows = append(t.rows, []string{"here", "nothing of it"})
	}
	return t
}
