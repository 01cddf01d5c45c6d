package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/records"
	"github.com/darter-p2p/darter/internal/rest"
)

// Plan is what a policy would remove, as it stood at one instant.
type Plan struct {
	ID       string        `json:"id,omitempty" doc:"empty for a simulation, which cannot be applied"`
	Kind     string        `json:"kind"`
	Version  int64         `json:"policy_version"`
	Made     time.Time     `json:"made"`
	Expires  time.Time     `json:"expires" doc:"nobody may apply it later"`
	Digest   string        `json:"digest,omitempty" doc:"of what it decides"`
	Total    int64         `json:"total" doc:"rows that there are"`
	Eligible int64         `json:"eligible" doc:"rows that would go"`
	Oldest   *time.Time    `json:"oldest,omitempty"`
	Newest   *time.Time    `json:"newest,omitempty"`
	Slices   []PlanPart    `json:"slices" doc:"what would go, by group and state"`
	Vetoed   []PlanVeto    `json:"vetoed" doc:"what stays though its time has come"`
	Owners   []PlanOwner   `json:"owners,omitempty"`
	Samples  []PlanExample `json:"samples" doc:"the first of what would go"`
	Estimate rest.Duration `json:"estimate" doc:"how long it would take, from the last runs; 0s when there were none"`
	Confirm  string        `json:"confirm,omitempty" doc:"why somebody has to confirm it; empty when nobody has to"`
}

// PlanPart is what would go of one group in one state: all that is older than a point.
type PlanPart struct {
	Group  string        `json:"group,omitempty"`
	State  string        `json:"state,omitempty"`
	Reason darter.Reason `json:"reason"`
	Cutoff time.Time     `json:"cutoff" doc:"what is younger stays"`
	Count  int64         `json:"count"`
	Oldest *time.Time    `json:"oldest,omitempty"`
	Newest *time.Time    `json:"newest,omitempty"`
	Ages   []int64       `json:"ages,omitempty" doc:"of count: older than 1, 7, 30 and 90 days"`
}

// PlanVeto counts what stays, by reason.
type PlanVeto struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// PlanOwner counts what would go of one owner.
type PlanOwner struct {
	Owner string `json:"owner"`
	Count int64  `json:"count"`
}

// PlanExample is one row that would go.
type PlanExample struct {
	Key    string        `json:"key"`
	Group  string        `json:"group,omitempty"`
	State  string        `json:"state,omitempty"`
	Reason darter.Reason `json:"reason"`
	At     time.Time     `json:"at"`
}

func plan(p darter.Plan) Plan {
	out := Plan{ID: p.ID, Kind: p.Policy, Version: p.Version, Made: p.Made.UTC(), Expires: p.Expires.UTC(), Digest: p.Digest, Total: p.Total, Eligible: p.Eligible,
		Oldest: when(p.Oldest), Newest: when(p.Newest), Slices: []PlanPart{}, Vetoed: []PlanVeto{}, Samples: []PlanExample{}, Estimate: rest.Duration(p.Estimate), Confirm: p.Confirm}
	for _, s := range p.Slices {
		out.Slices = append(out.Slices, PlanPart{Group: s.Group, State: s.State, Reason: s.Reason, Cutoff: s.Cutoff.UTC(), Count: s.Count, Oldest: when(s.Oldest), Newest: when(s.Newest), Ages: s.Ages})
	}
	for _, v := range p.Vetoed {
		out.Vetoed = append(out.Vetoed, PlanVeto(v))
	}
	for _, o := range p.Owners {
		out.Owners = append(out.Owners, PlanOwner(o))
	}
	for _, s := range p.Samples {
		out.Samples = append(out.Samples, PlanExample{Key: s.Key, Group: s.Group, State: s.State, Reason: s.Reason, At: s.At.UTC()})
	}
	return out
}

type planOut struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     Plan
}

func planAnswer(p darter.Plan, err error) (*planOut, error) {
	if err != nil {
		return nil, err
	}
	return &planOut{ETag: rest.Quoted(p.Digest), Body: plan(p)}, nil
}

// PlanPath is a path to one plan.
type PlanPath struct {
	ID string `path:"id" maxLength:"64"`
}

func (o *office) plans() {
	op := func(method, path, id, summary, permission string) rest.Operation {
		return rest.Operation{Method: method, Path: path, ID: id, Tag: "gc", Summary: summary, Access: rest.Need(permission)}
	}
	create := op("POST", "/v1/gc/plans", "create-gc-plan", "Say what would be removed now, and why; nothing is", "gc.plan")
	create.Status, create.NoDryRun = http.StatusCreated, true
	create.Doc = "A plan is kept for 15 minutes. What is applied is exactly what it says, or nothing."
	rest.Add(o.api, create, func(ctx context.Context, in *struct {
		Because
		Body struct {
			Kind   string `json:"kind" maxLength:"64"`
			Owners bool   `json:"owners,omitempty" doc:"count by owner, too: reads every row that would go"`
		}
	}) (*planOut, error) {
		if err := o.known(in.Body.Kind); err != nil {
			return nil, err
		}
		c := o.api.Caller(ctx)
		out, err := planAnswer(o.Records.Plan(ctx, records.PlanRequest{Kind: in.Body.Kind, Trigger: trigger(c), Actor: c.Actor, Owners: in.Body.Owners}))
		if err == nil {
			out.Location = "/v1/gc/plans/" + out.Body.ID
		}
		return out, err
	})
	rest.Add(o.api, op("GET", "/v1/gc/plans", "list-gc-plans", "List plans, the newest first", "gc.read"), func(ctx context.Context, in *struct {
		rest.Page
		Kind string `query:"kind" maxLength:"64"`
	}) (*rest.Listed[Plan], error) {
		return rest.List(ctx, o.api, in.Page, func(after string, limit int) ([]Plan, error) {
			page, err := o.Records.Plans(ctx, in.Kind, after, limit)
			out := make([]Plan, len(page))
			for i, p := range page {
				out[i] = plan(p)
			}
			return out, err
		}, func(p Plan) string { return p.ID })
	})
	rest.Add(o.api, op("GET", "/v1/gc/plans/{id}", "get-gc-plan", "Get a plan", "gc.read"), func(ctx context.Context, in *PlanPath) (*planOut, error) {
		return planAnswer(o.Records.GetPlan(ctx, in.ID))
	})
	apply := op("POST", "/v1/gc/plans/{id}:apply", "apply-gc-plan", "Carry out a plan, and no other", "gc.run")
	apply.Status = http.StatusAccepted
	apply.Doc = "Refused as `plan_stale` when it is older than 15 minutes, was applied, or another version of the policy is in force; as `needs_confirmation` when it removes more " +
		"than is usual: then look at it, and send `confirm`, which needs `gc.confirm`. With `If-Match` it must be the plan whose ETag that is."
	rest.Add(o.api, apply, o.apply)
}

type applyIn struct {
	PlanPath
	Because
	IfMatch string    `header:"If-Match" maxLength:"200" doc:"ETag of the plan that was seen"`
	Body    *struct { // a pointer: nothing has to be said
		Confirm bool `json:"confirm,omitempty" doc:"I have seen it, and it may remove more than is usual"`
	}
}

func (o *office) apply(ctx context.Context, in *applyIn) (*runOut, error) {
	p, err := o.Records.GetPlan(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if in.IfMatch != "" {
		seen, err := rest.Match{IfMatch: in.IfMatch}.Version()
		if err != nil {
			return nil, err
		}
		if seen != "*" && seen != p.Digest {
			return nil, rest.Refusal(http.StatusPreconditionFailed, rest.PreconditionFailed, "the plan of this id is not the one that was seen")
		}
	}
	c := o.api.Caller(ctx)
	confirm := in.Body != nil && in.Body.Confirm
	if confirm {
		if err := c.May("gc.confirm", ""); err != nil {
			return nil, err
		}
	}
	return started(o.Records.Start(ctx, records.StartRequest{Kind: p.Policy, Plan: p.ID, Confirm: confirm, Trigger: trigger(c), Actor: c.Actor, Reason: in.Reason, Request: c.Request}))
}

// trigger tells programs from people.
func trigger(c rest.Caller) darter.Trigger {
	if c.Actor.Method == "token" || c.Actor.Method == "mtls" {
		return darter.ByAPI
	}
	return darter.ByHand
}
