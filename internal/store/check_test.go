package store

import (
	"math"
	"strings"
	"testing"

	"github.com/darter-p2p/darter"
)

func TestSumKnowsEveryAlgorithmThatDigestsMayName(t *testing.T) {
	for _, want := range []darter.Digest{
		"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha1:a9993e364706816aba3e25717850c26c9cd0d89d",
		"md5:900150983cd24fb0d6963f7d28e17f72",
		"crc32:891568578",
		"sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	} {
		if _, err := darter.ParseDigest(string(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := Sum(want, strings.NewReader("abc")); err != nil || got != want {
			t.Errorf("Sum = %s, %v; want %s", got, err, want)
		}
	}
	if _, err := Sum("blake9:00", strings.NewReader("")); darter.KindOf(err) != darter.Invalid {
		t.Errorf("unknown algorithm: %v", err)
	}
}

func TestCheckRefusesWhatCannotBeStored(t *testing.T) {
	id := darter.TaskID(strings.Repeat("a", 64))
	bad := []Meta{
		{ID: "../../etc/passwd", Layout: darter.Layout{Length: 1, PieceLength: 1}},
		{ID: id, Layout: darter.Layout{Length: -1, PieceLength: 1}},
		{ID: id, Layout: darter.Layout{Length: 1}},
		{ID: id, Layout: darter.Layout{Length: 1, PieceLength: math.MaxInt64}},
		{ID: id, Layout: darter.Layout{Length: math.MaxInt64, PieceLength: 4 << 20}},
	}
	for _, m := range bad {
		if err := Check(m); darter.KindOf(err) != darter.Invalid {
			t.Errorf("%+v: %v, want invalid", m, err)
		}
	}
	for _, m := range []Meta{{ID: id}, {ID: id, Layout: darter.LayoutOf(1<<40, 0)}} {
		if err := Check(m); err != nil {
			t.Errorf("%+v: %v", m, err)
		}
	}
}
