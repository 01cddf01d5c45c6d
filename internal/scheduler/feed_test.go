package scheduler_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/internal/scheduler"
)

// events reads the timeline after a number of a run, to its end.
func (r *rig) events(run, after uint64) (all []*darterv1.HostEvent) {
	r.t.Helper()
	stream, err := darterv1.NewRosterClient(r.conn).HostEvents(r.t.Context(), &darterv1.HostEventsRequest{Run: run, After: after})
	if err != nil {
		r.t.Fatal(err)
	}
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, e)
	}
}

// TestEventsGoOnWhereTheyWereLeft: who keeps run and number of the last event gets each event once, or is told where some are
// missing: because they were dropped, or because the scheduler began anew.
func TestEventsGoOnWhereTheyWereLeft(t *testing.T) {
	dir := t.TempDir()
	small := func(c *scheduler.Config) {
		c.DataDir = dir
		c.Liveness.Policy.Limit.Feed = 16
	}
	synctest.Test(t, func(t *testing.T) {
		r := start(t, small)
		for i := range 10 {
			r.announce(fmt.Sprintf("h%d", i), 0, fmt.Sprintf("10.0.0.%d", i))
		}
		first := r.events(0, 0)
		last := first[len(first)-1]
		run := last.GetRun()
		if len(first) != 10 || last.GetSeq() != 10 || run == 0 {
			t.Fatalf("%d events, the last %v", len(first), last)
		}
		r.announce("h10", 0, "10.0.0.10")
		if next := r.events(run, 10); len(next) != 1 || next[0].GetSeq() != 11 || next[0].GetHostId() != "h10" {
			t.Errorf("after the tenth came %v", next)
		}
		for i := range 20 {
			r.announce(fmt.Sprintf("m%d", i), 0, fmt.Sprintf("10.0.1.%d", i))
		}
		many := r.events(run, 11)
		if gap := many[0]; !gap.GetGap() || gap.GetMissed() != 4 || gap.GetSeq() != 15 || gap.GetRun() != run || len(many) != 17 || many[1].GetSeq() != 16 {
			t.Errorf("four of twenty were dropped, and there came %d, the first %v and %v", len(many), many[0], many[1])
		}
		if anew := r.events(0, 0); len(anew) != 16 || anew[0].GetGap() {
			t.Errorf("who begins anew misses nothing, and gets %d, the first %v", len(anew), anew[0])
		}
		r.stop()

		r = start(t, small)
		defer r.stop()
		again := r.events(run, 31)
		if gap := again[0]; !gap.GetGap() || gap.GetRun() == run || gap.GetRun() == 0 || gap.GetMissed() != 0 {
			t.Errorf("another run begins with %v", gap)
		}
		if len(again) < 2 || again[1].GetSeq() != again[0].GetSeq()+1 || again[1].GetRun() != again[0].GetRun() {
			t.Errorf("the gap is followed by %v", again[1:min(len(again), 3)])
		}
		if rest := r.events(again[0].GetRun(), again[len(again)-1].GetSeq()); len(rest) != 0 {
			t.Errorf("nothing happened since, and there came %v", rest)
		}
	})
}

// TestATableThatNobodyReads: a caller that asks for the table and does not read it is given up.
func TestATableThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(c *scheduler.Config) { c.SendTimeout = 2 * time.Second })
		defer r.stop()
		for i := range 100 {
			r.announceAtLength(fmt.Sprintf("h%d", i), fmt.Sprintf("10.0.1.%d", i))
		}
		stream, err := darterv1.NewRosterClient(r.conn).HostTable(t.Context(), &darterv1.HostTableRequest{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		n := 0
		for ; err == nil; n++ {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.Unavailable || n > 100 {
			t.Errorf("%d rows were sent, then %v", n-1, err)
		}
	})
}

// TestAFollowerDoesNotHoldUpAStop: it is told that the scheduler stops.
func TestAFollowerDoesNotHoldUpAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		stream, err := darterv1.NewRosterClient(r.conn).HostEvents(t.Context(), &darterv1.HostEventsRequest{Follow: true})
		if err != nil {
			t.Fatal(err)
		}
		r.announce("a", 0, "10.0.0.1")
		if e, err := stream.Recv(); err != nil || e.GetHostId() != "a" {
			t.Fatalf("%v, %v", e, err)
		}
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stop took %s", took)
		}
		if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("the follower got %v", err)
		}
	})
}
