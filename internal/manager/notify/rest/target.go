package rest

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/darter-p2p/darter/internal/manager/notify"
	"github.com/darter-p2p/darter/internal/rest"
)

// Rooms are what the operations are about.
type Rooms struct {
	Notifier *notify.Notifier // required
}

// desk is the operations' common ground.
type desk struct {
	api *rest.API
	Rooms
}

// Register adds the operations.
func Register(api *rest.API, rooms Rooms) {
	d := &desk{api: api, Rooms: rooms}
	api.Explain(Explain)
	d.events()
	d.targets()
	d.deliveries()
}

// Explain says what errors of the notifier mean to a caller.
func Explain(err error) (rest.Verdict, bool) {
	switch {
	case errors.Is(err, notify.ErrStale):
		return rest.Verdict{Status: http.StatusPreconditionFailed, Code: rest.PreconditionFailed}, true
	case errors.Is(err, notify.ErrNoMatch):
		return rest.Verdict{Status: http.StatusPreconditionRequired, Code: rest.PreconditionRequired}, true
	}
	return rest.Verdict{}, false
}

// Notification is a webhook that is told of events.
type Notification struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	URL       string     `json:"url"`
	Types     []string   `json:"types" doc:"patterns of types of events"`
	Enabled   bool       `json:"enabled"`
	Version   int64      `json:"version"`
	CreatedBy string     `json:"created_by"`
	Created   time.Time  `json:"created"`
	Updated   time.Time  `json:"updated"`
	Told      *time.Time `json:"told,omitempty" doc:"when a delivery last succeeded"`
	Failed    *time.Time `json:"failed,omitempty" doc:"when a delivery last failed"`
	Error     string     `json:"error,omitempty" doc:"of that failure"`
	Waiting   int64      `json:"waiting" doc:"deliveries"`
	Secret    string     `json:"secret,omitempty" doc:"in the answer that made the target, and in no other: deliveries are signed with it"`
}

func notification(t notify.Target) Notification {
	return Notification{ID: t.ID, Name: t.Name, URL: t.URL, Types: t.Types, Enabled: t.Enabled, Version: t.Version, CreatedBy: t.CreatedBy, Created: t.Created, Updated: t.Updated,
		Told: when(t.Told), Failed: when(t.Failed), Error: t.Error, Waiting: t.Waiting}
}

// when leaves out what has not happened.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

type targetOut struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     Notification
}

func answer(t notify.Target, err error) (*targetOut, error) {
	if err != nil {
		return nil, err
	}
	return &targetOut{ETag: rest.Quoted(t.ETag()), Body: notification(t)}, nil
}

// NotificationWish is what a target is to be.
type NotificationWish struct {
	Name    string   `json:"name" minLength:"1" maxLength:"64" doc:"policies name targets by it" example:"ops-chat"`
	URL     string   `json:"url" minLength:"1" maxLength:"2048" example:"https://hooks.example/darter"`
	Types   []string `json:"types,omitempty" maxItems:"64" doc:"patterns of types of events, such as job.failed, gc.run.* or *; default what somebody has to look at, and changes of policies and settings"`
	Secret  string   `json:"secret,omitempty" maxLength:"200" writeOnly:"true" doc:"whsec_ and 24 to 64 bytes in base64; default a new one for a new target, the old one for an old target"`
	Enabled *bool    `json:"enabled,omitempty" doc:"default true"`
}

func (w *NotificationWish) wish() notify.Wish {
	return notify.Wish{Name: w.Name, URL: w.URL, Types: w.Types, Secret: w.Secret, Enabled: w.Enabled == nil || *w.Enabled}
}

// NotificationPath is the path of one target. What is embedded is exported, because huma sees no other.
type NotificationPath struct {
	ID string `path:"id" maxLength:"64"`
}

// Because is what every change may say beside itself.
type Because struct {
	Reason string `query:"reason" maxLength:"4096" doc:"why, for the audit"`
}

func (d *desk) by(ctx context.Context, b Because) notify.By {
	c := d.api.Caller(ctx)
	return notify.By{Actor: c.Actor, Reason: b.Reason, Request: c.Request}
}

func (d *desk) matching(ctx context.Context, b Because, m rest.Match) (by notify.By, err error) {
	by = d.by(ctx, b)
	by.IfMatch, err = m.Version()
	return by, err
}

const onePath = "/v1/notifications/{id}"

func (d *desk) targets() {
	read, write := rest.Need("notification.read"), rest.Need("notification.write")
	op := func(method, path, id, summary string, access rest.Access) rest.Operation {
		return rest.Operation{Method: method, Path: path, ID: id, Tag: "notifications", Summary: summary, Access: access}
	}
	rest.Add(d.api, op("GET", "/v1/notifications", "list-notifications", "List who is told of events, by name", read), func(ctx context.Context, _ *struct{}) (*rest.Listed[Notification], error) {
		all, err := d.Notifier.Targets(ctx)
		out := &rest.Listed[Notification]{Body: rest.Items[Notification]{Items: []Notification{}}}
		for _, t := range all {
			out.Body.Items = append(out.Body.Items, notification(t))
		}
		return out, err
	})
	rest.Add(d.api, op("GET", onePath, "get-notification", "Get a target", read), func(ctx context.Context, in *NotificationPath) (*targetOut, error) {
		return answer(d.Notifier.Get(ctx, in.ID))
	})
	create := op("POST", "/v1/notifications", "create-notification", "Have a webhook told of events", write)
	create.Status, create.Secret = http.StatusCreated, []string{"secret"}
	create.Doc = "Deliveries are POSTs of the event with `webhook-id`, `webhook-timestamp` and `webhook-signature` as the Standard Webhooks specification has them. An event is delivered at least once: " +
		"`webhook-id` is the same each time. What is not answered with 2xx is tried again for about a day. Redirects are not followed."
	rest.Add(d.api, create, func(ctx context.Context, in *struct {
		Because
		Body NotificationWish
	}) (*targetOut, error) {
		t, secret, err := d.Notifier.Create(ctx, in.Body.wish(), d.by(ctx, in.Because))
		out, err := answer(t, err)
		if err == nil {
			out.Location, out.Body.Secret = "/v1/notifications/"+t.ID, secret
		}
		return out, err
	})
	rest.Add(d.api, op("PUT", onePath, "put-notification", "Replace a target", write), func(ctx context.Context, in *struct {
		NotificationPath
		Because
		rest.Match
		Body NotificationWish
	}) (*targetOut, error) {
		by, err := d.matching(ctx, in.Because, in.Match)
		if err != nil {
			return nil, err
		}
		return answer(d.Notifier.Replace(ctx, in.ID, in.Body.wish(), by))
	})
	rest.Add(d.api, op("DELETE", onePath, "delete-notification", "Delete a target, and what waits for it", write), func(ctx context.Context, in *struct {
		NotificationPath
		Because
		rest.Match
	}) (*struct{}, error) {
		by, err := d.matching(ctx, in.Because, in.Match)
		if err != nil {
			return nil, err
		}
		return nil, d.Notifier.Delete(ctx, in.ID, by)
	})
}

// NotificationTrial is how a test went.
type NotificationTrial struct {
	OK     bool          `json:"ok"`
	Status int           `json:"status,omitempty" doc:"that the target answered with"`
	Took   rest.Duration `json:"took"`
	Error  string        `json:"error,omitempty"`
}

// NotificationDelivery is one event that a target was, or is to be, told of.
type NotificationDelivery struct {
	ID       string     `json:"id"`
	Event    string     `json:"event"`
	Type     string     `json:"type,omitempty"`
	State    string     `json:"state" enum:"waiting,delivered,given_up"`
	Attempts int        `json:"attempts"`
	Next     *time.Time `json:"next,omitempty" doc:"when it is tried again"`
	Status   int        `json:"status,omitempty"`
	Error    string     `json:"error,omitempty"`
	Created  time.Time  `json:"created"`
	Ended    *time.Time `json:"ended,omitempty"`
}

func (d *desk) deliveries() {
	test := rest.Operation{Method: "POST", Path: onePath + ":test", ID: "test-notification", Tag: "notifications", Summary: "Send a test to a target now, and say how that went",
		Access: rest.Need("notification.write"), Unrepeatable: true, NoDryRun: true}
	rest.Add(d.api, test, func(ctx context.Context, in *struct {
		NotificationPath
		Because
	}) (*struct{ Body NotificationTrial }, error) {
		t, err := d.Notifier.Test(ctx, in.ID, d.by(ctx, in.Because))
		if err != nil {
			return nil, err
		}
		return &struct{ Body NotificationTrial }{NotificationTrial{OK: t.Error == "", Status: t.Status, Took: rest.Duration(t.Took), Error: t.Error}}, nil
	})
	rest.Add(d.api, rest.Operation{Method: "GET", Path: onePath + "/deliveries", ID: "list-notification-deliveries", Tag: "notifications", Summary: "List what a target was told, the newest first",
		Access: rest.Need("notification.read")}, func(ctx context.Context, in *struct {
		NotificationPath
		rest.Page
	}) (*rest.Listed[NotificationDelivery], error) {
		return rest.List(ctx, d.api, in.Page, func(after string, limit int) ([]NotificationDelivery, error) {
			page, err := d.Notifier.Deliveries(ctx, in.ID, after, limit)
			out := make([]NotificationDelivery, len(page))
			for i, v := range page {
				out[i] = NotificationDelivery{ID: v.ID, Event: v.Event, Type: v.Type, State: v.State, Attempts: v.Attempts, Status: v.Status, Error: v.Error, Created: v.Created, Ended: when(v.Ended)}
				if v.State == "waiting" {
					out[i].Next = when(v.Next)
				}
			}
			return out, err
		}, func(v NotificationDelivery) string { return v.ID })
	})
}
