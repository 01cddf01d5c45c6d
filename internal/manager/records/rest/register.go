package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/records"
	"github.com/darter-p2p/darter/internal/rest"
)

// Paper is one version of a policy; version 0 is the built-in default, which nobody has written.
type Paper struct {
	darter.Version
	Body    json.RawMessage
	InForce bool
	ETag    string
}

// Change is a new version, or another version that is to be in force.
type Change struct {
	Kind    string
	IfMatch string // ETag; "0" is the built-in default, "*" is any
	Actor   darter.Actor
	Reason  string
	Request string
}

// Papers keep policies in versions. What is refused because it was made from another version than the one in force is
// what the API already knows how to explain.
type Papers interface {
	// InForce returns what is in force; NotFound when nobody has written a policy of that kind.
	InForce(ctx context.Context, kind string) (Paper, error)
	Version(ctx context.Context, kind string, version int64) (Paper, error)
	// Versions lists the versions before one, the newest first; 0 begins at the newest.
	Versions(ctx context.Context, kind string, before int64, limit int) ([]Paper, error)
	// Write adds a version, and brings it into force unless it is a draft. force allows retention below an hour.
	Write(ctx context.Context, c Change, body []byte, draft, force bool) (Paper, error)
	// Choose brings a draft into force, or what an earlier version said.
	Choose(ctx context.Context, c Change, version int64, back bool) (Paper, error)
	Diff(before, after []byte) ([]darter.Change, error)
}

// Rooms are what the operations are about.
type Rooms struct {
	Records *records.Reclaimer // required
	Papers  Papers             // required
}

// office is the operations' common ground.
type office struct {
	api *rest.API
	Rooms
}

// Register adds the operations.
func Register(api *rest.API, rooms Rooms) {
	o := &office{api: api, Rooms: rooms}
	api.Explain(Explain)
	o.policies()
	o.revisions()
	o.plans()
	o.runs()
	o.verbs()
}

// Codes of problems that only clean-up has.
const (
	PlanStale         = "plan_stale"
	NeedsConfirmation = "needs_confirmation"
)

// Explain says what errors of the reclaimer mean to a caller.
func Explain(err error) (rest.Verdict, bool) {
	switch {
	case errors.Is(err, records.ErrPlanStale):
		return rest.Verdict{Status: http.StatusConflict, Code: PlanStale}, true
	case errors.Is(err, records.ErrUnconfirmed):
		return rest.Verdict{Status: http.StatusConflict, Code: NeedsConfirmation}, true
	}
	if faults, is := errors.AsType[retention.Faults](err); is {
		v := rest.Verdict{Status: http.StatusUnprocessableEntity, Code: rest.Invalid}
		for _, f := range faults {
			v.Errors = append(v.Errors, rest.Detail{Pointer: f.Pointer, Code: f.Code, Detail: f.Detail})
		}
		return v, true
	}
	return rest.Verdict{}, false
}

// Because is what every change may say beside itself.
type Because struct {
	Reason string `query:"reason" maxLength:"4096" doc:"why, for the audit and the history"`
}

// PolicyPath is a path to one policy. What is embedded here is exported, because huma sees no other.
type PolicyPath struct {
	Kind string `path:"kind" maxLength:"64"`
}

// known refuses kinds that there are not.
func (o *office) known(kind string) error {
	if slices.Contains(o.Records.Kinds(), kind) {
		return nil
	}
	return &darter.Error{Kind: darter.NotFound, Op: "find policy", Err: errors.New("there is no such kind of records"), Hint: "list /v1/gc/policies to see which there are"}
}

// when leaves out what has not happened.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Requester is who asked for something.
type Requester struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Method  string `json:"method,omitempty"`
	Token   string `json:"token,omitempty" doc:"id of the token"`
	Address string `json:"address,omitempty"`
}
