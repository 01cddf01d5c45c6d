package manager

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/egress"
)

// EgressSetting names the setting that says where managers go on behalf of others.
const EgressSetting = "egress"

// EgressPolicy is the setting's document. Its lists come beside those of this process's own configuration.
type EgressPolicy struct {
	Allow   []string `json:"allow"`   // when not empty, only these hosts
	Deny    []string `json:"deny"`    // these never
	Private []string `json:"private"` // hosts that may have private addresses
	Exempt  []string `json:"exempt"`  // prefixes whose class is refused else, such as 127.0.0.0/8
}

// maxRules bounds each list.
const maxRules = 1000

// checkEgress reads the setting and returns it whole.
func checkEgress(body []byte) ([]byte, error) {
	p, err := readEgress(body)
	if err != nil {
		return nil, err
	}
	if _, err := egress.New(egress.DefaultConfig()); err != nil {
		return nil, err
	}
	cfg := egress.DefaultConfig()
	if err := p.add(&cfg); err != nil {
		return nil, err
	}
	return json.Marshal(p)
}

func readEgress(body []byte) (p EgressPolicy, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("it does not parse: %w", err)
	}
	for _, list := range []*[]string{&p.Allow, &p.Deny, &p.Private, &p.Exempt} {
		if *list == nil {
			*list = []string{}
		}
		if len(*list) > maxRules {
			return p, fmt.Errorf("a list has more than %d entries", maxRules)
		}
	}
	return p, nil
}

// add puts the policy's lists beside those that cfg has.
func (p EgressPolicy) add(cfg *egress.Config) error {
	for _, list := range []struct {
		name string
		from []string
		to   *[]egress.Rule
	}{{"allow", p.Allow, &cfg.Allow}, {"deny", p.Deny, &cfg.Deny}, {"private", p.Private, &cfg.Private}} {
		for _, text := range list.from {
			rule, err := egress.ParseRule(text)
			if err != nil {
				return fmt.Errorf("%s: %w", list.name, err)
			}
			*list.to = append((*list.to)[:len(*list.to):len(*list.to)], rule)
		}
	}
	for _, text := range p.Exempt {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("exempt: %q is not a prefix such as 127.0.0.0/8", text)
		}
		cfg.Exempt = append(cfg.Exempt[:len(cfg.Exempt):len(cfg.Exempt)], prefix)
	}
	return cfg.Validate()
}

// Egress is where this manager goes on behalf of others, under the policy of each moment.
type Egress struct {
	base egress.Config
	way  atomic.Pointer[way]
}

// way is one policy, and the connections that were opened under it.
type way struct {
	guard *egress.Guard
	http  *http.Client
}

func newEgress(base egress.Config, own func() []netip.AddrPort) (*Egress, error) {
	if base.Own == nil {
		base.Own = own
	}
	e := &Egress{base: base}
	return e, e.use(base)
}

func (e *Egress) use(cfg egress.Config) error {
	guard, err := egress.New(cfg)
	if err != nil {
		return &darter.Error{Kind: darter.Invalid, Op: "check the egress policy", Err: err}
	}
	client := guard.Client(&http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second, ForceAttemptHTTP2: true})
	if old := e.way.Swap(&way{guard, client}); old != nil {
		old.http.CloseIdleConnections() // a host that is refused now keeps no open door
	}
	return nil
}

// apply puts the setting in force.
func (e *Egress) apply(body []byte) error {
	p, err := readEgress(body)
	if err != nil {
		return err
	}
	cfg := e.base
	if err := p.add(&cfg); err != nil {
		return err
	}
	return e.use(cfg)
}

// CheckURL says whether a URL that a client gave may be used; see egress.Guard.
func (e *Egress) CheckURL(ctx context.Context, u *url.URL) error {
	return e.way.Load().guard.CheckURL(ctx, u)
}

// RoundTrip implements http.RoundTripper.
func (e *Egress) RoundTrip(q *http.Request) (*http.Response, error) {
	return e.way.Load().http.Transport.RoundTrip(q)
}

// Client returns a client that goes where the policy lets it, each request for at most limit.
func (e *Egress) Client(limit time.Duration) *http.Client {
	return &http.Client{Transport: e, Timeout: limit, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		return e.way.Load().guard.CheckRedirect(next, via)
	}}
}
