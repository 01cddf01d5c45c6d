package rest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/pki"
	"github.com/darter-p2p/darter/internal/retry"
)

const (
	joinOp    = "join cluster"
	renewOp   = "renew certificate"
	maxAnswer = 1 << 20
	dialLimit = 5 * time.Second
)

// asker asks one manager.
type asker struct {
	http *http.Client
	base string
}

// ask returns an asker that knows its manager by t. Each question has a connection of its own: there is one a month.
func ask(c Config, t *tls.Config) *asker {
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: dialLimit}).DialContext, TLSClientConfig: t, TLSHandshakeTimeout: dialLimit, DisableKeepAlives: true}
	return &asker{base: "https://" + c.Manager, http: &http.Client{Transport: transport, Timeout: c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}} // a token must not walk away
}

// join redeems the join text and saves what it gets.
func (c *Config) join(ctx context.Context) error {
	text, err := c.Token()
	if err != nil {
		return err
	}
	token, pin, err := pki.ParseJoin(text)
	if err != nil {
		return &darter.Error{Kind: darter.Invalid, Op: joinOp, Err: err, Hint: "copy the whole text that darter admin join-token create printed"}
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil { // before the token is spent
		return &darter.Error{Kind: darter.Denied, Op: joinOp, Err: err, Hint: "choose another --data-dir, or give this user the right to write there"}
	}
	request, err := pki.NewRequest(nil, nil)
	if err != nil {
		return err
	}
	asks := ask(*c, pki.Pinned(pin, c.Now))
	var issued pki.Issued
	err = retry.Do(ctx, retry.Policy{First: 200 * time.Millisecond, Max: 3 * time.Second, Total: c.Patience}, func(ctx context.Context) (err error) {
		issued, err = asks.post(ctx, joinOp, "/v1/certificates:join", map[string]string{"token": token, "node": c.Node, "request": string(request.CSR)})
		return err
	})
	if err != nil {
		return err
	}
	return c.files().Save(request, issued)
}

// renew is for pki.RenewerConfig.
func (a *asker) renew(ctx context.Context, csr []byte) (pki.Issued, error) {
	issued, err := a.post(ctx, renewOp, "/v1/certificates:renew", map[string]string{"request": string(csr)})
	return issued, err
}

// post asks once. An error that is worth another try is not marked as permanent.
func (a *asker) post(ctx context.Context, op, path string, body map[string]string) (pki.Issued, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return pki.Issued{}, retry.Permanent(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+path, bytes.NewReader(text))
	if err != nil {
		return pki.Issued{}, retry.Permanent(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := a.http.Do(request)
	if err != nil {
		return pki.Issued{}, a.unreached(op, err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return pki.Issued{}, retry.Permanent(a.failed(darter.Unavailable, op, err, "the answer broke off: a join token is spent then, make another"))
	}
	if answer.StatusCode != http.StatusCreated {
		return pki.Issued{}, a.refused(op, answer.StatusCode, said)
	}
	var got struct {
		Serial   string    `json:"serial"`
		Chain    string    `json:"chain"`
		Trust    string    `json:"trust"`
		NotAfter time.Time `json:"not_after"`
	}
	if err := json.Unmarshal(said, &got); err != nil || got.Chain == "" || got.Trust == "" {
		return pki.Issued{}, retry.Permanent(a.failed(darter.Corrupt, op, errors.New("the answer is no certificate"), "check that --manager-rest names a Darter manager"))
	}
	return pki.Issued{Chain: []byte(got.Chain), Trust: []byte(got.Trust), Serial: got.Serial, NotAfter: got.NotAfter}, nil
}

func (a *asker) failed(kind darter.Kind, op string, err error, hint string) error {
	return &darter.Error{Kind: kind, Op: op, Err: fmt.Errorf("the manager at %s: %w", a.base, err), Hint: hint}
}

// unreached is the error of a manager that gave no answer.
func (a *asker) unreached(op string, err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" { // nothing was sent
		return a.failed(darter.Unavailable, op, err, "check --manager-rest, and that the manager runs")
	}
	kind, hint := darter.Unavailable, "look whether the manager lists the certificate; a join token that was spent on it is to be made anew"
	switch {
	case darter.KindOf(err) == darter.Denied:
		kind, hint = darter.Denied, darter.HintOf(err)
	case strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		kind, hint = darter.Conflict, "this manager has no certificate authority: start it with --ca FOLDER"
	}
	return retry.Permanent(a.failed(kind, op, err, hint))
}

// refused is the error of a manager that said no.
func (a *asker) refused(op string, status int, said []byte) error {
	var problem struct {
		Detail string `json:"detail"`
		Hint   string `json:"hint"`
	}
	if json.Unmarshal(said, &problem) != nil || problem.Detail == "" {
		problem.Detail = fmt.Sprintf("it answered with status %d", status)
	}
	kind := darter.Unavailable
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		kind = darter.Denied
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		kind = darter.Invalid
	case http.StatusConflict:
		kind = darter.Conflict
	case http.StatusNotFound:
		kind = darter.NotFound
	}
	err := a.failed(kind, op, errors.New(problem.Detail), problem.Hint)
	if status == http.StatusTooManyRequests { // turned away at the gate: many nodes behind one address join at once
		return err
	}
	return retry.Permanent(err)
}
