package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// hop is the state of B14: an nginx and a seed that both hold the same file.
type hop struct {
	suite  *suite
	origin *nginx
	file   content
	fleet  *fleet
	seed   *node
}

// runHop is B14: one seed, one child, loopback, beside nginx with sendfile and curl to a file.
// Runs alternate, and a first pair is thrown away: fresh pages cost more.
func runHop(ctx context.Context, s *suite) error {
	size := 2 * gib // twice that many dirty pages still fit below the kernel's limit on 24 GiB
	if s.quick {
		size = gib
	}
	h, err := s.newHop(ctx, size)
	if err != nil {
		return err
	}
	defer h.close()
	for run := 0; run <= s.runs; run++ {
		plain, err := h.curl(ctx, run)
		if err != nil {
			return err
		}
		ours, err := h.darter(ctx, run)
		if err != nil {
			return err
		}
		if run == 0 {
			continue
		}
		ours.Values["seed/nginx"] = ours.Values["seed s/GiB"] / plain.Values["nginx s/GiB"]
		ours.Values["child/curl"] = ours.Values["child s/GiB"] / plain.Values["curl s/GiB"]
		ours.Values["hop/hop"] = (ours.Values["seed s/GiB"] + ours.Values["child s/GiB"]) / (plain.Values["nginx s/GiB"] + plain.Values["curl s/GiB"])
		if err := errors.Join(s.book.add(plain), s.book.add(ours)); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) newHop(ctx context.Context, size int64) (*hop, error) {
	ctx, cancel := bounded(ctx, 10*time.Minute)
	defer cancel()
	h := &hop{suite: s}
	root := filepath.Join(s.dir, "hop")
	err := mkdir(root)
	if err == nil {
		h.file, err = makeFile(filepath.Join(root, "file"), size, 14)
	}
	if err == nil {
		h.origin, err = startNginx(ctx, root+"-nginx", root, "", "127.0.0.1", 0)
	}
	if err == nil {
		h.fleet, err = s.newFleet(ctx, loopback())
	}
	if err == nil {
		h.seed, err = h.fleet.daemon(ctx, "seed", loopback(), "--seed")
	}
	if err == nil {
		err = h.fleet.waitHosts(ctx, loopback(), 1)
	}
	if err == nil {
		out := filepath.Join(s.dir, "hop-seed-out")
		_, _, err = s.get(ctx, h.seed, h.origin.url("file"), out)
		err = errors.Join(err, h.file.check(out), os.Remove(out))
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *hop) close() {
	if h.origin != nil {
		h.origin.kill()
	}
	if h.fleet != nil {
		_ = h.fleet.close() // the whole work folder goes at the end
	}
}

// curl is the reference: nginx with sendfile to curl to a file.
func (h *hop) curl(ctx context.Context, run int) (record, error) {
	ctx, cancel := bounded(ctx, 5*time.Minute)
	defer cancel()
	r := h.suite.before(ctx, "B14", "nginx and curl", run, h.file.size)
	out := filepath.Join(h.suite.dir, "hop-curl-out")
	before, err := cpuSeconds(h.origin.process.PID())
	if err != nil {
		return r, err
	}
	done, err := execute(ctx, h.suite.dir, "curl", "-sSf", "-o", out, h.origin.url("file"))
	if err != nil {
		return r, err
	}
	after, err := cpuSeconds(h.origin.process.PID())
	per := float64(h.file.size) / float64(gib)
	r.Values["nginx s/GiB"], r.Values["curl s/GiB"] = (after-before)/per, done.cpu/per
	r.Values["MB/s"] = float64(h.file.size) / 1e6 / done.seconds()
	return r, errors.Join(err, h.file.check(out), os.Remove(out))
}

// darter fetches the file into a fresh daemon, which has the seed as its only parent.
func (h *hop) darter(ctx context.Context, run int) (record, error) {
	ctx, cancel := bounded(ctx, 5*time.Minute)
	defer cancel()
	s := h.suite
	child, err := h.fleet.daemon(ctx, fmt.Sprintf("child%d", run), loopback())
	if err != nil {
		return record{}, err
	}
	defer func() { child.Kill(); _ = os.RemoveAll(child.dir) }()
	if err := h.fleet.waitHosts(ctx, loopback(), 2); err != nil {
		return record{}, err
	}
	r := s.before(ctx, "B14", "darter", run, h.file.size)
	out := filepath.Join(child.dir, "out")
	seed0, err0 := cpuSeconds(h.seed.PID())
	child0, err1 := cpuSeconds(child.PID())
	scheduler0, err2 := cpuSeconds(h.fleet.scheduler.PID())
	done, g, err3 := s.get(ctx, child, h.origin.url("file"), out)
	if err := errors.Join(err0, err1, err2, err3); err != nil {
		return r, err
	}
	seed1, err0 := cpuSeconds(h.seed.PID())
	child1, err1 := cpuSeconds(child.PID())
	scheduler1, err2 := cpuSeconds(h.fleet.scheduler.PID())
	if err := errors.Join(err0, err1, err2, h.file.check(out)); err != nil {
		return r, err
	}
	if g.FromPeers != h.file.size {
		return r, fmt.Errorf("only %d of %d bytes came from the seed: this measures something else", g.FromPeers, h.file.size)
	}
	per := float64(h.file.size) / float64(gib)
	r.Values["seed s/GiB"] = (seed1 - seed0) / per
	r.Values["child s/GiB"] = (child1 - child0 + done.cpu) / per
	r.Values["cli s/GiB"] = done.cpu / per
	r.Values["scheduler s/GiB"] = (scheduler1 - scheduler0) / per
	r.Values["MB/s"] = float64(h.file.size) / 1e6 / done.seconds()
	for name, pid := range map[string]int{"seed": h.seed.PID(), "child": child.PID()} {
		peak, err := statusBytes(pid, "VmHWM")
		if err != nil {
			return r, err
		}
		r.Values[name+" peak MiB"] = float64(peak) / float64(mib)
	}
	return r, nil
}
