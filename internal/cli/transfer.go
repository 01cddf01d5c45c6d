package cli

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/store"
)

// Report is what get tells programs about one file: one JSON object, whose keys only ever grow in number.
type Report struct {
	TaskID     string   `json:"task_id"`
	Bytes      int64    `json:"bytes"`
	FromOrigin int64    `json:"from_origin"`
	FromPeers  int64    `json:"from_peers"`
	FromCache  int64    `json:"from_cache"`
	Seconds    float64  `json:"seconds"`
	Digest     string   `json:"digest"` // the one that was checked; empty when none was given
	Output     string   `json:"output"`
	URL        string   `json:"url"`
	Error      *Failure `json:"error,omitempty"`

	already bool // it was here, nothing was fetched
}

// transfer brings one content to one place.
type transfer struct {
	want      darter.Want   // as the flags say; Digest and Range are added per attempt
	target    string        // absolute, or stdout
	digest    darter.Digest // of the bytes written; empty is not checked
	span      *byteRange    // nil means everything
	overwrite bool
	makeDir   bool // make the target's folder
	inHand    bool // bytes pass through this process (a rate, a range, stdout)
	rate      *allowance
	out       io.Writer // the standard output
	meter     *meter

	// of the attempt under way
	start    Start
	bySource [3]int64
	expected int64
}

// run does the transfer. now is asked for the time that it took.
func (t *transfer) run(ctx context.Context, g Getter, now func() time.Time) (Report, error) {
	began := now()
	r := Report{URL: t.want.URL, Output: t.target, Digest: string(t.digest)}
	err := t.fetch(ctx, g, &r)
	r.TaskID = string(t.start.Task)
	r.FromOrigin, r.FromPeers, r.FromCache = t.bySource[darter.FromSource], t.bySource[darter.FromPeer], t.bySource[darter.FromCache]
	r.Seconds = math.Round(now().Sub(began).Seconds()*1000) / 1000
	return r, ended(ctx, err)
}

// ended prefers the reason why ctx ended to what broke because of it.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	if i, ok := errors.AsType[Interrupted](context.Cause(ctx)); ok {
		return i
	}
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return &darter.Error{Kind: darter.TimedOut, Op: "download", Err: errors.New("the time allowed by --timeout has passed")}
	}
	return err
}

func (t *transfer) fetch(ctx context.Context, g Getter, r *Report) error {
	if t.target != stdout {
		if err := checkFolder(t.target, t.makeDir); err != nil {
			return err
		}
		if done, err := t.present(r); done || err != nil {
			return err
		}
	}
	if t.device() {
		return t.intoDevice(ctx, g, r)
	}
	if !t.inHand && g.Writes() {
		err := t.byOther(ctx, g, r)
		if !t.unreachable(err) {
			return err
		}
		t.forget()
	}
	return t.byHand(ctx, g, r)
}

// present looks whether the target is there already: complete, or somebody else's.
func (t *transfer) present(r *Report) (done bool, err error) {
	info, err := os.Stat(t.target)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fileError("look at "+t.target, err, "choose another name with -o")
	}
	if t.device() {
		return false, nil
	}
	if info.IsDir() {
		return false, fileError("write "+t.target, errors.New("it is a folder"), "name a file with -o, or the folder with -d")
	}
	if t.digest != "" && info.Mode().IsRegular() {
		same, err := fileMatches(t.target, t.digest)
		if err != nil {
			return false, err
		}
		if same {
			r.Bytes, r.already = info.Size(), true
			t.bySource[darter.FromCache] = info.Size()
			t.meter.begin(filepath.Base(t.target), info.Size())
			t.meter.add(darter.FromCache, info.Size())
			return true, nil
		}
	}
	if t.overwrite {
		return false, nil
	}
	return false, exists(t.target, os.ErrExist)
}

// device reports whether the target is something to write into rather than a file to make, as /dev/null.
func (t *transfer) device() bool {
	if t.target == stdout {
		return false
	}
	info, err := os.Stat(t.target)
	return err == nil && info.Mode()&(os.ModeDevice|os.ModeNamedPipe|os.ModeSocket) != 0
}

func (t *transfer) intoDevice(ctx context.Context, g Getter, r *Report) error {
	f, err := os.OpenFile(t.target, os.O_WRONLY, 0)
	if err != nil {
		return fileError("write "+t.target, err, "choose another name with -o")
	}
	defer f.Close()
	seq, err := t.receive(ctx, g, f)
	if err == nil {
		r.Bytes = seq.span.Length
	}
	return err
}

// errNotHere says that the daemon reported success for a file that this process cannot see.
var errNotHere = errors.New("the daemon wrote a file that is not here")

// unreachable reports whether an attempt failed only because the other side cannot write our files.
func (t *transfer) unreachable(err error) bool {
	if err == nil {
		return false
	}
	if errors.Is(err, errNotHere) {
		return true
	}
	_, answered := errors.AsType[*source.Error](err)
	return darter.KindOf(err) == darter.Denied && !answered && !untrusted(err)
}

// forget takes an attempt out of the figures.
func (t *transfer) forget() {
	t.meter.retract(t.expected, t.bySource)
	t.bySource, t.expected = [3]int64{}, 0
}

// byOther lets the other side write the part file.
func (t *transfer) byOther(ctx context.Context, g Getter, r *Report) error {
	part := partFile(t.target)
	defer os.Remove(part)
	mode, err := newFileMode(part)
	if err != nil {
		return err
	}
	w := t.want
	w.Digest, w.OutputPath, w.Overwrite = t.digest, part, true
	res, err := g.Get(ctx, w, Sink{Started: t.started, Piece: func(p darter.Piece, _ []byte) error {
		t.count(p)
		return nil
	}})
	if err != nil {
		return err
	}
	info, err := os.Lstat(part)
	if err != nil || !info.Mode().IsRegular() {
		return errNotHere
	}
	if info.Size() != res.Length {
		return &darter.Error{Kind: darter.Corrupt, Op: "receive content", Err: fmt.Errorf("the file has %d bytes, the content %d", info.Size(), res.Length)}
	}
	if err := os.Chmod(part, mode); err != nil {
		return fileError("write "+t.target, err, "choose another folder with -d")
	}
	t.settle(info.Size())
	r.Bytes = info.Size()
	return publish(part, t.target, t.overwrite)
}

// byHand takes the bytes and writes them itself.
func (t *transfer) byHand(ctx context.Context, g Getter, r *Report) (err error) {
	out, part := t.out, ""
	if t.target != stdout {
		part = partFile(t.target)
		os.Remove(part)
		f, ferr := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		if ferr != nil {
			return fileError("write "+t.target, ferr, "choose another folder with -d")
		}
		out = f
		defer os.Remove(part)
		defer f.Close()
	}
	seq, err := t.receive(ctx, g, out)
	if err != nil {
		return err
	}
	r.Bytes = seq.span.Length
	if t.target == stdout {
		return nil
	}
	if err := out.(*os.File).Close(); err != nil {
		return fileError("write "+t.target, err, "")
	}
	return publish(part, t.target, t.overwrite)
}

// receive streams the wanted bytes to out and checks length and digest.
func (t *transfer) receive(ctx context.Context, g Getter, out io.Writer) (*sequence, error) {
	var h hash.Hash
	if t.digest != "" {
		var err error
		if h, err = store.NewHash(t.digest.Algorithm()); err != nil {
			return nil, err
		}
	}
	w := t.want
	w.NeedContent = true
	if t.span == nil {
		w.Digest = t.digest // the daemon checks the whole, this process what it writes
	} else if err := t.askRange(ctx, g, &w); err != nil {
		return nil, err
	}
	var seq *sequence
	res, err := g.Get(ctx, w, Sink{
		Started: func(s Start) {
			t.started(s)
			seq = newSequence(out, t.wanted(), t.rate, h)
		},
		Piece: func(p darter.Piece, content []byte) error {
			if seq == nil {
				return &coded{ExitProtocol, errors.New("the daemon sent a piece before it told what it sends")}
			}
			t.count(p)
			return seq.put(ctx, p.Offset, content)
		},
	})
	if seq != nil {
		defer seq.close()
	}
	if err != nil {
		return nil, err
	}
	if seq == nil { // an engine that had nothing to say about an empty content
		t.start.Length = res.Length
		seq = newSequence(out, t.wanted(), t.rate, h)
	}
	if err := seq.finish(); err != nil {
		return nil, err
	}
	t.settle(seq.span.Length)
	if h != nil {
		if got := store.Digest(t.digest.Algorithm(), h); got != t.digest {
			return nil, mismatch(t.want.URL, t.digest, got)
		}
	}
	return seq, nil
}

// errAsked ends a question once it is answered.
var errAsked = errors.New("the length is known")

// askRange fills in the range to ask for. For one that counts from the end it first asks for the length.
func (t *transfer) askRange(ctx context.Context, g Getter, w *darter.Want) error {
	if !t.span.suffix() {
		w.Range = t.span.request()
		return nil
	}
	length, known := int64(0), false
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	question := *w
	question.Range, question.NeedContent = &darter.Range{Length: 1}, false
	_, err := g.Get(limited, question, Sink{Started: func(s Start) {
		length, known = s.Length, true
		cancel(errAsked)
	}})
	if !known {
		return err
	}
	all := t.span.resolve(length)
	w.Range = &darter.Range{Start: all.Offset, Length: all.Length}
	return nil
}

func (t *transfer) started(s Start) {
	t.start = s
	t.expected = t.wanted().Length
	t.meter.begin(displayName(t), t.expected)
}

func displayName(t *transfer) string {
	if t.target == stdout {
		return nameFromURL(t.want.URL)
	}
	return filepath.Base(t.target)
}

// wanted returns the bytes of the content that go out.
func (t *transfer) wanted() darter.Span {
	all := darter.Span{Length: t.start.Length}
	switch {
	case t.span == nil:
		return all
	case t.start.Range != nil:
		return darter.Span{Offset: t.start.Range.Start, Length: min(t.start.Range.Length, t.start.Length-t.start.Range.Start)}
	}
	return t.span.resolve(t.start.Length)
}

// count adds the part of a piece that lies in the wanted bytes.
func (t *transfer) count(p darter.Piece) {
	w := t.wanted()
	n := min(p.Offset+p.Length, w.End()) - max(p.Offset, w.Offset)
	if n <= 0 || int(p.Traffic) >= len(t.bySource) {
		return
	}
	t.bySource[p.Traffic] += n
	t.meter.add(p.Traffic, n)
}

// settle makes the figures add up to the bytes delivered: what no piece told of was here before.
func (t *transfer) settle(bytes int64) {
	told := t.bySource[0] + t.bySource[1] + t.bySource[2]
	if told < bytes {
		t.bySource[darter.FromCache] += bytes - told
		t.meter.add(darter.FromCache, bytes-told)
	}
}
