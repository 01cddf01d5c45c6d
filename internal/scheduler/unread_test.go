package scheduler_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/scheduler"
)

// TestAClientThatNeverReads: the scheduler's answers fill what may be under way to it, and then its stream ends on the
// scheduler's side, though its connection stands: its peer is no longer there.
func TestAClientThatNeverReads(t *testing.T) {
	for name, change := range map[string]func(*scheduler.Config){
		"its queue is full":                  func(c *scheduler.Config) { c.Queue, c.SendTimeout = 4, time.Hour },
		"one answer takes too long to leave": func(c *scheduler.Config) { c.Queue, c.SendTimeout = 1000, 2*time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, change)
				defer r.stop()
				join := func(name string, i int, holds string) *talk {
					r.announceAtLength(name, fmt.Sprintf("10.0.1.%d", i))
					k := r.openHolding(name, name+"-1", holds)
					k.register(download())
					synctest.Wait()
					return k
				}
				defer join("first", 1, "0-7").cancel()
				deaf := join("deaf", 2, "")
				defer deaf.cancel()
				lost := []*commonv2.Peer{{Id: "first-1"}}
				for i := range 20 { // it wants others all the time
					name := fmt.Sprintf("h%d", i)
					defer join(name, 10+i, "0-7").cancel()
					_ = deaf.stream.Send(&schedulerv2.AnnouncePeerRequest{HostId: deaf.host, TaskId: deaf.task, PeerId: deaf.peer,
						Request: &schedulerv2.AnnouncePeerRequest_ReschedulePeerRequest{ReschedulePeerRequest: &schedulerv2.ReschedulePeerRequest{CandidateParents: lost}}})
					lost = append(lost, &commonv2.Peer{Id: name + "-1"})
					synctest.Wait()
				}
				time.Sleep(3 * time.Second)
				again := r.open("deaf", "deaf-1") // refused while the first stream of this name is open
				defer again.cancel()
				again.register(download())
				if got := again.next(); !strings.HasPrefix(got, "parents") {
					t.Errorf("its name is still in use: %s", got)
				}
			})
		})
	}
}

// openHolding opens the stream of a peer that holds pieces already.
func (r *rig) openHolding(host, peer, held string) *talk {
	r.t.Helper()
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(native(r.t.Context()), wire.MetaHeld, held))
	stream, err := r.client.AnnouncePeer(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	return &talk{t: r.t, host: host, task: strings.Repeat("a", 64), peer: peer, stream: stream, cancel: cancel}
}

// announceAtLength announces a host about whom there is much to say.
func (r *rig) announceAtLength(id, ip string) {
	r.t.Helper()
	long := strings.Repeat("x", 4000)
	_, err := r.client.AnnounceHost(native(r.t.Context()), &schedulerv2.AnnounceHostRequest{Interval: durationpb.New(time.Minute),
		Host: &commonv2.Host{Id: id, Hostname: id + long, Name: id + long, Ip: ip, Port: 4000, DownloadPort: 4000, Network: &commonv2.Network{Idc: &long, Location: &long}}})
	if err != nil {
		r.t.Fatal(err)
	}
}
