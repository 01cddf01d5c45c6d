package sim

import (
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// scheduler runs the real core behind streams that can break.
type scheduler struct {
	w     *World
	core  *swarm.Swarm
	run   int // counts starts
	up    bool
	convs map[darter.PeerID]*conversation // looked up only
	facts []darter.Host                   // the snapshot that survives
}

// conversation is one peer's stream.
type conversation struct {
	s         *scheduler
	run       int
	peer      darter.PeerID
	d         *download
	asc, desc time.Duration // when the last message in each direction arrives
}

func (s *scheduler) start() error {
	core, err := swarm.New(s.w.cfg.Swarm, s.w.cfg.Seed+uint64(s.run))
	if err != nil {
		return err
	}
	s.core, s.up, s.convs = core, true, map[darter.PeerID]*conversation{}
	s.run++
	s.w.check.restarted()
	for _, f := range s.facts {
		s.step(swarm.HostAnnounced{Host: f})
	}
	s.tick(s.run)
	return nil
}

func (s *scheduler) tick(run int) {
	s.w.clock.after(time.Second, func() {
		if s.up && s.run == run {
			s.judge()
			s.step(swarm.Tick{})
			s.tick(run)
		}
	})
}

// judge says what a plain judge of liveness would: what counts is for how many announce intervals a host was
// silent. Suspicion comes late enough that a host which is merely lost from sight for a moment is one, too.
func (s *scheduler) judge() {
	for _, v := range s.core.Hosts() {
		quiet := s.w.time().Sub(v.Evidence)
		verdict := darter.Alive
		switch {
		case quiet > 4*announceEvery:
			verdict = darter.Forgotten
		case quiet > 2*announceEvery:
			verdict = darter.Offline
		case quiet > announceEvery*3/2:
			verdict = darter.Suspect
		case quiet > announceEvery*5/4:
			verdict = darter.Late
		}
		if verdict != v.Verdict {
			s.step(swarm.HostVerdict{Host: v.Host.ID, Epoch: v.Host.Epoch, Verdict: verdict})
		}
	}
}

// heard lifts a suspicion at once.
func (s *scheduler) heard(id darter.HostID) {
	if v, known := s.core.Host(id); known && v.Verdict != darter.Alive {
		s.step(swarm.HostVerdict{Host: id, Epoch: v.Host.Epoch, Verdict: darter.Alive})
	}
}

func (s *scheduler) crash() {
	s.up = false
	for _, h := range s.w.hosts {
		if d := h.d; d != nil && d.talk != nil {
			c := d.talk
			s.w.clock.after(s.w.notice(), func() { d.silent(c) })
		}
	}
}

// announced takes a host's announcement.
func (s *scheduler) announced(facts darter.Host) {
	if !s.up {
		return
	}
	if i := slices.IndexFunc(s.facts, func(f darter.Host) bool { return f.ID == facts.ID }); i >= 0 {
		s.facts[i] = facts
	} else {
		s.facts = append(s.facts, facts)
	}
	s.step(swarm.HostAnnounced{Host: facts})
	s.heard(facts.ID)
}

// step feeds the core and carries out what it says.
func (s *scheduler) step(ev swarm.Event) {
	s.w.check.event(ev)
	for _, e := range s.core.Step(s.w.time(), ev) {
		s.w.check.effect(e)
		s.carry(e)
	}
}

func (s *scheduler) carry(e swarm.Effect) {
	run := s.run
	switch e := e.(type) {
	case swarm.Offer:
		a := darter.Advice{Kind: darter.UseParents}
		for _, n := range e.Parents {
			a.Parents = append(a.Parents, darter.Parent{Peer: n.Peer, Host: *n.Host})
		}
		s.tell(e.Peer, a)
	case swarm.GoToSource:
		s.tell(e.Peer, darter.Advice{Kind: darter.GoToSource, Pieces: e.Pieces.Clone(), AllPieces: e.All})
	case swarm.TriggerSeed:
		h := s.w.hostOf(e.Host.ID)
		s.w.clock.after(s.w.delay(), func() { h.triggered(run) })
	case swarm.CloseStream:
		if c := s.convs[e.Peer]; c != nil {
			s.w.inOrder(&c.desc, func() { c.d.silent(c) })
		}
	case swarm.Wake:
		s.w.clock.at(e.At.Sub(time.Unix(epoch, 0)), func() {
			if s.up && s.run == run {
				s.step(swarm.Tick{})
			}
		})
	}
}

func (s *scheduler) tell(peer darter.PeerID, a darter.Advice) {
	c := s.convs[peer]
	if c == nil {
		return
	}
	s.w.messages++
	s.w.inOrder(&c.desc, func() { c.d.heed(c, a) })
}

// hear delivers an event of a host to the run of the scheduler it was meant for.
func (s *scheduler) hear(run int, ev swarm.Event) {
	s.w.messages++
	if s.up && s.run == run {
		if r, is := ev.(swarm.Registered); is {
			s.heard(r.Host)
		}
		s.step(ev)
	}
}

// report sends an event over the stream.
func (c *conversation) report(ev swarm.Event) {
	c.s.w.inOrder(&c.asc, func() { c.s.hear(c.run, ev) })
}

// ended lets the scheduler see that the stream is over.
func (c *conversation) ended(after time.Duration) {
	c.s.w.clock.at(max(c.asc, c.s.w.clock.now+after), func() {
		if c.s.up && c.s.run == c.run {
			c.s.step(swarm.StreamEnded{Peer: c.peer})
			delete(c.s.convs, c.peer)
		}
	})
}
