package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// Run runs every story on a fresh store each.
func Run(t *testing.T, open func(*testing.T) store.Store) {
	stories := []struct {
		name string
		tell func(*testing.T, store.Store)
	}{
		{"create, write, read", createWriteRead},
		{"create again", createAgain},
		{"bad requests", badRequests},
		{"wrong bytes are not kept", wrongBytes},
		{"ranges", ranges},
		{"followed while it is written", followed},
		{"resumed where another writer left", left},
		{"thrown away while it is followed", thrownAway},
		{"the first writer with bytes is followed", firstWithBytes},
		{"what another writer has more is followed next", succeeded},
		{"one of two goes on from what was left", resumedTwice},
		{"hedged writers", hedged},
		{"hedged writers, first aborts", hedgedAbort},
		{"hedged writers, then dropped", hedgedDrop},
		{"finish", finish},
		{"finish against a digest", finishDigest},
		{"empty content", empty},
		{"drop", drop},
		{"remove", remove},
		{"changed", changed},
		{"list and usage", listUsage},
		{"copy out", copyOut},
		{"link out", linkOut},
		{"many writers, some lying", crowd},
		{"readers beside writers", readersBesideWriters},
		{"create and remove at once", createRemoveRace},
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			st := open(t)
			defer func() {
				if err := st.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			s.tell(t, st)
		})
	}
}

// ID returns a valid task id that ends in n.
func ID(n int) darter.TaskID { return darter.TaskID(fmt.Sprintf("%064x", n)) }

// Meta describes a content of the given length in pieces of the given length.
func Meta(n int, length, piece int64) store.Meta {
	return store.Meta{ID: ID(n), URL: "http://origin/file", Layout: darter.Layout{Length: length, PieceLength: piece},
		Version: "v1", Header: map[string]string{"Content-Type": "text/plain"}, Created: time.Unix(1700000000, 5)}
}

// Bytes returns n reproducible bytes.
func Bytes(seed uint64, n int64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b) // never fails
	return b
}

// Put writes piece n of content and commits it.
func Put(task store.Task, n uint32, content []byte) error {
	w, err := task.Writer(n)
	if err != nil {
		return err
	}
	defer w.Abort()
	span := task.Meta().Layout.Span(n)
	if _, err := w.Write(content[span.Offset:span.End()]); err != nil {
		return err
	}
	_, err = w.Commit(nil, darter.Piece{Parent: "10.0.0.1-host-peer", Traffic: darter.FromPeer, Cost: time.Second, Created: time.Unix(1700000001, 7)})
	return err
}

// PutAll writes every missing piece.
func PutAll(task store.Task, content []byte) error {
	for n := range task.Meta().Layout.Count() {
		if err := Put(task, n, content); err != nil && darter.KindOf(err) != darter.Conflict {
			return err
		}
	}
	return nil
}

// Check compares every held piece with content, by both ways of reading.
func Check(task store.Task, content []byte) error {
	for n := range task.Pieces().All() {
		span := task.Meta().Layout.Span(n)
		want := content[span.Offset:span.End()]
		r, err := task.OpenPiece(n)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(r.Body)
		r.Close()
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) || r.Piece.CRC != crc32.ChecksumIEEE(want) {
			return fmt.Errorf("piece %d has other bytes than were written", n)
		}
		got = make([]byte, span.Length)
		if _, err := task.ReadAt(got, span.Offset); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("ReadAt of piece %d returns other bytes than were written", n)
		}
	}
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, kind darter.Kind) {
	t.Helper()
	if err == nil || darter.KindOf(err) != kind {
		t.Errorf("got %v (%v), want %v", err, darter.KindOf(err), kind)
	}
}

func wantPieces(t *testing.T, task store.Task, want darter.PieceSet) {
	t.Helper()
	if got := task.Pieces(); !got.Equal(want) {
		t.Errorf("holds %s, want %s", got, want)
	}
}

func create(t *testing.T, s store.Store, m store.Meta) store.Task {
	t.Helper()
	task, err := s.Create(m)
	must(t, err)
	return task
}
