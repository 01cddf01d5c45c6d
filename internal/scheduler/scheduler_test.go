package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler"
)

// rig is a running scheduler and its client, inside a bubble.
type rig struct {
	t      *testing.T
	role   *scheduler.Scheduler
	client schedulerv2.SchedulerClient
	conn   *grpc.ClientConn
	stop   func()
	seeds  sync.Map // address -> *bufconn.Listener
}

// start runs a scheduler. Its end is awaited by stop, which the test calls before the bubble ends.
func start(t *testing.T, change func(*scheduler.Config)) *rig {
	t.Helper()
	r := &rig{t: t}
	lis := bufconn.Listen(64 << 10)
	cfg := scheduler.DefaultConfig()
	cfg.Listen = lis
	cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
		if l, ok := r.seeds.Load(addr); ok {
			return l.(*bufconn.Listener).DialContext(ctx)
		}
		return nil, errors.New("connection refused")
	}
	if change != nil {
		change(&cfg)
	}
	role, err := scheduler.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- role.Run(ctx) }()
	<-role.Ready()
	conn, err := grpc.NewClient("passthrough:///scheduler", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	r.role, r.conn, r.client = role, conn, schedulerv2.NewSchedulerClient(conn)
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the role ended with %v", err)
		}
		_ = conn.Close()
	}
	return r
}

// fakeSeed serves DfdaemonUpload on a seed's address.
type fakeSeed struct {
	dfdaemonv2.UnimplementedDfdaemonUploadServer
	asked    chan *commonv2.Download
	download func(*commonv2.Download, dfdaemonv2.DfdaemonUpload_DownloadTaskServer) error
}

func (f *fakeSeed) DownloadTask(m *dfdaemonv2.DownloadTaskRequest, out dfdaemonv2.DfdaemonUpload_DownloadTaskServer) error {
	f.asked <- m.GetDownload()
	if f.download != nil {
		return f.download(m.GetDownload(), out)
	}
	<-out.Context().Done()
	return nil
}

func (r *rig) seed(addr string, f *fakeSeed) (stop func()) {
	f.asked = make(chan *commonv2.Download, 10)
	lis := bufconn.Listen(64 << 10)
	r.seeds.Store(addr, lis)
	server := grpc.NewServer()
	dfdaemonv2.RegisterDfdaemonUploadServer(server, f)
	healthv1.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(lis) }()
	return func() { r.seeds.Delete(addr); server.Stop() }
}

func native(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, wire.MetaNative, "1")
}

func (r *rig) announce(id string, kind uint32, ip string) {
	r.t.Helper()
	_, err := r.client.AnnounceHost(native(r.t.Context()), &schedulerv2.AnnounceHostRequest{Interval: durationpb.New(time.Minute),
		Host: &commonv2.Host{Id: id, Type: kind, Hostname: id, Ip: ip, Port: 4000, DownloadPort: 4000, Name: id}})
	if err != nil {
		r.t.Fatal(err)
	}
}

// talk is one AnnouncePeer stream.
type talk struct {
	t                *testing.T
	host, task, peer string
	stream           schedulerv2.Scheduler_AnnouncePeerClient
	cancel           context.CancelFunc
}

func (r *rig) open(host, peer string) *talk {
	r.t.Helper()
	ctx, cancel := context.WithCancel(native(r.t.Context()))
	stream, err := r.client.AnnouncePeer(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	return &talk{t: r.t, host: host, task: strings.Repeat("a", 64), peer: peer, stream: stream, cancel: cancel}
}

func (k *talk) send(m *schedulerv2.AnnouncePeerRequest) {
	k.t.Helper()
	m.HostId, m.TaskId, m.PeerId = k.host, k.task, k.peer
	if err := k.stream.Send(m); err != nil {
		k.t.Fatal(err)
	}
}

func download() *commonv2.Download {
	return wire.FromWant(darter.Want{URL: "https://user:secret@origin/file?token=secret", Header: map[string]string{"Authorization": "Bearer secret"},
		OutputPath: "/tmp/x", LayoutKnown: true, Layout: darter.LayoutOf(32<<20, 0), Priority: 6})
}

func (k *talk) register(d *commonv2.Download) {
	k.t.Helper()
	k.send(&schedulerv2.AnnouncePeerRequest{Request: &schedulerv2.AnnouncePeerRequest_RegisterPeerRequest{
		RegisterPeerRequest: &schedulerv2.RegisterPeerRequest{Download: d}}})
}

func (k *talk) sourceStarted() {
	k.send(&schedulerv2.AnnouncePeerRequest{Request: &schedulerv2.AnnouncePeerRequest_DownloadPeerBackToSourceStartedRequest{
		DownloadPeerBackToSourceStartedRequest: &schedulerv2.DownloadPeerBackToSourceStartedRequest{}}})
}

func (k *talk) finished() {
	k.send(&schedulerv2.AnnouncePeerRequest{Request: &schedulerv2.AnnouncePeerRequest_DownloadPeerBackToSourceFinishedRequest{
		DownloadPeerBackToSourceFinishedRequest: &schedulerv2.DownloadPeerBackToSourceFinishedRequest{}}})
}

func (k *talk) piece(n uint32) {
	k.send(&schedulerv2.AnnouncePeerRequest{Request: &schedulerv2.AnnouncePeerRequest_DownloadPieceBackToSourceFinishedRequest{
		DownloadPieceBackToSourceFinishedRequest: &schedulerv2.DownloadPieceBackToSourceFinishedRequest{
			Piece: wire.FromPiece(darter.Piece{Number: n, Length: 4 << 20, HasCRC: true})}}})
}

// next says in one line what the scheduler sent.
func (k *talk) next() string {
	k.t.Helper()
	m, err := k.stream.Recv()
	switch {
	case errors.Is(err, io.EOF):
		return "end"
	case err != nil:
		return status.Code(err).String() + ": " + status.Convert(err).Message()
	case strings.Contains(m.String(), "secret"):
		k.t.Errorf("a response carries a secret: %s", m)
	}
	if verr := m.Validate(); verr != nil {
		k.t.Errorf("the generated rules refuse a response: %v", verr)
	}
	switch v := m.GetResponse().(type) {
	case *schedulerv2.AnnouncePeerResponse_NormalTaskResponse:
		out := "parents"
		for _, p := range v.NormalTaskResponse.GetCandidateParents() {
			out += " " + p.GetId()
		}
		return out
	case *schedulerv2.AnnouncePeerResponse_NeedBackToSourceResponse:
		return v.NeedBackToSourceResponse.GetDescription()
	case *schedulerv2.AnnouncePeerResponse_MetadataOnlyResponse:
		return "recorded"
	}
	return "empty"
}

func (k *talk) expect(want string) {
	k.t.Helper()
	if got := k.next(); got != want {
		k.t.Fatalf("%s got %q, want %q", k.peer, got, want)
	}
}

// nothing checks that no response is on its way.
func (k *talk) nothing() {
	k.t.Helper()
	got := make(chan string, 1)
	go func() { got <- k.next() }()
	synctest.Wait()
	select {
	case m := <-got:
		k.t.Fatalf("%s got %q, want nothing yet", k.peer, m)
	default:
		k.cancel() // lets the reader go
		<-got
	}
}

func TestSeedIsTriggeredWithTheChildsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		f := &fakeSeed{}
		defer r.seed("10.0.0.9:4000", f)()
		r.announce("s", 1, "10.0.0.9")
		r.announce("a", 0, "10.0.0.1")
		a := r.open("a", "a-1")
		md, err := a.stream.Header() // before any answer
		if err != nil || len(md.Get(wire.MetaNative)) == 0 {
			t.Fatalf("headers %v, %v", md, err)
		}
		a.register(download())
		d := <-f.asked
		if !d.GetNeedBackToSource() || d.GetOutputPath() != "" || d.GetRequestHeader()["Authorization"] != "Bearer secret" || d.GetUrl() != download().GetUrl() {
			t.Errorf("the seed was asked for %v", d)
		}
		s := r.open("s", "s-1")
		s.register(d)
		s.expect("source pieces=0-7")
		s.sourceStarted()
		a.expect("parents s-1")
		for n := range uint32(8) {
			s.piece(n)
		}
		s.finished()
		s.expect("end")
		task, err := r.client.StatTask(t.Context(), &schedulerv2.StatTaskRequest{HostId: "a", TaskId: a.task})
		if err != nil || len(task.GetPieces()) != 8 || task.GetPeerCount() != 2 || task.GetState() != "Running" || strings.Contains(task.String(), "secret") {
			t.Errorf("task %v, %v", task, err)
		}
		if err := task.Validate(); err != nil {
			t.Errorf("the generated rules refuse the task: %v", err)
		}
		a.cancel()
	})
}

func TestSeedThatDoesNotAnswerCostsNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		r.announce("s", 1, "10.0.0.9") // nobody listens there
		r.announce("a", 0, "10.0.0.1")
		began := time.Now()
		a := r.open("a", "a-1")
		a.register(download())
		a.expect("source pieces=0-7")
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		a.cancel()
	})
}

func TestSeedThatHangsIsGivenUpAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		f := &fakeSeed{}
		defer r.seed("10.0.0.9:4000", f)()
		r.announce("s", 1, "10.0.0.9")
		r.announce("a", 0, "10.0.0.1")
		began := time.Now()
		a := r.open("a", "a-1")
		a.register(download())
		a.expect("source pieces=0-7")
		if took := time.Since(began); took < 10*time.Second || took > 10100*time.Millisecond {
			t.Errorf("it took %v, want the deadline of 10s", took)
		}
		a.cancel()
	})
}

func TestNotFoundAtTheSeedReachesTheChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		f := &fakeSeed{download: func(_ *commonv2.Download, out dfdaemonv2.DfdaemonUpload_DownloadTaskServer) error {
			out.SetTrailer(metadata.Pairs(wire.BackendTrailer, string(wire.Backend{Message: "no such file", Status: 404}.JSON())))
			return status.Error(codes.Internal, "origin")
		}}
		defer r.seed("10.0.0.9:4000", f)()
		r.announce("s", 1, "10.0.0.9")
		r.announce("a", 0, "10.0.0.1")
		a := r.open("a", "a-1")
		a.register(download())
		if got := a.next(); !strings.HasPrefix(got, "NotFound: ") || !strings.Contains(got, "404 no such file") {
			t.Errorf("got %q", got)
		}
	})
}

func TestUnwellSeedIsNotTriggered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		f := &fakeSeed{}
		stop := r.seed("10.0.0.9:4000", f)
		r.announce("s", 1, "10.0.0.9")
		r.announce("a", 0, "10.0.0.1")
		stop()
		time.Sleep(11 * time.Second)
		if hosts := r.role.Hosts(); !hosts[0].Unwell {
			t.Fatalf("the seed counts as well: %+v", hosts[0])
		}
		a := r.open("a", "a-1")
		a.register(download())
		a.expect("source pieces=0-7")
		a.cancel()
		defer r.seed("10.0.0.9:4000", f)()
		time.Sleep(3 * time.Minute) // grpc backs off before it dials again
		r.announce("s", 1, "10.0.0.9")
		synctest.Wait()
		if hosts := r.role.Hosts(); hosts[0].Host.ID == "s" && hosts[0].Unwell {
			t.Errorf("the seed is back and still counts as unwell")
		}
	})
}

func TestErrorsOnTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		r.announce("a", 0, "10.0.0.1")
		k := r.open("nobody", "n-1")
		k.register(download())
		if got := k.next(); !strings.HasPrefix(got, "NotFound") {
			t.Errorf("unknown host: %q", got)
		}
		k = r.open("a", "a-1")
		k.sourceStarted()
		if got := k.next(); !strings.HasPrefix(got, "InvalidArgument") {
			t.Errorf("no registration: %q", got)
		}
		k = r.open("a", "a-2")
		k.register(&commonv2.Download{Url: "not a url"})
		if got := k.next(); !strings.HasPrefix(got, "InvalidArgument") {
			t.Errorf("bad url: %q", got)
		}
		k = r.open("a", "a-3")
		k.register(download())
		k.expect("source pieces=0-7")
		twin := r.open("a", "a-3")
		twin.register(download())
		if got := twin.next(); !strings.HasPrefix(got, "FailedPrecondition") {
			t.Errorf("peer id used twice: %q", got)
		}
		k.peer = "other"
		k.piece(1)
		if got := k.next(); !strings.HasPrefix(got, "InvalidArgument") {
			t.Errorf("a message of another peer: %q", got)
		}
		if err := r.conn.Invoke(t.Context(), "/scheduler.v2.Scheduler/StatPersistentTask", &schedulerv2.StatPersistentTaskRequest{}, &commonv2.PersistentTask{}); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "not built yet") {
			t.Errorf("a persistent call: %v", err)
		}
	})
}

func TestMetadataOnlyEmptyAndHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		r.announce("a", 0, "10.0.0.1")
		r.announce("b", 0, "10.0.0.2")
		k := r.open("a", "a-1")
		d := download()
		d.MetadataOnly = true
		k.register(d)
		k.expect("recorded")
		k.finished()
		k.expect("end")

		e := r.open("b", "b-1")
		e.task = strings.Repeat("b", 64)
		e.register(wire.FromWant(darter.Want{URL: "http://o/", LayoutKnown: true}))
		e.expect("empty")
		e.finished()
		e.expect("end")

		h := &talk{t: t, host: "b", task: strings.Repeat("c", 64), peer: "b-2"}
		ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(native(t.Context()), wire.MetaHeld, "0-5"))
		defer cancel()
		stream, err := r.client.AnnouncePeer(ctx)
		if err != nil {
			t.Fatal(err)
		}
		h.stream, h.cancel = stream, cancel
		h.register(download())
		h.expect("source pieces=6-7")
	})
}

func TestUnaryCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		ctx := t.Context()
		r.announce("a", 0, "10.0.0.1")
		r.announce("s", 1, "10.0.0.9")
		if _, err := r.client.AnnounceHost(ctx, &schedulerv2.AnnounceHostRequest{Host: &commonv2.Host{Id: "x", Ip: "localhost"}}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("host without an address: %v", err)
		}
		one := uint32(1)
		list, err := r.client.ListHosts(ctx, &schedulerv2.ListHostsRequest{Type: &one})
		if err != nil || len(list.GetHosts()) != 1 || list.GetHosts()[0].GetName() != "s" {
			t.Errorf("seeds: %v, %v", list, err)
		}
		if _, err := r.client.StatTask(ctx, &schedulerv2.StatTaskRequest{HostId: "a", TaskId: "t"}); status.Code(err) != codes.NotFound {
			t.Errorf("unknown task: %v", err)
		}
		if _, err := r.client.DeleteTask(ctx, &schedulerv2.DeleteTaskRequest{HostId: "x", TaskId: "t"}); status.Code(err) != codes.NotFound {
			t.Errorf("unknown host: %v", err)
		}
		k := r.open("a", "a-1")
		d := download()
		d.Priority = commonv2.Priority_LEVEL3
		k.register(d)
		k.expect("source pieces=0-7")
		p, err := r.client.StatPeer(ctx, &schedulerv2.StatPeerRequest{HostId: "a", TaskId: k.task, PeerId: "a-1"})
		if err != nil || !p.GetNeedBackToSource() || p.Validate() != nil {
			t.Errorf("peer %v, %v", p, err)
		}
		if _, err := r.client.DeletePeer(ctx, &schedulerv2.DeletePeerRequest{HostId: "s", TaskId: k.task, PeerId: "a-1"}); err != nil {
			t.Errorf("deleting another host's peer: %v", err)
		}
		if _, err := r.client.StatPeer(ctx, &schedulerv2.StatPeerRequest{HostId: "a", TaskId: k.task, PeerId: "a-1"}); err != nil {
			t.Errorf("another host deleted the peer: %v", err)
		}
		if _, err := r.client.DeleteTask(ctx, &schedulerv2.DeleteTaskRequest{HostId: "a", TaskId: k.task}); err != nil {
			t.Error(err)
		}
		if got := k.next(); !strings.HasPrefix(got, "NotFound") {
			t.Errorf("after its host deleted the task: %q", got)
		}
		h, err := healthv1.NewHealthClient(r.conn).Check(ctx, &healthv1.HealthCheckRequest{})
		if err != nil || h.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health: %v, %v", h, err)
		}
		if _, err := r.client.DeleteHost(ctx, &schedulerv2.DeleteHostRequest{HostId: "a"}); err != nil {
			t.Error(err)
		}
		if hosts, _, peers := r.role.Count(); hosts != 1 || peers != 0 {
			t.Errorf("%d hosts and %d peers are left", hosts, peers)
		}
	})
}

func TestAbandonedStreamFreesItsPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		r.announce("a", 0, "10.0.0.1")
		r.announce("b", 0, "10.0.0.2")
		a := r.open("a", "a-1")
		a.register(download())
		a.expect("source pieces=0-7")
		b := r.open("b", "b-1")
		b.register(download())
		synctest.Wait()
		a.cancel()
		b.expect("source pieces=0-7")
		b.cancel()
	})
}

func TestWaitingChildIsToldNothingTooSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		r.announce("a", 0, "10.0.0.1")
		r.announce("b", 0, "10.0.0.2")
		a := r.open("a", "a-1")
		a.register(download())
		a.expect("source pieces=0-7")
		b := r.open("b", "b-1")
		b.register(download())
		b.nothing()
		a.cancel()
	})
}

func TestStoppingEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		r.announce("a", 0, "10.0.0.1")
		a := r.open("a", "a-1")
		a.register(download())
		a.expect("source pieces=0-7")
		began := time.Now()
		r.stop()
		if got := a.next(); !strings.HasPrefix(got, "Unavailable") {
			t.Errorf("got %q", got)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("the end took %v", took)
		}
	})
}

func TestHostsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	keep := func(c *scheduler.Config) { c.DataDir = dir }
	synctest.Test(t, func(t *testing.T) {
		r := start(t, keep)
		r.announce("a", 0, "10.0.0.1")
		r.stop()
		r = start(t, keep)
		defer r.stop()
		a := r.open("a", "a-1") // without an announce
		a.register(download())
		a.expect("source pieces=0-7")
		a.cancel()
	})
	path := filepath.Join(dir, "hosts.jsonl")
	for name, damage := range map[string]string{"garbage": "garbage", "empty": "", "future": `{"format":"darter-hosts","version":9,"hosts":0}` + "\n", "torn": `{"format":"darter-hosts","version":1,"hosts":2}` + "\n"} {
		synctest.Test(t, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(damage), 0o644); err != nil {
				t.Fatal(err)
			}
			var aside atomic.Int32
			r := start(t, func(c *scheduler.Config) {
				keep(c)
				c.Snapshots.Damaged = func(string, error) { aside.Add(1) }
			})
			defer r.stop()
			if hosts, _, _ := r.role.Count(); hosts != 0 || aside.Load() != 1 {
				t.Errorf("%s: %d hosts, %d told", name, hosts, aside.Load())
			}
			if moved, err := os.ReadFile(path + ".damaged"); err != nil || string(moved) != damage {
				t.Errorf("%s: set aside %q, %v", name, moved, err)
			}
		})
	}
}

func TestManyAskersOneSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer r.stop()
		const askers = 40
		told := make(chan string, askers)
		for i := range askers {
			name := fmt.Sprintf("h%d", i)
			r.announce(name, 0, fmt.Sprintf("10.0.1.%d", i))
			k := r.open(name, name+"-1")
			k.register(download())
			go func() { told <- k.next() }()
			defer k.cancel()
		}
		synctest.Wait()
		if got := <-told; got != "source pieces=0-7" || len(told) != 0 {
			t.Errorf("first told %q, and %d more were told something", got, len(told))
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := scheduler.New(scheduler.DefaultConfig()); darter.KindOf(err) != darter.Invalid || err == nil {
		t.Errorf("no listener: %v", err)
	}
}

// TestAnEmptyPolicySaysNothing: a file with comments only leaves the defaults as they are.
func TestAnEmptyPolicySaysNothing(t *testing.T) {
	for _, text := range []string{"", "\n", "# later\n", "---\n"} {
		p, err := scheduler.ReadPolicy("empty", []byte(text))
		if err != nil || p != liveness.DefaultPolicy() {
			t.Errorf("%q: %v, %+v", text, err, p)
		}
	}
}
