package serve

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/mem"
	"github.com/darter-p2p/darter/internal/vortex"
)

const taskA = darter.TaskID("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")

func newShelf(t *testing.T, l net.Listener, change func(*Config)) *Shelf {
	cfg := DefaultConfig()
	cfg.Store, cfg.Transport.Listener = mem.New(mem.Config{}), l
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	require.NoError(t, err)
	return s
}

func create(t *testing.T, s *Shelf) store.Task {
	task, err := s.Store().Create(store.Meta{ID: taskA, URL: "http://origin/x", Layout: darter.LayoutOf(5, 0), Created: time.Unix(1700000000, 0)})
	require.NoError(t, err)
	return task
}

func fill(t *testing.T, task store.Task) {
	w, err := task.Writer(0)
	require.NoError(t, err)
	_, err = w.Write([]byte("hello"))
	require.NoError(t, err)
	_, err = w.Commit(nil, darter.Piece{})
	require.NoError(t, err)
}

func TestShelfServesAndCounts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	sent := make(chan vortex.PieceSent, 1)
	s := newShelf(t, l, func(c *Config) { c.Transport.Events.PieceSent = func(p vortex.PieceSent) { sent <- p } })
	fill(t, create(t, s))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	client, err := vortex.NewClient(vortex.DefaultClientConfig())
	require.NoError(t, err)
	defer client.Close()
	sum := crc32.NewIEEE()
	p, err := client.Fetch(t.Context(), l.Addr().(*net.TCPAddr).AddrPort(), taskA, 0, darter.Span{Length: 5}, sum, nil)
	require.NoError(t, err)
	require.Equal(t, p.CRC, sum.Sum32())
	require.Equal(t, int64(5), (<-sent).Bytes)
	_, done := s.Uploads(taskA)
	require.Equal(t, uint64(1), done)
	require.NoError(t, s.Remove(taskA))
	_, err = client.Fetch(t.Context(), l.Addr().(*net.TCPAddr).AddrPort(), taskA, 0, darter.Span{Length: 5}, io.Discard, nil)
	require.Equal(t, darter.NotFound, darter.KindOf(err))
	cancel()
	require.NoError(t, <-ended)
	_, done = s.Uploads(taskA)
	require.Zero(t, done, "a removed task is not remembered")
}

func TestOpenCountsRunningAndRefusesWhenDraining(t *testing.T) {
	s := newShelf(t, &net.TCPListener{}, nil)
	task := create(t, s)
	_, err := pieces{s}.Open(taskA, 0)
	require.Equal(t, darter.NotFound, darter.KindOf(err))
	require.Empty(t, s.mu.uploads, "what was not opened leaves no counter")
	fill(t, task)
	open, err := pieces{s}.Open(taskA, 0)
	require.NoError(t, err)
	running, _ := s.Uploads(taskA)
	require.Equal(t, uint64(1), running)
	s.Drain()
	_, err = pieces{s}.Open(taskA, 0)
	require.Equal(t, darter.Unavailable, darter.KindOf(err))
	body, err := io.ReadAll(open.Body)
	require.NoError(t, err)
	require.Equal(t, "hello", string(body), "what runs is finished")
	require.NoError(t, open.Close())
	_ = open.Close() // twice must not count twice
	running, _ = s.Uploads(taskA)
	require.Zero(t, running)
}

func TestAwait(t *testing.T) {
	for name, c := range map[string]struct {
		happen func(t *testing.T, s *Shelf)
		found  bool
		after  time.Duration
	}{
		"appears": {func(t *testing.T, s *Shelf) { create(t, s) }, true, time.Second},
		"fails":   {func(_ *testing.T, s *Shelf) { s.Failed(taskA, errors.New("no origin")) }, false, time.Second},
		"nothing": {func(*testing.T, *Shelf) {}, false, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShelf(t, &net.TCPListener{}, nil)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				time.AfterFunc(time.Second, func() { c.happen(t, s) })
				began := time.Now()
				task, err := s.Await(ctx, taskA)
				require.Equal(t, c.after, time.Since(began))
				require.Equal(t, c.found, task != nil)
				if !c.found {
					require.Equal(t, darter.NotFound, darter.KindOf(err), "%v", err)
				}
				require.Empty(t, s.mu.arrivals)
				require.Zero(t, s.mu.waiting)
			})
		})
	}
}

func TestAwaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t, &net.TCPListener{}, func(c *Config) { c.MaxWaiting = 1 })
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = s.Await(ctx, taskA) }()
		synctest.Wait()
		_, err := s.Await(t.Context(), taskA)
		require.Equal(t, darter.Unavailable, darter.KindOf(err))
		cancel()
	})
}

func TestFailureIsToldUntilStopped(t *testing.T) {
	s := newShelf(t, &net.TCPListener{}, nil)
	var told []error
	stop := s.OnFailure(taskA, func(err error) { told = append(told, err) })
	why := errors.New("no origin")
	s.Failed(taskA, why)
	s.Failed("another", why)
	stop()
	s.Failed(taskA, why)
	require.Equal(t, []error{why}, told)
	require.Empty(t, s.mu.failures)
}

func TestConfigIsChecked(t *testing.T) {
	_, err := New(DefaultConfig())
	require.Equal(t, darter.Invalid, darter.KindOf(err))
}
