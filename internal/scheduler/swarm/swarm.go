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

	parts map[place]*peer // the latest of a host's peers in a task
	index map[place]ref   // where only a location is kept of it

	roll     chain      // in order of first announce
	seeds    lane[host] // the seeds among them
	machines slots[host]
	contents slots[task]
	shelves  slots[group]
	roster   slots[peer]
	records  records
	partial  map[ref]darter.PieceSet // of locations that hold a part only
	freshest *task                   // the most recently touched, and so on

	deadlines queue[deadline] // of triggered seeds; the first is due first
	going     lane[peer]      // peers with assigned pieces, for the watch on progress
	goAt      int
	aging     queue[aging]  // finished peers, oldest first
	idle      queue[idling] // tasks without peers, oldest first
	urgent    queue[*host]  // hosts to review, those first on whom others wait
	reviews   queue[*host]
	later     queue[*peer] // peers to be looked at for which an earlier step had no time
	suspects  int          // hosts that may be dead
	audit     audit
	wake      time.Time
	began     time.Time
	resume    time.Time // when the next inventory may be asked for
	relearn   time.Time // until when running downloads may still register again
	held      []*group  // groups whose sources wait for that
	breathed  time.Time // since when verdicts spent items on reviews, and how many
	spent     int
	tally     Tally

	// of the step at hand
	effects []Effect
	toTell  []*peer
	touched []*peer
	groups  []*group
	wakened []*group
	focus   *peer // who must not be put off
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

type deadline struct {
	group *group
	due   time.Time
}

// Tally counts what there is no effect for, since the swarm began.
type Tally struct {
	LastResort uint64 // offers of a suspect host, for want of another
	DeadOffers uint64 // offers of hosts that turned out to be offline, after their last sign of life that came this way
	Disproved  uint64 // holdings that children found to be none
	Evicted    uint64 // locations that went because there were too many
	Shrunk     uint64 // finished peers that became locations early because there were too many
	Refused    uint64 // registrations for which there was no room
	Expired    uint64 // locations that nobody confirmed for too long
}

// New returns an empty swarm whose random choices follow from seed.
func New(cfg Config, seed uint64) (*Swarm, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Swarm{cfg: cfg, rng: rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15)),
		hosts: map[darter.HostID]*host{}, tasks: map[darter.TaskID]*task{}, peers: map[darter.PeerID]*peer{},
		parts: map[place]*peer{}, index: map[place]ref{}, partial: map[ref]darter.PieceSet{}}, nil
}

// Step takes one event and returns what is to be done, in order. Events about what is not known are
// ignored: they come from the past.
func (s *Swarm) Step(now time.Time, ev Event) []Effect {
	if now.After(s.now) {
		s.now = now // a clock that jumps back does not age anything
	}
	if s.began.IsZero() {
		s.began = s.now
	}
	s.effects, s.focus = nil, nil
	_, tick := ev.(Tick)
	if !s.wake.IsZero() && !s.now.Before(s.wake) {
		s.overdueSeeds()
		s.relearned()
		if tick {
			s.wake = time.Time{}
		}
	}
	s.handle(ev)
	if tick {
		s.reviewSome(s.cfg.StepItems)
	} else {
		s.reviewAtOnce()
	}
	s.settle()
	s.flush()
	s.schedule()
	return s.effects
}

func (s *Swarm) handle(ev Event) {
	switch e := ev.(type) {
	case HostAnnounced:
		s.hostAnnounced(e.Host)
	case HostVerdict:
		s.verdict(e)
	case InventoryPage:
		s.inventory(e)
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
		p.updated = s.now
		p.host.heard(s.now)
		s.freshen(p.task)
		do(p)
	}
}

// maxRounds bounds settling: each round either assigns pieces, or takes a peer out.
const maxRounds = 1000

// settle brings the groups that changed back to what the package promises. Of peers to look at there may be more
// than a step has time for; the others follow in the next ones.
func (s *Swarm) settle() {
	budget := s.cfg.StepItems
	for range maxRounds {
		s.wakeThem()
		if len(s.groups) == 0 && len(s.touched) == 0 {
			break
		}
		groups := s.groups
		s.groups = nil
		for _, g := range groups {
			g.queued = false
			s.assign(g)
		}
		if len(s.groups) > 0 { // dropping a peer uncovered more
			continue
		}
		peers := s.touched
		s.touched = nil
		slices.SortStableFunc(peers, func(a, b *peer) int { return cmp.Compare(a.seq, b.seq) })
		for _, p := range peers {
			if budget <= 0 && p != s.focus {
				s.later.push(p)
				continue
			}
			budget -= s.look(p)
		}
	}
	if !invariant.Check(len(s.groups) == 0 && len(s.touched) == 0, "swarm did not settle within %d rounds", maxRounds) {
		s.groups, s.touched = nil, nil
		return
	}
	for budget > 0 && s.later.len() > 0 {
		p := s.later.pop()
		if budget -= s.look(p); p.lacking {
			s.dirty(p.group) // its sources were looked at before it was known to lack something
		}
		s.wakeThem()
	}
	for _, p := range s.touched { // looking may have touched others
		s.later.push(p)
	}
	s.touched = nil
}

// look gives a peer that was touched what it needs.
func (s *Swarm) look(p *peer) int {
	p.dirty = false
	s.ensure(p)
	return 1
}

// schedule asks for a tick at the next deadline of a pending seed, or at once when there is work left.
func (s *Swarm) schedule() {
	var next time.Time
	for s.deadlines.len() > 0 {
		d := s.deadlines.front()
		if slices.ContainsFunc(d.group.pending, func(w pending) bool { return w.deadline.Equal(d.due) }) {
			next = d.due
			break
		}
		s.deadlines.pop()
	}
	if len(s.held) > 0 && (next.IsZero() || s.relearn.Before(next)) {
		next = s.relearn
	}
	if s.urgent.len()+s.reviews.len()+s.later.len()+len(s.groups) > 0 {
		next = s.now
	}
	if !next.IsZero() && !next.Equal(s.wake) {
		s.out(Wake{At: next})
	}
	s.wake = next
}

func (s *Swarm) out(e Effect) { s.effects = append(s.effects, e) }

// touch has a peer looked at before the step ends, or soon after.
func (s *Swarm) touch(p *peer) {
	if p != nil && !p.dirty && p.active() {
		p.dirty = true
		s.touched = append(s.touched, p)
	}
}

// dirty has a group's sources looked at before the step ends.
func (s *Swarm) dirty(g *group) {
	if !g.queued {
		g.queued = true
		s.groups = append(s.groups, g)
	}
}

// sourcing notes that a peer fetches from the source.
func (s *Swarm) sourcing(p *peer) {
	p.sourcing = true
	p.progress = s.now
	if !p.going {
		p.going, p.atGoing = true, s.going.add(p)
	}
}

// unwatch ends the watch on a source-goer.
func (s *Swarm) unwatch(p *peer) {
	if p.going {
		p.going = false
		s.going.remove(p.atGoing, func(o *peer, at int32) { o.atGoing = at })
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
