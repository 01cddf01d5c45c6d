package scheduler

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler/rpc"
)

// TestAnOldSnapshotIsRead: what version 1 wrote, word for word.
func TestAnOldSnapshotIsRead(t *testing.T) {
	old := `{"format":"darter-hosts","version":1,"hosts":1}
{"ID":"10.0.0.1-a","Kind":1,"Name":"a","Hostname":"a","IP":"10.0.0.1","Port":4000,"DownloadPort":4000,"ProxyPort":0,"IDC":"x","Location":"","OS":"linux","Platform":"","Family":"","OSVersion":"","Kernel":"","Version":"","Commit":"","Network":{"MaxRx":0,"Rx":0,"MaxTx":0,"Tx":0},"CPU":{"Logical":2,"Physical":0,"Percent":0,"ProcessPercent":0},"Memory":{"Total":0,"Available":0,"Used":0,"Free":0,"UsedPercent":0,"ProcessPercent":0},"Disk":{"Total":0,"Free":0,"Used":0,"UsedPercent":0},"Cluster":1,"NoSharing":false,"Interval":60000000000,"Epoch":7,"Native":true,"Storage":0,"Keeps":0}
`
	s, err := decodeSnapshot(strings.NewReader(old))
	if err != nil || len(s.hosts) != 1 || len(s.gone) != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	if h := s.hosts[0]; h.ID != "10.0.0.1-a" || h.Kind != darter.Seed || h.Epoch != 7 || h.Interval != time.Minute || h.Drained {
		t.Errorf("read %+v", h)
	}
}

func sampleSnapshot() snapshot {
	at := time.Date(2026, 11, 21, 10, 0, 0, 5, time.UTC)
	return snapshot{
		hosts: []rpc.Known{{Host: darter.Host{ID: "a", IP: netip.MustParseAddr("10.0.0.1"), Port: 4000, Storage: 1 << 63, Keeps: time.Hour}, Drained: true},
			{Host: darter.Host{ID: "b", IP: netip.MustParseAddr("fd00::1"), Port: 1}}},
		gone: []liveness.Tombstone{{Host: "c", Epoch: 9, Verdict: darter.Forgotten, At: at, Heard: at.Add(-time.Hour), Reason: "gone for too long",
			Exit: darter.ExitCrash, Storage: 1<<64 - 1, Zone: liveness.ZoneOf(1, "x", "r|1"), Drained: true, Policy: 3},
			{Host: "d", Verdict: darter.Left, At: at, Reason: "took its leave", Exit: darter.ExitGraceful, Zone: liveness.ZoneOf(0, "", "")}},
	}
}

func TestASnapshotComesBackAsItWas(t *testing.T) {
	want := sampleSnapshot()
	raw, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeSnapshot(bytes.NewReader(raw))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%s\nread as %+v, want %+v", err, raw, got, want)
	}
}

// FuzzSnapshot: whatever lies in the file, it is read whole or refused, and what is read is written as it was.
func FuzzSnapshot(f *testing.F) {
	raw, err := sampleSnapshot().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"format":"darter-hosts","version":2,"hosts":0,"tombstones":1}` + "\n" + `{"host":"a","verdict":"alive","at":"2026-11-21T10:00:00Z","zone":"1/-/-"}`))
	f.Add([]byte(`{"format":"darter-hosts","version":2,"hosts":-1}`))
	f.Add([]byte(`{"format":"darter-hosts","version":1,"hosts":0,"tombstones":1}` + "\nnull"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := decodeSnapshot(bytes.NewReader(raw))
		if err != nil {
			return
		}
		again, err := s.encode()
		if err != nil {
			t.Fatalf("read, and cannot be written: %v", err)
		}
		if back, err := decodeSnapshot(bytes.NewReader(again)); err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%v: %+v became %+v", err, s, back)
		}
	})
}
