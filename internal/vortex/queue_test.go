package vortex

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

var (
	hostA = netip.MustParseAddr("10.0.0.1")
	hostB = netip.MustParseAddr("10.0.0.2")
	hostC = netip.MustParseAddr("10.0.0.3")
)

func piece(n uint32) key { return key{task: taskA, number: n} }

func isSettled(tk *ticket) bool {
	select {
	case <-tk.settled:
		return true
	default:
		return false
	}
}

// served releases the slot held by tk and returns which of the waiting got it.
func served(t *testing.T, q *queue, tk *ticket, sent bool, waiting map[string]*ticket) string {
	t.Helper()
	q.release(tk, sent)
	name := ""
	for n, w := range waiting {
		if isSettled(w) {
			require.Empty(t, name, "one slot came free, two requests were served")
			name = n
		}
	}
	return name
}

func TestQueueServesRarestPieceFirst(t *testing.T) {
	q := newQueue(1, 1, 8)
	join := func(n uint32, host netip.Addr) *ticket {
		tk, err := q.join(ask{key: piece(n), host: host})
		require.NoError(t, err)
		return tk
	}
	holder := join(1, hostA) // piece 1 counts as sent once from now on
	again, fresh := join(1, hostB), join(2, hostC)
	require.Equal(t, "fresh", served(t, q, holder, true, map[string]*ticket{"again": again, "fresh": fresh}))
}

func TestQueueServesLongestUnservedHostFirst(t *testing.T) {
	q := newQueue(1, 1, 8)
	join := func(n uint32, host netip.Addr) *ticket {
		tk, err := q.join(ask{key: piece(n), host: host})
		require.NoError(t, err)
		return tk
	}
	holder := join(1, hostA)
	greedy, modest := join(2, hostA), join(3, hostB)
	require.Equal(t, "modest", served(t, q, holder, true, map[string]*ticket{"greedy": greedy, "modest": modest}))
	first, second := join(4, hostC), join(5, hostC)
	require.Equal(t, "first", served(t, q, modest, true, map[string]*ticket{"greedy": greedy, "first": first, "second": second}),
		"a host never served goes before one that was, and within it the first to ask")
}

func TestQueueDoesNotCountWhatFailed(t *testing.T) {
	q := newQueue(1, 1, 8)
	holder, err := q.join(ask{key: piece(1), host: hostA})
	require.NoError(t, err)
	older, err := q.join(ask{key: piece(1), host: hostB})
	require.NoError(t, err)
	newer, err := q.join(ask{key: piece(2), host: hostC})
	require.NoError(t, err)
	require.Equal(t, "older", served(t, q, holder, false, map[string]*ticket{"older": older, "newer": newer}),
		"piece 1 never went out, so both are equal and the first to ask is served")
	require.Equal(t, uint32(1), q.mu.sent[piece(1)])
}

func TestQueueIsBounded(t *testing.T) {
	q := newQueue(1, 1, 1)
	_, err := q.join(ask{key: piece(1), host: hostA})
	require.NoError(t, err)
	_, err = q.join(ask{key: piece(2), host: hostA})
	require.NoError(t, err)
	_, err = q.join(ask{key: piece(3), host: hostA})
	require.ErrorIs(t, err, errBusy)
}

func TestQueueLeavesWhenContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1, 1, 1)
		holder, _ := q.join(ask{key: piece(1), host: hostA})
		waiting, _ := q.join(ask{key: piece(2), host: hostA})
		ctx, cancel := context.WithCancelCause(t.Context())
		var err error
		go func() { err = q.wait(ctx, waiting) }()
		synctest.Wait()
		cancel(errGone)
		synctest.Wait()
		require.ErrorIs(t, err, errGone)
		require.Empty(t, q.mu.waiting)
		q.release(holder, true)
		require.Zero(t, q.mu.busy, "the slot must not go to one that left")
	})
}

func TestQueueDrainRefusesWaitingAndNew(t *testing.T) {
	q := newQueue(1, 1, 4)
	holder, _ := q.join(ask{key: piece(1), host: hostA})
	waiting, _ := q.join(ask{key: piece(2), host: hostA})
	q.drain()
	require.ErrorIs(t, q.wait(t.Context(), waiting), errDraining)
	_, err := q.join(ask{key: piece(3), host: hostA})
	require.ErrorIs(t, err, errDraining)
	q.release(holder, true)
	require.Zero(t, q.mu.busy)
}

func TestQueueForgetsInsteadOfGrowing(t *testing.T) {
	q := newQueue(1, 1, 1)
	for n := range uint32(maxRemembered + 10) {
		tk, err := q.join(ask{key: piece(n), host: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})})
		require.NoError(t, err)
		q.release(tk, true)
	}
	require.LessOrEqual(t, len(q.mu.sent), maxRemembered)
	require.LessOrEqual(t, len(q.mu.served), maxHosts)
}

// What only this host has, and never sent, need not wait for further copies of other pieces.
func TestQueueBreaksOffFurtherCopies(t *testing.T) {
	q := newQueue(2, 2, 9)
	ended := map[*ticket]bool{}
	join := func(n uint32, host netip.Addr, sole bool) *ticket {
		var tk *ticket
		tk, err := q.join(ask{key: piece(n), host: host, outbid: func() { ended[tk] = true }, sole: sole})
		require.NoError(t, err)
		return tk
	}
	broken := func(tk *ticket) bool { return ended[tk] }
	first, second := join(1, hostA, true), join(1, hostB, false)
	join(2, hostC, false)
	require.False(t, broken(second), "others can serve piece 2")
	third := join(3, hostC, true)
	require.True(t, broken(second))
	require.False(t, broken(first), "the first copy of a piece is never broken off")
	q.release(second, false)
	<-third.settled
	fourth := join(4, hostA, true)
	require.False(t, broken(first) || broken(third))
	q.release(first, true)
	<-fourth.settled
}

// What only this host has, and never sent, goes out beside further copies that cannot be broken off, two at a time.
func TestQueueFirstCopiesWaitForEachOtherOnly(t *testing.T) {
	q := newQueue(2, 2, 9)
	join := func(n uint32, host netip.Addr, sole bool) *ticket {
		tk, err := q.join(ask{key: piece(n), host: host, sole: sole})
		require.NoError(t, err)
		return tk
	}
	settled := func(tk *ticket) bool {
		select {
		case <-tk.settled:
			return true
		default:
			return false
		}
	}
	for n := range uint32(2) {
		q.release(join(n, hostA, true), true)
	}
	again := [2]*ticket{join(0, hostB, false), join(1, hostB, false)}
	elsewhere := join(2, hostC, false)
	first, second, third := join(3, hostC, true), join(4, hostA, true), join(5, hostB, true)
	require.True(t, settled(first) && settled(second))
	require.False(t, settled(third) || settled(elsewhere))
	q.release(first, true)
	require.True(t, settled(third))
	q.release(again[0], true)
	q.release(second, true)
	require.False(t, settled(elsewhere), "two are being sent")
	q.release(third, true)
	require.True(t, settled(elsewhere))
}
