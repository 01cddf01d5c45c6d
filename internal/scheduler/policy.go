package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
)

// maxPolicy bounds a policy file.
const maxPolicy = 1 << 20

// ReadPolicy reads a liveness policy from YAML, laid over the defaults. Unknown keys, wrong values and values out of
// bounds are darter.Invalid, with line and column where there is one.
func ReadPolicy(name string, text []byte) (liveness.Policy, error) {
	fail := func(err error) (liveness.Policy, error) {
		return liveness.Policy{}, &darter.Error{Kind: darter.Invalid, Op: "read liveness policy " + name, Err: err,
			Hint: "darter zone policy prints the one in force, with every key"}
	}
	if len(text) > maxPolicy {
		return fail(fmt.Errorf("it has %d bytes, more than %d", len(text), maxPolicy))
	}
	p := liveness.DefaultPolicy()
	err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&p)
	if err != nil && !errors.Is(err, io.EOF) {
		return fail(errors.New(yaml.FormatError(err, false, true)))
	}
	if p == (liveness.Policy{}) { // an empty document says nothing: the defaults stay
		p = liveness.DefaultPolicy()
	}
	if err := p.Validate(); err != nil {
		return fail(err)
	}
	return p, nil
}

// policyDocument is what people are shown of a policy.
func policyDocument(p liveness.Policy) string {
	text, err := yaml.Marshal(p)
	if err != nil {
		return "# cannot be shown: " + err.Error() + "\n"
	}
	return string(text)
}

// policyFile follows a file.
type policyFile struct {
	path   string
	stamp  time.Time
	size   int64
	last   []byte
	failed string // what was said of the content that was refused last
}

// look reads the file when it changed, and hands over what it says.
func (f *policyFile) look(apply func(liveness.Policy, string) error, current uint64) error {
	info, err := os.Stat(f.path)
	if err != nil {
		return f.once(fmt.Errorf("liveness policy: %w", err))
	}
	if info.ModTime().Equal(f.stamp) && info.Size() == f.size {
		return nil
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return f.once(fmt.Errorf("liveness policy: %w", err))
	}
	f.stamp, f.size = info.ModTime(), info.Size()
	if f.last != nil && bytes.Equal(text, f.last) {
		return nil
	}
	f.last = text
	p, err := ReadPolicy(f.path, text)
	if err != nil {
		return f.once(err)
	}
	if p.Number <= current { // versions never change: other content is another version
		p.Number = current + 1
	}
	f.failed = ""
	return apply(p, policyDocument(p))
}

// once returns an error the first time it is met.
func (f *policyFile) once(err error) error {
	if f.failed == err.Error() {
		return nil
	}
	f.failed = err.Error()
	return err
}

// policyLook is how often the policy file is looked at.
const policyLook = 2 * time.Second

// keepPolicy puts what the policy file says in force, and again when it changes.
func (s *Scheduler) keepPolicy(ctx context.Context) error {
	tick := time.NewTicker(policyLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.applyPolicy()
		}
	}
}

// applyPolicy keeps what is in force when the file is wrong.
func (s *Scheduler) applyPolicy() {
	err := s.policy.look(func(p liveness.Policy, document string) error {
		return s.server.SetPolicy(p, s.policy.path, document)
	}, s.server.Policy().Number)
	if err != nil {
		s.server.PolicyRefused(s.policy.path, err)
	}
}
