package machine

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/darter-p2p/darter"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// edges are the moves that a job may make: the picture of the package, as a table.
var edges = map[darter.JobState][]darter.JobState{
	darter.JobQueued: {darter.JobResolving, darter.JobRunning, darter.JobPaused, darter.JobCanceled, darter.JobExpired,
		darter.JobPartial, darter.JobFailed}, // its time passed while it waited for another attempt
	darter.JobResolving: {darter.JobQueued, darter.JobPaused, darter.JobCanceling, darter.JobCanceled, darter.JobFailed},
	darter.JobRunning: {darter.JobQueued, darter.JobPaused, darter.JobCanceling, darter.JobCanceled, darter.JobSucceeded,
		darter.JobPartial, darter.JobFailed},
	darter.JobPaused: {darter.JobQueued, darter.JobResolving, darter.JobRunning, darter.JobCanceling, darter.JobCanceled,
		darter.JobSucceeded, darter.JobPartial, darter.JobFailed, darter.JobExpired},
	darter.JobCanceling: {darter.JobCanceled, darter.JobSucceeded, darter.JobPartial, darter.JobFailed},
}

func drawTally(t *rapid.T, items uint32) Tally {
	var sum Tally
	for range items {
		one := Tally{Items: 1, Pairs: rapid.Uint32Range(1, 3).Draw(t, "pairs")}
		one.Done = rapid.Uint32Range(0, one.Pairs).Draw(t, "done")
		one.Failed = rapid.Uint32Range(0, one.Pairs-one.Done).Draw(t, "failed")
		one.Fatal = rapid.Uint32Range(0, one.Failed).Draw(t, "fatal")
		if one.Done > 0 {
			one.Warm = 1
		}
		if one.Done == one.Pairs {
			one.Complete = 1
		}
		sum = sum.Add(one)
	}
	return sum
}

// drawEvent draws anything that could be said to the job, right or wrong.
func drawEvent(t *rapid.T, j *Job, now time.Time) Event {
	step := rapid.Uint32Range(0, uint32(len(j.Steps))).Draw(t, "step")
	epoch, items := uint64(0), uint32(1)
	if int(step) < len(j.Steps) {
		epoch = j.Steps[step].Epoch - min(j.Steps[step].Epoch, rapid.SampledFrom([]uint64{0, 0, 0, 1}).Draw(t, "stale"))
		items = max(j.Steps[step].Tally.Items, 1)
	}
	until := now.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "lease")) * time.Second)
	failure := rapid.SampledFrom([]darter.Failure{darter.FailedConnect, darter.Failed404}).Draw(t, "failure")
	switch rapid.IntRange(0, 13).Draw(t, "event") {
	case 0, 1, 2, 3:
		return Claim{Step: step, Owner: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "owner"), Until: until}
	case 4:
		return Extend{Step: step, Epoch: epoch, Until: until}
	case 5:
		return Count{Step: step, Epoch: epoch, Tally: drawTally(t, items)}
	case 6, 7:
		parts := make([]Part, rapid.IntRange(0, 3).Draw(t, "parts"))
		for i := range parts {
			parts[i] = Part{Kind: Dispatch, Cluster: uint64(i), Tally: Tally{Items: 2}}
		}
		return Grow{Step: step, Epoch: epoch, Steps: parts}
	case 8:
		tally := drawTally(t, items)
		return End{Step: step, Epoch: epoch, Tally: tally, Unfinished: tally.Pairs - tally.Done - tally.Fatal, Failure: failure}
	case 9:
		return End{Step: step, Epoch: epoch, Tally: drawTally(t, items), Broken: true, Failure: failure}
	case 10:
		return Release{Step: step, Epoch: epoch, Tally: drawTally(t, items)}
	case 11:
		return rapid.SampledFrom([]Event{Cancel{}, Pause{}, Resume{}, Resume{}, Prolong{By: time.Minute}, Prolong{By: -1}}).Draw(t, "wish")
	}
	return Tick{}
}

// holders is the dumb second implementation of leasing: who was last let in, per step, and whether it may still speak.
type holders map[uint32]uint64

func (h holders) step(t *rapid.T, e Event, before, after *Job, err error) {
	speaks := func(step uint32, epoch uint64, ends bool) {
		if before.State.Terminal() {
			if !errors.Is(err, ErrTerminal) {
				t.Fatalf("%#v on a %s job: %v", e, before.State, err)
			}
			return
		}
		if held, is := h[step]; !is || held != epoch {
			if !errors.Is(err, ErrFenced) {
				t.Fatalf("%#v while %d holds the step: %v", e, held, err)
			}
			return
		}
		if errors.Is(err, ErrFenced) {
			t.Fatalf("%#v by the holder was refused: %v", e, err)
		}
		if ends && err == nil {
			delete(h, step)
		}
	}
	switch e := e.(type) {
	case Claim:
		if err == nil {
			if _, held := h[e.Step]; held {
				t.Fatalf("step %d was claimed while it was held", e.Step)
			}
			h[e.Step] = after.Steps[e.Step].Epoch
		}
	case Extend:
		speaks(e.Step, e.Epoch, false)
	case Count:
		speaks(e.Step, e.Epoch, false)
	case Grow:
		speaks(e.Step, e.Epoch, true)
	case End:
		speaks(e.Step, e.Epoch, true)
	case Release:
		speaks(e.Step, e.Epoch, true)
	}
}

// rescued takes away what the clock took away.
func (h holders) rescued(effects []Effect) {
	for _, f := range effects {
		if r, is := f.(Rescued); is {
			delete(h, r.Step)
		}
	}
}

func TestWhateverIsSaidToAJob(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := start
		j := New("j", rapid.SampledFrom([]StepKind{Resolve, Local, Dispatch}).Draw(t, "first"), now, now)
		j.MaxAttempts, j.Threshold = rapid.Uint32Range(1, 3).Draw(t, "attempts"), rapid.Uint32Range(1, 100).Draw(t, "threshold")
		if rapid.Bool().Draw(t, "limited") {
			j.StartBy, j.RunFor = now.Add(time.Minute), 5*time.Minute
		}
		held := holders{}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "pass")) * time.Second)
			before := j
			before.Steps = slices.Clone(j.Steps)
			e := drawEvent(t, &j, now)
			effects, err := j.Step(now, e)
			check(t, &before, &j, e, effects, err)
			held.step(t, e, &before, &j, err)
			held.rescued(effects)
			for number, epoch := range held {
				if s := j.Steps[number]; !j.State.Terminal() && (s.State != Leased || s.Epoch != epoch) {
					t.Fatalf("step %d is %s at epoch %d, yet %d holds it", number, s.State, s.Epoch, epoch)
				}
			}
		}
	})
}

func check(t *rapid.T, before, after *Job, e Event, effects []Effect, err error) {
	t.Helper()
	switch {
	case err != nil:
		if len(effects) > 0 || !reflect.DeepEqual(before, after) {
			t.Fatalf("%#v was refused (%v), yet changed %+v to %+v", e, err, before, after)
		}
	case before.State.Terminal():
		t.Fatalf("%#v changed a job that is over", e)
	}
	moved := slices.ContainsFunc(effects, func(f Effect) bool { _, is := f.(Moved); return is })
	if moved != (before.State != after.State) {
		t.Fatalf("%#v: moved is told %v, the state goes from %s to %s", e, moved, before.State, after.State)
	}
	if moved && !slices.Contains(edges[before.State], after.State) {
		t.Fatalf("%#v moves a job from %s to %s", e, before.State, after.State)
	}
	for i, s := range after.Steps {
		if i < len(before.Steps) && s.Epoch < before.Steps[i].Epoch {
			t.Fatalf("%#v took the epoch of step %d back", e, i)
		}
		if s.Attempt > after.MaxAttempts {
			t.Fatalf("step %d was tried %d times of %d", i, s.Attempt, after.MaxAttempts)
		}
		if after.State.Terminal() && !s.State.Over() {
			t.Fatalf("the job is %s, step %d is %s", after.State, i, s.State)
		}
	}
	tally := after.Tally()
	switch after.State {
	case darter.JobSucceeded:
		if tally.Complete != tally.Items || tally.Failed > 0 {
			t.Fatalf("succeeded with %+v", tally)
		}
	case darter.JobPartial:
		if tally.Warm == 0 || tally.Complete == tally.Items && tally.Failed == 0 && after.Failure == "" {
			t.Fatalf("partial with %+v", tally)
		}
	case darter.JobFailed, darter.JobCanceled, darter.JobExpired:
		if after.Failure == "" || after.Text == "" {
			t.Fatalf("%s without a word", after.State)
		}
	}
}

// Whatever happened, silence ends: leases run out, attempts are used up, limits pass.
func TestEveryJobEndsWhenHoldersFallSilent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := start
		j := New("j", Resolve, now, now)
		j.MaxAttempts, j.StartBy, j.RunFor = 3, now.Add(time.Hour), time.Hour
		for range rapid.IntRange(0, 30).Draw(t, "events") {
			now = now.Add(time.Second)
			_, _ = j.Step(now, drawEvent(t, &j, now))
		}
		if j.Paused && !j.State.Terminal() {
			if _, err := j.Step(now, Resume{}); err != nil {
				t.Fatal(err)
			}
		}
		for range 200 {
			if j.State.Terminal() {
				return
			}
			now = now.Add(15 * time.Minute)
			for i := range j.Steps {
				_, _ = j.Step(now, Claim{Step: uint32(i), Owner: "silent", Until: now.Add(time.Second)})
			}
			now = now.Add(time.Minute)
			if at := j.NextTick(); j.State != darter.JobQueued && at.IsZero() {
				t.Fatalf("nothing wakes a %s job", j.State)
			}
			_, _ = j.Step(now, Tick{})
		}
		t.Fatalf("the job is still %s", j.State)
	})
}

func ready(t *testing.T, parts int) Job {
	t.Helper()
	j := New("j", Resolve, start, start)
	j.MaxAttempts = 2
	do(t, &j, 0, Claim{Step: 0, Owner: "m", Until: start.Add(20 * time.Second)})
	g := Grow{Step: 0, Epoch: 1}
	for range parts {
		g.Steps = append(g.Steps, Part{Kind: Dispatch, Cluster: 1, Tally: Tally{Items: 2, Pairs: 4}})
	}
	do(t, &j, 0, g)
	return j
}

func do(t *testing.T, j *Job, after time.Duration, e Event) []Effect {
	t.Helper()
	effects, err := j.Step(start.Add(after), e)
	if err != nil {
		t.Fatalf("%#v: %v", e, err)
	}
	return effects
}

func TestHowAJobEnds(t *testing.T) {
	all := Tally{Items: 2, Warm: 2, Complete: 2, Pairs: 4, Done: 4}
	for _, c := range []struct {
		name      string
		end       End
		threshold uint32
		want      darter.JobState
		failure   darter.Failure
	}{
		{"all of it", End{Tally: all}, 100, darter.JobSucceeded, ""},
		{"every item somewhere", End{Tally: Tally{Items: 2, Warm: 2, Complete: 1, Pairs: 4, Done: 3, Failed: 1, Fatal: 1}, Failure: darter.Failed404}, 100, darter.JobPartial, darter.Failed404},
		{"one item nowhere", End{Tally: Tally{Items: 2, Warm: 1, Complete: 1, Pairs: 4, Done: 2, Failed: 2, Fatal: 2}, Failure: darter.Failed404}, 100, darter.JobFailed, darter.Failed404},
		{"one item nowhere, half is enough", End{Tally: Tally{Items: 2, Warm: 1, Complete: 1, Pairs: 4, Done: 2, Failed: 2, Fatal: 2}, Failure: darter.Failed404}, 50, darter.JobPartial, darter.Failed404},
		{"nothing", End{Tally: Tally{Items: 2, Pairs: 4, Failed: 4, Fatal: 4}, Failure: darter.Failed403}, 1, darter.JobFailed, darter.Failed403},
		{"refused as a whole", End{Tally: Tally{Items: 2}, Broken: true, Failure: darter.FailedInvalid, Text: "no"}, 1, darter.JobFailed, darter.FailedInvalid},
		{"complete, then refused as a whole", End{Tally: all, Broken: true, Failure: darter.FailedInvalid, Text: "no"}, 100, darter.JobPartial, darter.FailedInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := ready(t, 1)
			j.Threshold = c.threshold
			do(t, &j, time.Second, Claim{Step: 1, Owner: "s", Until: start.Add(20 * time.Second)})
			c.end.Step, c.end.Epoch = 1, 1
			do(t, &j, 2*time.Second, c.end)
			if j.State != c.want || j.Failure != c.failure {
				t.Errorf("%s, %q (%s); want %s, %q", j.State, j.Failure, j.Text, c.want, c.failure)
			}
		})
	}
}

func TestALeaseThatRanOutPassesOn(t *testing.T) {
	j := ready(t, 1)
	do(t, &j, 0, Claim{Step: 1, Owner: "first", Until: start.Add(20 * time.Second)})
	do(t, &j, 15*time.Second, Extend{Step: 1, Epoch: 1, Until: start.Add(35 * time.Second)})
	if f := do(t, &j, 34*time.Second, Tick{}); len(f) > 0 {
		t.Fatalf("given up too early: %v", f)
	}
	f := do(t, &j, 35*time.Second, Tick{})
	if want := []Effect{Rescued{Step: 1, Owner: "first", Epoch: 2}, Moved{From: darter.JobRunning, To: darter.JobQueued}}; !reflect.DeepEqual(f, want) {
		t.Fatalf("got %v, want %v", f, want)
	}
	do(t, &j, 36*time.Second, Claim{Step: 1, Owner: "second", Until: start.Add(time.Minute)})
	for _, late := range []Event{Extend{Step: 1, Epoch: 1}, Count{Step: 1, Epoch: 1}, End{Step: 1, Epoch: 1}, Release{Step: 1, Epoch: 1}, Count{Step: 1, Epoch: 2}} {
		if _, err := j.Step(start.Add(37*time.Second), late); !errors.Is(err, ErrFenced) {
			t.Errorf("%#v: %v", late, err)
		}
	}
	f = do(t, &j, time.Minute, Tick{}) // the second attempt of two
	if want := []Effect{Rescued{Step: 1, Owner: "second", Epoch: 4}, Moved{From: darter.JobRunning, To: darter.JobFailed, Reason: "its holder second fell silent"}}; !reflect.DeepEqual(f, want) {
		t.Errorf("got %v, want %v", f, want)
	}
}

func TestPauseAndCancel(t *testing.T) {
	j := ready(t, 2)
	do(t, &j, 0, Claim{Step: 1, Owner: "s", Until: start.Add(20 * time.Second)})
	f := do(t, &j, time.Second, Pause{Reason: "by me"})
	if want := []Effect{Stopped{Step: 1, Epoch: 1, Owner: "s", Reason: "paused"}, Moved{From: darter.JobRunning, To: darter.JobPaused, Reason: "by me"}}; !reflect.DeepEqual(f, want) {
		t.Fatalf("got %v, want %v", f, want)
	}
	if _, err := j.Step(start.Add(time.Second), Claim{Step: 2, Owner: "s", Until: start.Add(time.Minute)}); !errors.Is(err, ErrNotNow) {
		t.Errorf("a paused job was claimed: %v", err)
	}
	do(t, &j, 2*time.Second, Release{Step: 1, Epoch: 1, Tally: Tally{Items: 2, Pairs: 4, Done: 1, Warm: 1}})
	do(t, &j, 3*time.Second, Resume{})
	if j.State != darter.JobQueued || j.Steps[1].Attempt != 0 {
		t.Errorf("%s after %d attempts", j.State, j.Steps[1].Attempt)
	}
	do(t, &j, 4*time.Second, Claim{Step: 1, Owner: "s", Until: start.Add(24 * time.Second)})
	do(t, &j, 5*time.Second, Cancel{Reason: "by me"})
	if f := do(t, &j, 6*time.Second, Extend{Step: 1, Epoch: 2, Until: start.Add(time.Hour)}); len(f) != 1 {
		t.Errorf("a holder that goes on is not told again: %v", f)
	}
	do(t, &j, 24*time.Second, Tick{}) // it never answered
	if j.State != darter.JobCanceled || j.Steps[2].State != Dropped {
		t.Errorf("%s, step 2 %s", j.State, j.Steps[2].State)
	}
}

func TestTurn(t *testing.T) {
	names := func(lanes []Lane) (out []string) {
		for _, l := range lanes {
			out = append(out, l.Tenant)
		}
		return out
	}
	got := names(Turn([]Lane{
		{Tenant: "busy", Running: 3, Best: 100},
		{Tenant: "heavy", Running: 3, Weight: 4},
		{Tenant: "idle-late", Oldest: 2},
		{Tenant: "idle-early", Oldest: 1},
		{Tenant: "idle-urgent", Oldest: 9, Best: 5},
		{Tenant: "full", Running: 2, MaxJobs: 2},
		{Tenant: "wide", Targets: 1000, MaxTargets: 1000},
	}))
	if want := []string{"idle-urgent", "idle-early", "idle-late", "heavy", "busy"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Over many turns each tenant gets its share, and nobody who waits is passed over for ever.
func TestTurnsFollowWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lanes := make([]Lane, rapid.IntRange(1, 6).Draw(t, "tenants"))
		total := uint32(0)
		for i := range lanes {
			lanes[i] = Lane{Tenant: fmt.Sprint(i), Weight: rapid.Uint32Range(1, 5).Draw(t, "weight"), Best: rapid.Int32Range(-5, 5).Draw(t, "priority")}
			total += lanes[i].Weight
		}
		for range 20 * total {
			next := Turn(lanes)[0].Tenant
			for i := range lanes {
				if lanes[i].Tenant == next {
					lanes[i].Running++
				}
			}
		}
		for _, l := range lanes {
			if l.Running != 20*l.Weight {
				t.Fatalf("a weight of %d of %d got %d of %d turns", l.Weight, total, l.Running, 20*total)
			}
		}
	})
}

func TestBackoff(t *testing.T) {
	for attempt, middle := range map[uint32]time.Duration{0: 5 * time.Second, 1: 5 * time.Second, 2: 10 * time.Second, 5: 80 * time.Second, 8: 10 * time.Minute, 4_000_000_000: 10 * time.Minute} {
		seen := map[time.Duration]bool{}
		for i := range 50 {
			id := darter.JobID(fmt.Sprint(i))
			wait := Backoff(id, 1, attempt)
			if wait != Backoff(id, 1, attempt) || wait < middle*3/4 || wait > middle*5/4 {
				t.Fatalf("attempt %d waits %s", attempt, wait)
			}
			seen[wait] = true
		}
		if len(seen) < 25 {
			t.Errorf("50 jobs wait %d different times", len(seen))
		}
	}
}
