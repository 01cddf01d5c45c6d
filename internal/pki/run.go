package pki

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/darter-p2p/darter"
)

// Run looks at the files now and then, until ctx ends. Times of change are not asked: Kubernetes exchanges
// links, and a copy may keep its time.
func (s *Source) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.Every)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		_, err := s.Reload()
		text := ""
		if err != nil {
			text = err.Error()
		}
		if err != nil && text != last && s.cfg.Events.Failed != nil { // once per cause, not twice a minute
			s.cfg.Events.Failed(err)
		}
		last = text
	}
}

// RenewerConfig says how a process keeps its certificate young.
type RenewerConfig struct {
	Source    *Source      // required
	Names     []string     // DNS names to ask for
	Addresses []netip.Addr // addresses to ask for
	// Ask sends a request to a manager, over a connection with the certificate in use. It should end within
	// its context, which lasts a minute.
	Ask func(ctx context.Context, csr []byte) (Issued, error)
	// First and Max bound the wait between tries that fail; defaults 1 minute and 1 hour.
	First, Max time.Duration
	Seed       uint64 // spreads the nodes of a cluster in time; take something of the node's own
}

// Renewer asks for a new certificate when two thirds of the life of the one in use are over.
type Renewer struct {
	cfg  RenewerConfig
	rand *rand.Rand
}

// NewRenewer checks the configuration.
func NewRenewer(cfg RenewerConfig) (*Renewer, error) {
	if cfg.Source == nil || cfg.Ask == nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "renew certificates", Err: errors.New("source and a way to ask are required")}
	}
	if cfg.First == 0 {
		cfg.First = time.Minute
	}
	if cfg.Max == 0 {
		cfg.Max = time.Hour
	}
	if cfg.First < 0 || cfg.Max < cfg.First {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "renew certificates", Err: errors.New("the waits are negative or upside down")}
	}
	return &Renewer{cfg: cfg, rand: rand.New(rand.NewPCG(cfg.Seed, 0x6461727465720001))}, nil
}

// RenewAt returns when a certificate is to be renewed: between 60 and 67 per cent of its life, by share in
// [0, 1).
func RenewAt(from, until time.Time, share float64) time.Time {
	life := until.Sub(from)
	return from.Add(time.Duration(float64(life) * (0.60 + 0.07*share)))
}

// Run renews until ctx ends. A manager that cannot be reached is asked again, ever more slowly, up to Max.
func (r *Renewer) Run(ctx context.Context) error {
	wait := r.cfg.First
	for {
		leaf := r.cfg.Source.current().cert.Leaf
		due := RenewAt(leaf.NotBefore, leaf.NotAfter, r.rand.Float64())
		if err := pause(ctx, due.Sub(r.cfg.Source.cfg.Now())); err != nil {
			return nil //nolint:nilerror // the end was asked for
		}
		err := r.Renew(ctx)
		if err == nil {
			wait = r.cfg.First
			continue
		}
		if events := r.cfg.Source.cfg.Events; events.Failed != nil && ctx.Err() == nil {
			events.Failed(err)
		}
		if err := pause(ctx, wait); err != nil {
			return nil //nolint:nilerror // the end was asked for
		}
		wait = min(2*wait, r.cfg.Max)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Renew asks for a new certificate now, whatever the age of the one in use.
func (r *Renewer) Renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := NewRequest(r.cfg.Names, r.cfg.Addresses)
	if err != nil {
		return err
	}
	issued, err := r.cfg.Ask(ctx, request.CSR)
	if err != nil {
		return err
	}
	if err := r.cfg.Source.fits(request, issued); err != nil {
		return err
	}
	if err := r.cfg.Source.cfg.Files.Save(request, issued); err != nil {
		return err
	}
	if _, err := r.cfg.Source.Reload(); err != nil {
		return err
	}
	if events := r.cfg.Source.cfg.Events; events.Renewed != nil {
		events.Renewed(r.cfg.Source.Identity())
	}
	return nil
}

// fits reads an answer before it takes the place of files that work.
func (s *Source) fits(r Request, i Issued) error {
	m, err := s.read(append(append([]byte(nil), r.key...), i.Chain...), i.Trust)
	if err == nil && m.identity != s.current().identity {
		err = errors.New("the manager answered with a certificate for somebody else")
	}
	if err == nil && !m.cert.Leaf.NotAfter.After(s.cfg.Now()) {
		err = errors.New("the manager answered with a certificate that has run out")
	}
	if err != nil {
		return &darter.Error{Kind: darter.Corrupt, Op: "renew certificate", Hint: "see the manager's log", Err: err}
	}
	return nil
}
