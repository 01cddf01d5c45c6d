package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/rest"
)

// builtIn is the ETag of a policy that nobody has written.
const builtIn = "0"

// Policy is one version of how long records of a kind are kept.
type Policy struct {
	Kind           string        `json:"kind"`
	Version        int64         `json:"version" doc:"0: nobody has written one, and the built-in default holds"`
	Hash           string        `json:"hash,omitempty"`
	InForce        bool          `json:"in_force"`
	Body           rest.Document `json:"body"`
	Author         *Requester    `json:"author,omitempty"`
	Reason         string        `json:"reason,omitempty"`
	Created        *time.Time    `json:"created,omitempty"`
	Activated      *time.Time    `json:"activated,omitempty" doc:"when it last came into force"`
	RolledBackFrom int64         `json:"rolled_back_from,omitempty" doc:"the version that it repeats"`
	Diff           []PolicyDiff  `json:"diff" doc:"against what was in force before it"`
	NextRun        *time.Time    `json:"next_run,omitempty" doc:"of the policy in force"`
}

// PolicyDiff is one place in which two versions differ.
type PolicyDiff struct {
	Path   string `json:"path" example:"rules/2/after"`
	Before string `json:"before,omitempty" doc:"JSON"`
	After  string `json:"after,omitempty" doc:"JSON"`
}

func differences(all []darter.Change) []PolicyDiff {
	out := make([]PolicyDiff, len(all))
	for i, c := range all {
		out[i] = PolicyDiff(c)
	}
	return out
}

func policy(kind string, p Paper) Policy {
	out := Policy{Kind: kind, Version: p.Number, Hash: p.Hash, InForce: p.InForce, Body: rest.Document(p.Body), Reason: p.Reason, Created: when(p.Created),
		Activated: when(p.Activated), RolledBackFrom: p.RolledBackFrom, Diff: differences(p.Diff)}
	if p.Number > 0 {
		author := Requester(p.Author)
		out.Author = &author
	}
	return out
}

type policyOut struct {
	ETag string `header:"ETag"`
	Body Policy
}

func policyAnswer(kind string, p Paper, err error) (*policyOut, error) {
	if err != nil {
		return nil, err
	}
	return &policyOut{ETag: rest.Quoted(p.ETag), Body: policy(kind, p)}, nil
}

// inForce returns what holds: what somebody wrote, or the built-in default as version 0.
func (o *office) inForce(ctx context.Context, kind string) (Paper, error) {
	if err := o.known(kind); err != nil {
		return Paper{}, err
	}
	p, err := o.Papers.InForce(ctx, kind)
	if darter.KindOf(err) != darter.NotFound {
		return p, err
	}
	body, err := json.Marshal(retention.Default(kind))
	return Paper{Body: body, InForce: true, ETag: builtIn}, err
}

// get is inForce with the time of the next run.
func (o *office) get(ctx context.Context, kind string) (*policyOut, error) {
	p, err := o.inForce(ctx, kind)
	out, err := policyAnswer(kind, p, err)
	if err != nil {
		return nil, err
	}
	next, on, err := o.Records.Next(ctx, kind)
	if err == nil && on {
		out.Body.NextRun = when(next)
	}
	return out, nil
}

// PolicyEdit is what every change of a policy says beside itself.
type PolicyEdit struct {
	PolicyPath
	rest.Match
	Because
}

func (o *office) change(ctx context.Context, in *PolicyEdit) (Change, error) {
	if err := o.known(in.Kind); err != nil {
		return Change{}, err
	}
	version, err := in.Version()
	c := o.api.Caller(ctx)
	return Change{Kind: in.Kind, IfMatch: version, Actor: c.Actor, Reason: in.Reason, Request: c.Request}, err
}

// Forced allows what is refused for safety.
type Forced struct {
	Force bool `query:"force" doc:"allow retention below an hour"`
}

func (o *office) policies() {
	const one = "/v1/gc/policies/{kind}"
	read, write := rest.Need("gc.read"), rest.Need("gc.write")
	op := func(method, path, id, summary string, access rest.Access) rest.Operation {
		return rest.Operation{Method: method, Path: path, ID: id, Tag: "gc", Summary: summary, Access: access}
	}
	rest.Add(o.api, op("GET", "/v1/gc/policies", "list-gc-policies", "List the policies in force, one per kind of records", read), func(ctx context.Context, _ *struct{}) (*rest.Listed[Policy], error) {
		out := &rest.Listed[Policy]{Body: rest.Items[Policy]{Items: []Policy{}}}
		for _, kind := range o.Records.Kinds() {
			p, err := o.get(ctx, kind)
			if err != nil {
				return nil, err
			}
			out.Body.Items = append(out.Body.Items, p.Body)
		}
		return out, nil
	})
	rest.Add(o.api, op("GET", one, "get-gc-policy", "Get the policy in force", read), func(ctx context.Context, in *PolicyPath) (*policyOut, error) { return o.get(ctx, in.Kind) })
	put := op("PUT", one, "put-gc-policy", "Bring a new version into force, or keep it as a draft", write)
	put.Doc = "What the document leaves out takes the default. It is in force in every manager within seconds; a run under way ends with the version that it began with."
	rest.Add(o.api, put, func(ctx context.Context, in *struct {
		PolicyEdit
		Forced
		Draft bool `query:"draft" doc:"keep it as a draft, to be published later"`
		Body  rest.Document
	}) (*policyOut, error) {
		c, err := o.change(ctx, &in.PolicyEdit)
		if err != nil {
			return nil, err
		}
		p, err := o.Papers.Write(ctx, c, in.Body, in.Draft, in.Force)
		return policyAnswer(in.Kind, p, err)
	})
	for _, way := range []struct {
		verb, summary string
		back          bool
	}{{"publish", "Bring a draft into force", false}, {"rollback", "Bring what an earlier version said into force again, as a new version", true}} {
		rest.Add(o.api, op("POST", one+":"+way.verb, way.verb+"-gc-policy", way.summary, write), func(ctx context.Context, in *struct {
			PolicyEdit
			Body struct {
				Version int64 `json:"version" minimum:"1"`
			}
		}) (*policyOut, error) {
			c, err := o.change(ctx, &in.PolicyEdit)
			if err != nil {
				return nil, err
			}
			p, err := o.Papers.Choose(ctx, c, in.Body.Version, way.back)
			return policyAnswer(in.Kind, p, err)
		})
	}
	simulate := op("POST", one+":simulate", "simulate-gc-policy", "Say what another policy would remove", rest.Need("gc.plan"))
	simulate.Unrepeatable, simulate.NoDryRun = true, true
	simulate.Doc = "Nothing is written: the planner works on a handle that cannot."
	rest.Add(o.api, simulate, o.simulate)
}

// PolicyImpact is what another policy would change.
type PolicyImpact struct {
	Now   Plan  `json:"now" doc:"by the policy in force"`
	Then  Plan  `json:"then" doc:"by the other one"`
	Newly int64 `json:"newly" doc:"rows that only the other one would remove"`
}

type simulateIn struct {
	PolicyPath
	Forced
	Version int64 `query:"version" minimum:"0" doc:"this version, in place of a body: a draft"`
	Body    *rest.Document
}

func (o *office) simulate(ctx context.Context, in *simulateIn) (*struct{ Body PolicyImpact }, error) {
	if err := o.known(in.Kind); err != nil {
		return nil, err
	}
	var body []byte
	if in.Body != nil {
		body = *in.Body
	}
	if in.Version > 0 {
		p, err := o.Papers.Version(ctx, in.Kind, in.Version)
		if err != nil {
			return nil, err
		}
		body = p.Body
	}
	if len(body) == 0 {
		return nil, rest.Refusal(http.StatusUnprocessableEntity, rest.Invalid, "there is nothing to simulate", rest.Detail{Code: "required", Detail: "a policy as the body, or the number of a version"})
	}
	spec, err := retention.Parse(in.Kind, body, in.Force)
	if err != nil {
		return nil, err
	}
	i, err := o.Records.Preview(ctx, in.Kind, spec)
	if err != nil {
		return nil, err
	}
	return &struct{ Body PolicyImpact }{PolicyImpact{Now: plan(i.Now), Then: plan(i.Then), Newly: i.Newly}}, nil
}

// VersionPath is a path to one version.
type VersionPath struct {
	PolicyPath
	Version int64 `path:"version" minimum:"1"`
}

func (o *office) revisions() {
	const all = "/v1/gc/policies/{kind}/revisions"
	op := func(path, id, summary string) rest.Operation {
		return rest.Operation{Method: "GET", Path: all + path, ID: id, Tag: "gc", Summary: summary, Access: rest.Need("gc.read")}
	}
	rest.Add(o.api, op("", "list-gc-policy-revisions", "List versions, the newest first"), func(ctx context.Context, in *struct {
		PolicyPath
		rest.Page
	}) (*rest.Listed[Policy], error) {
		if err := o.known(in.Kind); err != nil {
			return nil, err
		}
		return rest.List(ctx, o.api, in.Page, func(after string, limit int) ([]Policy, error) {
			before, _ := strconv.ParseInt("0"+after, 10, 64) // of a signed token
			page, err := o.Papers.Versions(ctx, in.Kind, before, limit)
			out := make([]Policy, len(page))
			for i, p := range page {
				out[i] = policy(in.Kind, p)
			}
			return out, err
		}, func(p Policy) string { return strconv.FormatInt(p.Version, 10) })
	})
	rest.Add(o.api, op("/{version}", "get-gc-policy-revision", "Get a version"), func(ctx context.Context, in *VersionPath) (*policyOut, error) {
		if err := o.known(in.Kind); err != nil {
			return nil, err
		}
		p, err := o.Papers.Version(ctx, in.Kind, in.Version)
		return policyAnswer(in.Kind, p, err)
	})
	rest.Add(o.api, op("/{version}:diff", "diff-gc-policy-revision", "Say how two versions differ"), func(ctx context.Context, in *struct {
		VersionPath
		Against int64 `query:"against" minimum:"0" doc:"another version; default the one before"`
	}) (*policyDiffOut, error) {
		return o.diff(ctx, in.Kind, in.Version, in.Against)
	})
}

type policyDiffOut struct {
	Body struct {
		From int64        `json:"from" doc:"0: the built-in default"`
		To   int64        `json:"to"`
		Diff []PolicyDiff `json:"diff"`
	}
}

func (o *office) diff(ctx context.Context, kind string, to, from int64) (*policyDiffOut, error) {
	if err := o.known(kind); err != nil {
		return nil, err
	}
	if from == 0 {
		from = to - 1
	}
	after, err := o.Papers.Version(ctx, kind, to)
	if err != nil {
		return nil, err
	}
	before, err := json.Marshal(retention.Default(kind))
	if err == nil && from > 0 {
		var p Paper
		p, err = o.Papers.Version(ctx, kind, from)
		before = p.Body
	}
	if err != nil {
		return nil, err
	}
	changes, err := o.Papers.Diff(before, after.Body)
	out := &policyDiffOut{}
	out.Body.From, out.Body.To, out.Body.Diff = from, to, differences(changes)
	return out, err
}
