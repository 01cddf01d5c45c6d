package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/darter-p2p/darter"
)

const (
	idempotencyKey = "Idempotency-Key"
	replayed       = "Idempotency-Replayed"
	dryRun         = "dry_run"
	maxKey         = 255
)

// once is the layer between the gate and huma: it opens the request's transaction when a key or a dry run asks for one.
func (a *API) once(op *Operation, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		info := infoOf(r.Context())
		caller := a.gate.Caller(r.Context())
		info.actor, info.request, info.route = caller.Actor, caller.Request, op.Path
		if info.shown == nil {
			info.shown = r
		}
		r, dry, err := takeDryRun(op, r)
		if err != nil {
			a.Refuse(w, r, err)
			return
		}
		key, keyed, err := takeKey(op, r)
		if err != nil {
			a.Refuse(w, r, err)
			return
		}
		switch {
		case dry:
			a.dry(w, r, handler)
		case keyed:
			a.keyed(w, r, op, key, handler)
		default:
			handler(w, r)
		}
	}
}

// takeDryRun takes the parameter out of the query, so that no operation has to know it.
func takeDryRun(op *Operation, r *http.Request) (*http.Request, bool, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return r, false, Refusal(http.StatusBadRequest, Invalid, "the query does not parse")
	}
	values, given := query[dryRun]
	if !given || !op.dry() {
		return r, false, nil // huma refuses a parameter that the operation does not have
	}
	dry, err := strconv.ParseBool(values[0])
	if err != nil || len(values) > 1 {
		return r, false, Refusal(http.StatusUnprocessableEntity, Invalid, "dry_run is true or false", Detail{Pointer: "query/" + dryRun, Code: "malformed", Detail: "true or false"})
	}
	query.Del(dryRun)
	out := r.WithContext(r.Context())
	u := *r.URL
	u.RawQuery = query.Encode()
	out.URL = &u
	return out, dry, nil
}

func takeKey(op *Operation, r *http.Request) (string, bool, error) {
	values := r.Header.Values(idempotencyKey)
	if len(values) == 0 || !op.repeatable() {
		return "", false, nil
	}
	if len(values) > 1 || values[0] == "" || len(values[0]) > maxKey {
		return "", false, Refusal(http.StatusUnprocessableEntity, Invalid, "an idempotency key has 1 to 255 bytes",
			Detail{Pointer: "header/" + idempotencyKey, Code: "malformed", Detail: "one value of 1 to 255 bytes"})
	}
	return values[0], true, nil
}

// errRefused ends a transaction whose answer is a refusal; cause is why, for the database to see.
type errRefused struct{ cause error }

func (e *errRefused) Error() string { return "refused" }
func (e *errRefused) Unwrap() error { return e.cause }

// attempt calls the handler under ctx with the body from its beginning.
func attempt(ctx context.Context, w http.ResponseWriter, r *http.Request, body []byte, handler http.HandlerFunc) (*held, error) {
	out := hold(w)
	again := r.WithContext(ctx)
	again.Body = io.NopCloser(bytes.NewReader(body))
	info := infoOf(ctx)
	info.cause, info.enclosed = nil, true
	handler(out, again)
	if out.status >= http.StatusBadRequest {
		return out, &errRefused{info.cause}
	}
	return out, nil
}

// bodyTime is how long a body may take to arrive.
const bodyTime = 10 * time.Second

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime)) // in memory there is none
	body, err := io.ReadAll(r.Body)
	_ = control.SetReadDeadline(time.Time{})
	if wait, ok := errors.AsType[net.Error](err); ok && wait.Timeout() {
		return nil, &darter.Error{Kind: darter.TimedOut, Op: "read body", Err: err}
	}
	return body, err
}

// dry answers with what would be, in a transaction that is undone.
func (a *API) dry(w http.ResponseWriter, r *http.Request, handler http.HandlerFunc) {
	body, err := readBody(w, r)
	if err != nil {
		a.Refuse(w, r, err)
		return
	}
	var out *held
	err = a.cfg.Journal.Try(r.Context(), func(ctx context.Context) (err error) {
		out, err = attempt(ctx, w, r, body, handler)
		return err
	})
	if refused := new(errRefused); err != nil && !errors.As(err, &refused) {
		a.Refuse(w, r, err)
		return
	}
	w.Header().Set("Dry-Run", "true")
	out.release()
}

// keyed answers the first request with a key, and its repetitions alike.
func (a *API) keyed(w http.ResponseWriter, r *http.Request, op *Operation, key string, handler http.HandlerFunc) {
	body, err := readBody(w, r)
	if err != nil {
		a.Refuse(w, r, err)
		return
	}
	caller := a.gate.Caller(r.Context())
	k := Key{Principal: caller.Principal(), Key: key, Route: r.Method + " " + infoOf(r.Context()).shown.URL.EscapedPath(), Hash: hash(r.URL.RawQuery, body)}
	if !a.fly(k) {
		a.Refuse(w, r, &Problem{Status: http.StatusConflict, Code: IdempotencyInFlight, RetryAfter: 1, Detail: "the first request with this key is still under way",
			Hint: "wait, and send it again"})
		return
	}
	defer a.land(k)
	var out *held
	answer, err := a.cfg.Journal.Once(r.Context(), k, func(ctx context.Context) (answer Answer, err error) {
		if out, err = attempt(ctx, w, r, body, handler); err != nil {
			return Answer{}, err
		}
		return pack(out, op.Secret)
	})
	refused := new(errRefused)
	switch {
	case errors.As(err, &refused) && out != nil:
		out.release()
	case err != nil:
		a.Refuse(w, r, err)
	case answer.Replayed:
		if err := unpack(w, answer); err != nil {
			a.Refuse(w, r, err)
		}
	default:
		out.release()
	}
}

func hash(query string, body []byte) string {
	h := sha256.New()
	_, _ = io.WriteString(h, query+"\x00") // never fails
	_, _ = h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// fly notes that a request is under way, unless one with its key is.
func (a *API) fly(k Key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := k.Principal + "\x00" + k.Key
	if a.mu.flying[at] {
		return false
	}
	a.mu.flying[at] = true
	return true
}

func (a *API) land(k Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.mu.flying, k.Principal+"\x00"+k.Key)
}

// kept is an answer as the journal keeps it: {"header": {"Etag": …}, "body": "…"}.
type kept struct {
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body"`
}

func pack(out *held, secret []string) (Answer, error) {
	k := kept{Header: make(map[string]string), Body: out.body.String()}
	for _, name := range []string{"Content-Type", "Location", "Etag", "Link"} {
		if v := out.header.Get(name); v != "" {
			k.Header[name] = v
		}
	}
	if len(secret) > 0 {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(out.body.Bytes(), &members); err != nil {
			return Answer{}, err
		}
		for _, name := range secret {
			delete(members, name)
		}
		body, err := json.Marshal(members)
		if err != nil {
			return Answer{}, err
		}
		k.Body = string(body)
	}
	text, err := json.Marshal(k)
	return Answer{Status: max(out.status, http.StatusOK), Body: string(text)}, err
}

func unpack(w http.ResponseWriter, a Answer) error {
	var k kept
	if err := json.Unmarshal([]byte(a.Body), &k); err != nil {
		return err
	}
	for name, value := range k.Header {
		w.Header().Set(name, value)
	}
	w.Header().Set(replayed, "true")
	w.WriteHeader(a.Status)
	_, _ = io.WriteString(w, k.Body) // the caller is gone when this fails
	return nil
}
