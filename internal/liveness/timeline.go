package liveness

import (
	"time"

	"github.com/darter-p2p/darter"
)

// mark is an event without the name of its host: 40 bytes.
type mark struct {
	at     time.Duration // on the caller's clock
	heard  time.Duration // the same
	epoch  darter.Epoch
	policy uint32
	times  uint32
	from   darter.Verdict
	to     darter.Verdict
	reason Reason
	sign   Sign
	exit   darter.Exit
	never  bool // never heard
}

// line is what happened to one host: a ring.
type line struct {
	marks []mark
	start int
}

func (l *line) push(m mark, limit int) {
	if len(l.marks) < limit {
		l.marks = append(l.marks, m)
		return
	}
	l.marks[l.start] = m
	l.start = (l.start + 1) % len(l.marks)
}

// odd returns the latest mark of a note, newer than since.
func (l *line) odd(why Reason, since time.Duration) *mark {
	for i := range l.marks {
		if m := &l.marks[i]; m.reason == why && m.at >= since {
			return m
		}
	}
	return nil
}

// feed is what happened to all hosts, for readers that come back for more: a ring.
type feed struct {
	entries []entry
	start   int
	limit   int
	seq     uint64 // of the latest
}

type entry struct {
	host darter.HostID
	mark mark
}

func (f *feed) push(id darter.HostID, m mark) {
	f.seq++
	if len(f.entries) < f.limit {
		f.entries = append(f.entries, entry{id, m})
		return
	}
	f.entries[f.start] = entry{id, m}
	f.start = (f.start + 1) % len(f.entries)
}

// resize keeps the latest when there is less room.
func (f *feed) resize(limit int) {
	if limit == f.limit {
		return
	}
	n := min(len(f.entries), limit)
	kept := make([]entry, 0, n)
	for i := len(f.entries) - n; i < len(f.entries); i++ {
		kept = append(kept, f.entries[(f.start+i)%len(f.entries)])
	}
	f.entries, f.start, f.limit = kept, 0, limit
}

// record writes a verdict into a host's history. Late and alive again is weather, not history.
func (r *Roster) record(h *host, v Verdict) {
	if (v.From == darter.Alive && v.To == darter.Late || v.From == darter.Late && v.To == darter.Alive) && v.Exit == darter.Running && v.Reason != Restart {
		return
	}
	m := r.mark(h, v.Reason)
	m.from, m.to, m.sign, m.exit = v.From, v.To, v.Sign, v.Exit
	r.keep(h, m)
}

func (r *Roster) mark(h *host, why Reason) mark {
	c := &r.clock
	return mark{at: c.real, heard: c.real - (c.inner - h.heard), epoch: h.epoch, policy: uint32(r.policy.Number), times: 1,
		from: h.state, to: h.state, reason: why, never: h.unknown}
}

func (r *Roster) keep(h *host, m mark) {
	if h.line == nil {
		h.line = &line{}
	}
	h.line.push(m, r.policy.Limit.Timeline)
	r.feed.push(h.id, m)
}

// oddEvent writes a note into a host's history: the same one in a row is one line with a number. It reports how many there
// were, and whether that is to be told.
func (r *Roster) oddEvent(h *host, why Reason) (times int, tell bool) {
	if h.line != nil {
		if m := h.line.odd(why, r.clock.real-r.policy.Lease.TellAgain.Std()); m != nil {
			m.times++
			return int(m.times), false
		}
	}
	r.keep(h, r.mark(h, why))
	return 1, true
}

func (r *Roster) event(id darter.HostID, m mark) darter.HostEvent {
	e := darter.HostEvent{At: r.clock.base.Add(m.at), Host: id, Epoch: m.epoch, From: m.from, To: m.to, Reason: m.reason.String(),
		Exit: m.exit, Times: int(m.times), Policy: uint64(m.policy)}
	if m.sign != NoSign {
		e.Evidence = m.sign.String()
	}
	if !m.never {
		e.LastHeard = r.clock.base.Add(m.heard)
	}
	return e
}

// Events returns what is remembered of a host, oldest first; also of one that is gone, as long as its tombstone stands.
func (r *Roster) Events(id darter.HostID) []darter.HostEvent {
	var l *line
	if h := r.hosts[id]; h != nil {
		l = h.line
	} else if s := r.tombs.byID[id]; s != nil {
		l = s.line
	}
	if l == nil {
		return nil
	}
	out := make([]darter.HostEvent, 0, len(l.marks))
	for i := range l.marks {
		out = append(out, r.event(id, l.marks[(l.start+i)%len(l.marks)]))
	}
	return out
}

// Feed returns events of all hosts after a cursor, at most limit, the cursor to go on with, and how many were lost because
// they were not read in time. The first cursor is 0.
func (r *Roster) Feed(after uint64, limit int) (events []darter.HostEvent, next, missed uint64) {
	f := &r.feed
	first := f.seq - uint64(len(f.entries)) // the one before the oldest
	if after > f.seq {                      // of an earlier life of this process
		after = 0
	}
	if after < first {
		missed, after = first-after, first
	}
	for seq := after + 1; seq <= f.seq && len(events) < limit; seq++ {
		e := f.entries[(f.start+int(seq-first-1))%len(f.entries)]
		ev := r.event(e.host, e.mark)
		ev.Seq = seq
		events = append(events, ev)
		after = seq
	}
	return events, after, missed
}
