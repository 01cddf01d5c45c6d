package wire_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/inventory"
)

var alike = cmp.Options{compare, cmp.Comparer(func(a, b darter.PieceSet) bool { return a.Equal(b) })}

// TestIdleRenewalIsSmall counts bytes: 100,000 hosts send one each some fifty seconds.
func TestIdleRenewalIsSmall(t *testing.T) {
	idle := darter.Renewal{Host: "192.168.100.200-ip-192-168-100-200.eu-west-1.compute.internal", Epoch: math.MaxInt64, Seq: 1,
		Inventory: darter.InventoryDigest{Tasks: 1_000_000, Sum: math.MaxUint64}, InventoryKnown: true}
	busy := idle
	busy.Seq, busy.Load = 1_000_000, darter.Load{Downloads: 1000, Rx: 100_000_000_000, Tx: 100_000_000_000}
	idleLater := idle
	idleLater.Seq = 1_000_000
	for name, c := range map[string]struct {
		r    darter.Renewal
		most int
	}{"first": {idle, 100}, "later": {idleLater, 32}, "busy": {busy, 50}} {
		n := proto.Size(&darterv1.LeaseRequest{Word: &darterv1.LeaseRequest_Renewal{Renewal: wire.FromRenewal(c.r)}})
		if n > c.most {
			t.Errorf("the %s renewal has %d bytes, at most %d are promised", name, n, c.most)
		}
	}
	grant := &darterv1.LeaseResponse{Word: &darterv1.LeaseResponse_Grant{Grant: wire.FromGrant(darter.Grant{Seq: 1_000_000, Next: time.Minute})}}
	if n := proto.Size(grant); n > 12 {
		t.Errorf("a grant has %d bytes, at most 12 are promised", n)
	}
}

func TestRenewalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := darter.Renewal{Host: darter.HostID(rapid.StringMatching(`[a-z0-9.-]{1,60}`).Draw(t, "host")), Epoch: darter.Epoch(rapid.Uint64Range(1, math.MaxUint64).Draw(t, "epoch")),
			Seq: rapid.Uint64Range(1, 3).Draw(t, "seq"), Load: darter.Load{Downloads: rapid.Uint32().Draw(t, "d"), Rx: rapid.Uint64().Draw(t, "rx"), Tx: rapid.Uint64().Draw(t, "tx")}}
		if r.InventoryKnown = rapid.Bool().Draw(t, "known"); r.InventoryKnown {
			r.Inventory = darter.InventoryDigest{Tasks: rapid.Uint32().Draw(t, "tasks"), Sum: rapid.Uint64().Draw(t, "sum")}
		}
		before := r.Host
		if r.Seq == 1 {
			before = ""
		}
		back, err := wire.ToRenewal(wire.FromRenewal(r), before)
		if err != nil || back != r {
			t.Fatalf("%+v became %+v, %v", r, back, err)
		}
	})
}

func TestRenewalRefuses(t *testing.T) {
	good := func() *darterv1.Renewal { return &darterv1.Renewal{HostId: "h", Epoch: 1, Seq: 1} }
	for name, c := range map[string]struct {
		change func(*darterv1.Renewal)
		host   darter.HostID
	}{
		"no host":      {func(m *darterv1.Renewal) { m.HostId = "" }, ""},
		"long host":    {func(m *darterv1.Renewal) { m.HostId = strings.Repeat("h", 513) }, ""},
		"another host": {func(m *darterv1.Renewal) { m.HostId = "k" }, "h"},
		"no epoch":     {func(m *darterv1.Renewal) { m.Epoch = 0 }, ""},
		"no number":    {func(m *darterv1.Renewal) { m.Seq = 0 }, ""},
	} {
		m := good()
		c.change(m)
		if r, err := wire.ToRenewal(m, c.host); darter.KindOf(err) != darter.Invalid {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := wire.ToRenewal(nil, "h"); darter.KindOf(err) != darter.Invalid {
		t.Errorf("nothing: %v", err)
	}
}

func TestGrantRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
		g := darter.Grant{Seq: rapid.Uint64().Draw(t, "seq"), Next: time.Duration(rapid.IntRange(1, 3_600_000).Draw(t, "ms")) * time.Millisecond, AnnounceFull: flag("full"),
			WantInventory: flag("inventory"), Superseded: flag("superseded"), RenewNow: flag("now"), Epoch: darter.Epoch(rapid.Uint64().Draw(t, "epoch"))}
		if back, err := wire.ToGrant(wire.FromGrant(g)); err != nil || back != g {
			t.Fatalf("%+v became %+v, %v", g, back, err)
		}
	})
	for name, m := range map[string]*darterv1.Grant{"nothing": nil, "no time": {Seq: 1}} {
		if g, err := wire.ToGrant(m); darter.KindOf(err) != darter.Invalid {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
	}
	if g, err := wire.ToGrant(&darterv1.Grant{Seq: 1, IntervalMs: math.MaxUint32}); err != nil || g.Next != time.Hour {
		t.Errorf("an interval of weeks became %s, %v", g.Next, err)
	}
	if m := wire.FromGrant(darter.Grant{Seq: 1, Next: time.Microsecond}); m.GetIntervalMs() != 1 {
		t.Errorf("a microsecond became %dms", m.GetIntervalMs())
	}
}

func drawTask(t *rapid.T, prefix string) darter.TaskID {
	return darter.TaskID(prefix + rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "task")[len(prefix):])
}

func TestInventoryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.StringMatching(`[0-9a-f]{0,4}`).Draw(t, "prefix")
		tree := inventory.New()
		for range rapid.IntRange(0, 40).Draw(t, "tasks") {
			l := darter.Location{Task: drawTask(t, prefix), Layout: darter.LayoutOf(rapid.Int64Range(0, 1<<34).Draw(t, "length"), 0), Complete: rapid.Bool().Draw(t, "complete")}
			if count := l.Layout.Count(); !l.Complete && count > 0 {
				l.Pieces = darter.Pieces(rapid.SliceOf(rapid.Uint32Range(0, count-1)).Draw(t, "pieces")...)
			}
			tree.Put(l)
		}
		q := inventory.Question{Prefix: prefix, Limit: rapid.IntRange(0, inventory.MaxPage).Draw(t, "limit")}
		if q.Limit > 0 && rapid.Bool().Draw(t, "goes on") {
			q.After = drawTask(t, prefix)
		}
		qs, err := wire.ToQuestions(wire.FromQuestions([]inventory.Question{q}))
		if err != nil || len(qs) != 1 || qs[0] != q {
			t.Fatalf("%+v became %+v, %v", q, qs, err)
		}
		a, err := tree.Answer(q)
		if err != nil {
			t.Fatal(err)
		}
		back, err := wire.ToAnswer(wire.FromAnswer(a))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(a, back, alike); d != "" {
			t.Fatal(d)
		}
	})
}

func TestInventoryRefuses(t *testing.T) {
	id := make([]byte, 32)
	page := &darterv1.Question{Limit: 1}
	many := make([]*darterv1.Question, inventory.MaxQuestions+1)
	for name, m := range map[string]*darterv1.Questions{
		"nothing": nil, "none": {}, "too many": {Questions: many},
		"capitals":       {Questions: []*darterv1.Question{{Prefix: "AB"}}},
		"long prefix":    {Questions: []*darterv1.Question{{Prefix: strings.Repeat("a", 17)}}},
		"huge page":      {Questions: []*darterv1.Question{{Limit: math.MaxUint32}}},
		"short id":       {Questions: []*darterv1.Question{{Limit: 1, After: id[:31]}}},
		"after elsewhat": {Questions: []*darterv1.Question{{Limit: 1, Prefix: "a", After: id}}},
	} {
		if q, err := wire.ToQuestions(m); darter.KindOf(err) != darter.Invalid {
			t.Errorf("questions, %s: %+v, %v", name, q, err)
		}
	}
	for name, m := range map[string]*darterv1.Answer{
		"nothing": nil, "no figures": {Question: &darterv1.Question{}},
		"some figures":   {Question: &darterv1.Question{}, Tasks: make([]uint32, 16), Sums: make([]uint64, 15)},
		"tasks unasked":  {Question: &darterv1.Question{}, Tasks: make([]uint32, 16), Sums: make([]uint64, 16), Locations: []*darterv1.Location{{Task: id}}},
		"no id":          {Question: page, Locations: []*darterv1.Location{{}}},
		"too many":       {Question: page, Locations: []*darterv1.Location{{Task: id}, {Task: id}}},
		"no pieces":      {Question: page, Locations: []*darterv1.Location{{Task: id, Length: 1}}},
		"huge":           {Question: page, Locations: []*darterv1.Location{{Task: id, Length: math.MaxUint64, PieceLength: 1 << 22}}},
		"far too many":   {Question: page, Locations: []*darterv1.Location{{Task: id, Length: 1 << 40, PieceLength: 1}}},
		"pieces beyond":  {Question: page, Locations: []*darterv1.Location{{Task: id, Length: 8, PieceLength: 4, Pieces: []byte{4}}}},
		"a bitmap's end": {Question: page, Locations: []*darterv1.Location{{Task: id, Length: 8, PieceLength: 4, Pieces: []byte{1, 0}}}},
	} {
		if a, err := wire.ToAnswer(m); darter.KindOf(err) != darter.Invalid {
			t.Errorf("answer, %s: %+v, %v", name, a, err)
		}
	}
}

// FuzzLease: whatever comes as a word of either side is refused, or means the same after another trip.
func FuzzLease(f *testing.F) {
	seed := func(m proto.Message, server bool) {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, server)
	}
	tree := inventory.New()
	tree.Put(darter.Location{Task: darter.TaskID(strings.Repeat("a", 64)), Layout: darter.LayoutOf(1<<30, 0), Pieces: darter.Pieces(1, 9)})
	for _, q := range []inventory.Question{{}, {Limit: 10}, {Prefix: "a", Limit: 10}} {
		a, err := tree.Answer(q)
		if err != nil {
			f.Fatal(err)
		}
		seed(&darterv1.LeaseRequest{Word: &darterv1.LeaseRequest_Answer{Answer: wire.FromAnswer(a)}}, false)
		seed(&darterv1.LeaseResponse{Word: &darterv1.LeaseResponse_Questions{Questions: wire.FromQuestions([]inventory.Question{q})}}, true)
	}
	seed(&darterv1.LeaseRequest{Word: &darterv1.LeaseRequest_Renewal{Renewal: wire.FromRenewal(darter.Renewal{Host: "h", Epoch: 1, Seq: 1})}}, false)
	seed(&darterv1.LeaseResponse{Word: &darterv1.LeaseResponse_Grant{Grant: wire.FromGrant(darter.Grant{Seq: 1, Next: time.Second, AnnounceFull: true})}}, true)
	f.Fuzz(func(t *testing.T, raw []byte, server bool) {
		if server {
			var m darterv1.LeaseResponse
			if proto.Unmarshal(raw, &m) == nil {
				again(t, m.GetGrant(), wire.ToGrant, wire.FromGrant)
				again(t, m.GetQuestions(), wire.ToQuestions, wire.FromQuestions)
			}
			return
		}
		var m darterv1.LeaseRequest
		if proto.Unmarshal(raw, &m) != nil {
			return
		}
		again(t, m.GetRenewal(), func(m *darterv1.Renewal) (darter.Renewal, error) { return wire.ToRenewal(m, "h") }, wire.FromRenewal)
		again(t, m.GetAnswer(), wire.ToAnswer, wire.FromAnswer)
	})
}

func again[M, N any](t *testing.T, m M, to func(M) (N, error), from func(N) M) {
	t.Helper()
	n, err := to(m)
	if err != nil {
		if darter.KindOf(err) != darter.Invalid {
			t.Errorf("the error is not darter.Invalid: %v", err)
		}
		return
	}
	back, err := to(from(n))
	if err != nil {
		t.Fatalf("%+v cannot be read again: %v", n, err)
	}
	if d := cmp.Diff(n, back, alike); d != "" {
		t.Error(d)
	}
}
