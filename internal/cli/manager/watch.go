package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

// jobEvent is one thing that happened to a job.
type jobEvent struct {
	Sequence int64           `json:"sequence"`
	At       time.Time       `json:"at"`
	Type     string          `json:"type"`
	Detail   json.RawMessage `json:"detail"`
}

func (d *door) jobEvents() *cobra.Command {
	c := &cobra.Command{Use: "events ID", Short: "Tell what happened to a job", Args: exactly(1, "the id of a job")}
	follow := c.Flags().BoolP("follow", "f", false, "go on until the job is over")
	d.completeIDs(c, jobsPath, "id", "kind")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		path := rest.Path("v1", "jobs", args[0])
		if !*follow {
			return list(ctx, k, rest.Request{Op: "read the job's events", Path: path + "/events"}, 0, func(rows []jobEvent) sheet.Table {
				t := sheet.Table{Head: []string{"#", "WHEN", "EVENT", "DETAIL"}}
				for _, e := range rows {
					t.Add(fmt.Sprint(e.Sequence), e.At.Local().Format(time.DateTime), e.Type, compact(e.Detail))
				}
				return t
			})
		}
		return k.Follow(ctx, rest.Request{Op: "follow the job's events", Path: path + ":watch"}, "", func(e rest.Event) error {
			if e.Type != rest.Closed {
				return k.line(e)
			}
			_, j, err := ask[job](ctx, k, rest.Request{Op: "read the job", Path: path})
			if err == nil && j.State.Terminal() {
				return rest.ErrEnough
			}
			return err
		})
	})
}

// line writes one event of a stream: a line of JSON, or words.
func (k *call) line(e rest.Event) error {
	if !k.people() {
		_, err := fmt.Fprintf(k.door.app.Out, "%s\n", e.Data)
		return err
	}
	var ev jobEvent
	if json.Unmarshal(e.Data, &ev) != nil || ev.At.IsZero() {
		_, err := fmt.Fprintf(k.door.app.Out, "%s  %s\n", e.Type, sheet.Printable(compact(e.Data)))
		return err
	}
	_, err := fmt.Fprintf(k.door.app.Out, "%s  %-10s  %s\n", ev.At.Local().Format(time.DateTime), sheet.Printable(ev.Type), sheet.Printable(compact(ev.Detail)))
	return err
}

// compact writes an object as words: key=value.
func compact(raw json.RawMessage) string {
	in := json.NewDecoder(strings.NewReader(string(raw)))
	in.UseNumber()
	if token, err := in.Token(); err != nil || token != json.Delim('{') {
		return string(raw)
	}
	var out []string
	for in.More() {
		key, err := in.Token()
		var value json.RawMessage
		if err == nil {
			err = in.Decode(&value)
		}
		if err != nil {
			return string(raw)
		}
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		if text != "" && text != "null" {
			out = append(out, fmt.Sprintf("%v=%s", key, text))
		}
	}
	return strings.Join(out, " ")
}

func (d *door) jobWatch() *cobra.Command {
	c := &cobra.Command{Use: "watch ID", Short: "Show how a job goes on until it is over; the exit code says how it ended", Args: exactly(1, "the id of a job"),
		Long: "Exit code 0: it did all that was asked. 13: it succeeded in part. 1: it failed, expired or was canceled. Ctrl-C ends the watching, not the job"}
	d.completeIDs(c, jobsPath, "id", "kind")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error { return k.watchJob(ctx, args[0]) })
}

// watchJob shows a job until it is over. Each event makes it look again: an event says that something moved, the job
// itself says where it stands.
func (k *call) watchJob(ctx context.Context, id string) error {
	path := rest.Path("v1", "jobs", id)
	var answer *rest.Answer
	var j job
	line := k.door.app.ticker()
	look := func() error {
		var err error
		if answer, j, err = ask[job](ctx, k, rest.Request{Op: "read the job", Path: path}); err != nil {
			return err
		}
		line.show(j.line(k.door.app.now()))
		if j.State.Terminal() {
			return rest.ErrEnough
		}
		return nil
	}
	err := look()
	if err == nil {
		err = k.Follow(ctx, rest.Request{Op: "watch the job", Path: path + ":watch"}, "", func(rest.Event) error { return look() })
	}
	line.end()
	if err != nil && !errors.Is(err, rest.ErrEnough) {
		return err
	}
	if err := k.show(answer.Body, j.sheet(k.door.app.now())); err != nil {
		return err
	}
	return j.verdict()
}

// line is a job in one line.
func (j job) line(now time.Time) string {
	text := fmt.Sprintf("%s  %s", j.ID, j.State)
	if p := j.Progress.String(); p != "" {
		text += "  " + p
	}
	if j.Progress.Pairs > 0 {
		text += "  " + percent(j.Progress.Done, j.Progress.Pairs)
	}
	if j.Progress.Bytes > 0 {
		text += "  " + sheet.Size(j.Progress.Bytes)
	}
	if took := j.took(now); took != "" {
		text += "  " + took
	}
	return text
}

// verdict is how the command ends: as the job did.
func (j job) verdict() error {
	e := &darter.Error{Kind: darter.Internal, Op: "job " + j.ID, Hint: "darter job show " + j.ID}
	if hint := j.Failure.Hint(); hint != "" {
		e.Hint = hint + "; more: darter job show " + j.ID
	}
	why := string(j.Failure)
	if j.Message != "" {
		why += ": " + j.Message
	}
	switch j.State {
	case darter.JobSucceeded:
		return nil
	case darter.JobPartial:
		e.Err = fmt.Errorf("it succeeded in part: %s (%s)", j.Progress, strings.TrimPrefix(why, ": "))
		return cli.Coded(cli.ExitSomeFailed, e)
	case darter.JobFailed, darter.JobExpired, darter.JobCanceled:
		e.Err = fmt.Errorf("it is %s: %s", j.State, why)
		return cli.Coded(cli.ExitFailed, e)
	}
	e.Err = fmt.Errorf("the manager stopped telling; it is %s", j.State)
	return cli.Coded(cli.ExitNetwork, e)
}
