package rest

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	"github.com/darter-p2p/darter/internal/rest"
)

// Schedule makes the same job at the times that a cron line names.
type Schedule struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Cron    string     `json:"cron"`
	Zone    string     `json:"zone"`
	Owner   string     `json:"owner" doc:"who made it, or changed it last; the jobs are theirs"`
	Paused  bool       `json:"paused"`
	NextAt  *time.Time `json:"next_at,omitempty"`
	Kind    string     `json:"kind" doc:"of the jobs"`
	Spec    Wish       `json:"spec" doc:"the job that it makes"`
	Version int64      `json:"version"`
	Created time.Time  `json:"created"`
	Updated time.Time  `json:"updated"`
}

func schedule(s jobs.Schedule) (Schedule, error) {
	r, err := s.Request()
	if err != nil {
		return Schedule{}, err
	}
	return Schedule{ID: s.ID, Name: s.Name, Cron: s.Cron, Zone: s.Zone, Owner: s.Owner, Paused: s.Paused, NextAt: when(s.NextAt.Time()), Kind: string(r.Kind), Spec: wish(&r),
		Version: s.Version, Created: s.CreatedAt.Time(), Updated: s.UpdatedAt.Time()}, nil
}

type scheduleOut struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     Schedule
}

func scheduleAnswer(s jobs.Schedule, err error) (*scheduleOut, error) {
	if err != nil {
		return nil, err
	}
	body, err := schedule(s)
	return &scheduleOut{ETag: rest.Quoted(strconv.FormatInt(s.Version, 10)), Body: body}, err
}

// ScheduleWish is what a schedule is to be.
type ScheduleWish struct {
	Name   string `json:"name" minLength:"1" maxLength:"256"`
	Cron   string `json:"cron" minLength:"1" maxLength:"200" doc:"minute, hour, day, month, weekday; or @hourly, @daily, @every 10m" example:"0 2 * * *"`
	Zone   string `json:"zone,omitempty" maxLength:"64" doc:"of the cron line; default UTC" example:"Europe/Berlin"`
	Paused bool   `json:"paused,omitempty"`
	Job    Wish   `json:"job" doc:"the job to make. It takes no headers: a credential that waits for weeks is stale or too strong"`
}

// Fire is one time that a schedule made a job, or could not.
type Fire struct {
	Due     time.Time    `json:"due"`
	At      time.Time    `json:"at"`
	Job     darter.JobID `json:"job,omitempty"`
	Skipped int64        `json:"skipped" doc:"earlier times that passed while no manager ran; this one stands for them"`
	Error   string       `json:"error,omitempty"`
}

// ScheduleID is the path of one schedule.
type ScheduleID struct {
	ID string `path:"id" maxLength:"64"`
}

func (d *desk) schedules() {
	const one = "/v1/schedules/{id}"
	read, write := rest.Need("job.read"), rest.Need("job.create")
	op := func(method, path, id, summary string, access rest.Access) rest.Operation {
		return rest.Operation{Method: method, Path: path, ID: id, Tag: "schedules", Summary: summary, Access: access}
	}
	rest.Add(d.api, op("GET", "/v1/schedules", "list-schedules", "List schedules, by name", read), func(ctx context.Context, in *rest.Page) (*rest.Listed[Schedule], error) {
		return rest.List(ctx, d.api, *in, func(after string, limit int) (out []Schedule, err error) {
			all, err := d.Engine.Schedules(ctx)
			for i := range all {
				if all[i].Name <= after || len(out) == limit {
					continue
				}
				s, err := schedule(all[i])
				if err != nil {
					return nil, err
				}
				out = append(out, s)
			}
			return out, err
		}, func(s Schedule) string { return s.Name })
	})
	rest.Add(d.api, op("GET", one, "get-schedule", "Get a schedule", read), func(ctx context.Context, in *ScheduleID) (*scheduleOut, error) {
		return scheduleAnswer(d.Engine.ScheduleOf(ctx, in.ID))
	})
	create := op("POST", "/v1/schedules", "create-schedule", "Have jobs made at given times", write)
	create.Status = http.StatusCreated
	rest.Add(d.api, create, func(ctx context.Context, in *struct {
		Because
		Body ScheduleWish
	}) (*scheduleOut, error) {
		out, err := d.schedule(ctx, &in.Body, in.Because, nil)
		if err == nil {
			out.Location = "/v1/schedules/" + out.Body.ID
		}
		return out, err
	})
	rest.Add(d.api, op("PUT", one, "put-schedule", "Replace a schedule; its name stays", write), func(ctx context.Context, in *struct {
		ScheduleID
		Because
		rest.Match
		Body ScheduleWish
	}) (*scheduleOut, error) {
		return d.schedule(ctx, &in.Body, in.Because, &existing{in.ID, in.Match})
	})
	rest.Add(d.api, op("DELETE", one, "delete-schedule", "Delete a schedule; the jobs that it made stay", write), func(ctx context.Context, in *struct {
		ScheduleID
		Because
		rest.Match
	}) (*none, error) {
		return nil, d.DB.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
			if _, err := d.match(ctx, &existing{in.ID, in.Match}); err != nil {
				return err
			}
			if err := d.Engine.Unschedule(ctx, tx, in.ID); err != nil {
				return err
			}
			return d.audit(ctx, tx, "schedule.delete", in.ID, in.Because)
		})
	})
	d.scheduleVerbs()
}

// scheduleVerbs adds what is said to schedules, and what they did.
func (d *desk) scheduleVerbs() {
	const one = "/v1/schedules/{id}"
	read, write := rest.Need("job.read"), rest.Need("job.create")
	op := func(method, path, id, summary string, access rest.Access) rest.Operation {
		return rest.Operation{Method: method, Path: path, ID: id, Tag: "schedules", Summary: summary, Access: access}
	}
	for verb, paused := range map[string]bool{"pause": true, "resume": false} {
		rest.Add(d.api, op("POST", one+":"+verb, verb+"-schedule", "Pause or resume a schedule; times that passed are not made up for", write), func(ctx context.Context, in *struct {
			ScheduleID
			Because
		}) (*scheduleOut, error) {
			err := d.DB.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
				return d.Engine.PauseSchedule(ctx, tx, in.ID, paused)
			})
			if err != nil {
				return nil, err
			}
			return scheduleAnswer(d.Engine.ScheduleOf(ctx, in.ID))
		})
	}
	rest.Add(d.api, op("GET", one+"/fires", "list-schedule-fires", "List when a schedule made jobs, the newest first", read), func(ctx context.Context, in *struct {
		ScheduleID
		rest.Page
	}) (*rest.Listed[Fire], error) {
		return rest.List(ctx, d.api, in.Page, func(after string, limit int) ([]Fire, error) {
			before, _ := strconv.ParseInt("0"+after, 10, 64) // of a signed token
			all, err := d.Engine.Fires(ctx, in.ID, database.Micros(before), limit)
			out := make([]Fire, len(all))
			for i, f := range all {
				out[i] = Fire{Due: f.Due.Time(), At: f.At.Time(), Job: f.Job, Skipped: f.Skipped, Error: f.Error}
			}
			return out, err
		}, func(f Fire) string { return strconv.FormatInt(f.Due.UnixMicro(), 10) })
	})
}

// existing is a schedule that is to be changed.
type existing struct {
	id    string
	match rest.Match
}

// match returns the schedule if it is at the version that the change was made from. It belongs into the transaction of
// the change.
func (d *desk) match(ctx context.Context, e *existing) (jobs.Schedule, error) {
	version, err := e.match.Version()
	if err != nil {
		return jobs.Schedule{}, err
	}
	s, err := d.Engine.ScheduleOf(ctx, e.id)
	if err == nil && version != "*" && version != strconv.FormatInt(s.Version, 10) {
		err = rest.Refusal(http.StatusPreconditionFailed, rest.PreconditionFailed, "the schedule has changed since it was read")
	}
	return s, err
}

// together is a Write in which reads of the engine see, and hold, what the write is about.
func (d *desk) together(ctx context.Context, fn func(ctx context.Context, tx *database.Tx) error) error {
	return d.DB.Enclose(ctx, nil, func(ctx context.Context) error { return d.DB.Write(ctx, fn) })
}

// schedule makes a schedule, or replaces one.
func (d *desk) schedule(ctx context.Context, w *ScheduleWish, b Because, old *existing) (*scheduleOut, error) {
	r, err := d.order(ctx, &w.Job)
	if err != nil {
		return nil, err
	}
	s := jobs.Schedule{Name: w.Name, Cron: w.Cron, Zone: w.Zone, Paused: w.Paused, Owner: r.Owner}
	var made jobs.Schedule
	action := "schedule.create"
	err = d.together(ctx, func(ctx context.Context, tx *database.Tx) error {
		if old != nil {
			action = "schedule.update"
			was, err := d.match(ctx, old)
			if err != nil {
				return err
			}
			if was.Name != w.Name {
				return rest.Refusal(http.StatusUnprocessableEntity, rest.Invalid, "the name of a schedule stays", rest.Detail{Pointer: "/name", Code: "immutable", Detail: was.Name})
			}
		}
		made, err = d.Engine.Schedule(ctx, tx, s, r)
		if err == nil && old == nil && made.Version > 1 {
			err = &darter.Error{Kind: darter.Conflict, Op: "create schedule " + w.Name, Err: errors.New("there is one of that name"), Hint: "replace it with PUT, or take another name"}
		}
		if err != nil {
			return err
		}
		return d.audit(ctx, tx, action, made.ID, b)
	})
	return scheduleAnswer(made, err)
}
