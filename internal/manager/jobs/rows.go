package jobs

import (
	"bytes"
	"compress/flate"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
)

type jobRow struct {
	bun.BaseModel `bun:"table:jobs"`

	ID          darter.JobID    `bun:"id,pk"`
	CompatID    int64           `bun:"compat_id,autoincrement,nullzero"`
	Kind        darter.JobKind  `bun:"kind"`
	State       darter.JobState `bun:"state"`
	Owner       string          `bun:"owner"`
	Application string          `bun:"application"`
	Tenant      string          `bun:"tenant"`
	Priority    int32           `bun:"priority"`
	Origin      string          `bun:"origin"`
	Spec        string          `bun:"spec"`
	Secrets     []byte          `bun:"secrets"`
	UniqueKey   string          `bun:"unique_key"`
	ActiveKey   *string         `bun:"active_key"`
	ParentID    darter.JobID    `bun:"parent_id"`
	ScheduleID  string          `bun:"schedule_id"`
	Paused      bool            `bun:"paused"`
	Stop        machine.Stop    `bun:"stop"`
	MaxAttempts uint32          `bun:"max_attempts"`
	Threshold   uint32          `bun:"threshold"`
	StartBy     database.Micros `bun:"start_by"`
	RunFor      int64           `bun:"run_for"`
	Failure     darter.Failure  `bun:"failure"`
	Text        string          `bun:"text"`
	Tally       string          `bun:"tally"`
	NextTick    database.Micros `bun:"next_tick"`
	EventSeq    int64           `bun:"event_seq"`
	ProgressAt  database.Micros `bun:"progress_at"`
	Version     int64           `bun:"version"`
	CreatedAt   database.Micros `bun:"created_at"`
	StartedAt   database.Micros `bun:"started_at"`
	UpdatedAt   database.Micros `bun:"updated_at"`
	FinalizedAt database.Micros `bun:"finalized_at"`
	PinnedUntil database.Micros `bun:"pinned_until"`
	Bio         string          `bun:"bio"`
}

type stepRow struct {
	bun.BaseModel `bun:"table:job_steps"`

	JobID      darter.JobID      `bun:"job_id,pk"`
	Number     uint32            `bun:"number,pk"`
	Kind       machine.StepKind  `bun:"kind"`
	JobKind    darter.JobKind    `bun:"job_kind"`
	Cluster    uint64            `bun:"cluster"`
	Tenant     string            `bun:"tenant"`
	Priority   int32             `bun:"priority"`
	Origin     string            `bun:"origin"`
	State      machine.StepState `bun:"state"`
	Ready      bool              `bun:"ready"`
	Attempt    uint32            `bun:"attempt"`
	Owner      string            `bun:"owner"`
	Epoch      uint64            `bun:"epoch"`
	Until      database.Micros   `bun:"until"`
	RunAt      database.Micros   `bun:"run_at"`
	Failure    darter.Failure    `bun:"failure"`
	Text       string            `bun:"text"`
	StartedAt  database.Micros   `bun:"started_at"`
	FinishedAt database.Micros   `bun:"finished_at"`
	Tally      string            `bun:"tally"`
	Targets    uint32            `bun:"targets"`
}

// stepColumns leaves out the list of hosts, which is long and seldom needed.
const stepColumns = "job_id, number, kind, job_kind, cluster, tenant, priority, origin, state, ready, attempt, owner, epoch, until, run_at, failure, text, started_at, finished_at, tally, targets"

type itemRow struct {
	bun.BaseModel `bun:"table:job_items"`

	JobID  darter.JobID  `bun:"job_id,pk"`
	Step   uint32        `bun:"step,pk"`
	Number uint32        `bun:"number,pk"`
	URL    string        `bun:"url"`
	Want   string        `bun:"want"`
	TaskID darter.TaskID `bun:"task_id"`
	GoTask darter.TaskID `bun:"go_task"`
	Done   hostSet       `bun:"done,type:bytea"`
	Held   hostSet       `bun:"held,type:bytea"`
	Failed hostSet       `bun:"failed,type:bytea"`
	Fatal  hostSet       `bun:"fatal,type:bytea"`
	Bytes  int64         `bun:"bytes"`
}

// tally counts an item whose step reaches so many hosts.
func (r *itemRow) tally(scope darter.Scope, hosts uint32) machine.Tally {
	t := machine.Tally{Items: 1, Done: r.Done.count(), Failed: r.Failed.count(), Fatal: r.Fatal.count(), Bytes: r.Bytes}
	if t.Done > 0 {
		t.Warm = 1
	}
	if scope == darter.OneSeed { // any one host is enough
		t.Pairs, t.Done, t.Failed, t.Fatal, t.Complete = 1, t.Warm, min(t.Failed, 1-t.Warm), min(t.Fatal, 1-t.Warm), t.Warm
		return t
	}
	if t.Pairs = hosts; hosts > 0 && t.Done == hosts {
		t.Complete = 1
	}
	return t
}

// loaded is a job under its row's lock, as the machine sees it and as it lies in its rows.
type loaded struct {
	row  jobRow
	rows []stepRow
	job  machine.Job
}

// load reads a job and locks it for the rest of a writing transaction.
func load(ctx context.Context, tx *database.Tx, id darter.JobID, lock bun.Safe) (*loaded, error) {
	var l loaded
	err := tx.NewRaw("SELECT * FROM jobs WHERE id = ? ?", id, lock).Scan(ctx, &l.row)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, &darter.Error{Kind: darter.NotFound, Op: "find job " + string(id), Err: errors.New("there is no such job"), Hint: "it may have been cleaned; list jobs to see those that are kept"}
	}
	if err != nil {
		return nil, err
	}
	if err := tx.NewRaw("SELECT "+stepColumns+" FROM job_steps WHERE job_id = ? ORDER BY number", id).Scan(ctx, &l.rows); err != nil {
		return nil, err
	}
	return &l, l.toMachine()
}

func (l *loaded) toMachine() error {
	r := &l.row
	l.job = machine.Job{ID: r.ID, State: r.State, Paused: r.Paused, Stop: r.Stop, MaxAttempts: r.MaxAttempts, Threshold: r.Threshold,
		StartBy: r.StartBy.Time(), RunFor: time.Duration(r.RunFor) * time.Microsecond, Created: r.CreatedAt.Time(), Started: r.StartedAt.Time(),
		Finished: r.FinalizedAt.Time(), Failure: r.Failure, Text: r.Text, Steps: make([]machine.Step, len(l.rows))}
	for i := range l.rows {
		s := &l.rows[i]
		l.job.Steps[i] = machine.Step{Number: s.Number, Kind: s.Kind, Cluster: s.Cluster, State: s.State, Attempt: s.Attempt, Owner: s.Owner,
			Epoch: s.Epoch, Until: s.Until.Time(), RunAt: s.RunAt.Time(), Failure: s.Failure, Text: s.Text,
			Started: s.StartedAt.Time(), Finished: s.FinishedAt.Time()}
		if err := json.Unmarshal([]byte(s.Tally), &l.job.Steps[i].Tally); err != nil || int(s.Number) != i {
			return &darter.Error{Kind: darter.Corrupt, Op: "read job " + string(r.ID), Err: fmt.Errorf("step %d is damaged: %w", i, err)}
		}
	}
	return nil
}

// fill copies what the machine decided into the row.
func (r *jobRow) fill(j *machine.Job, now time.Time) {
	r.State, r.Paused, r.Stop = j.State, j.Paused, j.Stop
	r.StartBy, r.RunFor = database.At(j.StartBy), j.RunFor.Microseconds()
	r.StartedAt, r.FinalizedAt, r.UpdatedAt = database.At(j.Started), database.At(j.Finished), database.At(now)
	r.Failure, r.Text, r.NextTick = j.Failure, j.Text, database.At(j.NextTick())
	r.Tally = document(j.Tally())
	if j.State.Terminal() {
		r.ActiveKey, r.Secrets, r.NextTick = nil, nil, 0
	}
}

func (r *stepRow) fill(j *machine.Job, s *machine.Step) {
	r.Kind, r.Cluster, r.State, r.Attempt, r.Owner, r.Epoch = s.Kind, s.Cluster, s.State, s.Attempt, s.Owner, s.Epoch
	r.Ready = s.State == machine.Waiting && !j.Paused && j.Stop == machine.Going && !j.State.Terminal()
	r.Until, r.RunAt, r.Failure, r.Text = database.At(s.Until), database.At(s.RunAt), s.Failure, s.Text
	r.StartedAt, r.FinishedAt, r.Tally = database.At(s.Started), database.At(s.Finished), document(s.Tally)
}

// stepOf returns the row of a new step.
func (l *loaded) stepOf(s *machine.Step) stepRow {
	r := stepRow{JobID: l.row.ID, Number: s.Number, JobKind: l.row.Kind, Tenant: l.row.Tenant, Priority: l.row.Priority, Origin: l.row.Origin}
	r.fill(&l.job, s)
	return r
}

// save writes back what changed.
func (l *loaded) save(ctx context.Context, tx *database.Tx, now time.Time) error {
	for i := range l.job.Steps {
		s := &l.job.Steps[i]
		if i >= len(l.rows) {
			l.rows = append(l.rows, l.stepOf(s))
			if _, err := tx.NewInsert().Model(&l.rows[i]).Exec(ctx); err != nil {
				return err
			}
			continue
		}
		was := l.rows[i]
		l.rows[i].fill(&l.job, s)
		if l.rows[i] == was {
			continue
		}
		if _, err := tx.NewUpdate().Model(&l.rows[i]).WherePK().Exec(ctx); err != nil {
			return err
		}
	}
	l.row.fill(&l.job, now)
	l.row.Version++ // what heartbeats change is no new version
	_, err := tx.NewUpdate().Model(&l.row).ExcludeColumn("id", "compat_id").WherePK().Exec(ctx)
	return err
}

// specWithoutSecrets reads what was asked for.
func (l *loaded) specWithoutSecrets() (*Spec, error) {
	s := &Spec{}
	if err := json.Unmarshal([]byte(l.row.Spec), s); err != nil {
		return nil, &darter.Error{Kind: darter.Corrupt, Op: "read job " + string(l.row.ID), Err: err}
	}
	return s, nil
}

// document writes a value that always can be written.
func document(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return "{}"
	}
	return string(raw)
}

// deflate packs a list of hosts.
func deflate(hosts []darter.Target) ([]byte, error) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(w).Encode(hosts); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// maxHostsBytes bounds what a packed list may become.
const maxHostsBytes = 64 << 20

func inflate(raw []byte) ([]darter.Target, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var out []darter.Target
	r := io.LimitReader(flate.NewReader(bytes.NewReader(raw)), maxHostsBytes)
	if err := json.NewDecoder(r).Decode(&out); err != nil {
		return nil, &darter.Error{Kind: darter.Corrupt, Op: "read the hosts of a job", Err: err}
	}
	return out, nil
}
