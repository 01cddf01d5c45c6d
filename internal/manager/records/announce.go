package records

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// announce tells that a run is in another state. Of the end of a run its policy says who is to hear.
func (r *Reclaimer) announce(ctx context.Context, tx *database.Tx, row *runRow) error {
	if r.cfg.News == nil {
		return nil
	}
	e := darter.Event{Type: "gc.run." + string(row.State), Resource: "gc/runs/" + row.ID, Text: fmt.Sprintf("clean-up of %s is %s", row.Kind, row.State),
		Data: map[string]string{"kind": row.Kind, "state": string(row.State), "trigger": string(row.Cause), "policy_version": strconv.FormatInt(row.Version, 10), "plan": row.PlanID}}
	if err := json.Unmarshal([]byte(row.Requester), &e.Actor); err != nil {
		return &darter.Error{Kind: darter.Corrupt, Op: "read run " + row.ID, Err: err}
	}
	if row.State.Final() {
		policy, err := r.cfg.Policies.Policy(ctx, tx, row.Kind)
		if err != nil {
			return err
		}
		e.Notify = policy.Spec.Notify
		e.Data["deleted"], e.Data["eligible"] = strconv.FormatInt(row.Deleted, 10), strconv.FormatInt(row.Eligible, 10)
		e.Text += fmt.Sprintf(": %d of %d rows went", row.Deleted, row.Eligible)
	}
	if row.Code != "" {
		e.Data["code"], e.Text = row.Code, e.Text+"; "+row.Message
	}
	return r.cfg.News.Announce(ctx, tx, e)
}
