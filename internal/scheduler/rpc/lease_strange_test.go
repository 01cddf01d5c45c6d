package rpc_test

import (
	"testing"
	"testing/synctest"
	"time"

	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
)

// strange is a scheduler's lease service that answers each renewal with one word of its own.
type strange struct {
	darterv1.UnimplementedLivenessServer
	word *darterv1.LeaseResponse // nil: none at all
}

func (s strange) Lease(stream darterv1.Liveness_LeaseServer) error {
	if err := stream.SendHeader(metadata.Pairs(wire.MetaNative, "1")); err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
		if s.word != nil {
			if err := stream.Send(s.word); err != nil {
				return err
			}
		}
	}
}

func (s *site) openStrange(word *darterv1.LeaseResponse) {
	listen := bufconn.Listen(64 << 10)
	server := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}))
	schedulerv2.RegisterSchedulerServer(server, s.plain)
	darterv1.RegisterLivenessServer(server, strange{word: word})
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listen) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listen = listen
	s.stop = func() { server.Stop(); <-served }
}

// TestSchedulersThatCannotBeBelieved: a host gives the lease up, says why, and goes on announcing as without one; it does not
// hammer at the scheduler.
func TestSchedulersThatCannotBeBelieved(t *testing.T) {
	question := func(n int, q *darterv1.Question) *darterv1.LeaseResponse {
		all := &darterv1.Questions{}
		for range n {
			all.Questions = append(all.Questions, q)
		}
		return &darterv1.LeaseResponse{Word: &darterv1.LeaseResponse_Questions{Questions: all}}
	}
	grant := func(g *darterv1.Grant) *darterv1.LeaseResponse {
		return &darterv1.LeaseResponse{Word: &darterv1.LeaseResponse_Grant{Grant: g}}
	}
	for name, c := range map[string]struct {
		word *darterv1.LeaseResponse
		kind darter.Kind
	}{
		"mute":                    {nil, darter.TimedOut},
		"grants another renewal":  {grant(&darterv1.Grant{Seq: 7, IntervalMs: 1000}), darter.TimedOut},
		"an empty word":           {&darterv1.LeaseResponse{}, darter.Invalid},
		"grants no time":          {grant(&darterv1.Grant{Seq: 1}), darter.Invalid},
		"asks nothing":            {question(0, nil), darter.Invalid},
		"asks too much":           {question(17, &darterv1.Question{}), darter.Invalid},
		"asks nonsense":           {question(1, &darterv1.Question{Prefix: "xyz"}), darter.Invalid},
		"asks who has not told":   {question(1, &darterv1.Question{}), darter.Invalid},
		"superseded with no time": {grant(&darterv1.Grant{Seq: 1, Superseded: true}), darter.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.openStrange(c.word)
				p := s.speak(nil)
				time.Sleep(10*time.Minute + time.Second)
				leased, lost, _ := p.news()
				if leased != 0 || len(lost) < 10 || len(lost) > 40 || darter.KindOf(lost[0]) != c.kind {
					t.Errorf("leased %d times, lost %d times in 10m: %v", leased, len(lost), lost[:min(len(lost), 2)])
				}
				for i, d := range s.plain.announced() {
					if d != time.Minute || i > 10 {
						t.Errorf("announcement %d promises %s, want 11 that promise 1m", i+1, d)
					}
				}
				if n := len(s.plain.announced()); n < 10 {
					t.Errorf("%d announcements in 10m without a lease", n)
				}
				p.stop()
				s.close()
			})
		})
	}
}
