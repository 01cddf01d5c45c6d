package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
	"google.golang.org/grpc"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/atomicfile"
)

// Standing is what a scheduler is in a manager's list, and what the manager says of its cluster.
type Standing struct {
	ID          uint64          `json:"id"`
	Cluster     uint64          `json:"cluster"`
	ClusterName string          `json:"cluster_name"`
	Scheduler   json.RawMessage `json:"scheduler"` // configuration of the cluster's schedulers
}

// Feature is what our own schedulers announce beside Dragonfly's features: they fetch their work from the manager.
const Feature = "darter.control"

// EnlistConfig is what an enlistment needs.
type EnlistConfig struct {
	Dial     func(ctx context.Context) (*grpc.ClientConn, error) // required; to some manager. The enlistment closes it
	Hostname string                                              // required; of this machine
	At       netip.AddrPort                                      // required; where daemons reach this scheduler
	Cluster  uint64                                              // required
	IDC      string
	Location string
	File     string        // keeps what the manager said last; empty keeps nothing
	Every    time.Duration // between two signs of life; default 5s
	Look     time.Duration // between two looks at what the manager says of the cluster; default 30s
	First    time.Duration // wait after the first failure; default 500ms
	Most     time.Duration // longest such wait; default 15s
	Events   EnlistEvents
}

// EnlistEvents tells what happened. Any may be nil.
type EnlistEvents struct {
	Enlisted func(Standing)             // the manager lists this scheduler
	Changed  func(s Standing, old bool) // the manager says something else than before; old: it is from the file
	Broken   func(err error)            // it is tried again
	Kept     func(err error)            // what it said could not be kept, or read
}

// Enlistment keeps a scheduler in a manager's list.
type Enlistment struct {
	cfg  EnlistConfig
	last []byte // of the Standing that was told of
}

// NewEnlistment checks the configuration. Run runs it.
func NewEnlistment(cfg EnlistConfig) (*Enlistment, error) {
	for _, d := range []struct {
		at *time.Duration
		by time.Duration
	}{{&cfg.Every, 5 * time.Second}, {&cfg.Look, 30 * time.Second}, {&cfg.First, 500 * time.Millisecond}, {&cfg.Most, 15 * time.Second}} {
		if *d.at == 0 {
			*d.at = d.by
		}
		if *d.at < 0 {
			return nil, &darter.Error{Kind: darter.Invalid, Op: "check manager settings", Err: errors.New("a duration is negative")}
		}
	}
	if cfg.Dial == nil || cfg.Hostname == "" || !cfg.At.IsValid() || cfg.Cluster == 0 {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "check manager settings", Err: errors.New("dial function, host name, address or cluster is missing")}
	}
	cfg.Hostname = plain(cfg.Hostname)
	return &Enlistment{cfg: cfg}, nil
}

// plain makes a name pass the API's check, which refuses what is no host name, as one with underscores.
func plain(name string) string {
	out := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, name), "-.")
	if out == "" {
		return "localhost"
	}
	return out
}

// maxStanding bounds the file.
const maxStanding = 1 << 20

// recall takes up what the manager said to an earlier run.
func (e *Enlistment) recall() {
	if e.cfg.File == "" {
		return
	}
	text, err := os.ReadFile(e.cfg.File)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var s Standing
	if err == nil && len(text) > maxStanding {
		err = fmt.Errorf("it has %d bytes", len(text))
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		e.kept(fmt.Errorf("read what the manager said last: %w", err))
		return
	}
	e.last = text
	if e.cfg.Events.Changed != nil {
		e.cfg.Events.Changed(s, true)
	}
}

func (e *Enlistment) kept(err error) {
	if e.cfg.Events.Kept != nil {
		e.cfg.Events.Kept(err)
	}
}

// learn tells of a standing that is another one than the last, and keeps it.
func (e *Enlistment) learn(s Standing) {
	text, err := json.Marshal(s)
	if err != nil || slices.Equal(text, e.last) {
		return
	}
	e.last = text
	if e.cfg.Events.Changed != nil {
		e.cfg.Events.Changed(s, false)
	}
	if e.cfg.File == "" {
		return
	}
	err = os.MkdirAll(filepath.Dir(e.cfg.File), 0o755)
	if err == nil {
		err = atomicfile.Write(e.cfg.File, text, 0o600)
	}
	if err != nil {
		e.kept(fmt.Errorf("keep what the manager says: %w", err))
	}
}

// question bounds one call to a manager.
const question = 10 * time.Second

func (e *Enlistment) register(ctx context.Context, api managerv2.ManagerClient) (Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, question)
	defer cancel()
	m := &managerv2.UpdateSchedulerRequest{SourceType: managerv2.SourceType_SCHEDULER_SOURCE, Hostname: e.cfg.Hostname, Ip: e.cfg.At.Addr().String(),
		Port: int32(e.cfg.At.Port()), SchedulerClusterId: e.cfg.Cluster, Features: []string{"schedule", "preheat", Feature}}
	if e.cfg.IDC != "" {
		m.Idc = &e.cfg.IDC
	}
	if e.cfg.Location != "" {
		m.Location = &e.cfg.Location
	}
	answer, err := api.UpdateScheduler(ctx, m)
	if err != nil {
		return Standing{}, wire.FromStatus("register with the manager", err)
	}
	return standing(answer), nil
}

func (e *Enlistment) look(ctx context.Context, api managerv2.ManagerClient) error {
	ctx, cancel := context.WithTimeout(ctx, question)
	defer cancel()
	answer, err := api.GetScheduler(ctx, &managerv2.GetSchedulerRequest{SourceType: managerv2.SourceType_SCHEDULER_SOURCE, Hostname: e.cfg.Hostname,
		Ip: e.cfg.At.Addr().String(), SchedulerClusterId: e.cfg.Cluster})
	if err != nil {
		return wire.FromStatus("ask the manager", err)
	}
	e.learn(standing(answer))
	return nil
}

func standing(m *managerv2.Scheduler) Standing {
	s := Standing{ID: m.GetId(), Cluster: m.GetSchedulerClusterId(), ClusterName: m.GetSchedulerCluster().GetName(), Scheduler: m.GetSchedulerCluster().GetConfig()}
	if !json.Valid(s.Scheduler) {
		s.Scheduler = json.RawMessage("{}")
	}
	return s
}
