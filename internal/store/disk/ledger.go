package disk

import (
	"math"
	"time"

	"github.com/darter-p2p/darter"
)

// maxText limits a parent's name and a digest in a sidecar.
const maxText = 1024

// ledger is what a sidecar's records add up to. A task on disk and a task in use share it.
type ledger struct {
	layout   darter.Layout
	have     darter.PieceSet // held, and the bytes are known to be there
	suspect  darter.PieceSet // recorded, but the bytes may have been lost in a crash
	entries  []entry         // by piece number; nil before the first piece
	texts    []string        // index 1 is texts[0]
	held     int64           // bytes of have
	sum      uint64          // over have and suspect
	complete bool
	digest   darter.Digest // matched when the task was completed
	finished time.Time
	read     time.Time
	next     int64 // slot of the next record
}

// put records a piece as held, or as suspect.
func (l *ledger) put(n uint32, e entry, trusted bool) {
	l.drop(n)
	if l.entries == nil {
		l.entries = make([]entry, l.layout.Count())
	}
	l.entries[n] = e
	l.sum += mix(n, e.crc)
	if trusted {
		l.have.Add(n)
		l.held += l.layout.Span(n).Length
	} else {
		l.suspect.Add(n)
	}
}

// drop forgets a piece and reports whether it was there.
func (l *ledger) drop(n uint32) bool {
	held := l.have.Remove(n)
	if held {
		l.held -= l.layout.Span(n).Length
	}
	if !l.suspect.Remove(n) && !held {
		return false
	}
	l.sum -= mix(n, l.entries[n].crc)
	return true
}

// trust turns suspects into held pieces.
func (l *ledger) trust(set darter.PieceSet) {
	for n := range set.All() {
		if l.suspect.Remove(n) {
			l.have.Add(n)
			l.held += l.layout.Span(n).Length
		}
	}
}

func (l *ledger) full() bool {
	return uint32(l.have.Len()+l.suspect.Len()) == l.layout.Count()
}

func (l *ledger) text(index uint16) string {
	if index == 0 || int(index) > len(l.texts) {
		return ""
	}
	return l.texts[index-1]
}

// intern returns the index of a text, and the records that write it when it is new. A text that
// is too long, or one too many, is not kept: it only tells a person who served a piece.
func (l *ledger) intern(text string) (uint16, []record) {
	if text == "" || len(text) > maxText {
		return 0, nil
	}
	for i := len(l.texts) - 1; i >= 0; i-- {
		if l.texts[i] == text {
			return uint16(i + 1), nil
		}
	}
	if len(l.texts) >= math.MaxUint16 {
		return 0, nil
	}
	l.texts = append(l.texts, text)
	index := uint16(len(l.texts))
	return index, textRecords(index, text)
}

func (l *ledger) piece(n uint32) darter.Piece {
	span, e := l.layout.Span(n), l.entries[n]
	return darter.Piece{Number: n, Offset: span.Offset, Length: span.Length, CRC: e.crc, HasCRC: true,
		Parent: darter.PeerID(l.text(e.parent)), Traffic: e.traffic, Cost: e.cost, Created: moment(e.created)}
}

// fold adds up the records in b, which starts with the first of them, and returns how many bad ones lie
// among the good. Those are slots whose write failed or was lost; what follows them still counts. Bytes
// after the last good record are a torn tail, and next points to where they begin.
//
// Pieces are suspect until a checkpoint whose sum agrees with what was read up to it.
func (l *ledger) fold(b []byte, seed uint32) (bad int) {
	parts := map[uint16][]byte{}
	for slot := int64(0); (slot+1)*recordLength <= int64(len(b)); slot++ {
		r, ok := decodeRecord(b[slot*recordLength:(slot+1)*recordLength], seed, slot)
		if !ok {
			continue
		}
		bad += int(slot - l.next)
		l.next = slot + 1
		l.apply(r, parts)
	}
	return bad
}

func (l *ledger) apply(r record, parts map[uint16][]byte) {
	switch r.kind {
	case kindPiece:
		if r.number < l.layout.Count() && int64(r.length) == l.layout.Span(r.number).Length {
			l.put(r.number, entry{created: nanos(r.at), cost: r.cost, crc: r.crc, parent: r.text, traffic: darter.Traffic(r.detail)}, false)
		}
	case kindText:
		l.applyText(r, parts)
	case kindDrop:
		if r.number < l.layout.Count() {
			l.drop(r.number)
			l.complete, l.digest, l.finished = false, "", time.Time{}
		}
	case kindCheckpoint, kindComplete:
		if r.sum != l.sum {
			return
		}
		l.trust(l.suspect.Clone())
		if r.kind == kindComplete && l.full() {
			l.complete, l.finished = true, r.at
			if d, err := darter.ParseDigest(l.text(r.text)); err == nil && d != "" {
				l.digest = d
			}
		}
	case kindRead:
		l.read = r.at
	}
}

// applyText collects the parts of a text, which come in order.
func (l *ledger) applyText(r record, parts map[uint16][]byte) {
	have := parts[r.text]
	if r.text == 0 || r.number > maxText || len(have) != int(r.detail)*textChunk || len(have) >= int(r.number) {
		return
	}
	have = append(have, r.chunk[:min(textChunk, int(r.number)-len(have))]...)
	parts[r.text] = have
	for len(l.texts) < int(r.text) {
		l.texts = append(l.texts, "")
	}
	if len(have) == int(r.number) {
		l.texts[r.text-1] = string(have)
	}
}
