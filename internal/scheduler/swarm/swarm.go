package swarm

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/invariant"
)

// Swarm knows the hosts, the tasks and who has what. It is not safe for concurrent use.
type Swarm struct {
	cfg Config
	rng *rand.Rand
	now time.Time
	seq uint64

	hosts map[darter.HostID]*host // looked up only; order lies in the slices
	tasks map[darter.TaskID]*task
	peers map[darter.PeerID]*peer

	roll    []*host  // every host, in order of first announce
	seeds   []*host  // the seeds among them
	waiting []*group // groups with pending seeds
	going   []*peer  // peers with assigned pieces, for the watch on progress
	aging   []aging  // finished peers, oldest first
	idle    []idling // tasks without peers, oldest first
	wake    time.Time
	relearn time.Time // until when running downloads may still register again
	held    []*group  // groups whose sources wait for that

	// of the step at hand
	effects []Effect
	toTell  []*peer
	touched []*peer
	groups  []*group
}

type aging struct {
	peer *peer
	due  time.Time
}

type idling struct {
	task  *task
	count uint64
	due   time.Time
}

// New returns an empty swarm whose random choices follow from seed.
func New(cfg Config, seed uint64) (*Swarm, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Swarm{cfg: cfg, rng: rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15)),
		hosts: map[darter.HostID]*host{}, tasks: map[darter.TaskID]*task{}, peers: map[darter.PeerID]*peer{}}, nil
}

// Step takes one event and returns what is to be done, in order. Events about what is not known are
// ignored: they come from the past.
func (s *Swarm) Step(now time.Time, ev Event) []Effect {
	if now.After(s.now) {
		s.now = now // a clock that jumps back does not age anything
	}
	s.effects = nil
	if !s.wake.IsZero() && !s.now.Before(s.wake) {
		s.overdueSeeds()
		s.relearned()
	}
	s.handle(ev)
	s.settle()
	s.flush()
	s.schedule()
	return s.effects
}

func (s *Swarm) handle(ev Event) {
	switch e := ev.(type) {
	case HostAnnounced:
		s.hostAnnounced(e.Host)
	case HostLeft:
		s.hostLeft(e)
	case HostGone:
		s.dropHost(s.hosts[e.Host], "gone")
	case SeedHealth:
		s.seedHealth(e)
	case Registered:
		s.registered(e)
	case SeedFailed:
		s.seedFailed(e.Task, e.Host, e.Fault)
	case SeedDone:
		s.seedDone(e)
	case TaskDeleted:
		s.taskDeleted(e)
	case Restarted:
		s.relearn = s.now.Add(s.cfg.Relearn)
	case Tick:
		s.tick()
	default:
		s.handlePeer(ev)
	}
}

func (s *Swarm) handlePeer(ev Event) {
	switch e := ev.(type) {
	case PeerStarted:
		s.with(e.Peer, func(p *peer) { p.started = true; s.share(p) })
	case SourceStarted:
		s.with(e.Peer, func(p *peer) { p.started = true; s.sourcing(p); s.share(p) })
	case PieceDone:
		s.with(e.Peer, func(p *peer) { s.pieceDone(p, e) })
	case PieceFailed:
		s.with(e.Peer, func(p *peer) { s.pieceFailed(p, e) })
	case PieceSourceFailed:
		s.with(e.Peer, func(p *peer) { s.pieceSourceFailed(p, e) })
	case Rescheduled:
		s.with(e.Peer, func(p *peer) { s.rescheduled(p, e.Lost) })
	case PeerFinished:
		s.with(e.Peer, s.finished)
	case SourceFinished:
		s.with(e.Peer, s.finished)
	case PeerFailed:
		s.with(e.Peer, s.drop)
	case SourceFailed:
		s.with(e.Peer, func(p *peer) { s.sourceFailed(p, e.Fault) })
	case StreamEnded:
		s.with(e.Peer, s.streamEnded)
	case PeerDeleted:
		s.with(e.Peer, s.withdraw)
	}
}

// with runs do for a known peer; its word is evidence of its host.
func (s *Swarm) with(id darter.PeerID, do func(*peer)) {
	if p := s.peers[id]; p != nil {
		p.updated, p.host.evidence, p.task.updated = s.now, s.now, s.now
		do(p)
	}
}

// maxRounds bounds settling: each round either assigns pieces, or takes a peer out.
const maxRounds = 1000

// settle brings the groups that changed back to what the package promises.
func (s *Swarm) settle() {
	for range maxRounds {
		if len(s.groups) == 0 && len(s.touched) == 0 {
			return
		}
		groups := s.groups
		s.groups = nil
		for _, g := range groups {
			s.assign(g)
		}
		if len(s.groups) > 0 { // dropping a peer uncovered more
			continue
		}
		peers := s.touched
		s.touched = nil
		slices.SortStableFunc(peers, func(a, b *peer) int { return cmp.Compare(a.seq, b.seq) })
		for _, p := range peers {
			p.dirty = false
			s.ensure(p)
		}
	}
	invariant.Check(false, "swarm did not settle within %d rounds", maxRounds)
	s.groups, s.touched = nil, nil
}

// schedule asks for a tick at the next deadline of a pending seed.
func (s *Swarm) schedule() {
	var next time.Time
	for _, g := range s.waiting {
		for _, w := range g.pending {
			if next.IsZero() || w.deadline.Before(next) {
				next = w.deadline
			}
		}
	}
	if len(s.held) > 0 && (next.IsZero() || s.relearn.Before(next)) {
		next = s.relearn
	}
	if !next.IsZero() && !next.Equal(s.wake) {
		s.out(Wake{At: next})
	}
	s.wake = next
}

func (s *Swarm) out(e Effect) { s.effects = append(s.effects, e) }

// touch has a peer looked at before the step ends.
func (s *Swarm) touch(p *peer) {
	if !p.dirty && p.active() {
		p.dirty = true
		s.touched = append(s.touched, p)
	}
}

// dirty has a group's sources looked at before the step ends.
func (s *Swarm) dirty(g *group) {
	if !slices.Contains(s.groups, g) {
		s.groups = append(s.groups, g)
	}
}

// sourcing notes that a peer fetches from the source.
func (s *Swarm) sourcing(p *peer) {
	p.sourcing = true
	p.progress = s.now
	if !slices.Contains(s.going, p) {
		s.going = append(s.going, p)
	}
}

// hash is FNV-1a, mixed so that near texts spread.
func hash(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return mix(h, 0)
}

func mix(a, b uint64) uint64 {
	h := a ^ (b+0x9e3779b97f4a7c15)*0xbf58476d1ce4e5b9
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
