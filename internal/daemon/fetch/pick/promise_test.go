package pick

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

// bystander plays parents, source and clock at random, and holds a picker against what the package promises. It keeps
// its own books: what it knows of the picker is what it was told.
type bystander struct {
	t       testing.TB
	r       *rand.Rand
	p       *Picker
	cfg     Config
	layout  darter.Layout
	now     time.Time
	held    darter.PieceSet
	wanted  darter.PieceSet
	granted darter.PieceSet
	parents []*player
	flights []*body
	serial  int
}

type player struct {
	id   darter.PeerID
	has  darter.PieceSet // or about to have
	gone bool
}

type body struct {
	Ask
	bytes int64
	at    uint32
}

// TestPromises: limits are never exceeded, a piece is asked once except as a hedge, nothing is asked that is
// held, nothing of who does not hold it or of the source without a grant, and something is in flight whenever
// something could be.
func TestPromises(t *testing.T) {
	for seed := range uint64(400) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { play(t, seed) })
	}
}

func FuzzPromises(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { play(t, seed) })
}

func play(t testing.TB, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 9))
	cfg := DefaultConfig()
	cfg.Window, cfg.Total, cfg.PerParent, cfg.LonelyParent = 1+r.IntN(20), 1+r.IntN(14), 1+r.IntN(4), 1+r.IntN(5)
	cfg.Racers, cfg.SourceStreams, cfg.SourceRun = 1+r.IntN(6), 1+r.IntN(4), 1+r.IntN(8)
	layout := darter.LayoutOf(r.Int64N(60*darter.MinPieceLength)+1, 0)
	b := &bystander{t: t, r: r, cfg: cfg, layout: layout, p: New(cfg, layout, seed), now: time.Unix(1000, 0)}
	b.wanted = layout.Covering(nil)
	b.p.Want(b.wanted)
	if r.IntN(4) == 0 {
		b.p.Scatter()
	}
	for range 400 {
		b.act()
		b.next()
	}
	b.drainAll()
}

// act lets one thing happen.
func (b *bystander) act() {
	switch n := b.r.IntN(20); {
	case n < 2:
		b.serial++
		q := &player{id: darter.PeerID(fmt.Sprint("p", b.serial))}
		b.parents = append(b.parents, q)
		b.p.Join(q.id, b.r.IntN(5) == 0)
	case n < 7 && len(b.parents) > 0:
		q := b.parents[b.r.IntN(len(b.parents))]
		for range 1 + b.r.IntN(6) {
			n := uint32(b.r.IntN(int(b.layout.Count())))
			q.has.Add(n)
			if b.r.IntN(3) == 0 {
				b.p.Receives(q.id, n)
			} else {
				b.p.Holds(q.id, n)
			}
		}
	case n < 8 && len(b.parents) > 0:
		q := b.parents[b.r.IntN(len(b.parents))]
		q.gone = true
		if b.r.IntN(2) == 0 {
			b.p.Gone(q.id)
		} else {
			b.p.Lost(q.id, b.now)
		}
	case n < 9:
		from := uint32(b.r.IntN(int(b.layout.Count())))
		var set darter.PieceSet
		set.AddRange(from, min(from+uint32(b.r.IntN(9)), b.layout.Count()))
		b.granted.Union(set)
		b.p.Grant(set)
	case n < 10:
		b.p.Urgent(int64(b.r.IntN(int(b.layout.Count())+1)) - 1)
	case n < 17 && len(b.flights) > 0:
		b.progress(b.flights[b.r.IntN(len(b.flights))])
	default:
		b.now = b.now.Add(time.Duration(b.r.IntN(2000)) * time.Millisecond)
	}
}

// progress moves one ask: bytes, a piece, or a failure.
func (b *bystander) progress(f *body) {
	size := b.layout.Span(f.at).Length
	switch n := b.r.IntN(10); {
	case n < 4:
		f.bytes += 1 + b.r.Int64N(size)/2
		b.p.Progress(f.ID, f.bytes, b.now)
	case n < 8:
		b.held.Add(f.at)
		b.p.Got(f.ID, f.at, b.now)
		if f.at++; f.at == f.Piece+f.Run {
			b.end(f, false, false)
		}
	case n < 9:
		b.end(f, true, false)
	case f.Source() || b.r.IntN(2) == 0:
		b.end(f, false, !f.Source())
	default:
		b.flights = slices.DeleteFunc(b.flights, func(g *body) bool { return g == f })
		b.p.Outbid(f.ID)
	}
}

func (b *bystander) end(f *body, failed, missing bool) {
	b.flights = slices.DeleteFunc(b.flights, func(g *body) bool { return g == f })
	b.p.Ended(f.ID, failed, missing, b.now)
	for _, q := range b.parents {
		if q.id == f.From && missing {
			q.has.Remove(f.Piece)
		}
	}
}

// next asks the picker and carries out what it says.
func (b *bystander) next() {
	d := b.p.Next(b.now)
	if !d.Wake.IsZero() && !d.Wake.After(b.now) {
		b.t.Fatalf("wake %s is not after %s", d.Wake, b.now)
	}
	for _, c := range d.Cancel {
		i := slices.IndexFunc(b.flights, func(f *body) bool { return f.ID == c.Ask.ID })
		if i < 0 {
			b.t.Fatalf("cancelled %+v, which is not in flight", c.Ask)
		}
		b.end(b.flights[i], c.Stall, false)
	}
	for _, a := range d.Start {
		b.started(a)
	}
}

func (b *bystander) started(a Ask) {
	pieces, at := map[uint32]bool{a.Piece: true}, 1
	twins, sources := 0, 0
	for _, f := range b.flights {
		switch {
		case f.ID == a.ID:
			b.t.Fatalf("ask %d started twice", a.ID)
		case f.Source():
			sources++
			if a.Source() && f.at < a.Piece+a.Run && a.Piece < f.Piece+f.Run {
				b.t.Fatalf("the source is asked for %+v while %+v is in flight", a, f.Ask)
			}
		default:
			pieces[f.Piece] = true
			if f.Piece == a.Piece {
				twins++
			}
			if f.From == a.From {
				at++
			}
		}
	}
	switch {
	case a.Run < 1 || a.Piece+a.Run > b.layout.Count():
		b.t.Fatalf("%+v reaches past the end", a)
	case a.Source():
		b.fromSource(a, sources+1)
	case b.held.Has(a.Piece):
		b.t.Fatalf("%+v is here already", a)
	case twins > 0 && !a.Hedge:
		b.t.Fatalf("%+v is asked for already", a)
	case twins >= b.cfg.Racers+2:
		b.t.Fatalf("%+v is asked %d times", a, twins+1)
	case len(pieces) > b.cfg.Total:
		b.t.Fatalf("%d pieces are asked of parents, more than %d", len(pieces), b.cfg.Total)
	case at > max(b.cfg.PerParent, b.cfg.LonelyParent):
		b.t.Fatalf("%d asks at %s", at, a.From)
	default:
		b.fromParent(a)
	}
	b.flights = append(b.flights, &body{Ask: a, at: a.Piece})
}

func (b *bystander) fromParent(a Ask) {
	for _, q := range b.parents {
		if q.id == a.From {
			if q.gone {
				b.t.Fatalf("%+v goes to who is gone", a)
			}
			if !q.has.Has(a.Piece) {
				b.t.Fatalf("%+v goes to who does not hold it", a)
			}
			return
		}
	}
	b.t.Fatalf("%+v goes to nobody known", a)
}

func (b *bystander) fromSource(a Ask, streams int) {
	if streams > b.cfg.SourceStreams || int(a.Run) > b.cfg.SourceRun {
		b.t.Fatalf("%+v is request %d to the source", a, streams)
	}
	for n := a.Piece; n < a.Piece+a.Run; n++ {
		if b.held.Has(n) || !b.granted.Has(n) {
			b.t.Fatalf("%+v: piece %d is held %v, granted %v", a, n, b.held.Has(n), b.granted.Has(n))
		}
	}
}

// drainAll plays fair from now on: one new parent holds everything, and every ask is answered. Then nothing may be left,
// and the picker may never rest while something is missing.
func (b *bystander) drainAll() {
	for len(b.flights) > 0 {
		b.end(b.flights[0], false, false)
	}
	q := &player{id: "last", has: b.wanted.Clone()}
	b.parents = append(b.parents, q)
	b.p.Join(q.id, false)
	for n := range q.has.All() {
		b.p.Holds(q.id, n)
	}
	for range 10 * int(b.layout.Count()) {
		if b.held.Contains(b.wanted) {
			if d := b.p.Next(b.now); len(d.Start) > 0 {
				b.t.Fatalf("asks %+v when everything is here", d.Start)
			}
			return
		}
		b.next()
		if len(b.flights) == 0 {
			b.t.Fatalf("nothing is asked although %s are missing and somebody holds them", b.wanted.Minus(b.held))
		}
		f := b.flights[0]
		b.held.Add(f.at)
		b.p.Got(f.ID, f.at, b.now)
		if f.at++; f.at == f.Piece+f.Run {
			b.end(f, false, false)
		}
	}
	b.t.Fatalf("%s are missing for ever", b.wanted.Minus(b.held))
}
