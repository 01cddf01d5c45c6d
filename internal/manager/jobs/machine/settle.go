package machine

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/darter-p2p/darter"
)

// settle derives the job's state from its steps.
func (j *Job) settle(now time.Time, reason string) []Effect {
	from, asked := j.State, reason
	leased, resolving, open := 0, false, 0
	for i := range j.Steps {
		switch s := &j.Steps[i]; s.State {
		case Leased:
			leased++
			resolving = resolving || s.Kind == Resolve
			open++
		case Waiting:
			open++
		}
	}
	switch {
	case open == 0:
		j.State, reason = j.verdict()
	case j.Stop != Going && leased == 0:
		j.drop(now)
		j.State, reason = j.verdict()
	case j.Stop != Going:
		j.State = darter.JobCanceling
	case j.Started.IsZero() && !j.StartBy.IsZero() && !now.Before(j.StartBy):
		j.drop(now)
		j.State, reason = darter.JobExpired, "nobody could start it in time"
		j.Failure, j.Text = darter.FailedTimeout, reason
	case j.Paused:
		j.State = darter.JobPaused
	case resolving:
		j.State = darter.JobResolving
	case leased > 0:
		j.State = darter.JobRunning
	default:
		j.State = darter.JobQueued
	}
	if j.State == from {
		return nil
	}
	if j.State == darter.JobCanceled && asked != "" { // in the words of who asked, when it ends at once
		reason, j.Text = asked, asked
	}
	if j.State.Terminal() {
		j.Finished, j.Paused = now, false
	}
	return []Effect{Moved{From: from, To: j.State, Reason: reason}}
}

// drop ends the steps that nobody holds.
func (j *Job) drop(now time.Time) {
	for i := range j.Steps {
		if s := &j.Steps[i]; s.State == Waiting {
			s.State, s.Finished = Dropped, now
		}
	}
}

// verdict says how a job ended whose steps are all over. Work that came to its end before the holders heard that
// they should stop has succeeded all the same.
func (j *Job) verdict() (darter.JobState, string) {
	t := j.Tally()
	whole, broken := true, (*Step)(nil)
	for i := range j.Steps {
		s := &j.Steps[i]
		whole = whole && s.State == Ended
		if s.State == Broken && broken == nil {
			broken = s
		}
	}
	complete := whole && t.Items > 0 && t.Complete == t.Items && t.Failed == 0 // nothing at all is no success
	if complete {
		j.Failure, j.Text = "", ""
		return darter.JobSucceeded, ""
	}
	j.blame(broken, t)
	switch {
	case j.Stop == Canceled:
		return darter.JobCanceled, "canceled"
	case t.Warm == 0 || uint64(t.Warm)*100 < uint64(t.Items)*uint64(j.Threshold):
		return darter.JobFailed, j.Text
	}
	return darter.JobPartial, j.Text
}

// blame finds the failure to show for the whole job: why it was stopped, else what broke a step, else what its items
// failed with.
func (j *Job) blame(broken *Step, t Tally) {
	switch {
	case j.Stop == Canceled:
		j.Failure, j.Text = darter.FailedCanceled, "canceled"
		return
	case j.Stop == TimedOut:
		j.Failure = darter.FailedTimeout
		j.Text = fmt.Sprintf("it took longer than %s; %d of %d items are complete", j.RunFor, t.Complete, t.Items)
		return
	case broken != nil:
		j.Failure, j.Text = cmp.Or(broken.Failure, darter.FailedInternal), broken.Text
		j.Text = cmp.Or(j.Text, j.Failure.Hint())
		return
	}
	j.Failure, j.Text = darter.FailedInternal, ""
	for i := range j.Steps {
		if s := &j.Steps[i]; s.Failure != "" {
			j.Failure = s.Failure
			break
		}
	}
	j.Text = fmt.Sprintf("%d of %d items are complete, %d nowhere; %d of %d copies failed", t.Complete, t.Items, t.Items-t.Warm, t.Failed, t.Pairs)
}

// Bounds of the wait between two attempts.
const (
	FirstBackoff = 5 * time.Second
	MaxBackoff   = 10 * time.Minute
)

// Backoff is the wait after an attempt: doubling from FirstBackoff to MaxBackoff, spread by a quarter either way so that
// jobs that failed together do not come back together. The same job and attempt wait the same time.
func Backoff(id darter.JobID, step, attempt uint32) time.Duration {
	wait := MaxBackoff
	if n := max(attempt, 1) - 1; n < 8 {
		wait = min(FirstBackoff<<n, MaxBackoff)
	}
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s/%d/%d", id, step, attempt) // a hash takes every write
	spread := int64(h.Sum64()%1001) - 500                // -500..500 of 2000
	return wait + wait*time.Duration(spread)/2000
}
