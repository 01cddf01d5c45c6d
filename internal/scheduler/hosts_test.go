package scheduler_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/inventory"
	"github.com/darter-p2p/darter/internal/scheduler"
)

// lessee is one of our own daemons on a lease: it holds content, and tells of it when it is asked.
type lessee struct {
	r      *rig
	id, ip string
	epoch  uint64
	store  uint64
	tree   *inventory.Tree

	stream darterv1.Liveness_LeaseClient
	cancel context.CancelFunc
	seq    uint64

	mu     sync.Mutex
	grants []*darterv1.Grant
	told   int // locations
}

var one = darter.TaskID(strings.Repeat("a", 64))

func (r *rig) lessee(id, ip string, holds ...darter.TaskID) *lessee {
	l := &lessee{r: r, id: id, ip: ip, epoch: 1, store: 7, tree: inventory.New()}
	for _, t := range holds {
		l.tree.Put(darter.Location{Task: t, Layout: darter.LayoutOf(32<<20, 0), Complete: true})
	}
	return l
}

// begin announces a run of it, and takes a lease.
func (l *lessee) begin() {
	l.r.t.Helper()
	ctx := metadata.AppendToOutgoingContext(native(l.r.t.Context()), wire.MetaEpoch, strconv.FormatUint(l.epoch, 10), wire.MetaStorage, strconv.FormatUint(l.store, 16))
	_, err := l.r.client.AnnounceHost(ctx, &schedulerv2.AnnounceHostRequest{Interval: durationpb.New(10 * time.Minute),
		Host: &commonv2.Host{Id: l.id, Hostname: l.id, Ip: l.ip, Port: 4000, DownloadPort: 4000, Name: l.id}})
	if err != nil {
		l.r.t.Fatal(err)
	}
	ctx, l.cancel = context.WithCancel(l.r.t.Context())
	if l.stream, err = darterv1.NewLivenessClient(l.r.conn).Lease(ctx); err != nil {
		l.r.t.Fatal(err)
	}
	l.seq = 0
	go l.listen(l.stream)
	l.renew()
}

func (l *lessee) renew() {
	l.r.t.Helper()
	l.seq++
	m := wire.FromRenewal(darter.Renewal{Host: darter.HostID(l.id), Epoch: darter.Epoch(l.epoch), Seq: l.seq, Inventory: l.tree.Digest(), InventoryKnown: true})
	if err := l.stream.Send(&darterv1.LeaseRequest{Word: &darterv1.LeaseRequest_Renewal{Renewal: m}}); err != nil {
		l.r.t.Fatal(err)
	}
	synctest.Wait()
}

// renewFor renews each ten seconds.
func (l *lessee) renewFor(d time.Duration) {
	for ; d > 0; d -= 10 * time.Second {
		time.Sleep(10 * time.Second)
		l.renew()
	}
}

func (l *lessee) listen(stream darterv1.Liveness_LeaseClient) {
	for {
		m, err := stream.Recv()
		if err != nil {
			return
		}
		switch w := m.GetWord().(type) {
		case *darterv1.LeaseResponse_Grant:
			l.mu.Lock()
			l.grants = append(l.grants, w.Grant)
			l.mu.Unlock()
		case *darterv1.LeaseResponse_Questions:
			questions, err := wire.ToQuestions(w.Questions)
			if err != nil {
				return
			}
			for _, q := range questions {
				a, err := l.tree.Answer(q)
				if err != nil {
					return
				}
				l.mu.Lock()
				l.told += len(a.Locations)
				l.mu.Unlock()
				_ = stream.Send(&darterv1.LeaseRequest{Word: &darterv1.LeaseRequest_Answer{Answer: wire.FromAnswer(a)}})
			}
		}
	}
}

// news returns how many locations were told since the last call, and whether an inventory was asked for.
func (l *lessee) news() (told int, asked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.grants {
		asked = asked || g.GetWantInventory()
	}
	told, l.told, l.grants = l.told, 0, nil
	return told, asked
}

// view returns what the scheduler thinks of a host.
func (r *rig) view(id string) scheduler.HostStatus {
	for _, h := range r.role.Hosts() {
		if string(h.Host.ID) == id {
			return h
		}
	}
	return scheduler.HostStatus{}
}

func (k *talk) pieceFailed(parent string, temporary bool) {
	n := uint32(0)
	k.send(&schedulerv2.AnnouncePeerRequest{Request: &schedulerv2.AnnouncePeerRequest_DownloadPieceFailedRequest{
		DownloadPieceFailedRequest: &schedulerv2.DownloadPieceFailedRequest{PieceNumber: &n, ParentId: parent, Temporary: temporary}}})
}

// TestWhatAHostDoesNotHoldIsNotOfferedAgain: a child says that its parent answered, and holds nothing of the task. That one belief ends,
// for all, without any doubt in the host; and the host's own word, asked for again some time later, counts for more.
func TestWhatAHostDoesNotHoldIsNotOfferedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		two := darter.TaskID(strings.Repeat("b", 64))
		l := r.lessee("liar", "10.0.0.5", one, two)
		l.begin()
		defer l.cancel()
		if told, _ := l.news(); told != 2 || r.view("liar").Copies != 2 {
			t.Fatalf("%d told, and %d known", told, r.view("liar").Copies)
		}
		for i, c := range []struct {
			temporary bool
			copies    int // with the one that serves as a peer meanwhile
		}{{true, 2}, {false, 1}} {
			name := "child" + strconv.Itoa(i)
			r.announce(name, 0, "10.0.0."+strconv.Itoa(10+i))
			k := r.open(name, name+"-1")
			k.register(download())
			k.expect("parents liar@" + string(one))
			k.pieceFailed("liar@"+string(one), c.temporary)
			k.expect("source pieces=0-7")
			v := r.view("liar")
			if v.Copies+v.Peers != c.copies || v.Verdict != darter.Alive {
				t.Errorf("a failure with temporary %t: it is %s, and believed to hold %d tasks, want alive and %d", c.temporary, v.Verdict, v.Copies+v.Peers, c.copies)
			}
			k.cancel()
			synctest.Wait()
		}
		l.news()
		l.renewFor(9 * time.Minute)
		if _, asked := l.news(); asked {
			t.Error("its inventory was asked for again too soon")
		}
		l.renewFor(2 * time.Minute)
		if told, _ := l.news(); told == 0 || r.view("liar").Copies != 2 {
			t.Errorf("%d told when it was asked again, and it is believed to hold %d tasks, want 2", told, r.view("liar").Copies)
		}
	})
}

// TestParentsThatAnsweredAreWell: two children that lost a parent put its host in doubt, unless it answered them.
func TestParentsThatAnsweredAreWell(t *testing.T) {
	for _, answered := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, nil) // nobody answers probes
			defer r.stop()
			l := r.lessee("parent", "10.0.0.5", one)
			l.begin()
			defer l.cancel()
			for i := range 2 {
				name := "child" + strconv.Itoa(i)
				r.announce(name, 0, "10.0.0."+strconv.Itoa(10+i))
				k := r.open(name, name+"-1")
				defer k.cancel()
				k.register(download())
				k.expect("parents parent@" + string(one))
				why := wire.LostDescription(answered, "it drains")
				k.send(&schedulerv2.AnnouncePeerRequest{Request: &schedulerv2.AnnouncePeerRequest_ReschedulePeerRequest{
					ReschedulePeerRequest: &schedulerv2.ReschedulePeerRequest{CandidateParents: []*commonv2.Peer{{Id: "parent@" + string(one)}}, Description: &why}}})
			}
			time.Sleep(time.Second)
			want := darter.Suspect
			if answered {
				want = darter.Alive
			}
			if v := r.view("parent"); v.Verdict != want {
				t.Errorf("answered %t: the host is %s, want %s", answered, v.Verdict, want)
			}
		})
	}
}

// TestThoseWhoLeaveFieldsOutAreNotBelieved: a plain client that does not say whether a failure stays has not said that it does.
func TestThoseWhoLeaveFieldsOutAreNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		l := r.lessee("holder", "10.0.0.5", one)
		l.begin()
		defer l.cancel()
		_, err := r.client.AnnounceHost(t.Context(), &schedulerv2.AnnounceHostRequest{Interval: durationpb.New(time.Minute),
			Host: &commonv2.Host{Id: "plain", Hostname: "plain", Ip: "10.0.0.9", Port: 4000, DownloadPort: 4000}})
		if err != nil {
			t.Fatal(err)
		}
		k := r.open("plain", "plain-1")
		k.register(download())
		k.expect("parents holder@" + string(one))
		k.pieceFailed("holder@"+string(one), false)
		synctest.Wait()
		if v := r.view("holder"); v.Copies+v.Peers != 1 {
			t.Errorf("it is believed to hold %d tasks, want 1", v.Copies+v.Peers)
		}
		k.cancel()
	})
}

// TestAStoreThatCameBackNeedsNotBeTold: a run that has the same store and the same sums is believed without a word more; one
// with another store holds nothing from its first announcement on.
func TestAStoreThatCameBackNeedsNotBeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		l := r.lessee("host", "10.0.0.5", one)
		l.begin()
		l.news()
		l.cancel()
		synctest.Wait()

		l.epoch++
		l.begin()
		if told, asked := l.news(); !asked || told != 0 {
			t.Errorf("after a restart with the same store: compared %t, told of %d tasks, want true and 0", asked, told)
		}
		if v := r.view("host"); v.Copies != 1 || !v.Verified {
			t.Errorf("it is believed to hold %d tasks (verified %t), want 1", v.Copies, v.Verified)
		}
		l.cancel()
		synctest.Wait()

		l.epoch++
		l.store, l.tree = 8, inventory.New()
		l.begin()
		time.Sleep(time.Second) // reviews take their turns
		if told, _ := l.news(); told != 0 || r.view("host").Copies != 0 {
			t.Errorf("after a restart with an empty store: told of %d tasks, and %d known, want none", told, r.view("host").Copies)
		}
		l.cancel()
	})
}

// TestTombstonesAndDrainsSurviveARestart: who left is still known to have left, and a late word of that run still refused; what an
// operator wants drained stays so.
func TestTombstonesAndDrainsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var orders *bufconn.Listener
		again := func(c *scheduler.Config) {
			orders = bufconn.Listen(64 << 10)
			c.DataDir, c.Operator = dir, orders
		}
		r := start(t, again)
		l := r.lessee("leaver", "10.0.0.5")
		l.begin()
		r.announce("drained", 0, "10.0.0.6")
		conn, err := grpc.NewClient("passthrough:///operator", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return orders.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := darterv1.NewOperatorClient(conn).DrainHost(t.Context(), &darterv1.DrainHostRequest{HostId: "drained", Reason: "test"}); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		l.cancel()
		ctx := metadata.AppendToOutgoingContext(native(t.Context()), wire.MetaEpoch, "1")
		if _, err := r.client.DeleteHost(ctx, &schedulerv2.DeleteHostRequest{HostId: "leaver"}); err != nil {
			t.Fatal(err)
		}
		r.stop()

		r = start(t, again)
		defer r.stop()
		gone, err := darterv1.NewRosterClient(r.conn).ShowHost(t.Context(), &darterv1.ShowHostRequest{HostId: "leaver"})
		if err != nil || !gone.GetGone() || gone.GetVerdict() != "left" || gone.GetEpoch() != 1 {
			t.Errorf("who left is shown as %v, %v", gone, err)
		}
		late := &schedulerv2.AnnounceHostRequest{Interval: durationpb.New(time.Minute), Host: &commonv2.Host{Id: "leaver", Hostname: "leaver", Ip: "10.0.0.5", Port: 4000, DownloadPort: 4000}}
		if _, err := r.client.AnnounceHost(ctx, late); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("a late announcement of the run that left: %v", err)
		}
		r.announce("drained", 0, "10.0.0.6")
		if v := r.view("drained"); v.Verdict != darter.Draining {
			t.Errorf("the drained host is %s", v.Verdict)
		}
	})
}

// TestWhatAnAnnouncementSaysOfTheStore is read, and nonsense counts as not said.
func TestWhatAnAnnouncementSaysOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		for i, c := range []struct {
			store, keeps string
			want         darter.StorageID
			keep         time.Duration
		}{
			{"9f86d081884c7d65", "3600", 0x9f86d081884c7d65, time.Hour},
			{"", "", 0, 0},
			{"10000000000000000", "-1", 0, 0},
			{"nonsense", "4294967295", 0, 365 * 24 * time.Hour},
			{"0", "4294967296", 0, 0},
		} {
			ctx := metadata.AppendToOutgoingContext(native(t.Context()), wire.MetaStorage, c.store, wire.MetaKeeps, c.keeps)
			id := "host" + strconv.Itoa(i)
			_, err := r.client.AnnounceHost(ctx, &schedulerv2.AnnounceHostRequest{Host: &commonv2.Host{Id: id, Hostname: id, Ip: "10.0.0.1", Port: 4000, DownloadPort: 4000}})
			if err != nil {
				t.Fatal(err)
			}
			if h := r.view(id).Host; h.Storage != c.want || h.Keeps != c.keep {
				t.Errorf("%q and %q were read as %x and %s", c.store, c.keeps, h.Storage, h.Keeps)
			}
		}
	})
}
