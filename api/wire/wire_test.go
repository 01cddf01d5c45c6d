package wire_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

var compare = cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmpopts.EquateEmpty()}

func drawHost(t *rapid.T) darter.Host {
	text := rapid.StringMatching(`[a-z0-9|.-]{0,12}`)
	num := rapid.Uint64Range(0, 1<<40)
	return darter.Host{
		ID: darter.HostID(rapid.StringMatching(`[a-z0-9.-]{1,20}`).Draw(t, "id")), Kind: darter.HostKind(rapid.IntRange(0, 1).Draw(t, "kind")),
		Name: text.Draw(t, "name"), Hostname: rapid.StringMatching(`[a-z]{1,9}`).Draw(t, "hostname"),
		IP:   netip.AddrFrom4([4]byte{10, rapid.Byte().Draw(t, "ip"), 3, 4}),
		Port: uint16(rapid.IntRange(1024, 65534).Draw(t, "port")), DownloadPort: uint16(rapid.IntRange(1024, 65534).Draw(t, "down")),
		ProxyPort: uint16(rapid.IntRange(0, 65535).Draw(t, "proxy")), IDC: text.Draw(t, "idc"), Location: text.Draw(t, "loc"),
		OS: text.Draw(t, "os"), Platform: text.Draw(t, "pf"), Family: text.Draw(t, "fam"), OSVersion: text.Draw(t, "osv"), Kernel: text.Draw(t, "k"),
		Version: text.Draw(t, "v"), Commit: text.Draw(t, "c"),
		Network: darter.Network{MaxRx: num.Draw(t, "mrx"), Rx: num.Draw(t, "rx"), MaxTx: num.Draw(t, "mtx"), Tx: num.Draw(t, "tx")},
		CPU:     darter.CPU{Logical: 4, Physical: 2, Percent: rapid.Float64Range(0, 100).Draw(t, "cpu"), ProcessPercent: 3},
		Memory:  darter.Memory{Total: num.Draw(t, "mt"), Available: 1, Used: 2, Free: 3, UsedPercent: rapid.Float64Range(0, 100).Draw(t, "mu"), ProcessPercent: 1},
		Disk:    darter.Disk{Total: num.Draw(t, "dt"), Free: 5, Used: 6, UsedPercent: 7},
		Cluster: num.Draw(t, "cluster"), NoSharing: rapid.Bool().Draw(t, "ns"),
	}
}

func TestHostRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHost(t)
		m := wire.FromHost(h)
		if err := m.Validate(); err != nil {
			t.Fatalf("the generated rules refuse %+v: %v", h, err)
		}
		back, err := wire.ToHost(m)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(h, back, compare); d != "" {
			t.Fatal(d)
		}
	})
}

func TestWantRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z0-9]{0,9}`)
		b := rapid.Bool()
		w := darter.Want{
			URL: "https://host/" + text.Draw(t, "url"), Tag: text.Draw(t, "tag"), Application: text.Draw(t, "app"),
			Priority:      darter.Priority(rapid.IntRange(0, 6).Draw(t, "prio")),
			FilteredQuery: rapid.SliceOfN(text, 0, 3).Draw(t, "fq"), Header: map[string]string{"Authorization": text.Draw(t, "h")},
			ContentForID: text.Draw(t, "cid"), DigestAsID: b.Draw(t, "d"), Revision: text.Draw(t, "rev"), OutputPath: text.Draw(t, "out"),
			Overwrite: b.Draw(t, "o"), ForceHardLink: b.Draw(t, "f"), NeedContent: b.Draw(t, "n"),
			Timeout:       time.Duration(rapid.Int64Range(0, 1<<50).Draw(t, "to")),
			DisableSource: b.Draw(t, "ds"), NeedSource: b.Draw(t, "nsrc"), MetadataOnly: b.Draw(t, "mo"), Prefetch: b.Draw(t, "p"), IsPrefetch: b.Draw(t, "ip"),
			ConcurrentHint: rapid.Uint32().Draw(t, "ch"), LayoutKnown: b.Draw(t, "lk"),
		}
		if w.LayoutKnown {
			w.Layout = darter.LayoutOf(rapid.Int64Range(0, 1<<41).Draw(t, "len"), 0)
		}
		if b.Draw(t, "range") {
			w.Range = &darter.Range{Start: rapid.Int64Range(0, 1<<40).Draw(t, "s"), Length: rapid.Int64Range(1, 1<<40).Draw(t, "l")}
		}
		if b.Draw(t, "pl") {
			w.PieceLength = 8 << 20
		}
		m := wire.FromWant(w)
		if err := m.Validate(); err != nil {
			t.Fatalf("the generated rules refuse %+v: %v", w, err)
		}
		back, err := wire.ToWant(m)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(w, back, compare); d != "" {
			t.Fatal(d)
		}
	})
}

func TestPieceRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := darter.Piece{
			Number: rapid.Uint32Range(0, wire.MaxPieces-1).Draw(t, "n"), Offset: rapid.Int64Range(0, 1<<50).Draw(t, "o"),
			Length: rapid.Int64Range(0, 64<<20).Draw(t, "l"), HasCRC: rapid.Bool().Draw(t, "has"),
			Parent: darter.PeerID(rapid.StringMatching(`[a-z]{0,8}`).Draw(t, "p")), Traffic: darter.Traffic(rapid.IntRange(0, 2).Draw(t, "t")),
			Cost: time.Duration(rapid.Int64Range(0, 1<<50).Draw(t, "c")),
		}
		if p.HasCRC {
			p.CRC = rapid.Uint32().Draw(t, "crc")
		}
		if rapid.Bool().Draw(t, "created") {
			p.Created = time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "at"), 7).UTC()
		}
		m := wire.FromPiece(p)
		if err := m.Validate(); err != nil {
			t.Fatalf("the generated rules refuse %+v: %v", p, err)
		}
		back, err := wire.ToPiece(m)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(p, back); d != "" {
			t.Fatal(d)
		}
	})
}

func TestHostileMessagesAreInvalid(t *testing.T) {
	host := func(change func(*commonv2.Host)) *commonv2.Host {
		m := &commonv2.Host{Id: "h", Hostname: "h", Ip: "10.0.0.1", Port: 4000, DownloadPort: 4000}
		change(m)
		return m
	}
	for name, m := range map[string]*commonv2.Host{
		"nil":       nil,
		"no id":     host(func(m *commonv2.Host) { m.Id = "" }),
		"long id":   host(func(m *commonv2.Host) { m.Id = strings.Repeat("x", 600) }),
		"no ip":     host(func(m *commonv2.Host) { m.Ip = "example.com" }),
		"no port":   host(func(m *commonv2.Host) { m.Port = 0 }),
		"high port": host(func(m *commonv2.Host) { m.Port = 1 << 20 }),
	} {
		if _, err := wire.ToHost(m); darter.KindOf(err) != darter.Invalid || err == nil {
			t.Errorf("host with %s: got %v, want an invalid error", name, err)
		}
	}
	u := func(v uint64) *uint64 { return &v }
	for name, m := range map[string]*commonv2.Download{
		"nil":            nil,
		"no url":         {},
		"bad digest":     {Url: "http://h/", Digest: proto.String("sha256:zz")},
		"empty range":    {Url: "http://h/", Range: &commonv2.Range{}},
		"huge range":     {Url: "http://h/", Range: &commonv2.Range{Start: 1 << 62, Length: 1 << 63}},
		"tiny pieces":    {Url: "http://h/", ActualContentLength: u(1 << 40), ActualPieceLength: u(1)},
		"huge length":    {Url: "http://h/", ActualContentLength: u(1 << 63), ActualPieceLength: u(4 << 20)},
		"piece length":   {Url: "http://h/", PieceLength: u(1)},
		"wrong priority": {Url: "http://h/", Priority: 9},
	} {
		if _, err := wire.ToWant(m); darter.KindOf(err) != darter.Invalid || err == nil {
			t.Errorf("download with %s: got %v, want an invalid error", name, err)
		}
	}
	for name, m := range map[string]*commonv2.Piece{
		"nil":         nil,
		"huge number": {Number: 1 << 31},
		"huge offset": {Offset: 1 << 63},
		"hex crc":     {Digest: "crc32:deadbeef"},
	} {
		if _, err := wire.ToPiece(m); darter.KindOf(err) != darter.Invalid || err == nil {
			t.Errorf("piece with %s: got %v, want an invalid error", name, err)
		}
	}
}

func TestCandidateHasNoSecrets(t *testing.T) {
	parent := darter.Parent{Peer: "p1", Host: darter.Host{ID: "h", Hostname: "h", IP: netip.MustParseAddr("10.0.0.1"), Port: 4000, IDC: "z"}}
	m := wire.Candidate(parent, "", wire.Public{ID: "t", URL: "https://user:secret@host/a?token=secret#secret"})
	if err := m.Validate(); err != nil {
		t.Errorf("the generated rules refuse the candidate: %v", err)
	}
	if strings.Contains(m.String(), "secret") || len(m.GetTask().GetRequestHeader()) > 0 {
		t.Errorf("the candidate carries a secret: %s", m)
	}
	back, err := wire.ToParent(m)
	if err != nil || back.Peer != "p1" || back.Host.Endpoint() != parent.Host.Endpoint() || back.Host.IDC != "z" {
		t.Errorf("read back %+v, %v", back, err)
	}
}

func TestStatusRoundTrip(t *testing.T) {
	for k := darter.Internal; k <= darter.TimedOut; k++ {
		in := &darter.Error{Kind: k, Op: "do it", Hint: "look there", Err: errors.New("it broke")}
		st := wire.Status(in)
		if status.Code(st) != wire.Code(k) {
			t.Errorf("%v became %v", k, status.Code(st))
		}
		out := wire.FromStatus("call", st)
		if darter.KindOf(out) != k || darter.HintOf(out) != "look there" || !strings.Contains(out.Error(), "it broke") {
			t.Errorf("%v came back as %v %q: %v", k, darter.KindOf(out), darter.HintOf(out), out)
		}
		if wire.HTTPStatus(k) < 400 {
			t.Errorf("%v has HTTP status %d", k, wire.HTTPStatus(k))
		}
	}
}

func TestStatusOfForeignErrors(t *testing.T) {
	if wire.Status(nil) != nil || wire.FromStatus("x", nil) != nil {
		t.Error("nil did not stay nil")
	}
	for code, want := range map[codes.Code]darter.Kind{
		codes.ResourceExhausted: darter.Unavailable, codes.NotFound: darter.NotFound, codes.Unauthenticated: darter.Denied,
		codes.Unimplemented: darter.Invalid, codes.Unknown: darter.Internal, codes.DeadlineExceeded: darter.TimedOut, codes.AlreadyExists: darter.Conflict,
	} {
		if got := darter.KindOf(wire.FromStatus("x", status.Error(code, "m"))); got != want {
			t.Errorf("%v became %v, want %v", code, got, want)
		}
	}
	if !errors.Is(wire.FromStatus("x", status.Error(codes.Canceled, "")), context.Canceled) {
		t.Error("a cancelled call does not unwrap to context.Canceled")
	}
	if got := status.Code(wire.Status(context.Canceled)); got != codes.Canceled {
		t.Errorf("context.Canceled became %v", got)
	}
	if got := status.Code(wire.Status(status.Error(codes.Aborted, "x"))); got != codes.Aborted {
		t.Errorf("a status error became %v", got)
	}
}

func TestSourceDescription(t *testing.T) {
	some := darter.Pieces(0, 1, 2, 3, 7)
	if got := wire.SourceDescription(&some); got != "source pieces=0-3,7" {
		t.Errorf("wrote %q", got)
	}
	for text, want := range map[string]string{"source": "all", "": "all", "need to back to source": "all", "source pieces=0-3,7": "0-3,7", "source pieces=none": "none", "sources pieces=1": "all"} {
		set, all, err := wire.ParseSourceDescription(text, 100)
		got := set.String()
		if all {
			got = "all"
		}
		if got != want || err != nil {
			t.Errorf("%q read as %s, %v; want %s", text, got, err, want)
		}
	}
	if _, _, err := wire.ParseSourceDescription("source pieces=0-4000000000", 100); err == nil {
		t.Error("a piece past the limit was taken")
	}
}

func TestBackendJSON(t *testing.T) {
	b := wire.Backend{Message: "gone", Status: 404}
	if got := string(b.JSON()); got != `{"message":"gone","header":{},"status_code":404}` {
		t.Errorf("wrote %s", got)
	}
	back, err := wire.ParseBackend(b.JSON())
	if err != nil || back.Status != 404 || back.Message != "gone" {
		t.Errorf("read back %+v, %v", back, err)
	}
	if got := wire.ToPieceSourceFailed(wire.FromPieceSourceFailed(3, b)); got.Status != 404 || got.Message != "gone" {
		t.Errorf("report read back as %+v", got)
	}
	if m := wire.FromPieceSourceFailed(3, wire.Backend{Message: "no route"}); m.Validate() != nil || wire.ToPieceSourceFailed(m).Message != "no route" {
		t.Errorf("report without a status: %v", m)
	}
}

// FuzzMessages feeds arbitrary protobuf bytes to every To function: nothing panics, and what is
// accepted survives the way back.
func FuzzMessages(f *testing.F) {
	for _, m := range []proto.Message{
		wire.FromHost(darter.Host{ID: "h", IP: netip.MustParseAddr("::1"), Port: 4000}),
		wire.FromWant(darter.Want{URL: "http://h/", LayoutKnown: true, Layout: darter.LayoutOf(10<<20, 0)}),
		wire.FromPiece(darter.Piece{Number: 3, CRC: 9, HasCRC: true}),
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		host, want, piece, peer := new(commonv2.Host), new(commonv2.Download), new(commonv2.Piece), new(commonv2.Peer)
		if proto.Unmarshal(b, host) == nil {
			if h, err := wire.ToHost(host); err == nil {
				if again, err := wire.ToHost(wire.FromHost(h)); err != nil || again.Endpoint() != h.Endpoint() {
					t.Errorf("host %+v: second pass %+v, %v", h, again, err)
				}
			}
		}
		if proto.Unmarshal(b, want) == nil {
			if w, err := wire.ToWant(want); err == nil {
				if w.Layout.Count() > wire.MaxPieces {
					t.Errorf("layout of %d pieces was accepted", w.Layout.Count())
				}
				if again, err := wire.ToWant(wire.FromWant(w)); err != nil || again.Layout != w.Layout {
					t.Errorf("want %+v: second pass %+v, %v", w, again, err)
				}
			}
		}
		if proto.Unmarshal(b, piece) == nil {
			if p, err := wire.ToPiece(piece); err == nil {
				if again, err := wire.ToPiece(wire.FromPiece(p)); err != nil || again.CRC != p.CRC {
					t.Errorf("piece %+v: second pass %+v, %v", p, again, err)
				}
			}
		}
		if proto.Unmarshal(b, peer) == nil {
			_, _ = wire.ToParent(peer)
		}
		_, _ = wire.ParseBackend(b)
		_, _, _ = wire.ParseSourceDescription(string(b), 1000)
	})
}
