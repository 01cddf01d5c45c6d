package machine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
)

// What an event may be refused for. Compare with errors.Is.
var (
	ErrFenced   = errors.New("the lease was given up; another may hold it")
	ErrTerminal = errors.New("the job is over")
	ErrNotNow   = errors.New("the job's state does not allow it")
)

// Step applies an event at a time. An event that is refused changes nothing.
func (j *Job) Step(now time.Time, e Event) ([]Effect, error) {
	if j.State.Terminal() {
		return nil, ErrTerminal
	}
	next := *j
	next.Steps = slices.Clone(j.Steps)
	effects, err := next.apply(now, e)
	if err != nil {
		return nil, err
	}
	effects = append(effects, next.settle(now, reasonOf(e))...)
	*j = next
	return effects, nil
}

func reasonOf(e Event) string {
	switch e := e.(type) {
	case Cancel:
		return e.Reason
	case Pause:
		return e.Reason
	}
	return ""
}

func (j *Job) apply(now time.Time, e Event) ([]Effect, error) {
	switch e := e.(type) {
	case Claim:
		return nil, j.claim(now, e)
	case Extend:
		return j.extend(now, e)
	case Count:
		s, err := j.held(e.Step, e.Epoch)
		if err != nil {
			return nil, err
		}
		s.count(e.Tally)
		return nil, nil
	case Grow:
		return nil, j.grow(now, e)
	case End:
		return j.end(now, e)
	case Release:
		return nil, j.release(now, e)
	case Cancel:
		return j.stop(Canceled)
	case Pause:
		return j.pause()
	case Resume:
		if !j.Paused {
			return nil, fmt.Errorf("resume: %w", ErrNotNow)
		}
		j.Paused = false
		return nil, nil
	case Prolong:
		return nil, j.prolong(e.By)
	case Tick:
		return j.tick(now)
	}
	return nil, fmt.Errorf("event %T: %w", e, ErrNotNow)
}

// Holds returns nil when the epoch is the one that holds the step.
func (j *Job) Holds(step uint32, epoch uint64) error {
	if j.State.Terminal() {
		return ErrTerminal
	}
	_, err := j.held(step, epoch)
	return err
}

// held finds a step by its fencing token.
func (j *Job) held(number uint32, epoch uint64) (*Step, error) {
	if int(number) >= len(j.Steps) {
		return nil, ErrFenced
	}
	s := &j.Steps[number]
	if s.State != Leased || s.Epoch != epoch {
		return nil, ErrFenced
	}
	return s, nil
}

// count keeps a tally; a resolve step has no items of its own.
func (s *Step) count(t Tally) {
	if s.Kind != Resolve {
		s.Tally = t
	}
}

func (j *Job) claim(now time.Time, e Claim) error {
	if int(e.Step) >= len(j.Steps) || j.Paused || j.Stop != Going {
		return fmt.Errorf("claim: %w", ErrNotNow)
	}
	s := &j.Steps[e.Step]
	if s.State != Waiting || s.RunAt.After(now) || !e.Until.After(now) {
		return fmt.Errorf("claim: %w", ErrNotNow)
	}
	if d := j.Deadline(); !d.IsZero() && !now.Before(d) {
		return fmt.Errorf("claim: %w", ErrNotNow) // the next tick says what it is
	}
	s.State, s.Owner, s.Until = Leased, e.Owner, e.Until
	s.Epoch++
	s.Attempt++
	s.Failure, s.Text = "", ""
	if s.Started.IsZero() {
		s.Started = now
	}
	if j.Started.IsZero() {
		j.Started = now
	}
	return nil
}

// extend repeats the wish to stop to a holder that goes on: its first telling may have been lost.
func (j *Job) extend(now time.Time, e Extend) ([]Effect, error) {
	s, err := j.held(e.Step, e.Epoch)
	if err != nil {
		return nil, err
	}
	if j.Stop != Going || j.Paused {
		return []Effect{j.stopped(s)}, nil // not prolonged: a deaf holder is given up when its lease runs out
	}
	if e.Until.After(s.Until) && e.Until.After(now) {
		s.Until = e.Until
	}
	return nil, nil
}

func (j *Job) stopped(s *Step) Effect {
	reason := string(j.Stop)
	if j.Stop == Going {
		reason = "paused"
	}
	return Stopped{Step: s.Number, Epoch: s.Epoch, Owner: s.Owner, Reason: reason}
}

func (j *Job) grow(now time.Time, e Grow) error {
	s, err := j.held(e.Step, e.Epoch)
	if err != nil {
		return err
	}
	if s.Kind != Resolve {
		return fmt.Errorf("grow a %s step: %w", s.Kind, ErrNotNow)
	}
	s.State, s.Finished = Ended, now
	if len(e.Steps) == 0 {
		s.State, s.Failure, s.Text = Broken, darter.FailedNoTarget, "nothing was found that could do it"
		return nil
	}
	for _, p := range e.Steps {
		j.Steps = append(j.Steps, Step{Number: uint32(len(j.Steps)), Kind: p.Kind, Cluster: p.Cluster,
			State: Waiting, RunAt: now, Tally: p.Tally})
	}
	return nil
}

func (j *Job) end(now time.Time, e End) ([]Effect, error) {
	s, err := j.held(e.Step, e.Epoch)
	if err != nil {
		return nil, err
	}
	if s.Kind == Resolve && !e.Broken {
		return nil, fmt.Errorf("end a resolve step that found nothing: %w", ErrNotNow)
	}
	s.count(e.Tally)
	s.Failure, s.Text = e.Failure, e.Text
	again := e.Unfinished > 0 || e.Broken && e.Failure.Retryable()
	if again && s.Attempt < j.MaxAttempts && j.Stop == Going {
		wait := max(Backoff(j.ID, s.Number, s.Attempt), min(e.RetryAfter, MaxBackoff))
		s.State, s.RunAt = Waiting, now.Add(wait)
		return []Effect{Retried{Step: s.Number, Attempt: s.Attempt, At: s.RunAt, Failure: e.Failure}}, nil
	}
	s.State, s.Finished = Ended, now
	if e.Broken {
		s.State = Broken
	}
	return nil, nil
}

func (j *Job) release(now time.Time, e Release) error {
	s, err := j.held(e.Step, e.Epoch)
	if err != nil {
		return err
	}
	s.count(e.Tally)
	s.State, s.RunAt = Waiting, now
	s.Attempt--
	return nil
}

// stop asks the holders to end. The first reason stays.
func (j *Job) stop(why Stop) ([]Effect, error) {
	if j.Stop != Going {
		return nil, fmt.Errorf("%s: %w", why, ErrNotNow)
	}
	j.Stop, j.Paused = why, false
	return j.tellHolders(), nil
}

func (j *Job) pause() ([]Effect, error) {
	if j.Paused || j.Stop != Going {
		return nil, fmt.Errorf("pause: %w", ErrNotNow)
	}
	j.Paused = true
	return j.tellHolders(), nil
}

func (j *Job) tellHolders() []Effect {
	var out []Effect
	for i := range j.Steps {
		if s := &j.Steps[i]; s.State == Leased {
			out = append(out, j.stopped(s))
		}
	}
	return out
}

func (j *Job) prolong(by time.Duration) error {
	switch {
	case by <= 0 || j.Stop != Going:
		return fmt.Errorf("prolong: %w", ErrNotNow)
	case j.Started.IsZero() && !j.StartBy.IsZero():
		j.StartBy = j.StartBy.Add(by)
	case !j.Started.IsZero() && j.RunFor > 0:
		j.RunFor += by
	default:
		return fmt.Errorf("prolong: there is no limit in force: %w", ErrNotNow)
	}
	return nil
}

// tick gives up leases that ran out and watches the deadline.
func (j *Job) tick(now time.Time) ([]Effect, error) {
	var out []Effect
	for i := range j.Steps {
		s := &j.Steps[i]
		if s.State != Leased || now.Before(s.Until) {
			continue
		}
		s.Epoch++
		s.State, s.RunAt = Waiting, now
		s.Failure, s.Text = darter.FailedHostLost, "its holder "+s.Owner+" fell silent"
		out = append(out, Rescued{Step: s.Number, Owner: s.Owner, Epoch: s.Epoch})
		if s.Attempt >= j.MaxAttempts {
			s.State, s.Finished = Broken, now
		}
	}
	if d := j.Deadline(); j.Stop == Going && !d.IsZero() && !now.Before(d) && !j.Started.IsZero() {
		more, err := j.stop(TimedOut)
		return append(out, more...), err
	}
	return out, nil
}
