package disk

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/storetest"
)

// log encodes records one after the other, as a sidecar has them.
func log(seed uint32, records ...record) []byte {
	b := make([]byte, len(records)*recordLength)
	for i, r := range records {
		r.encode(b[i*recordLength:(i+1)*recordLength], seed, int64(i))
	}
	return b
}

func pieceRecord(n, crc uint32) record {
	return record{kind: kindPiece, detail: uint8(darter.FromPeer), number: n, length: 100, crc: crc, cost: 5, at: time.Unix(0, 9)}
}

func folded(b []byte) (*ledger, int) {
	l := &ledger{layout: darter.Layout{Length: 300, PieceLength: 100}}
	bad := l.fold(b, 77)
	return l, bad
}

func TestHeaderReadsAsWritten(t *testing.T) {
	m := storetest.Meta(1, 1000, 256)
	m.Tag, m.Application, m.Digest = "t", "a", "md5:900150983cd24fb0d6963f7d28e17f72"
	m.Header["X"] = strings.Repeat("x", 100)
	b, err := encodeHeader(m)
	if err != nil {
		t.Fatal(err)
	}
	got, begin, seed, err := decodeHeader(b)
	if err != nil || begin != len(b) || begin%recordLength != 0 || seed != headerSeed(b) {
		t.Fatalf("begin %d of %d, seed %d, %v", begin, len(b), seed, err)
	}
	if !got.Created.Equal(m.Created) {
		t.Errorf("created %v, want %v", got.Created, m.Created)
	}
	got.Created = m.Created
	if !reflect.DeepEqual(got, m) {
		t.Errorf("%+v\nwant %+v", got, m)
	}
	for i := range headerLength + 300 { // every byte counts
		b[i] ^= 1
		if _, _, _, err := decodeHeader(b); err == nil && i != 16 {
			t.Errorf("byte %d may be changed", i)
		}
		b[i] ^= 1
	}
	b[8]++
	if _, _, _, err := decodeHeader(b); !errors.Is(err, errNewer) {
		t.Errorf("a later format: %v", err)
	}
	m.Header["X"] = strings.Repeat("x", maxMetaLength)
	if _, err := encodeHeader(m); darter.KindOf(err) != darter.Invalid {
		t.Errorf("an endless header: %v", err)
	}
}

// The format on disk is a promise to later versions: this test may gain lines, not change them.
func TestRecordsLookAsDocumented(t *testing.T) {
	got := hex.EncodeToString(log(77, record{kind: kindPiece, detail: 1, text: 2, number: 3, length: 4, crc: 5, cost: 6, at: time.Unix(0, 7)}))
	want := "0101020003000000040000000500000006000000000000000700000000000000" + "00000000000000000000000000000000000000000000000000000000"
	if got[:120] != want[:120] {
		t.Errorf("\n%s\n%s", got, want)
	}
	if crc := got[120:]; crc != "1f9fe981" {
		t.Errorf("CRC %s", crc)
	}
	if m := mix(1, 2); m != 0xb3703ad894507022 {
		t.Errorf("mix %#x", m)
	}
}

func TestFoldOfALifeOfATask(t *testing.T) {
	long := darter.PeerID(strings.Repeat("parent-", 20))
	var l ledger
	index, texts := l.intern(string(long))
	first := pieceRecord(0, 10)
	first.text = index
	records := append(texts, first, pieceRecord(1, 11), pieceRecord(2, 12))
	got, bad := folded(log(77, records...))
	if bad != 0 || !got.suspect.Equal(darter.Pieces(0, 1, 2)) || !got.have.Empty() || got.complete {
		t.Fatalf("without a checkpoint all are suspect: %+v, %d bad", got, bad)
	}
	if p := got.piece(0); p.Parent != long || p.CRC != 10 || p.Cost != 5 || !p.Created.Equal(time.Unix(0, 9)) || p.Traffic != darter.FromPeer {
		t.Errorf("piece %+v", p)
	}
	done := append(records, record{kind: kindComplete, at: time.Unix(0, 50), sum: got.sum})
	got, _ = folded(log(77, done...))
	if !got.complete || got.held != 300 || !got.suspect.Empty() || !got.finished.Equal(time.Unix(0, 50)) {
		t.Errorf("complete: %+v", got)
	}
	got, _ = folded(log(77, append(done, record{kind: kindDrop, number: 1}, pieceRecord(1, 11))...))
	if got.complete || !got.suspect.Equal(darter.Pieces(1)) || !got.have.Equal(darter.Pieces(0, 2)) {
		t.Errorf("dropped and fetched again: %+v", got)
	}
}

func TestACheckpointVouchesOnlyForWhatItCounted(t *testing.T) {
	one, _ := folded(log(77, pieceRecord(0, 10)))
	got, _ := folded(log(77, pieceRecord(0, 10), pieceRecord(1, 11), record{kind: kindCheckpoint, sum: one.sum}))
	if !got.have.Empty() || !got.suspect.Equal(darter.Pieces(0, 1)) {
		t.Errorf("a piece that was recorded beside the checkpoint is trusted: %+v", got)
	}
	got, _ = folded(log(77, pieceRecord(0, 10), record{kind: kindComplete, sum: one.sum}))
	if got.complete || !got.have.Equal(darter.Pieces(0)) {
		t.Errorf("complete without all pieces: %+v", got)
	}
}

func TestBadRecordsAreSkippedAndATornTailIsLeft(t *testing.T) {
	b := log(77, pieceRecord(0, 10), pieceRecord(1, 11), pieceRecord(2, 12))
	b[recordLength+9] ^= 4
	b = append(b, bytes.Repeat([]byte{7}, recordLength+5)...)
	got, bad := folded(b)
	if bad != 1 || got.next != 3 || !got.suspect.Equal(darter.Pieces(0, 2)) {
		t.Errorf("%d bad, next %d, %s", bad, got.next, got.suspect)
	}
	moved := append(bytes.Clone(b[2*recordLength:3*recordLength]), b[:recordLength]...)
	if got, _ := folded(moved); !got.suspect.Empty() {
		t.Errorf("records count in the wrong place: %s", got.suspect)
	}
	got.fold(nil, 1)
	if stranger, _ := folded(log(78, pieceRecord(0, 10))); !stranger.suspect.Empty() {
		t.Error("the record of another sidecar counts")
	}
	hostile := []record{{kind: kindPiece, number: 3, length: 100}, {kind: kindPiece, number: 0, length: 99},
		{kind: kindDrop, number: 1 << 31}, {kind: 200}, {kind: kindText, text: 0, number: 5, chunk: []byte("x")},
		{kind: kindText, text: 9, detail: 3, number: 5, chunk: []byte("x")}, {kind: kindText, text: 9, number: 1 << 30, chunk: []byte("x")}}
	if got, _ := folded(log(77, hostile...)); !got.suspect.Empty() || len(got.texts) > 0 {
		t.Errorf("impossible records count: %+v", got)
	}
}

func FuzzSidecar(f *testing.F) {
	header, _ := encodeHeader(storetest.Meta(1, 300, 100))
	seed := headerSeed(header)
	f.Add(header)
	f.Add(append(bytes.Clone(header), log(seed, append(textRecords(1, "parent"), pieceRecord(0, 1), pieceRecord(2, 3),
		record{kind: kindCheckpoint, sum: mix(0, 1) + mix(2, 3)}, record{kind: kindDrop, number: 2}, record{kind: kindRead, at: time.Unix(5, 5)})...)...))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, begin, seed, err := decodeHeader(b)
		if err != nil || m.Layout.Count() > 1<<16 {
			return
		}
		if err := store.Check(m); err != nil {
			t.Fatalf("a header passed that Check refuses: %v", err)
		}
		l := ledger{layout: m.Layout}
		l.fold(b[min(begin, len(b)):], seed)
		var held int64
		for n := range l.have.All() {
			held += l.piece(n).Length
		}
		if held != l.held || !l.have.Intersect(l.suspect).Empty() || l.complete && !l.full() {
			t.Fatalf("the books do not balance: %+v", l)
		}
	})
}

// FuzzRecords makes good CRCs, so that what the records say is fuzzed as well.
func FuzzRecords(f *testing.F) {
	f.Add(log(0, pieceRecord(0, 1), record{kind: kindComplete, sum: 5}))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := ledger{layout: darter.Layout{Length: 1050, PieceLength: 100}}
		b = b[:len(b)/recordLength*recordLength]
		for i := 0; i < len(b); i += recordLength {
			crc := recordCRC(b[i:i+recordLength], 3, int64(i/recordLength))
			copy(b[i+60:], []byte{byte(crc), byte(crc >> 8), byte(crc >> 16), byte(crc >> 24)})
		}
		l.fold(b, 3)
		for n := range l.have.All() {
			_ = l.piece(n)
		}
		if l.complete && !l.full() || l.held < 0 || l.held > 1050 {
			t.Fatalf("the books do not balance: %+v", l)
		}
	})
}
