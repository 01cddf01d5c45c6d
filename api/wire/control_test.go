package wire

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
)

func drawOrder(t *rapid.T) darter.Order {
	word := rapid.StringMatching(`[a-z0-9é]{1,12}`)
	target := rapid.Custom(func(t *rapid.T) darter.Target {
		return darter.Target{ID: darter.HostID(word.Draw(t, "id")), Hostname: word.Draw(t, "name"), IP: netip.AddrFrom4([4]byte{10, 1, 2, rapid.Byte().Draw(t, "ip")}),
			Port: rapid.Uint16().Draw(t, "port"), Kind: darter.HostKind(rapid.IntRange(0, 1).Draw(t, "kind"))}
	})
	item := rapid.Custom(func(t *rapid.T) darter.OrderItem {
		return darter.OrderItem{Number: rapid.Uint32().Draw(t, "number"), Task: darter.TaskID(word.Draw(t, "task")), Done: rapid.SliceOfN(rapid.Uint32(), 1, 3).Draw(t, "done"),
			Want: darter.Want{URL: word.Draw(t, "url"), Tag: word.Draw(t, "tag"), Application: word.Draw(t, "app"), FilteredQuery: []string{word.Draw(t, "filter")},
				Header: map[string]string{word.Draw(t, "k"): word.Draw(t, "v")}, PieceLength: darter.MinPieceLength, DigestAsID: rapid.Bool().Draw(t, "as"), Priority: 3}}
	})
	return darter.Order{Lease: darter.OrderLease{Job: darter.JobID(word.Draw(t, "job")), Step: rapid.Uint32().Draw(t, "step"), Epoch: rapid.Uint64().Draw(t, "epoch")},
		Kind: darter.PreheatFiles, Cluster: rapid.Uint64().Draw(t, "cluster"), Hosts: rapid.SliceOfN(target, 1, 4).Draw(t, "hosts"), Items: rapid.SliceOfN(item, 1, 8).Draw(t, "items"),
		Targets:     darter.Targets{Scope: darter.AllPeers, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Count: 3, Percent: 50},
		TasksAtOnce: 8, HostsAtOnce: 500, Timeout: time.Duration(rapid.Int64Range(0, 1<<50).Draw(t, "timeout"))}
}

func TestOrdersComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawOrder(t)
		var got darter.Order
		for i, m := range FromOrder(want) {
			part, err := ToOrder(m)
			if err == nil && i == 0 {
				got = part
			} else if err == nil {
				err = JoinOrder(&got, part)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		require.Equal(t, want, got)
	})
}

func TestALargeOrderComesInParts(t *testing.T) {
	o := darter.Order{Lease: darter.OrderLease{Job: "j"}}
	for i := range 2*MaxOrderItems + 1 {
		o.Items = append(o.Items, darter.OrderItem{Number: uint32(i), Want: darter.Want{URL: string(make([]byte, 2000))}})
	}
	parts := FromOrder(o)
	total := 0
	for i, m := range parts {
		require.Less(t, proto.Size(m), 3<<20)
		require.Equal(t, i < len(parts)-1, m.GetMore())
		total += len(m.GetItems())
	}
	require.Equal(t, len(o.Items), total)
	require.Error(t, JoinOrder(&o, darter.Order{Lease: darter.OrderLease{Job: "other"}}))
}

func TestReportsComeBackAsTheyWere(t *testing.T) {
	want := darter.OrderReport{Lease: darter.OrderLease{Job: "j", Step: 1, Epoch: 2}, Hosts: []darter.Target{{ID: "h", Hostname: "n", IP: netip.MustParseAddr("10.0.0.1"), Port: 1, Kind: darter.Seed}},
		Outcomes: []darter.OrderOutcome{{Item: 1, Host: 2, Failure: darter.Failed404, Text: "no", Bytes: 3, Held: true}}, Ended: true, Released: true, Failure: darter.FailedTimeout, Text: "late",
		Found: []darter.Host{{ID: "h", Kind: darter.Seed, Hostname: "n", IP: netip.MustParseAddr("::1"), Port: 1, DownloadPort: 2, ProxyPort: 3, IDC: "i", Location: "l", OS: "o", Platform: "p",
			Family: "f", OSVersion: "v", Kernel: "k", Version: "1", Commit: "c", Cluster: 4}}}
	got, err := ToOrderReport(FromOrderReport(9, want))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// Whatever bytes come: no panic, and what is taken can be written again.
func FuzzControl(f *testing.F) {
	for _, m := range []proto.Message{FromOrder(darter.Order{Lease: darter.OrderLease{Job: "j"}, Items: []darter.OrderItem{{Want: darter.Want{URL: "http://o"}}}})[0],
		FromOrderReport(1, darter.OrderReport{Lease: darter.OrderLease{Job: "j"}, Outcomes: []darter.OrderOutcome{{Item: 1}}})} {
		raw, err := proto.Marshal(m)
		require.NoError(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var o darterv1.Order
		if proto.Unmarshal(raw, &o) == nil {
			if got, err := ToOrder(&o); err == nil {
				for _, part := range FromOrder(got) {
					_, err := proto.Marshal(part)
					require.NoError(t, err)
				}
			}
		}
		var r darterv1.Report
		if proto.Unmarshal(raw, &r) == nil {
			if got, err := ToOrderReport(&r); err == nil {
				_, err := proto.Marshal(FromOrderReport(1, got))
				require.NoError(t, err)
			}
		}
	})
}
