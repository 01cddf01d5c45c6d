package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
)

// A process that is frozen, or behind a cut that nobody reports, keeps its connections and says nothing. One that
// is only busy says nothing either, but its gRPC server still answers for its health:
//
//	registration, or NeedOthers          any answer, to anybody here
//	      │ owed                                  │ lives
//	      ▼                                       ▼
//	  Doubt of silence ──▶ health? ──answers──▶ wait on, ask again after twice as long
//	                          │
//	                          └─ none in Proof + 4 usual ──▶ Silent to every download that is owed an answer
//
// So a crowd that a slow scheduler serves late stays in its swarm, and a download under a frozen one goes on within a second.

// mostDoubt is the longest pause between two questions for a sign of life. Pings find what happens between them.
const mostDoubt = 5 * time.Second

// lives notes a sign of life.
func (m *member) lives(now time.Time) {
	m.mu.Lock()
	was := !m.mu.silent.IsZero()
	m.mu.heard, m.mu.silent = now, time.Time{}
	m.mu.Unlock()
	if was && m.s.cfg.Events.Awake != nil {
		m.s.cfg.Events.Awake(m.at)
	}
}

// answered notes an answer and how long it took.
func (m *member) answered(began, now time.Time) {
	m.mu.Lock()
	m.mu.usual += (now.Sub(began) - m.mu.usual) / 4
	m.mu.Unlock()
	m.lives(now)
}

// proof is how long a sign of life may take.
func (m *member) proof() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return min(m.s.cfg.Proof+4*m.mu.usual, m.s.cfg.HeaderTimeout)
}

// patience is how long a download waits for a scheduler of which nothing is heard.
func (m *member) patience() time.Duration { return min(m.s.cfg.Doubt+m.proof(), m.s.cfg.HeaderTimeout) }

// callTimeout is the longest time of a plain call. A silent scheduler is not waited for.
func (m *member) callTimeout() time.Duration {
	if m.isSilent(time.Now()) {
		return min(m.patience(), m.s.cfg.CallTimeout)
	}
	return m.s.cfg.CallTimeout
}

// isSilent reports whether a sign of life was missed a moment ago. What is longer ago is to be found out again.
func (m *member) isSilent(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.mu.silent.IsZero() && now.Sub(m.mu.silent) < m.s.cfg.DownFor
}

// quiet returns how long nothing was heard.
func (m *member) quiet(now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Sub(m.mu.heard)
}

// prove asks for a sign of life and reports whether none came. Those who ask at the same time share the question. A
// broken connection is no silence: the conversations on it end by themselves.
func (m *member) prove(ctx context.Context, l *link) (silent bool) {
	began := time.Now()
	_, err, _ := m.proofs.Do("", func() (any, error) {
		limited, cancel := context.WithTimeout(ctx, m.proof())
		defer cancel()
		return healthv1.NewHealthClient(l.conn).Check(limited, &healthv1.HealthCheckRequest{})
	})
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		return m.mute(began, time.Now())
	case codes.Unavailable, codes.Canceled:
	default: // also that it knows no such service
		m.answered(began, time.Now())
	}
	return false
}

// mute notes that no sign of life came, unless another one did meanwhile.
func (m *member) mute(since, now time.Time) bool {
	m.mu.Lock()
	if m.mu.heard.After(since) {
		m.mu.Unlock()
		return false
	}
	fresh := m.mu.silent.IsZero()
	m.mu.silent = now
	m.mu.Unlock()
	if fresh && m.s.cfg.Events.Silent != nil {
		m.s.cfg.Events.Silent(m.at)
	}
	return true
}

// owe notes that the scheduler was asked something.
func (c *Conversation) owe() {
	c.mu.Lock()
	c.mu.owed = true
	c.mu.Unlock()
	select {
	case c.asked <- struct{}{}:
	default:
	}
}

// isOwed reports whether an answer is due that the download waits for.
func (c *Conversation) isOwed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.owed && !c.mu.hushed
}

// listen waits for answers that are owed, and tells the download when the scheduler is silent. It returns when ctx ends.
func (c *Conversation) listen(ctx context.Context, l *link) {
	if c.m.isSilent(time.Now()) { // known from others: no time to lose on finding it out again
		c.hush(ctx)
	}
	doubt := c.m.s.cfg.Doubt
	for pause := doubt; ctx.Err() == nil; {
		if !c.isOwed() {
			select {
			case <-c.asked:
				pause = doubt
			case <-ctx.Done():
			}
			continue
		}
		if !sleep(ctx, pause) {
			return
		}
		if !c.isOwed() {
			continue
		}
		if quiet := c.m.quiet(time.Now()); quiet < doubt {
			pause = doubt - quiet
			continue
		}
		if c.m.prove(ctx, l) {
			c.hush(ctx)
		}
		pause = min(2*max(pause, doubt), mostDoubt)
	}
}

// hush tells the download, once, that the scheduler is silent.
func (c *Conversation) hush(ctx context.Context) {
	if !c.turn(ctx) { // an answer that arrives now is told before or after, but not out of order
		return
	}
	defer c.turned()
	c.mu.Lock()
	due := c.mu.owed && !c.mu.hushed
	c.mu.hushed = c.mu.hushed || due
	c.mu.Unlock()
	if due {
		c.tell(ctx, darter.Advice{Kind: darter.Silent})
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
