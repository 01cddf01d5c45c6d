package rpc

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/inventory"
)

const (
	// A host may renew so many times as often as it was granted, in bursts: prompts and lost grants make it renew early.
	renewalShare = 4
	renewalBurst = 16
	// burstOfLocations is what one round of questions can bring at most.
	burstOfLocations = inventory.MaxQuestions * inventory.MaxPage
	// pageItems bounds what one InventoryPage asks of its taker.
	pageItems = 256
)

// leaseStream is one host's stream. Its reader owns everything but the channels.
type leaseStream struct {
	server *LeaseServer
	conn   LeaseConn

	host  darter.HostID // empty before the first renewal
	first darter.Epoch  // of the first renewal; read by others under the server's lock, once the stream is the latest
	epoch darter.Epoch  // of the last
	calm  *rate.Limiter // of renewals
	every time.Duration // granted last

	walk     *inventory.Walk // while a comparison runs
	compared Compared
	began    time.Time

	silence *time.Timer // ends a stream that says nothing
	slow    *time.Timer // ends one that does not answer

	out  chan darter.Grant
	asks chan ask
	done chan struct{}
	once sync.Once
	err  error // set before done is closed
}

// ask is a round of questions, to be sent after a while.
type ask struct {
	questions []inventory.Question
	after     time.Duration
}

func errSilent() error {
	return &darter.Error{Kind: darter.TimedOut, Op: "keep a lease", Err: errors.New("the host did not renew it"), Hint: "it may open another one"}
}

func errUnanswered() error {
	return &darter.Error{Kind: darter.TimedOut, Op: "compare inventories", Err: errors.New("the host did not answer")}
}

// end makes the handler return; only the first call counts.
func (c *leaseStream) end(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.done)
	})
}

// verdict returns why the stream ended.
func (c *leaseStream) verdict() error {
	<-c.done
	return c.err
}

// push queues a grant; a full queue ends the stream.
func (c *leaseStream) push(g darter.Grant) bool {
	select {
	case c.out <- g:
		return true
	default:
		c.end(&darter.Error{Kind: darter.Unavailable, Op: "keep the lease of " + string(c.host), Err: errors.New("the host does not read its stream")})
		return false
	}
}

// write sends what is queued until the stream is over.
func (c *leaseStream) write(stream darterv1.Liveness_LeaseServer) {
	pause := time.NewTimer(time.Hour)
	pause.Stop()
	defer pause.Stop()
	var next []inventory.Question
	for {
		var m darterv1.LeaseResponse
		last := false
		select {
		case g := <-c.out:
			m.Word = &darterv1.LeaseResponse_Grant{Grant: wire.FromGrant(g)}
			last = g.Superseded
		case a := <-c.asks:
			next = a.questions
			pause.Reset(a.after)
			continue
		case <-pause.C:
			c.slow.Reset(c.server.cfg.AnswerWait) // before the answer can come
			m.Word = &darterv1.LeaseResponse_Questions{Questions: wire.FromQuestions(next)}
		case <-c.done:
			return
		}
		if stream.Send(&m) != nil {
			return // the reader learns why
		}
		if last {
			c.end(nil)
			return
		}
	}
}

// read takes words until the host ends the stream in order (nil) or it breaks.
func (c *leaseStream) read(in darterv1.Liveness_LeaseServer) error {
	for {
		m, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return wire.FromStatus("keep the lease of "+string(c.host), err)
		}
		switch w := m.GetWord().(type) {
		case *darterv1.LeaseRequest_Renewal:
			err = c.renewed(w.Renewal)
		case *darterv1.LeaseRequest_Answer:
			err = c.answered(w.Answer)
		default:
			err = &darter.Error{Kind: darter.Invalid, Op: "keep the lease of " + string(c.host), Err: errors.New("the word is of no known kind")}
		}
		if err != nil {
			return err
		}
	}
}

// renewed answers a renewal with a grant.
func (c *leaseStream) renewed(m *darterv1.Renewal) error {
	r, err := wire.ToRenewal(m, c.host)
	if err != nil {
		return err
	}
	if !c.calm.Allow() {
		return &darter.Error{Kind: darter.Invalid, Op: "keep the lease of " + string(c.host),
			Err: fmt.Errorf("it renews more than %d times as often as each %s", renewalShare, c.every), Hint: "renew when the granted time is over"}
	}
	c.epoch = r.Epoch
	if c.host == "" {
		c.host, c.first = r.Host, r.Epoch
		c.server.adopt(c)
	}
	g := c.server.cfg.Leases.Renewed(r, c.conn)
	g.Seq = r.Seq
	if g.Next <= 0 && !g.Superseded {
		g.Next = c.server.cfg.SilentMin // a grant without a time would not be taken for one
	}
	c.pacing(g.Next)
	g.WantInventory = g.WantInventory && !g.Superseded && (c.walk != nil || r.InventoryKnown && c.server.mayWalk())
	if !c.push(g) {
		return c.verdict()
	}
	if g.WantInventory && c.walk == nil {
		c.compare(r.Inventory)
	}
	return nil
}

// pacing sets what follows from the granted interval.
func (c *leaseStream) pacing(every time.Duration) {
	if every <= 0 {
		return
	}
	cfg := &c.server.cfg
	c.silence.Reset(max(time.Duration(cfg.Silent)*every, cfg.SilentMin))
	if every != c.every {
		c.every = every
		c.calm.SetLimit(rate.Every(every / renewalShare))
	}
}

// compare begins a comparison. The place for it is taken.
func (c *leaseStream) compare(theirs darter.InventoryDigest) {
	known := inventory.New()
	for _, l := range c.server.cfg.Leases.Holdings(c.host) {
		known.Put(l)
	}
	c.walk, c.began = inventory.NewWalk(known, theirs), time.Now()
	c.compared = Compared{Host: c.host}
	c.proceed(0)
}

// proceed asks what comes next, or ends the comparison.
func (c *leaseStream) proceed(after time.Duration) {
	if !c.walk.Done() {
		if questions := c.walk.Next(); len(questions) > 0 {
			c.asks <- ask{questions, after} // there is room: the round before was answered, so it was sent
		}
		return
	}
	c.walk = nil
	c.server.walked()
	c.server.cfg.Leases.InventoryPage(c.host, c.epoch, InventoryPage{Last: true})
	c.compared.Took = time.Since(c.began)
	if f := c.server.cfg.Events.Compared; f != nil {
		f(c.compared)
	}
}

// answered takes an answer, passes on what it tells, and lets the next round wait until the budget allows it.
func (c *leaseStream) answered(m *darterv1.Answer) error {
	a, err := wire.ToAnswer(m)
	if err != nil {
		return err
	}
	if c.walk == nil {
		return &darter.Error{Kind: darter.Invalid, Op: "compare inventories", Err: errors.New("nothing was asked")}
	}
	found, err := c.walk.Take(a)
	if err != nil {
		return err
	}
	c.slow.Stop()
	c.compared.Answers++
	c.compared.Gained += len(found.Gained)
	c.compared.Lost += len(found.Lost)
	c.tell(found)
	wait := c.server.budget.ReserveN(time.Now(), len(a.Locations)).Delay()
	if c.walk.Pending() {
		c.slow.Reset(c.server.cfg.AnswerWait)
		return nil
	}
	c.proceed(wait)
	return nil
}

// tell passes on what was found, in pages: one answer can say that a whole branch is gone.
func (c *leaseStream) tell(found inventory.Difference) {
	for gained := range slices.Chunk(found.Gained, pageItems) {
		c.server.cfg.Leases.InventoryPage(c.host, c.epoch, InventoryPage{Gained: gained})
	}
	for lost := range slices.Chunk(found.Lost, pageItems) {
		c.server.cfg.Leases.InventoryPage(c.host, c.epoch, InventoryPage{Lost: lost})
	}
}
