package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/mem"
)

// world is a swarm in one process: engines over memory stores, a scheduler that knows everyone, links
// that take time, and a source that counts. It runs inside a synctest bubble.
type world struct {
	t      *testing.T
	data   []byte
	origin *origin
	sched  *scheduler
	mu     sync.Mutex
	nodes  map[darter.PeerID]*node
	seq    atomic.Int64
}

type node struct {
	w      *world
	name   string
	engine *Engine
	store  store.Store
	cancel context.CancelFunc
	ended  chan struct{}
	dead   atomic.Bool
	lie    atomic.Bool  // serves wrong bytes with a matching CRC
	bad    atomic.Bool  // serves wrong bytes with the right CRC
	mute   atomic.Bool  // accepts requests and never answers
	frozen atomic.Bool  // the same, and gives no sign of life
	shut   atomic.Bool  // refuses connections for pieces, but not for what it holds
	busy   atomic.Int32 // how many requests are still turned away
	addr   netip.AddrPort

	mu    sync.Mutex
	ends  []Ended
	falls []FallbackReason
	fails []FailReason
}

func newWorld(t *testing.T, size int) *world {
	w := &world{t: t, nodes: map[darter.PeerID]*node{}}
	w.data = make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(w.data)
	w.origin = &origin{w: w, version: "etag:1", rate: 20 << 20}
	w.sched = &scheduler{w: w, talks: map[darter.TaskID][]*talk{}}
	return w
}

func (w *world) sum() darter.Digest {
	h := sha256.Sum256(w.data)
	return darter.Digest("sha256:" + hex.EncodeToString(h[:]))
}

func (w *world) want() darter.Want { return darter.Want{URL: "http://origin/file"} }

// node starts a host. withScheduler false makes it a loner.
func (w *world) node(name string, withScheduler bool, tune ...func(*Config)) *node {
	n := &node{w: w, name: name, store: mem.New(mem.Config{}), ended: make(chan struct{})}
	n.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(w.seq.Add(1))}), 4005)
	cfg := DefaultConfig()
	cfg.Store, cfg.Source, cfg.Host = n.store, w.origin, darter.HostID(name)
	cfg.Identify = func(want darter.Want) (darter.TaskID, error) {
		h := sha256.Sum256([]byte(want.URL))
		return darter.TaskID(hex.EncodeToString(h[:])), nil
	}
	cfg.Redact = func(url string, _ []string) string { return url }
	cfg.NewPeer = func() darter.PeerID {
		id := darter.PeerID(fmt.Sprintf("%s-%d", name, w.seq.Add(1)))
		w.mu.Lock()
		w.nodes[id] = n
		w.mu.Unlock()
		return id
	}
	cfg.Events = Events{
		Ended:    func(e Ended) { n.mu.Lock(); n.ends = append(n.ends, e); n.mu.Unlock() },
		Fallback: func(_ darter.TaskID, r FallbackReason) { n.mu.Lock(); n.falls = append(n.falls, r); n.mu.Unlock() },
		Failed: func(_ darter.TaskID, _ darter.PeerID, r FailReason) {
			n.mu.Lock()
			n.fails = append(n.fails, r)
			n.mu.Unlock()
		},
	}
	if withScheduler {
		cfg.Scheduler, cfg.Neighbours = w.sched, neighbours{w: w, self: n}
	}
	for _, f := range tune {
		f(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	n.engine = e
	ctx, cancel := context.WithCancel(w.t.Context())
	n.cancel = cancel
	go func() { _ = e.Run(ctx); close(n.ended) }()
	synctest.Wait() // until it runs
	return n
}

func (n *node) kill() {
	n.dead.Store(true)
	n.w.sched.drop(n)
	n.cancel()
}

func (n *node) stop() { n.cancel(); <-n.ended }

// downloads returns how many downloads ended.
func (n *node) downloads() int {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.ends)
}

// get downloads and returns the bytes as an in-order reader sees them.
func (n *node) get(ctx context.Context, want darter.Want) ([]byte, [3]int64, error) {
	var from [3]int64
	s, err := n.engine.Start(ctx, want)
	if err != nil {
		return nil, from, err
	}
	defer s.Close()
	var out bytes.Buffer
	for {
		p, err := s.NextInOrder(ctx)
		if errors.Is(err, io.EOF) {
			return out.Bytes(), from, nil
		}
		if err != nil {
			return out.Bytes(), from, err
		}
		from[p.Traffic] += p.Length
		buf := make([]byte, p.Length)
		if _, err := s.Task().ReadAt(buf, p.Offset); err != nil && !errors.Is(err, io.EOF) {
			if _, why := s.NextInOrder(ctx); why != nil && !errors.Is(why, io.EOF) {
				err = why // the download failed meanwhile, and took the task with it
			}
			return out.Bytes(), from, err
		}
		out.Write(buf)
	}
}

// origin is the source: it sends rate bytes per second over each stream.
type origin struct {
	w        *world
	version  string
	rate     int
	sent     atomic.Int64
	opens    atomic.Int64
	stats    atomic.Int64
	down     atomic.Bool
	changeAt int64 // after so many bytes the version changes
	changed  atomic.Bool
	short    atomic.Bool
	noRanges bool
	noLength bool
	endless  bool // sends on and on
	status   int
}

// now is the version that the source has by now.
func (o *origin) now() string {
	if o.changed.Load() {
		return "etag:2"
	}
	return o.version
}

func (o *origin) Stat(ctx context.Context, r source.Request) (source.Info, error) {
	o.stats.Add(1)
	if o.status != 0 {
		return source.Info{}, &source.Error{URL: r.URL, Status: o.status}
	}
	if o.down.Load() {
		return source.Info{}, &darter.Error{Kind: darter.Unavailable, Op: "stat", Err: errors.New("refused")}
	}
	time.Sleep(5 * time.Millisecond)
	info := source.Info{Length: int64(len(o.w.data)), Ranges: !o.noRanges, Version: o.now()}
	if o.noLength || o.endless {
		info.Length = -1
	}
	return info, ctx.Err()
}

func (o *origin) Open(ctx context.Context, r source.Request, span *darter.Span, want source.Info) (io.ReadCloser, error) {
	o.opens.Add(1)
	if o.down.Load() {
		return nil, &darter.Error{Kind: darter.Unavailable, Op: "open", Err: errors.New("refused")}
	}
	if seen := o.now(); seen != want.Version {
		return nil, &source.ChangedError{URL: r.URL, Was: want.Version, Seen: seen}
	}
	data := o.w.data
	if span != nil {
		data = data[span.Offset:span.End()]
	}
	time.Sleep(5 * time.Millisecond)
	return &body{ctx: ctx, o: o, left: data}, nil
}

type body struct {
	ctx  context.Context
	o    *origin
	left []byte
}

func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.ctx.Err() != nil:
		return 0, b.ctx.Err()
	case b.o.down.Load():
		return 0, &darter.Error{Kind: darter.Unavailable, Op: "read", Err: errors.New("reset")}
	case len(b.left) == 0:
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 64<<10)], b.left)
	if b.o.endless {
		b.left = b.o.w.data
	}
	time.Sleep(time.Duration(n) * time.Second / time.Duration(b.o.rate))
	b.left = b.left[n:]
	total := b.o.sent.Add(int64(n))
	if at := b.o.changeAt; at > 0 && total >= at {
		b.o.changed.Store(true)
	}
	if b.o.short.Load() && len(b.left) < 1<<20 {
		b.left = nil
	}
	return n, nil
}

func (b *body) Close() error { return nil }

// neighbours reads other nodes' stores: 100 MB/s, 1 ms away.
type neighbours struct {
	w    *world
	self *node
}

func (x neighbours) peer(id darter.PeerID) *node {
	x.w.mu.Lock()
	defer x.w.mu.Unlock()
	return x.w.nodes[id]
}

var errGone = &darter.Error{Kind: darter.Unavailable, Op: "reach parent", Err: errors.New("connection refused")}

func (x neighbours) Watch(ctx context.Context, id darter.TaskID, version string, p darter.Parent, wanted darter.PieceSet, heard func(darter.Holding)) error {
	n := x.peer(p.Peer)
	told := darter.PieceSet{}
	for {
		if n == nil || n.dead.Load() {
			return errGone
		}
		t, err := n.store.Open(id)
		if err != nil {
			return err
		}
		if v := t.Meta().Version; v != "" && version != "" && v != version {
			return &darter.Error{Kind: darter.Conflict, Op: "watch"}
		}
		changed := t.Changed()
		for m := range t.Pieces().Intersect(wanted).Minus(told).All() {
			told.Add(m)
			heard(darter.Holding{Number: m, From: n.addr, Relays: true})
		}
		for m := range t.Arriving().Intersect(wanted).Minus(told).All() {
			heard(darter.Holding{Number: m, From: n.addr, Relays: true, Arriving: true})
		}
		if told.Contains(wanted) {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(200 * time.Millisecond): // notice a death
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Relay follows the other node's writer, a hundred megabytes a second behind it.
func (x neighbours) Relay(ctx context.Context, id darter.TaskID, m uint32, from netip.AddrPort, span darter.Span, offset int64, _ bool, w store.PieceWriter, progress func(int64)) (darter.Piece, error) {
	n := x.at(from)
	if err := n.meet(ctx); err != nil {
		return darter.Piece{}, err
	}
	t, err := n.store.Open(id)
	if err != nil {
		return darter.Piece{}, err
	}
	f, err := t.Follow(m)
	if err != nil {
		return darter.Piece{}, err
	}
	defer f.Close()
	buf := make([]byte, 256<<10)
	for at := offset; ; {
		got, err := f.Next(ctx, buf, at)
		switch kind := darter.KindOf(err); {
		case n.dead.Load():
			return darter.Piece{}, errGone
		case errors.Is(err, io.EOF):
			p, _ := f.Piece()
			return p, nil
		case err != nil && kind == darter.Corrupt:
			return darter.Piece{}, &darter.Error{Kind: darter.Conflict, Op: "relay", Err: err}
		case err != nil:
			return darter.Piece{}, &darter.Error{Kind: darter.NotFound, Op: "relay", Err: err}
		}
		time.Sleep(time.Duration(got) * time.Second / 100e6)
		if n.bad.Load() || n.lie.Load() {
			buf[0] ^= 0xff
		}
		if _, err := w.Write(buf[:got]); err != nil {
			return darter.Piece{}, err
		}
		at += int64(got)
		progress(at - offset)
	}
}

func (x neighbours) Alive(ctx context.Context, p darter.Parent) error {
	n := x.peer(p.Peer)
	switch {
	case n == nil || n.dead.Load():
		return errGone
	case n.frozen.Load():
		<-ctx.Done()
		return &darter.Error{Kind: darter.TimedOut, Op: "ask for a sign of life", Err: ctx.Err()}
	}
	return nil
}

// meet is what a node does with a request before it looks for the piece.
func (n *node) meet(ctx context.Context) error {
	time.Sleep(time.Millisecond)
	switch {
	case n == nil || n.dead.Load():
		return errGone
	case n.shut.Load():
		return &darter.Error{Kind: darter.Unavailable, Op: "ask parent", Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}
	case n.busy.Add(-1) >= 0:
		return &darter.Error{Kind: darter.Unavailable, Op: "ask parent", Err: errors.New("busy")}
	case n.mute.Load() || n.frozen.Load():
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// at returns the node that serves pieces at an address.
func (x neighbours) at(from netip.AddrPort) *node {
	x.w.mu.Lock()
	defer x.w.mu.Unlock()
	for _, c := range x.w.nodes {
		if c.addr == from {
			return c
		}
	}
	return nil
}

func (x neighbours) Fetch(ctx context.Context, id darter.TaskID, m uint32, from netip.AddrPort, span darter.Span, w store.PieceWriter, progress func(int64)) (darter.Piece, error) {
	n := x.at(from)
	if err := n.meet(ctx); err != nil {
		return darter.Piece{}, err
	}
	t, err := n.store.Open(id)
	if err != nil {
		return darter.Piece{}, err
	}
	r, err := t.OpenPiece(m)
	if err != nil {
		return darter.Piece{}, err
	}
	defer r.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return darter.Piece{}, err
	}
	out := r.Piece
	if n.lie.Load() || n.bad.Load() {
		data[0] ^= 0xff
	}
	if n.lie.Load() {
		out.CRC = crc32.ChecksumIEEE(data)
	}
	for at := 0; at < len(data); {
		if n.dead.Load() {
			return darter.Piece{}, errGone
		}
		if n.frozen.Load() {
			<-ctx.Done()
		}
		step := min(256<<10, len(data)-at)
		time.Sleep(time.Duration(step) * time.Second / (100 << 20))
		if ctx.Err() != nil {
			return darter.Piece{}, ctx.Err()
		}
		if _, err := w.Write(data[at : at+step]); err != nil {
			return darter.Piece{}, err
		}
		at += step
		progress(int64(at))
	}
	return out, nil
}

// scheduler is the simplest one that keeps the promises fetch relies on: one source-goer per piece, everybody
// else is everybody's neighbour.
type scheduler struct {
	w    *world
	mu   sync.Mutex
	down bool

	talks map[darter.TaskID][]*talk
}

type talk struct {
	s      *scheduler
	reg    darter.Registration
	node   *node
	advice chan darter.Advice
	closed bool
	err    error
	goer   bool
	done   bool
	held   darter.PieceSet
	said   []darter.ReportKind
	told   []darter.Report
	end    *darter.Outcome
}

func (s *scheduler) Register(ctx context.Context, r darter.Registration) (Conversation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errGone
	}
	s.w.mu.Lock()
	n := s.w.nodes[r.Peer]
	s.w.mu.Unlock()
	k := &talk{s: s, reg: r, node: n, advice: make(chan darter.Advice, 64), held: r.Held.Clone()}
	for _, o := range s.talks[r.Task] {
		if o.node == n || o.closed && !o.done || o.node.dead.Load() {
			continue
		}
		k.say(darter.Advice{Kind: darter.UseParents, Parents: []darter.Parent{o.parent()}})
		o.say(darter.Advice{Kind: darter.UseParents, Parents: []darter.Parent{k.parent()}})
	}
	s.talks[r.Task] = append(s.talks[r.Task], k)
	s.assign(r.Task)
	return k, nil
}

func (s *scheduler) Length(_ context.Context, id darter.TaskID) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.talks[id] {
		if k.done && !k.node.dead.Load() {
			return k.reg.Want.Layout.Length, nil
		}
	}
	return 0, &darter.Error{Kind: darter.NotFound, Op: "find a holder"}
}

func (k *talk) parent() darter.Parent {
	return darter.Parent{Peer: k.reg.Peer, Host: darter.Host{ID: darter.HostID(k.node.name)}}
}

func (k *talk) say(a darter.Advice) {
	if !k.closed {
		k.advice <- a
	}
}

// assign gives what nobody has to one peer that can go to the source.
func (s *scheduler) assign(id darter.TaskID) {
	var held darter.PieceSet
	for _, k := range s.talks[id] {
		if k.node.dead.Load() {
			continue
		}
		held.Union(k.held)
		if k.goer && !k.closed {
			return
		}
	}
	for _, k := range s.talks[id] {
		if k.closed || k.reg.Want.DisableSource || k.node.dead.Load() {
			continue
		}
		if left := k.reg.Want.Layout.Covering(k.reg.Want.Range).Minus(held); !left.Empty() {
			k.goer = true
			k.say(darter.Advice{Kind: darter.GoToSource, Pieces: left})
			return
		}
	}
}

// drop ends a node's conversations as a broken connection does.
func (s *scheduler) drop(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, list := range s.talks {
		for _, k := range list {
			if k.node == n {
				k.close(errGone)
			}
		}
		s.assign(id)
	}
}

// heard reports whether a node said something of this kind.
func (s *scheduler) heard(n *node, kind darter.ReportKind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.talks {
		for _, k := range list {
			if k.node == n && slices.Contains(k.said, kind) {
				return true
			}
		}
	}
	return false
}

// crash forgets everything and refuses everyone until down is false again.
func (s *scheduler) crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	for _, list := range s.talks {
		for _, k := range list {
			k.close(errGone)
		}
	}
	s.talks = map[darter.TaskID][]*talk{}
}

func (k *talk) close(err error) {
	if !k.closed {
		k.closed, k.err = true, err
		close(k.advice)
	}
}

func (k *talk) Advice() <-chan darter.Advice { return k.advice }
func (k *talk) Err() error                   { k.s.mu.Lock(); defer k.s.mu.Unlock(); return k.err }

func (k *talk) Report(r darter.Report) {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	k.said, k.told = append(k.said, r.Kind), append(k.told, r)
	if r.Kind == darter.PieceDone {
		k.held.Add(r.Piece.Number)
	}
}

func (k *talk) Finish(_ context.Context, o darter.Outcome) error {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	k.end = &o
	k.done = o.Err == nil
	k.close(nil)
	k.s.assign(k.reg.Task)
	return nil
}

func (k *talk) Close() {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	k.close(nil)
}
