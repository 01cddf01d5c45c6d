package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The lab of B1 and B7: hosts 0..15 are the peers, then the seed, the origin and the scheduler.
const (
	peers         = 16
	seedHost      = peers
	originHost    = peers + 1
	schedulerHost = peers + 2
	labHosts      = peers + 3
)

// crowd is one flash crowd.
type crowd struct {
	id, variant string
	size        int64
	originUp    int  // Mbit/s
	noSeed      bool // no seed at all
	killSeed    bool // kill -9 when the origin has sent half
}

// peerLink is the link of every peer and of the seed.
func peerLink() link { return link{up: 100, down: 200} }

func crowdLinks(originUp int) []link {
	links := make([]link, labHosts)
	for i := range links {
		links[i] = peerLink()
	}
	links[originHost] = link{up: originUp, down: 1000}
	links[schedulerHost] = link{up: 1000, down: 1000}
	return links
}

// runFlash is B1: the seed's uplink is the narrow place, and the origin is twice as wide.
func runFlash(ctx context.Context, s *suite) error {
	size := 128 * mib
	if s.quick {
		size = 32 * mib
	}
	for run := range s.runs {
		if err := s.crowd(ctx, crowd{id: "B1", variant: "darter", size: size, originUp: 200}, run+1); err != nil {
			return err
		}
	}
	if !s.curl {
		return nil
	}
	return s.curlCrowd(ctx, size)
}

// crowd runs one flash crowd through Darter.
func (s *suite) crowd(ctx context.Context, c crowd, run int) (err error) {
	ctx, cancel := bounded(ctx, 5*time.Minute)
	defer cancel()
	r := s.before(ctx, c.id, c.variant, run, c.size)
	network, err := newLab(ctx, crowdLinks(c.originUp))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.close(ctx)) }()
	root := filepath.Join(s.dir, fmt.Sprintf("origin-%s-%s-%d", c.id, strings.ReplaceAll(c.variant, " ", "-"), run))
	origin, file, err := s.labOrigin(ctx, root, originHost, c.size, uint64(run))
	if err != nil {
		return err
	}
	defer origin.kill()
	f, err := s.crowdFleet(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()

	ends := make([]time.Time, peers)
	gots := make([]got, peers)
	began, cpu := time.Now(), f.cpu()
	killed := s.killAtHalf(ctx, c, f, origin)
	stopTrace := s.traceLinks(ctx, c, run, f)
	spread, errs := together(peers, func(i int) error {
		n := f.nodes[1+i]
		// A link, because the hosts share one disk and one memory: sixteen copies at the end would measure those.
		done, g, err := s.get(ctx, n, origin.url("file"), filepath.Join(n.dir, "out"), "--hard-link")
		ends[i], gots[i] = done.ended, g
		return err
	})
	stopTrace()
	if !killed() && c.killSeed {
		errs = append(errs, errors.New("the seed was not killed: the origin never sent half"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w\nseed's log ends: %s", err, lastBytes(f.nodes[len(f.nodes)-1].Log(), 1500))
	}
	r.Values["cpu s/GiB"] = (f.cpu() - cpu) / (float64(peers) * float64(c.size) / float64(gib))
	crowdTimes(&r, c, began, ends)
	r.Values["start spread ms"] = float64(spread.Milliseconds())
	crowdUploads(&r, c, f)
	if err := s.crowdOrigin(ctx, &r, c, origin, gots); err != nil {
		return err
	}
	for i := range peers {
		if err := file.check(filepath.Join(f.nodes[1+i].dir, "out")); err != nil {
			return err
		}
	}
	return s.book.add(r)
}

// crowdFleet starts the scheduler, the peers and the seed, which is the last node.
func (s *suite) crowdFleet(ctx context.Context, c crowd) (*fleet, error) {
	f, err := s.newFleet(ctx, labHost(schedulerHost))
	if err != nil {
		return nil, err
	}
	for i := range peers {
		if _, err := f.daemon(ctx, fmt.Sprintf("p%d", i), labHost(i)); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	hosts := peers
	if !c.noSeed {
		hosts++
		if _, err := f.daemon(ctx, "seed", labHost(seedHost), "--seed"); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	if err := f.waitHosts(ctx, labHost(schedulerHost), hosts); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// labOrigin makes a file and an nginx on a host of the lab.
func (s *suite) labOrigin(ctx context.Context, root string, host int, size int64, seed uint64) (*nginx, content, error) {
	if err := mkdir(root); err != nil {
		return nil, content{}, err
	}
	file, err := makeFile(filepath.Join(root, "file"), size, seed)
	if err != nil {
		return nil, content{}, err
	}
	origin, err := startNginx(ctx, root+"-nginx", root, hostName(host), hostIP(host), 8080)
	return origin, file, err
}

// killAtHalf kills the seed when the origin's link has carried half of the file.
func (s *suite) killAtHalf(ctx context.Context, c crowd, f *fleet, origin *nginx) func() bool {
	if !c.killSeed {
		return func() bool { return false }
	}
	start, err := sentBytes(origin.process.PID(), "eth0")
	return onceAfter(ctx, func() bool {
		now, err2 := sentBytes(origin.process.PID(), "eth0")
		return err == nil && err2 == nil && now-start >= c.size/2
	}, f.nodes[len(f.nodes)-1].Kill)
}

// traceLinks writes a line per host and quarter of a second: what its link received and sent so far,
// in copies of the file. Off unless -trace was given.
func (s *suite) traceLinks(ctx context.Context, c crowd, run int, f *fleet) func() {
	if s.trace == "" {
		return func() {}
	}
	name := fmt.Sprintf("%s-%s-%d.csv", c.id, strings.ReplaceAll(c.variant, " ", "-"), run)
	out, err := os.Create(filepath.Join(s.trace, name))
	if err != nil {
		fmt.Printf("   no trace: %v\n", err)
		return func() {}
	}
	fmt.Fprintln(out, "seconds,host,received,sent")
	stop := sampling(ctx, 250*time.Millisecond, func(since time.Duration) {
		for _, n := range f.nodes[1:] {
			if received, sent, err := linkBytes(n.PID(), "eth0"); err == nil {
				fmt.Fprintf(out, "%.2f,%s,%.4f,%.4f\n", since.Seconds(), n.Name, float64(received)/float64(c.size), float64(sent)/float64(c.size))
			}
		}
	})
	return func() { stop(); _ = out.Close() }
}

// crowdUploads notes who carried the load, from the counters of the links. A seed that sends much more
// than one copy works for peers that could have asked each other.
func crowdUploads(r *record, c crowd, f *fleet) {
	var sent []float64
	for _, n := range f.nodes[1:] {
		bytes, err := sentBytes(n.PID(), "eth0")
		if err != nil {
			bytes = 0 // killed; its link went with it
		}
		sent = append(sent, float64(bytes)/float64(c.size))
	}
	if !c.noSeed {
		r.Values["seed sent copies"] = sent[peers]
	}
	r.Values["peer sent copies min"] = slices.Min(sent[:peers])
	r.Values["peer sent copies max"] = slices.Max(sent[:peers])
}

func crowdTimes(r *record, c crowd, began time.Time, ends []time.Time) {
	seconds := make([]float64, len(ends))
	last := 0.0
	for i, e := range ends {
		seconds[i] = e.Sub(began).Seconds()
		last = max(last, seconds[i])
	}
	hosts := crowdLinks(c.originUp)[:peers]
	limit := bound(c.size, float64(min(peerLink().up, c.originUp)), hosts)
	if c.noSeed {
		limit = bound(c.size, float64(c.originUp), hosts)
	}
	r.Values["last s"], r.Values["median s"], r.Values["bound s"] = last, median(seconds), limit
	r.Values["last/bound"] = last / limit
}

// crowdOrigin notes what the origin sent: body bytes from nginx's log, which counts what went into
// the socket of a client that died too.
func (s *suite) crowdOrigin(ctx context.Context, r *record, c crowd, origin *nginx, gots []got) error {
	if err := origin.stop(ctx); err != nil {
		return err
	}
	bodies, err := origin.served("/file")
	if err != nil {
		return err
	}
	sent := bodies.sum()
	fromOrigin := int64(0)
	for _, g := range gots {
		fromOrigin += g.FromOrigin
	}
	r.Values["origin copies"] = float64(sent) / float64(c.size)
	r.Values["origin requests"] = float64(len(bodies))
	r.Values["pieces sent twice"] = float64(bodies.twice()) / float64(pieceLength)
	r.Values["peers' share of origin"] = float64(fromOrigin) / float64(c.size)
	if c.killSeed {
		r.Values["copies less a piece"] = float64(max(sent-pieceLength, 0)) / float64(c.size)
	}
	if s.trace == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(s.trace, fmt.Sprintf("%s-%s-%d.origin", c.id, strings.ReplaceAll(c.variant, " ", "-"), r.Run)), []byte(bodies.String()), 0o644)
}

// curlCrowd is the reference: every host fetches for itself from an nginx with the seed's link.
func (s *suite) curlCrowd(ctx context.Context, size int64) (err error) {
	ctx, cancel := bounded(ctx, 15*time.Minute)
	defer cancel()
	c := crowd{id: "B1", variant: "curl, each for itself", size: size, originUp: peerLink().up}
	r := s.before(ctx, c.id, c.variant, 1, size)
	network, err := newLab(ctx, crowdLinks(c.originUp))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.close(ctx)) }()
	root := filepath.Join(s.dir, "origin-curl")
	origin, file, err := s.labOrigin(ctx, root, originHost, size, 99)
	if err != nil {
		return err
	}
	defer origin.kill()
	ends := make([]time.Time, peers)
	began := time.Now()
	out := func(i int) string { return filepath.Join(s.dir, fmt.Sprintf("curl-%d", i)) }
	_, errs := together(peers, func(i int) error {
		done, err := execute(ctx, s.dir, "nsenter", "--net=/run/netns/"+hostName(i), "curl", "-sSf", "-o", out(i), origin.url("file"))
		ends[i] = done.ended
		return err
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i := range peers {
		if err := file.check(out(i)); err != nil {
			return err
		}
	}
	crowdTimes(&r, c, began, ends)
	return s.book.add(r)
}
