package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
)

func TestExitCodes(t *testing.T) {
	kind := func(k darter.Kind) error { return &darter.Error{Kind: k, Op: "x", Err: errors.New("y")} }
	answer := func(s int) error {
		return fmt.Errorf("get: %w", &darter.Error{Op: "download", Err: &source.Error{Status: s}})
	}
	for name, c := range map[string]struct {
		err  error
		want Exit
	}{
		"nil":                  {nil, 0},
		"plain":                {errors.New("x"), 1},
		"usage":                {Usage(errors.New("x")), 2},
		"unknown command":      {errors.New(`unknown command "gte" for "darter"`), 2},
		"invalid":              {kind(darter.Invalid), 2},
		"file":                 {fileError("write", fs.ErrPermission, ""), 3},
		"path":                 {&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}, 3},
		"conflict":             {kind(darter.Conflict), 3},
		"unavailable":          {kind(darter.Unavailable), 4},
		"certificate":          {fmt.Errorf("x: %w", &tls.CertificateVerificationError{Err: errors.New("y")}), 5},
		"authority":            {&darter.Error{Kind: darter.Denied, Err: x509.UnknownAuthorityError{}}, 5},
		"certificate, as text": {&darter.Error{Kind: darter.Denied, Op: "download", Err: errors.New("tls: failed to verify certificate")}, 5},
		"denied":               {kind(darter.Denied), 6},
		"401":                  {answer(401), 6},
		"403":                  {answer(403), 6},
		"protocol":             {&coded{ExitProtocol, errors.New("x")}, 7},
		"500":                  {answer(500), 8},
		"418":                  {answer(418), 8},
		"404":                  {answer(404), 9},
		"410":                  {answer(410), 9},
		"not found":            {kind(darter.NotFound), 9},
		"corrupt":              {kind(darter.Corrupt), 10},
		"changed":              {&source.ChangedError{}, 10},
		"no space":             {kind(darter.NoSpace), 11},
		"no space, file":       {fileError("write", &fs.PathError{Err: syscall.ENOSPC}, ""), 11},
		"timed out":            {kind(darter.TimedOut), 12},
		"deadline":             {context.DeadlineExceeded, 12},
		"429":                  {answer(429), 14},
		"some failed":          {&coded{ExitSomeFailed, kind(darter.NotFound)}, 13},
		"no daemon":            {noDaemon("/s", kind(darter.Unavailable)), 15},
		"sigint":               {Printed(Interrupted{syscall.SIGINT}), 130},
		"sigterm":              {Interrupted{syscall.SIGTERM}, 143},
	} {
		require.Equal(t, c.want, ExitOf(c.err), name)
	}
}

func TestNameFromURL(t *testing.T) {
	for url, want := range map[string]string{
		"https://h/a/b.iso":                     "b.iso",
		"https://h/a/b.iso?sig=1#x":             "b.iso",
		"https://h/":                            "index.html",
		"https://h":                             "index.html",
		"https://h/..":                          "index.html",
		"https://h/%2e%2e%2fetc%2fpass":         "pass",
		"https://h/.bashrc":                     "bashrc",
		"https://h/a%0Ab":                       "ab",
		"https://h/a%5Cb":                       "a_b",
		"https://h/%1b%5B31m":                   "[31m",
		"https://h/caf%C3%A9":                   "café",
		"https://h/" + strings.Repeat("é", 300): strings.Repeat("é", 100),
		"://":                                   "index.html",
	} {
		got := nameFromURL(url)
		require.Equal(t, want, got, url)
		require.True(t, filepath.IsLocal(got))
	}
}

func FuzzNameFromURL(f *testing.F) {
	f.Add("https://h/a%00/..%2f")
	f.Fuzz(func(t *testing.T, raw string) {
		name := nameFromURL(raw)
		if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") || len(name) > 200 || !filepath.IsLocal(name) {
			t.Fatalf("%q gives %q", raw, name)
		}
	})
}

func TestParseRange(t *testing.T) {
	for text, want := range map[string]darter.Span{
		"0-99":    {Offset: 0, Length: 100},
		"10-":     {Offset: 10, Length: 990},
		"-10":     {Offset: 990, Length: 10},
		"-5000":   {Offset: 0, Length: 1000},
		"990-":    {Offset: 990, Length: 10},
		"5-99999": {Offset: 5, Length: 995},
		"1000-":   {Offset: 1000},
	} {
		r, err := parseRange(text)
		require.NoError(t, err, text)
		require.Equal(t, want, r.resolve(1000), text)
	}
	for _, text := range []string{"-", "a-b", "5", "9-1", "-0", "--5", "1-2-3", "99999999999999999999-"} {
		_, err := parseRange(text)
		require.Equal(t, ExitUsage, ExitOf(err), text)
	}
}

func TestReadList(t *testing.T) {
	d := strings.Repeat("ab", 32)
	jobs, err := readList(strings.NewReader("# comment\n\nhttps://h/a\n"+d+" https://h/b\r\nsha256:"+d+"  https://h/c  dir/some name.bin \n"), "l")
	require.NoError(t, err)
	require.Equal(t, []job{{url: "https://h/a"}, {url: "https://h/b", digest: darter.Digest("sha256:" + d)},
		{url: "https://h/c", digest: darter.Digest("sha256:" + d), name: "dir/some name.bin"}}, jobs)
	for text, where := range map[string]string{
		"https://h/a\nzz https://h/b\n":  "line 2",
		d + " https://h/b ../evil\n":     "line 1",
		d + " https://h/b /etc/passwd\n": "line 1",
		strings.Repeat("x", maxLine+1):   "line 1",
	} {
		_, err := readList(strings.NewReader(text), "l")
		require.ErrorContains(t, err, where)
		require.Equal(t, ExitUsage, ExitOf(err))
	}
}

func TestHeadersNeverShowTheirValues(t *testing.T) {
	file := filepath.Join(t.TempDir(), "h")
	require.NoError(t, os.WriteFile(file, []byte("# c\nAuthorization: Bearer canary\n\nX-A: 1\n"), 0o600))
	h, err := readHeaders([]string{"X-A: 0", "@" + file})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"Authorization": "Bearer canary", "X-A": "1"}, h)
	_, err = readHeaders([]string{"Authorization Bearer canary"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "canary")
}

// TestSequence feeds shuffled, doubled pieces and expects the one stream.
func TestSequence(t *testing.T) {
	const length, piece = 10_000, 700
	content := make([]byte, length)
	for i := range content {
		content[i] = byte(rand.IntN(256))
	}
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		span := darter.Span{Offset: r.Int64N(length / 2)}
		span.Length = r.Int64N(length - span.Offset)
		var out bytes.Buffer
		h := sha256.New()
		s := newSequence(&out, span, nil, h)
		var order []int64
		for at := int64(0); at < length; at += piece {
			order = append(order, at)
			if r.IntN(4) == 0 {
				order = append(order, at)
			}
		}
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, at := range order {
			require.NoError(t, s.put(t.Context(), at, content[at:min(at+piece, length)]))
		}
		require.NoError(t, s.finish())
		s.close()
		want := content[span.Offset:span.End()]
		require.True(t, bytes.Equal(want, out.Bytes()), "seed %d", seed)
		all := sha256.Sum256(want)
		require.Equal(t, all[:], h.Sum(nil))
	}
	s := newSequence(&bytes.Buffer{}, darter.Span{Length: 10}, nil, nil)
	require.NoError(t, s.put(t.Context(), 0, content[:5]))
	require.Equal(t, ExitMismatch, ExitOf(s.finish()), "a short stream is an error")
}

func TestSequenceKeepsToTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := newSequence(&bytes.Buffer{}, darter.Span{Length: 10 << 20}, newAllowance(1<<20), nil)
		require.NoError(t, s.put(t.Context(), 0, make([]byte, 10<<20)))
		require.InDelta(t, 10, time.Since(began).Seconds(), 1)
	})
}

// Pieces that come at the rate, but not in order, take no longer than they would in order.
func TestSequenceDoesNotPayForDisorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := newSequence(&bytes.Buffer{}, darter.Span{Length: 10 << 20}, newAllowance(1<<20), nil)
		defer s.close()
		for _, n := range []int64{9, 8, 7, 6, 5, 4, 3, 2, 1, 0} {
			time.Sleep(time.Second)
			require.NoError(t, s.put(t.Context(), n<<20, make([]byte, 1<<20)))
		}
		require.InDelta(t, 10, time.Since(began).Seconds(), 0.1)
	})
}

func TestProgressLine(t *testing.T) {
	v := view{name: "model-00001-of-00163.safetensors", total: 1 << 30, bySource: [3]int64{50 << 20, 400 << 20, 10 << 20}, rate: 210 << 20, files: 1}
	golden := map[int]string{
		140: "model-00001-o..3.safetensors  ##############-------------------   44%  460 MiB of 1.0 GiB  210 MiB/s  ETA 3s  origin 10% peers 88% cache 2%",
		110: "##############-------------------   44%  460 MiB of 1.0 GiB  210 MiB/s  ETA 3s  origin 10% peers 88% cache 2%",
		80:  " 44%  460 MiB of 1.0 GiB  210 MiB/s  ETA 3s  origin 10% peers 88% cache 2%",
		60:  " 44%  210 MiB/s  ETA 3s  origin 10% peers 88% cache 2%",
		40:  " 44%  460 MiB of 1.0 GiB  210 MiB/s",
		20:  " 44%  210 MiB/s",
	}
	for width, want := range golden {
		require.Equal(t, want, style{width: width}.line(v), "width %d", width)
	}
	for width := 21; width < 200; width++ {
		line := style{width: width, unicode: true}.line(v)
		require.Less(t, utf8.RuneCountInString(line), width, "a line as wide as the terminal would wrap")
	}
	unknown := view{name: "a", bySource: [3]int64{5 << 20}, rate: 1 << 20, elapsed: time.Second, files: 1}
	require.Contains(t, style{width: 80}.line(unknown), "5.0 MiB  1.0 MiB/s")
}

func TestSharesAddUp(t *testing.T) {
	for range 2000 {
		by := [3]int64{rand.Int64N(1000), rand.Int64N(1000), rand.Int64N(3)}
		if rand.IntN(3) == 0 {
			by[0] = 0
		}
		if by[0]+by[1]+by[2] == 0 {
			continue
		}
		var o, p, c int
		_, err := fmt.Sscanf(sourcesText(by), "origin %d%% peers %d%% cache %d%%", &o, &p, &c)
		require.NoError(t, err)
		require.Equal(t, 100, o+p+c)
		require.False(t, by[0] == 0 && o > 0, "an origin that sent nothing")
	}
}

func TestMeterRateLooksBackFiveSeconds(t *testing.T) {
	at := time.Unix(100, 0)
	m := newMeter(at, 1)
	m.begin("x", 100<<20)
	for range 10 {
		m.add(darter.FromPeer, 1<<20)
		at = at.Add(time.Second)
		m.look(at)
	}
	require.InDelta(t, 1<<20, m.look(at).rate, 1<<18)
	for range 7 {
		at = at.Add(time.Second)
		m.look(at)
	}
	require.Zero(t, m.look(at).rate, "a stall shows after the window")
}

func TestPlainLine(t *testing.T) {
	v := view{name: "a\x1b[31m", total: 100, bySource: [3]int64{50, 0, 0}, rate: 10, files: 1}
	require.Equal(t, "a\uFFFD[31m  50%  50 B of 100 B  10 B/s  ETA 5s  origin 100% peers 0% cache 0%", plainLine(v))
}

func TestScreenWritesWholeLines(t *testing.T) {
	var b bytes.Buffer
	s := &screen{out: &b, size: func() int { return 40 }}
	s.draw(view{total: 10, bySource: [3]int64{5}, files: 1})
	s.clear()
	require.True(t, strings.HasPrefix(b.String(), "\r") && strings.HasSuffix(b.String(), "\r\x1b[K"))
	require.NotContains(t, b.String(), "\n")
}

func TestPublish(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(p, []byte(text), 0o600))
		return p
	}
	target := write("f", "old")
	require.Equal(t, ExitFile, ExitOf(publish(write(".p", "new"), target, false)))
	data, _ := os.ReadFile(target)
	require.Equal(t, "old", string(data), "without overwrite the old file stays")
	require.NoFileExists(t, filepath.Join(dir, ".p"))
	require.NoError(t, publish(write(".p", "new"), target, true))
	data, _ = os.ReadFile(target)
	require.Equal(t, "new", string(data))
	require.NoError(t, os.Link(target, filepath.Join(dir, ".p")))
	require.NoError(t, publish(filepath.Join(dir, ".p"), target, true), "part and target may be one file")
	require.NoFileExists(t, filepath.Join(dir, ".p"))
}

func TestPartFileSweepsTheDead(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, ".a[1].bin.999999999"+partSuffix)
	other := filepath.Join(dir, ".b.bin.999999999"+partSuffix)
	living := filepath.Join(dir, fmt.Sprintf(".a[1].bin.%d%s", os.Getppid(), partSuffix))
	for _, f := range []string{dead, other, living} {
		require.NoError(t, os.WriteFile(f, nil, 0o600))
	}
	part := partFile(filepath.Join(dir, "a[1].bin"))
	require.True(t, strings.HasPrefix(filepath.Base(part), ".a[1].bin."))
	require.NoFileExists(t, dead)
	require.FileExists(t, other)
	require.FileExists(t, living)
}

func TestPrintErrorIsThreeLines(t *testing.T) {
	var b bytes.Buffer
	PrintError(&b, &darter.Error{Kind: darter.NotFound, Op: "download", Err: &source.Error{URL: "https://h/x", Status: 404, Message: "Not Found"}})
	require.Equal(t, "error[not-found]: download failed\n  cause: the source https://h/x answered 404 Not Found\n  fix:   check the URL; the source has no such content\n", b.String())
}
