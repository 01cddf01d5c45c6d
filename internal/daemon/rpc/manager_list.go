package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

// ManagerConfig says which manager is asked, and in whose name.
type ManagerConfig struct {
	Address        string        // required; "host:port", with "http://" before it or not
	Host           darter.Host   // required: kind, hostname, IP, place, version, cluster
	ConnectTimeout time.Duration // longest time to open a connection; default 3s
	CallTimeout    time.Duration // longest time of one question; default 10s
	TLS            *tls.Config   // verifies the manager and shows this host's certificate; nil: connections are plain
	// Dial opens a connection; default TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// DefaultManagerConfig returns the defaults. Address and Host are still to be set.
func DefaultManagerConfig() ManagerConfig {
	return ManagerConfig{ConnectTimeout: 3 * time.Second, CallTimeout: 10 * time.Second, Dial: dialTCP}
}

// Validate checks what NewManager relies on.
func (c *ManagerConfig) Validate() error {
	address, err := managerAddress(c.Address)
	switch {
	case err != nil:
		return err
	case !c.Host.IP.IsValid():
		return errors.New("rpc: the manager wants to know this host's IP address")
	case c.ConnectTimeout <= 0 || c.CallTimeout <= 0:
		return errors.New("rpc: every time limit towards the manager must be above 0")
	}
	c.Address = address
	return nil
}

func (c *ManagerConfig) transport() credentials.TransportCredentials {
	if c.TLS == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(c.TLS)
}

// managerAddress takes off the scheme that plain Dragonfly's configurations carry.
func managerAddress(text string) (string, error) {
	address := strings.TrimSuffix(strings.TrimPrefix(text, "http://"), "/")
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" || strings.Contains(address, "/") {
		return "", &darter.Error{Kind: darter.Invalid, Op: "read manager address", Err: fmt.Errorf("%q is not host:port", text),
			Hint: "write it as host:port, for example 10.0.0.2:65003; TLS is used when this host has joined, see --join-token-file"}
	}
	return address, nil
}

// Manager asks a manager for schedulers. It is announce's Lister.
type Manager struct {
	cfg  ManagerConfig
	conn *grpc.ClientConn
}

// NewManager prepares the connection; it is opened at the first question.
func NewManager(cfg ManagerConfig) (*Manager, error) {
	if cfg.Dial == nil {
		cfg.Dial = dialTCP
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	delays := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second}
	conn, err := grpc.NewClient("passthrough:///"+cfg.Address,
		grpc.WithTransportCredentials(cfg.transport()), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithReadBufferSize(8<<10), grpc.WithWriteBufferSize(8<<10),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: delays, MinConnectTimeout: cfg.ConnectTimeout}),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
			defer cancel()
			return cfg.Dial(ctx, address)
		}),
		grpc.WithChainUnaryInterceptor(nativeUnary),
	)
	if err != nil {
		return nil, unavailable("connect to manager "+cfg.Address, err)
	}
	return &Manager{cfg: cfg, conn: conn}, nil
}

// ListSchedulers calls listed for each scheduler the manager names, in its order. One entry that cannot
// be understood does not cost the others.
func (m *Manager) ListSchedulers(ctx context.Context, listed func(at netip.AddrPort, cluster uint64)) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.CallTimeout)
	defer cancel()
	op := "list the schedulers of manager " + m.cfg.Address
	answer, err := managerv2.NewManagerClient(m.conn).ListSchedulers(ctx, m.request())
	if err != nil {
		return wire.FromStatus(op, err)
	}
	var odd error
	usable := 0
	for _, s := range answer.GetSchedulers() {
		ip, err := netip.ParseAddr(s.GetIp())
		if err != nil || s.GetPort() <= 0 || s.GetPort() > 65535 {
			odd = fmt.Errorf("it names a scheduler at %q, port %d, which is no address", clipped(s.GetIp()), s.GetPort())
			continue
		}
		usable++
		listed(netip.AddrPortFrom(ip.Unmap(), uint16(s.GetPort())), s.GetSchedulerClusterId())
	}
	if usable == 0 && odd != nil {
		return &darter.Error{Kind: darter.Invalid, Op: op, Err: odd, Hint: "give schedulers an IP address, not a name, in the manager"}
	}
	return nil
}

func (m *Manager) request() *managerv2.ListSchedulersRequest {
	h := m.cfg.Host
	kind := managerv2.SourceType_PEER_SOURCE
	if h.Kind == darter.Seed {
		kind = managerv2.SourceType_SEED_PEER_SOURCE
	}
	return &managerv2.ListSchedulersRequest{
		SourceType: kind, Hostname: plainHostname(h.Hostname), Ip: h.IP.String(),
		Idc: optionalText(h.IDC), Location: optionalText(h.Location), Version: h.Version, Commit: h.Commit,
		SchedulerClusterId: h.Cluster,
	}
}

// Close ends the connection.
func (m *Manager) Close() error { return m.conn.Close() }

// plainHostname makes a name pass the manager's check, which refuses what is no host name, as one with
// underscores.
func plainHostname(name string) string {
	plain := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		}
		return '-'
	}, name), "-.")
	if plain == "" {
		return "localhost"
	}
	return plain
}

func optionalText(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
