package database

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"
)

// crockford is the alphabet of ULIDs: no I, L, O, U.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ids makes ULIDs that grow within this process, also within one millisecond and when the clock steps back.
//
//	 48 bits milliseconds        80 bits random, plus one within the same millisecond
//	┌──────────────────────┬──────────────────────────────────────────────┐
//	│ 10 characters        │ 16 characters, base 32                       │
//	└──────────────────────┴──────────────────────────────────────────────┘
type ids struct {
	mu struct {
		sync.Mutex
		last [16]byte
	}
}

func (g *ids) next(now time.Time) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(id[6:]) // never fails
	if last := g.mu.last; binary.BigEndian.Uint64(id[:8])>>16 <= binary.BigEndian.Uint64(last[:8])>>16 {
		id = last
		for i := 15; i >= 0; i-- {
			id[i]++
			if id[i] != 0 {
				break
			}
		}
	}
	g.mu.last = id
	return encode(id)
}

func encode(id [16]byte) string {
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	var out [26]byte
	for i := 25; i >= 0; i-- {
		out[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(out[:])
}

// NewID returns a ULID greater than any before it in this process.
func (db *DB) NewID() string { return db.ids.next(time.Now()) }

// NewID returns a ULID greater than any before it in this process.
func (tx *Tx) NewID() string { return tx.db.NewID() }
