package sourcetest

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/httprange"
)

// answer is one response, decided before its first byte.
type answer struct {
	file   *file
	faults Faults
	status int
	span   darter.Span // bytes of the content that are sent
	told   darter.Span // what Content-Range says
	total  int64       // what the headers say of the whole; -1 nothing
	header map[string]string
}

func (o *Origin) serve(w http.ResponseWriter, r *http.Request) {
	a, seen := o.decide(r)
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	if a.faults.StallHeader {
		<-r.Context().Done()
		return
	}
	if a.file == nil || a.status < 200 || a.status >= 300 || a.status == http.StatusNoContent {
		for name, value := range a.faults.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(a.status)
		return
	}
	if r.Method == http.MethodHead && a.faults.HeadTells {
		a.faults.NoLength = false
	}
	a.describe(w.Header())
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		o.send(w, r, a, seen)
	}
}

// decide notes the request and chooses the answer, consuming what is limited in number.
func (o *Origin) decide(r *http.Request) (answer, *Seen) {
	o.mu.Lock()
	defer o.mu.Unlock()
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	seen := &Seen{Method: r.Method, Path: r.URL.Path, Range: r.Header.Get("Range"), Header: header}
	o.mu.seen = append(o.mu.seen, seen)
	f := o.mu.files[r.URL.Path]
	if f == nil {
		seen.Status = http.StatusNotFound
		return answer{status: http.StatusNotFound}, seen
	}
	a := o.respond(f, r)
	if !a.faults.StallHeader {
		seen.Status = a.status
	}
	return a, seen
}

func (o *Origin) respond(f *file, r *http.Request) answer {
	if r.Method == http.MethodGet {
		f.asked++
		if f.faults.ChangeAfter > 0 && f.asked > f.faults.ChangeAfter {
			f.change()
		}
	}
	a := answer{file: f, faults: f.faults, header: map[string]string{}}
	if f.faults.StallOnce {
		f.faults.Stall, f.faults.StallHeader, f.faults.StallOnce = false, false, false
	}
	for name, value := range f.faults.NeedHeader {
		if r.Header.Get(name) != value {
			a.header["WWW-Authenticate"] = `Basic realm="test"`
			a.status = http.StatusUnauthorized
			return a
		}
	}
	if s := f.faults.Statuses; len(s) > 0 {
		f.faults.Statuses = s[1:]
		if s[0] != http.StatusOK {
			a.status = s[0]
			if a.faults.RetryAfter != "" {
				a.header["Retry-After"] = a.faults.RetryAfter
			}
			return a
		}
	}
	if to := f.faults.Redirect; to != "" {
		a.header["Location"] = to
		a.status = max(f.faults.RedirectStatus, 0)
		if a.status == 0 {
			a.status = http.StatusFound
		}
		return a
	}
	if r.Method == http.MethodHead && f.faults.NoHead {
		a.status = http.StatusMethodNotAllowed
		return a
	}
	// A snapshot: the file may be replaced while the body is under way.
	copied := *f
	a.file = &copied
	a.choose(r.Header.Get("Range"))
	return a
}

// change replaces the content by another of the same length.
func (f *file) change() {
	f.faults.ChangeAfter = 0
	f.generation++
	f.content = random{f.size(), uint64(f.generation) << 32}
}

// choose sets status and spans from the request's Range.
func (a *answer) choose(asked string) {
	size, f := a.file.size(), a.faults
	a.span = darter.Span{Length: size}
	a.total = size + f.LengthOff
	ignored := f.NoRanges || f.DropRanges > 0 && a.file.asked > f.DropRanges
	if asked == "" || ignored {
		a.status = http.StatusOK
	} else if r, err := httprange.Parse(asked, size); err != nil {
		a.status = http.StatusRequestedRangeNotSatisfiable
		a.header["Content-Range"] = fmt.Sprintf("bytes */%d", a.total)
		return
	} else {
		a.status = http.StatusPartialContent
		a.span = darter.Span{Offset: r.Start + f.Shift, Length: r.Length}
		a.told = a.span
		a.span.Length += f.Long
	}
	a.header["Accept-Ranges"] = "bytes"
	if ignored {
		a.header["Accept-Ranges"] = "none"
	}
}

// describe sets the headers of a content.
func (a *answer) describe(h http.Header) {
	if !a.faults.NoVersion {
		h.Set("Last-Modified", a.file.modified())
		if !a.faults.NoETag {
			h.Set("ETag", a.file.etag())
		}
	}
	h.Set("Content-Type", "application/octet-stream")
	total := strconv.FormatInt(a.total, 10)
	length := a.span.Length
	if a.status == http.StatusOK {
		length = a.total
	}
	if a.faults.NoLength {
		total = "*"
	} else {
		h.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	if a.status == http.StatusPartialContent {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", a.told.Offset, a.told.End()-1, total))
	}
	for name, value := range a.faults.Header {
		h.Set(name, value)
	}
}

// send writes the body as the faults have it, and counts.
func (o *Origin) send(w http.ResponseWriter, r *http.Request, a answer, seen *Seen) {
	end := a.span.End() - a.faults.Short
	buffer := o.buffers.Get().(*[]byte)
	defer o.buffers.Put(buffer)
	for off := a.span.Offset; off < end; {
		p := (*buffer)[:min(int64(len(*buffer)), end-off)]
		if a.faults.Stall {
			left := a.span.Offset + a.faults.StallAfter - off
			if left <= 0 {
				_ = http.NewResponseController(w).Flush() // the client going away shows below
				<-r.Context().Done()
				panic(http.ErrAbortHandler)
			}
			p = p[:min(int64(len(p)), left)]
		}
		if n, err := a.file.ReadAt(p, off); err != nil && err != io.EOF || n == 0 {
			clear(p) // past the end: surplus bytes
		}
		if o.limiter.WaitN(r.Context(), len(p)) != nil {
			return
		}
		// Counted first, so that a client never holds a byte that is not counted.
		o.count(seen, len(p))
		n, err := w.Write(p)
		o.count(seen, n-len(p))
		if err != nil {
			return
		}
		off += int64(n)
	}
	if a.faults.Short > 0 && !a.faults.NoLength {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // cuts the connection without a log line
	}
}

func (o *Origin) count(seen *Seen, n int) {
	o.sent.Add(int64(n))
	o.mu.Lock()
	defer o.mu.Unlock()
	seen.Sent += int64(n)
}
