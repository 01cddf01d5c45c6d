package rest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/retry"
)

// Limits of one answer.
const (
	maxAnswer = 64 << 20
	dialLimit = 5 * time.Second
	firstByte = 60 * time.Second // of an answer; a request may ask to wait 30 s
	patience  = 20 * time.Second // with a manager that says "later"
)

// Config says where the manager is and as whom to ask.
type Config struct {
	Socket    string // of a manager on this machine; used when URL is empty
	URL       string // https://host:port, http://host:port
	Token     string // sent to URL only; may be empty
	CAFile    string // further authorities trusted for URL
	UserAgent string
	Tries     int // of a request that may be sent again; default 4
}

// Client asks one manager.
type Client struct {
	http  *http.Client
	base  *url.URL
	cfg   Config
	where string // for people
}

// Request is one question.
type Request struct {
	Op      string // what is tried, for errors: "create the job"
	Method  string
	Path    string // "/v1/jobs"; elements are escaped by the caller, see Path
	Query   url.Values
	Body    any               // marshalled as JSON, unless it is []byte
	Type    string            // of the body; default application/json
	IfMatch string            // an ETag, or "*"
	Key     string            // Idempotency-Key of a POST; one is made when it is empty
	Single  bool              // never sent again, and without a key: signing in
	Whole   bool              // of Pages: the list takes no page size and comes whole
	Wait    time.Duration     // Prefer: wait, whole seconds
	Header  map[string]string // further headers: Authorization of a sign-in
}

// repeatable reports whether the request does no more when it arrives twice. A PUT that arrived would be refused
// the second time, because what it was made from is old by then: that would be no honest answer.
func (r Request) repeatable() bool {
	return r.Method == http.MethodGet || r.Key != ""
}

// Answer is what came back.
type Answer struct {
	Status   int
	Body     json.RawMessage
	ETag     string
	Location string
	Replayed bool // the same request had been made before, and this is its answer
	Header   http.Header
}

// Path joins elements to an escaped path: Path("v1", "jobs", id) or, with a verb, Path("v1", "jobs", id) + ":cancel".
func Path(elements ...string) string {
	var b strings.Builder
	for _, e := range elements {
		b.WriteString("/" + url.PathEscape(e))
	}
	return b.String()
}

// Open returns a client. It connects with the first question.
func Open(cfg Config) (*Client, error) {
	if cfg.Tries <= 0 {
		cfg.Tries = 4
	}
	transport := &http.Transport{ResponseHeaderTimeout: firstByte, TLSHandshakeTimeout: dialLimit, MaxIdleConnsPerHost: 2}
	c := &Client{cfg: cfg, http: &http.Client{Transport: transport, CheckRedirect: sameHost}}
	if cfg.URL == "" {
		dialer := net.Dialer{Timeout: dialLimit}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", cfg.Socket)
		}
		c.base, c.where = &url.URL{Scheme: "http", Host: "localhost"}, cfg.Socket
		c.cfg.Token = "" // the socket says who asks; a token for another manager has no business here
		return c, nil
	}
	base, err := url.Parse(cfg.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "read the manager's address", Err: fmt.Errorf("%q is no address such as https://manager.example:8080", hidden(cfg.URL)),
			Hint: "give --manager http://HOST:PORT or https://HOST:PORT, without a path, a user or a password"}
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	c.base, c.where = base, base.String()
	transport.Proxy = http.ProxyFromEnvironment
	transport.DialContext = (&net.Dialer{Timeout: dialLimit}).DialContext
	transport.TLSClientConfig, err = trust(cfg.CAFile)
	return c, err
}

// hidden takes a password out of an address that was refused.
func hidden(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return u.Redacted()
	}
	return "…"
}

// sameHost keeps the token from walking away with a redirect.
func sameHost(r *http.Request, via []*http.Request) error {
	if len(via) > 3 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

func trust(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, &darter.Error{Kind: darter.NotFound, Op: "read the authority's certificate", Err: err, Hint: "name a file in PEM form with --cacert"}
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "read the authority's certificate", Err: fmt.Errorf("%s holds no certificate in PEM form", file), Hint: "name another file with --cacert"}
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// Where says whom the client asks, for people.
func (c *Client) Where() string { return c.where }

// Close lets go of connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do asks and returns the answer. Errors are darter.Error; with a Problem inside where the manager said no.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	body, err := encode(r.Body)
	if err != nil {
		return nil, err
	}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if r.Method == http.MethodPost && r.Key == "" && !r.Single {
		r.Key = uuid.NewString()
	}
	var out *Answer
	policy := retry.Policy{First: 200 * time.Millisecond, Max: 5 * time.Second, Attempts: c.cfg.Tries, Total: patience}
	err = retry.Do(ctx, policy, func(ctx context.Context) error {
		resp, err := c.send(ctx, r, body)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		out, err = read(resp, r)
		return err
	})
	return out, err
}

func encode(body any) ([]byte, error) {
	switch b := body.(type) {
	case nil:
		return nil, nil
	case []byte:
		return b, nil
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, &darter.Error{Kind: darter.Internal, Op: "write the request", Err: err}
	}
	return data, nil
}

// send makes one try. What it returns as an error is marked when another try is of no use.
func (c *Client) send(ctx context.Context, r Request, body []byte) (*http.Response, error) {
	target := *c.base
	path, err := url.PathUnescape(r.Path)
	if err != nil {
		return nil, retry.Permanent(err)
	}
	target.Path, target.RawPath, target.RawQuery = c.base.Path+path, c.base.Path+r.Path, r.Query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, retry.Permanent(err)
	}
	c.dress(req, r, body)
	resp, err := c.http.Do(req)
	if err == nil {
		return resp, nil
	}
	failure := c.unreached(ctx, r.Op, err)
	if ctx.Err() != nil || !passing(err) || !r.repeatable() {
		return nil, retry.Permanent(failure)
	}
	return nil, failure
}

func (c *Client) dress(req *http.Request, r Request, body []byte) {
	h := req.Header
	h.Set("User-Agent", c.cfg.UserAgent)
	if h.Get("Accept") == "" {
		h.Set("Accept", "application/json, application/problem+json")
	}
	if body != nil {
		h.Set("Content-Type", "application/json")
		if r.Type != "" {
			h.Set("Content-Type", r.Type)
		}
	}
	if c.cfg.Token != "" {
		h.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	if r.IfMatch != "" {
		h.Set("If-Match", r.IfMatch)
	}
	if r.Key != "" {
		h.Set("Idempotency-Key", r.Key)
	}
	if r.Wait > 0 {
		h.Set("Prefer", "wait="+strconv.Itoa(int(r.Wait/time.Second)))
	}
	for k, v := range r.Header {
		h.Set(k, v)
	}
}

// passing reports whether a failure to reach the manager may pass by itself within seconds. Nobody listening is not
// one of them: who types a command should not wait to hear that nothing runs.
func passing(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false
	}
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE)
}

// unreached is the error of a manager that gave no answer.
func (c *Client) unreached(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	out := &darter.Error{Kind: darter.Unavailable, Op: op, Err: fmt.Errorf("the manager at %s: %w", c.where, err)}
	switch {
	case c.cfg.URL == "" && errors.Is(err, fs.ErrPermission):
		out.Kind, out.Hint = darter.Denied, "the socket is for the user that the manager runs as, and for root; run the command as one of them, or give --manager URL and a token"
	case c.cfg.URL == "":
		out.Hint = "start one with \"darter up\" or \"darter manager\", or name one elsewhere with --manager URL"
	case strings.Contains(err.Error(), "certificate"):
		out.Kind, out.Hint = darter.Denied, "name the authority's certificate with --cacert FILE"
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		out.Hint = "this manager speaks plain HTTP: give --manager http://…"
	default:
		out.Hint = "check --manager, and that the manager runs"
	}
	return out
}

// read takes an answer in, at most maxAnswer of it.
func read(resp *http.Response, r Request) (*Answer, error) {
	op := r.Op
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		err = &darter.Error{Kind: darter.Unavailable, Op: op, Err: fmt.Errorf("the answer broke off: %w", err), Hint: "look whether it was done, then run the same command again"}
		if !r.repeatable() {
			err = retry.Permanent(err)
		}
		return nil, err
	}
	if len(body) > maxAnswer {
		return nil, retry.Permanent(&darter.Error{Kind: darter.Invalid, Op: op, Err: errors.New("the answer is too long"), Hint: "ask for less"})
	}
	if resp.StatusCode >= 300 {
		return nil, refuse(resp, body, op)
	}
	return &Answer{Status: resp.StatusCode, Body: body, ETag: resp.Header.Get("ETag"), Location: resp.Header.Get("Location"),
		Replayed: resp.Header.Get("Idempotency-Replayed") == "true", Header: resp.Header}, nil
}

func refuse(resp *http.Response, body []byte, op string) error {
	p := readProblem(resp.StatusCode, resp.Header.Get("Content-Type"), body)
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		p.retryAfter = time.Duration(s) * time.Second
	}
	err := p.asError(op)
	if !p.again() {
		return retry.Permanent(err)
	}
	if p.retryAfter > 0 {
		return retry.RetryAfter(err, p.retryAfter)
	}
	return err
}

// Decode reads the answer's body into v.
func (a *Answer) Decode(v any) error {
	if len(a.Body) == 0 {
		return nil
	}
	if err := json.Unmarshal(a.Body, v); err != nil {
		return &darter.Error{Kind: darter.Invalid, Op: "read the manager's answer", Err: err, Hint: "this darter and the manager may be of different versions: compare \"darter version\" with /v1/system"}
	}
	return nil
}
