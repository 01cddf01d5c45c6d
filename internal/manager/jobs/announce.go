package jobs

import (
	"context"
	"fmt"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// announce tells that a job is in another state.
func (e *Engine) announce(ctx context.Context, tx *database.Tx, l *loaded, from, to darter.JobState) error {
	if e.cfg.News == nil {
		return nil
	}
	j := &l.job
	ev := darter.Event{Type: "job." + string(to), Resource: "jobs/" + string(l.row.ID), Text: fmt.Sprintf("%s of %s is %s", l.row.Kind, l.row.Owner, to),
		Data: map[string]string{"kind": string(l.row.Kind), "state": string(to), "owner": l.row.Owner}}
	for name, value := range map[string]string{"before": string(from), "application": l.row.Application, "schedule": l.row.ScheduleID} {
		if value != "" {
			ev.Data[name] = value
		}
	}
	if j.Failure != "" && to.Terminal() {
		ev.Data["failure"], ev.Text = string(j.Failure), ev.Text+": "+j.Text
	}
	return e.cfg.News.Announce(ctx, tx, ev)
}
