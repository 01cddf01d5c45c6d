package scheduler

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler/control"
	controlrpc "github.com/darter-p2p/darter/internal/scheduler/control/rpc"
)

// ManagerConfig says which manager this scheduler belongs to, and as whom.
type ManagerConfig struct {
	Dial     func(ctx context.Context) (*grpc.ClientConn, error) // to some manager; nil: there is none
	Daemons  []grpc.DialOption                                   // in place of plain transport, for calls to daemons
	Hostname string                                              // of this machine
	IDC      string
	Location string
	Version  string        // of the build
	Slots    uint32        // orders at once; default 8
	Every    time.Duration // between two signs of life; default 5s
	Look     time.Duration // between two looks at what the manager says; default 30s
	First    time.Duration // wait after the first failure; default 500ms
	Most     time.Duration // longest such wait; default 15s
	Events   ManagerEvents
}

// ManagerEvents tells what happens between this scheduler and its manager. Any may be nil.
type ManagerEvents struct {
	Enlist controlrpc.EnlistEvents
	Link   controlrpc.Events
	Work   control.Events
	Tell   controlrpc.TellEvents
}

// standingName is the file that keeps what the manager said last.
const standingName = "manager.json"

// managerLink is all that this scheduler has to do with its manager.
type managerLink struct {
	enlistment *controlrpc.Enlistment
	control    *controlrpc.Link
	teller     *controlrpc.Teller
	daemons    *controlrpc.Daemons
}

// linkManager builds the link; nil without a manager.
func (s *Scheduler) linkManager() (*managerLink, error) {
	c := &s.cfg.Manager
	if c.Dial == nil {
		return nil, nil
	}
	out := &managerLink{daemons: controlrpc.NewDaemons(s.cfg.Dial, c.Daemons...)}
	id := fmt.Sprintf("%s@%s", c.Hostname, s.Address())
	agent, err := control.New(control.Config{ID: id, Hosts: knownHosts{s}, Daemons: out.daemons, Events: c.Events.Work})
	if err != nil {
		return nil, err
	}
	out.control, err = controlrpc.New(controlrpc.Config{Agent: agent, Dial: c.Dial, Cluster: s.cfg.Cluster, Slots: c.Slots, Version: c.Version,
		First: c.First, Most: c.Most, Events: c.Events.Link})
	if err != nil {
		return nil, err
	}
	if out.teller, err = controlrpc.NewTeller(controlrpc.TellConfig{Roll: s.server, Dial: c.Dial, ID: id, Cluster: s.cfg.Cluster, First: c.First, Events: c.Events.Tell}); err != nil {
		return nil, err
	}
	events := c.Events.Enlist
	changed := events.Changed
	events.Changed = func(st controlrpc.Standing, old bool) {
		s.obey(st, old)
		if changed != nil {
			changed(st, old)
		}
	}
	file := ""
	if s.cfg.DataDir != "" {
		file = filepath.Join(s.cfg.DataDir, standingName)
	}
	out.enlistment, err = controlrpc.NewEnlistment(controlrpc.EnlistConfig{Dial: c.Dial, Hostname: c.Hostname, At: s.Address(), Cluster: s.cfg.Cluster, IDC: c.IDC,
		Location: c.Location, File: file, Every: c.Every, Look: c.Look, First: c.First, Most: c.Most, Events: events})
	return out, err
}

// obey puts in force what the manager says of the cluster: the liveness policy, unless a file of this machine's own says
// another. The rest of the document is for Dragonfly's schedulers.
func (s *Scheduler) obey(st controlrpc.Standing, old bool) {
	if s.policy.path != "" {
		return
	}
	var doc struct {
		Liveness json.RawMessage `json:"liveness"`
	}
	source := fmt.Sprintf("manager, cluster %d", st.Cluster)
	if err := json.Unmarshal(st.Scheduler, &doc); err != nil {
		s.server.PolicyRefused(source, err)
		return
	}
	if old {
		source += " (as of an earlier run)"
	}
	p, text := s.cfg.Liveness.Policy, []byte(nil)
	if len(doc.Liveness) > 0 && !bytes.Equal(doc.Liveness, []byte("null")) {
		var err error
		if p, err = ReadPolicy(source, doc.Liveness); err != nil {
			s.server.PolicyRefused(source, err)
			return
		}
		text = doc.Liveness
	}
	s.enforce(p, source, text)
}

// enforce puts a policy of the manager's in force, unless it is.
func (s *Scheduler) enforce(p liveness.Policy, source string, said []byte) {
	if bytes.Equal(s.said, said) {
		return
	}
	s.said = said
	now := s.server.Policy()
	if said == nil {
		source = "defaults"
	}
	if p.Number <= now.Number { // versions never change: other content is another version
		p.Number = now.Number + 1
	}
	if err := s.server.SetPolicy(p, source, policyDocument(p)); err != nil {
		s.server.PolicyRefused(source, err)
	}
}

// knownHosts are the hosts that the manager's work can be given to: those that are well.
type knownHosts struct{ s *Scheduler }

// KnownHosts implements control.Hosts.
func (k knownHosts) KnownHosts() []darter.Host {
	var out []darter.Host
	for _, v := range k.s.server.Hosts() {
		if !v.Verdict.Hidden() && v.Verdict != darter.Suspect && !v.Unwell {
			out = append(out, *v.Host)
		}
	}
	return out
}
