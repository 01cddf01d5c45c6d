package database

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
)

const (
	channel    = "darter" // of LISTEN and NOTIFY
	maxPayload = 7000     // bytes; PostgreSQL takes 7999 with the topic
	backlog    = 256      // notes that a subscription keeps
)

// Note tells that something was committed. Notes may be lost: one with Gap says that others may have
// been, and comes at least every Config.Poll, so that a subscriber who looks for itself misses nothing.
type Note struct {
	Topic   string
	Payload string
	Gap     bool
}

// Notify tells the subscribers of topic, in every manager, once the transaction has committed.
func (tx *Tx) Notify(topic, payload string) error {
	if topic == "" || strings.ContainsAny(topic, " \n\x00") || len(topic)+len(payload) > maxPayload || strings.Contains(payload, "\x00") {
		return &darter.Error{Kind: darter.Internal, Op: "notify", Err: fmt.Errorf("topic %q with %d bytes cannot be sent", topic, len(payload))}
	}
	tx.notes = append(tx.notes, Note{Topic: topic, Payload: payload})
	return nil
}

// announce hands the notes to PostgreSQL, which sends them when the transaction commits.
func (tx *Tx) announce(ctx context.Context) error {
	if tx.db.dialect == SQLite {
		return nil
	}
	for _, n := range tx.notes {
		if _, err := tx.ExecContext(ctx, "SELECT pg_notify(?, ?)", channel, n.Topic+" "+n.Payload); err != nil {
			return err
		}
	}
	return nil
}

// Subscription gets the notes of some topics. Close it.
type Subscription struct {
	bus    *bus
	topics map[string]bool
	c      chan Note
}

// C delivers the notes.
func (s *Subscription) C() <-chan Note { return s.c }

// Close ends the delivery; C is not closed.
func (s *Subscription) Close() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	delete(s.bus.mu.subscribers, s)
}

// Subscribe returns a subscription that begins now, with a Gap.
func (db *DB) Subscribe(topics ...string) *Subscription {
	s := &Subscription{bus: db.bus, topics: make(map[string]bool), c: make(chan Note, backlog)}
	for _, topic := range topics {
		s.topics[topic] = true
	}
	s.c <- Note{Gap: true}
	db.bus.mu.Lock()
	defer db.bus.mu.Unlock()
	db.bus.mu.subscribers[s] = true
	return s
}

// bus hands notes to the subscriptions of this process.
type bus struct {
	mu struct {
		sync.Mutex
		subscribers map[*Subscription]bool
		listening   bool // PostgreSQL delivers
	}
}

func newBus() *bus {
	b := &bus{}
	b.mu.subscribers = make(map[*Subscription]bool)
	return b
}

// committed delivers at once what no server will deliver.
func (b *bus) committed(dialect Dialect, notes []Note) {
	b.mu.Lock()
	local := dialect == SQLite || !b.mu.listening
	b.mu.Unlock()
	if !local {
		return
	}
	for _, n := range notes {
		b.deliver(n)
	}
}

// deliver never waits: who does not keep up loses notes, and the next Gap tells it to look.
func (b *bus) deliver(n Note) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.mu.subscribers {
		if !n.Gap && !s.topics[n.Topic] {
			continue
		}
		select {
		case s.c <- n:
		default:
		}
	}
}

func (b *bus) setListening(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.listening = on
}

func micros(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }
