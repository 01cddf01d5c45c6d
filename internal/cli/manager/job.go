package manager

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

// job is what the tables need of one.
type job struct {
	ID          string          `json:"id"`
	Kind        string          `json:"kind"`
	State       darter.JobState `json:"state"`
	Owner       string          `json:"owner"`
	Application string          `json:"application"`
	Priority    int             `json:"priority"`
	Parent      string          `json:"parent"`
	Schedule    string          `json:"schedule"`
	Attached    bool            `json:"attached"`
	Progress    tally           `json:"progress"`
	Failure     darter.Failure  `json:"failure"`
	Message     string          `json:"message"`
	Threshold   int             `json:"threshold"`
	Spec        json.RawMessage `json:"spec"`
	Created     time.Time       `json:"created"`
	Started     time.Time       `json:"started"`
	Updated     time.Time       `json:"updated"`
	Finished    time.Time       `json:"finished"`
	Deadline    time.Time       `json:"deadline"`
	Pinned      time.Time       `json:"pinned_until"`
}

// tally counts contents, and pairs of a content and a host.
type tally struct {
	Items    int64 `json:"items"`
	Warm     int64 `json:"warm"`
	Complete int64 `json:"complete"`
	Pairs    int64 `json:"pairs"`
	Done     int64 `json:"done"`
	Failed   int64 `json:"failed"`
	Bytes    int64 `json:"bytes"`
}

func (t tally) String() string {
	if t.Items == 0 {
		return ""
	}
	text := fmt.Sprintf("%d/%d", t.Complete, t.Items)
	if t.Pairs > t.Items {
		text += fmt.Sprintf(" (%d/%d on hosts)", t.Done, t.Pairs)
	}
	if t.Failed > 0 {
		text += fmt.Sprintf(", %d failed", t.Failed)
	}
	return text
}

const jobsPath = "/v1/jobs"

func (a *App) jobCommand() *cobra.Command {
	d, c := a.group("job", "Show jobs of the manager, and steer them")
	c.AddCommand(d.jobList(), d.jobShow(), d.jobFailures(), d.jobEvents(), d.jobWatch(), d.jobRetry(), d.jobExtend(),
		d.jobVerb("cancel", "Cancel a job; what runs is stopped"),
		d.jobVerb("pause", "Let a job rest; what runs is given back"),
		d.jobVerb("resume", "Let a resting job go on"),
		d.jobPin(), d.jobUnpin())
	return c
}

func (d *door) jobList() *cobra.Command {
	c := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List jobs, the newest first", Args: exactly(0, "no argument"),
		Example: "  darter job ls --state failed,partially_succeeded --limit 20"}
	states := c.Flags().StringSlice("state", nil, "only these states: queued, resolving, running, paused, canceling, canceled, succeeded, partially_succeeded, failed, expired")
	kinds := c.Flags().StringSlice("kind", nil, "only these kinds: preheat.files, preheat.image, task.locate, task.purge, hosts.sync, gc.records")
	owner := c.Flags().String("owner", "", "only those that somebody asked for")
	application := c.Flags().String("application", "", "only those of an application")
	schedule := c.Flags().String("schedule", "", "only those that a schedule made")
	most := c.Flags().Int("limit", 50, "how many at most; 0 is all")
	return d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		q := url.Values{}
		for name, value := range map[string]string{"state": strings.Join(*states, ","), "kind": strings.Join(*kinds, ","), "owner": *owner,
			"application": *application, "schedule": *schedule} {
			if value != "" {
				q.Set(name, value)
			}
		}
		return list(ctx, k, rest.Request{Op: "list the jobs", Path: jobsPath, Query: q}, *most, func(rows []job) sheet.Table {
			t := sheet.Table{Head: []string{"ID", "KIND", "STATE", "PROGRESS", "BYTES", "OWNER", "CREATED", "TOOK"}}
			for _, j := range rows {
				t.Add(j.ID, j.Kind, string(j.State), j.Progress.String(), bytesText(j.Progress.Bytes), j.Owner, sheet.Ago(j.Created, k.now), j.took(k.now))
			}
			return t
		})
	})
}

func bytesText(n int64) string {
	if n == 0 {
		return ""
	}
	return sheet.Size(n)
}

func (j job) took(now time.Time) string {
	switch {
	case j.Started.IsZero():
		return ""
	case j.Finished.IsZero():
		return sheet.Clock(now.Sub(j.Started))
	}
	return sheet.Clock(j.Finished.Sub(j.Started))
}

func (d *door) jobShow() *cobra.Command {
	c := &cobra.Command{Use: "show ID", Short: "Show one job: its parts, and what failed where", Args: exactly(1, "the id of a job")}
	d.completeIDs(c, jobsPath, "id", "kind")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		answer, j, err := ask[job](ctx, k, rest.Request{Op: "read the job", Path: rest.Path("v1", "jobs", args[0])})
		if err != nil || !k.people() {
			return orShow(k, answer, err)
		}
		if err := k.show(nil, j.sheet(k.now)); err != nil {
			return err
		}
		return k.jobParts(ctx, j)
	})
}

// orShow shows an answer as it came, unless there is none.
func orShow(k *call, answer *rest.Answer, err error) error {
	if err != nil {
		return err
	}
	return k.show(answer.Body, sheet.Table{})
}

func (j job) sheet(now time.Time) sheet.Table {
	var t sheet.Table
	t.Add("job", j.ID)
	t.Add("kind", j.Kind)
	t.Add("state", string(j.State))
	if j.Failure != "" {
		t.Add("failure", string(j.Failure)+": "+j.Message)
		t.Add("what to do", j.Failure.Hint())
	}
	t.Add("progress", j.Progress.String())
	if j.Progress.Items > 0 {
		t.Add("reach", fmt.Sprintf("%d of %d contents are on at least one host, %d on every host of theirs", j.Progress.Warm, j.Progress.Items, j.Progress.Complete))
		t.Add("moved", sheet.Size(j.Progress.Bytes))
	}
	t.Add("owner", j.Owner)
	for _, row := range [][2]string{{"application", j.Application}, {"schedule", j.Schedule}, {"retry of", j.Parent}} {
		if row[1] != "" {
			t.Add(row[0], row[1])
		}
	}
	for _, row := range []struct {
		name string
		at   time.Time
	}{{"created", j.Created}, {"started", j.Started}, {"finished", j.Finished}, {"deadline", j.Deadline}, {"pinned until", j.Pinned}} {
		if !row.at.IsZero() {
			t.Add(row.name, sheet.Stamp(row.at, now))
		}
	}
	return t
}

// jobStep is one part of a job.
type jobStep struct {
	Number   int            `json:"number"`
	Kind     string         `json:"kind"`
	Cluster  uint64         `json:"cluster"`
	State    string         `json:"state"`
	Attempt  int            `json:"attempt"`
	Owner    string         `json:"owner"`
	Failure  darter.Failure `json:"failure"`
	Message  string         `json:"message"`
	Progress tally          `json:"progress"`
}

// jobFailure is one content that did not come to one host.
type jobFailure struct {
	Step     int            `json:"step"`
	Item     int            `json:"item"`
	Host     string         `json:"host"`
	Failure  darter.Failure `json:"failure"`
	Message  string         `json:"message"`
	Attempts int            `json:"attempts"`
	At       time.Time      `json:"at"`
}

// fewFailures is how many failures are shown unasked.
const fewFailures = 20

// jobParts shows a job's steps and the first of its failures.
func (k *call) jobParts(ctx context.Context, j job) error {
	path := rest.Path("v1", "jobs", j.ID)
	var steps sheet.Table
	for item, err := range k.Pages(ctx, rest.Request{Op: "read the job's parts", Path: path + "/steps"}, 100) {
		var s jobStep
		if err == nil {
			err = (&rest.Answer{Body: item}).Decode(&s)
		}
		if err != nil {
			return err
		}
		steps.Add(strconv.Itoa(s.Number), s.Kind, clusterText(s.Cluster), s.State, s.Progress.String(), strconv.Itoa(s.Attempt), s.Owner, string(s.Failure))
	}
	out := k.door.app.Out
	if len(steps.Rows) > 0 {
		steps.Head = []string{"STEP", "KIND", "CLUSTER", "STATE", "PROGRESS", "ATTEMPTS", "HOLDER", "FAILURE"}
		fmt.Fprintln(out)
		if err := steps.Write(out); err != nil {
			return err
		}
	}
	if j.Progress.Failed == 0 {
		return nil
	}
	fmt.Fprintln(out)
	if err := k.jobFailures(ctx, j.ID, fewFailures); err != nil || j.Progress.Failed <= fewFailures {
		return err
	}
	k.say("%d failures in all; the others: darter job failures %s --limit 0", j.Progress.Failed, j.ID)
	return nil
}

func (k *call) jobFailures(ctx context.Context, id string, most int) error {
	return list(ctx, k, rest.Request{Op: "read the job's failures", Path: rest.Path("v1", "jobs", id) + "/failures"}, most, func(rows []jobFailure) sheet.Table {
		t := sheet.Table{Head: []string{"STEP", "CONTENT", "HOST", "FAILURE", "ATTEMPTS", "WHEN", "TEXT"}}
		for _, f := range rows {
			t.Add(strconv.Itoa(f.Step), strconv.Itoa(f.Item), f.Host, string(f.Failure), strconv.Itoa(f.Attempts), sheet.Ago(f.At, k.now), f.Message)
		}
		return t
	})
}

func (d *door) jobFailures() *cobra.Command {
	c := &cobra.Command{Use: "failures ID", Short: "List which content of a job failed at which host, and why", Args: exactly(1, "the id of a job")}
	most := c.Flags().Int("limit", 200, "how many at most; 0 is all")
	d.completeIDs(c, jobsPath, "id", "kind")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error { return k.jobFailures(ctx, args[0], *most) })
}

func (d *door) jobExtend() *cobra.Command {
	c := &cobra.Command{Use: "extend ID --by SPAN", Short: "Move a job's deadline: to start by, or to end by", Args: exactly(1, "the id of a job")}
	ch := repeatable(c)
	span := c.Flags().Duration("by", time.Hour, "by how much")
	d.completeIDs(c, jobsPath, "id", "kind")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		return eachJob(ctx, k, args, func(id string) rest.Request {
			return ch.post("extend the job "+id, rest.Path("v1", "jobs", id)+":extend", map[string]string{"by": span.String()})
		})
	})
}

func clusterText(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// jobVerb makes a command that says one word to a job.
func (d *door) jobVerb(verb, short string) *cobra.Command {
	c := &cobra.Command{Use: verb + " ID...", Short: short, Args: some("the ids of jobs")}
	ch := repeatable(c)
	d.completeIDs(c, jobsPath, "id", "kind")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		return eachJob(ctx, k, args, func(id string) rest.Request {
			return ch.post(verb+" the job "+id, rest.Path("v1", "jobs", id)+":"+verb, nil)
		})
	})
}

// eachJob sends a request for each job and shows what the jobs are then. The first refusal ends it.
func eachJob(ctx context.Context, k *call, ids []string, request func(id string) rest.Request) error {
	raw, t := []json.RawMessage{}, sheet.Table{Head: []string{"ID", "KIND", "STATE", "PROGRESS"}}
	for _, id := range ids {
		answer, j, err := ask[job](ctx, k, request(id))
		if err != nil {
			return err
		}
		raw = append(raw, answer.Body)
		t.Add(j.ID, j.Kind, string(j.State), j.Progress.String())
	}
	if len(raw) == 1 {
		return k.show(raw[0], t)
	}
	return k.show(raw, t)
}

func (d *door) jobRetry() *cobra.Command {
	c := &cobra.Command{Use: "retry ID", Short: "Make a new job of what an ended one left undone", Args: exactly(1, "the id of a job")}
	ch := repeatable(c)
	headers := c.Flags().StringArrayP("header", "H", nil, headerUsage)
	wait := c.Flags().Bool("wait", false, "watch the new job until it ends")
	d.completeIDs(c, jobsPath, "id", "kind")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		header, err := cli.Headers(*headers)
		if err != nil {
			return err
		}
		r := ch.post("retry the job "+args[0], rest.Path("v1", "jobs", args[0])+":retry", map[string]any{"headers": header})
		return k.submitted(ctx, r, *wait)
	})
}

func (d *door) jobPin() *cobra.Command {
	c := &cobra.Command{Use: "pin ID...", Short: "Keep jobs from being cleaned", Args: some("the ids of jobs"),
		Example: "  darter job pin 01J9Z3NDEKTSV4RRFFQ69G5FAV --for 720h"}
	ch := repeatable(c)
	span := c.Flags().Duration("for", 30*24*time.Hour, "how long, from now on")
	d.completeIDs(c, jobsPath, "id", "kind")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		if *span <= 0 {
			return cli.Usage(fmt.Errorf("--for %s is not a time to come; \"darter job unpin\" ends a pin", *span))
		}
		return eachJob(ctx, k, args, func(id string) rest.Request {
			return ch.post("pin the job "+id, rest.Path("v1", "jobs", id)+":pin", map[string]any{"until": k.now.Add(*span).UTC().Truncate(time.Second)})
		})
	})
}

func (d *door) jobUnpin() *cobra.Command {
	c := &cobra.Command{Use: "unpin ID...", Short: "Let jobs be cleaned again when their time has come", Args: some("the ids of jobs")}
	ch := repeatable(c)
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		return eachJob(ctx, k, args, func(id string) rest.Request {
			return ch.post("unpin the job "+id, rest.Path("v1", "jobs", id)+":unpin", nil)
		})
	})
}

// submitted sends a request that makes a job, says what became of it, and watches it when that is wanted.
func (k *call) submitted(ctx context.Context, r rest.Request, wait bool) error {
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	answer, j, err := ask[job](ctx, k, r)
	if err != nil {
		return err
	}
	if j.Attached && k.people() {
		k.say("a job that does the same is under way: this is it (--force makes another)")
	}
	if wait {
		return k.watchJob(ctx, j.ID)
	}
	if k.people() {
		k.say("watch it: darter job watch %s", j.ID)
	}
	var t sheet.Table
	t.Head = []string{"ID", "KIND", "STATE"}
	t.Add(j.ID, j.Kind, string(j.State))
	return k.show(answer.Body, t)
}
