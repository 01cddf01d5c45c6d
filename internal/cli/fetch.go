package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/identity"
)

// get carries out a command line.
func (a *App) get(ctx context.Context, f getFlags, args []string, s Settings) error {
	p, err := f.plan(args, a)
	if err != nil {
		return a.failed(f, err)
	}
	p.settings = s
	targets, err := p.targets()
	if err != nil {
		return a.failed(f, err)
	}
	g, own, err := a.getter(ctx, p)
	if err != nil {
		return a.failed(f, err)
	}
	defer g.Close()
	m := newMeter(now(), len(p.jobs))
	stop := a.progress(ctx, p, m)
	out := &results{app: a, plan: p, clear: stop}
	err = a.fetchAll(ctx, g, own, p, targets, m, out)
	stop()
	if p.many && !f.quiet {
		out.total(m)
	}
	if err != nil && p.many {
		return err
	}
	return a.failed(f, err)
}

// failed prints an error as JSON where that was asked for; the error then counts as printed.
func (a *App) failed(f getFlags, err error) error {
	if err == nil || !f.asJSON {
		return err
	}
	PrintJSONError(a.Err, err)
	return Printed(err)
}

// targets resolves where each job's bytes go. Two jobs must not go to one file.
func (p *plan) targets() ([]string, error) {
	out := make([]string, len(p.jobs))
	seen := map[string]string{}
	for i, j := range p.jobs {
		output := p.flags.output
		if j.name != "" {
			output = j.name
		}
		target, err := resolve(output, p.flags.dir, j.url)
		if err != nil {
			return nil, fileError("find the folder", err, "name an absolute folder with -d")
		}
		if first, twice := seen[target]; twice && target != stdout {
			return nil, Usage(fmt.Errorf("%s and %s would both be written to %s: give one of them a name in the list", identity.Redact(first), identity.Redact(j.url), target))
		}
		seen[target], out[i] = j.url, target
	}
	return out, nil
}

// getter picks who fetches: the daemon when one answers and nothing forbids it, else an engine of our own.
func (a *App) getter(ctx context.Context, p *plan) (g Getter, own bool, err error) {
	if !p.ownEngine {
		d, err := a.OpenDaemon(ctx, p.settings.Socket)
		if err == nil {
			return d, false, nil
		}
		if p.flags.requireDaemon || a.Standalone == nil || ctx.Err() != nil {
			return nil, false, noDaemon(p.settings.Socket, err)
		}
	}
	if a.Standalone == nil {
		return nil, false, Usage(errors.New("this build has no engine of its own: start a daemon and leave --standalone out"))
	}
	g, err = a.Standalone(ctx, StandaloneOptions{DataDir: p.settings.DataDir, CAFile: p.flags.caFile, Insecure: p.flags.insecure, LimitRate: p.rate})
	return g, true, err
}

func noDaemon(socket string, err error) error {
	return &coded{ExitNoDaemon, &darter.Error{Kind: darter.Unavailable, Op: "reach the daemon at " + socket, Err: err,
		Hint: "start one with \"darter up\", or name its socket with --socket"}}
}

func (a *App) progress(ctx context.Context, p *plan, m *meter) (stop func()) {
	mode := p.flags.progress
	if p.flags.quiet || p.flags.asJSON {
		mode = "none"
	}
	var s *screen
	if mode == "auto" || mode == "bar" {
		s = a.terminal(a.Err)
	}
	switch {
	case mode == "none":
		return func() {}
	case s == nil && mode == "bar":
		s = &screen{out: a.Err, size: func() int { return 80 }, style: a.style()}
	}
	return sync.OnceFunc(showProgress(ctx, m, s, a.Err))
}

// fetchAll runs the transfers, at most -j at once. One file's error is its own; several give exit code 13.
func (a *App) fetchAll(ctx context.Context, g Getter, own bool, p *plan, targets []string, m *meter, out *results) error {
	var rate darter.Size
	if p.rate > 0 && !own { // an engine of our own keeps to the rate itself
		rate = p.rate
	}
	var crowd errgroup.Group
	crowd.SetLimit(p.flags.parallel)
	for i, j := range p.jobs {
		if ctx.Err() != nil {
			break
		}
		crowd.Go(func() error {
			out.add(a.fetchOne(ctx, g, p.transfer(a, j, targets[i], m, rate)))
			m.end()
			return nil
		})
	}
	if err := crowd.Wait(); err != nil {
		return err
	}
	return out.verdict(ctx)
}

func (a *App) fetchOne(ctx context.Context, g Getter, t *transfer) (Report, error) {
	if t.want.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.want.Timeout)
		defer cancel()
	}
	return t.run(ctx, g, now)
}

// results prints what became of each file, one at a time.
type results struct {
	app   *App
	plan  *plan
	clear func() // ends the progress line; used before the only line

	mu struct {
		sync.Mutex
		done, failed int
		bytes        int64
		first        error
	}
}

func (r *results) add(rep Report, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.done++
	r.mu.bytes += rep.Bytes
	if err != nil {
		r.mu.failed++
		if r.mu.first == nil {
			r.mu.first = err
		}
	}
	f := r.plan.flags
	if !r.plan.many {
		r.clear()
	}
	switch {
	case f.asJSON:
		r.json(rep, err)
	case err != nil && r.plan.many:
		fmt.Fprintf(r.app.Err, "\r\x1b[K"[:r.wipe()]+"%s: ", identity.Redact(rep.URL))
		PrintError(r.app.Err, err)
	case err == nil && !f.quiet:
		io.WriteString(r.app.Err, "\r\x1b[K"[:r.wipe()]+summary(rep)+"\n")
	}
	if err != nil && !r.plan.many && !f.quiet && !f.asJSON {
		if _, interrupted := errors.AsType[Interrupted](err); interrupted {
			fmt.Fprintf(r.app.Err, "stopped: %s of this file came; what is complete is kept, the same command goes on from there\n", sizeText(rep.FromOrigin+rep.FromPeers+rep.FromCache))
		}
	}
}

// wipe returns how much of the sequence that clears a line to print: all on a terminal, else nothing.
func (r *results) wipe() int {
	if r.plan.many && r.app.terminal(r.app.Err) != nil && !r.plan.flags.quiet {
		return len("\r\x1b[K")
	}
	return 0
}

// json prints one object: on stdout, unless that is where the content goes. The error of an only file
// goes to stderr by itself.
func (r *results) json(rep Report, err error) {
	if err != nil {
		if !r.plan.many {
			return
		}
		f := failureOf(err)
		rep.Error = &f
	}
	w := r.app.Out
	if rep.Output == stdout {
		w = r.app.Err
	}
	if werr := writeJSONLine(w, rep); werr != nil && r.mu.first == nil {
		r.mu.first = werr
	}
}

// summary is the last line about a file that arrived.
func summary(r Report) string {
	var b strings.Builder
	what := "saved " + filepath.Base(r.Output)
	if r.Output == stdout {
		what = "wrote " + nameFromURL(r.URL)
	}
	if r.already {
		fmt.Fprintf(&b, "%s is here already, %s, digest matches", printable(filepath.Base(r.Output)), sizeText(r.Bytes))
		return b.String()
	}
	fmt.Fprintf(&b, "%s  %s in %.1fs", printable(what), sizeText(r.Bytes), r.Seconds)
	if r.Seconds > 0 {
		fmt.Fprintf(&b, " (%s)", rateText(float64(r.Bytes)/r.Seconds))
	}
	if text := sourcesText([3]int64{r.FromOrigin, r.FromPeers, r.FromCache}); text != "" {
		b.WriteString("  " + text)
	}
	if algorithm, _, ok := strings.Cut(r.Digest, ":"); ok {
		b.WriteString("  " + algorithm + " ok")
	}
	return b.String()
}

func (r *results) total(m *meter) {
	v := m.look(now())
	r.mu.Lock()
	defer r.mu.Unlock()
	line := fmt.Sprintf("%d of %d files, %s in %.1fs", r.mu.done-r.mu.failed, len(r.plan.jobs), sizeText(r.mu.bytes), v.elapsed.Seconds())
	if text := sourcesText(v.bySource); text != "" {
		line += "  " + text
	}
	if !r.plan.flags.asJSON {
		fmt.Fprintln(r.app.Err, line)
	}
}

// verdict is the error of the whole command.
func (r *results) verdict(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i, ok := errors.AsType[Interrupted](context.Cause(ctx)); ok && (r.mu.failed > 0 || r.mu.done < len(r.plan.jobs)) {
		if !r.plan.many {
			return Printed(i)
		}
		return i
	}
	switch {
	case r.mu.first == nil:
		return nil
	case !r.plan.many:
		return r.mu.first
	}
	return &coded{ExitSomeFailed, &darter.Error{Kind: darter.Unavailable, Op: "get",
		Err:  fmt.Errorf("%d of %d files failed", r.mu.failed, len(r.plan.jobs)),
		Hint: "run the same command again: what is complete is not fetched twice (give digests in the list, or --overwrite)"}}
}
