package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/pki"
	pkirest "github.com/darter-p2p/darter/internal/pki/rest"
	"github.com/darter-p2p/darter/internal/privatefile"
	"github.com/darter-p2p/darter/internal/telemetry"
)

const (
	joinTokenEnv = "DARTER_JOIN_TOKEN"
	maxJoinFile  = 4 << 10
	restPort     = "8080" // where a manager's REST API listens when nothing is said
)

// certificates is the folder of a role's own certificate.
func (p *process) certificates(role pki.Role) string {
	return filepath.Join(p.cfg.RoleDir(string(role)), "tls")
}

// joined returns the certificate of a scheduler or a daemon, nil when this process was not told to join and never did.
// It waits for a manager for a while, once in a node's life.
func (p *process) joined(ctx context.Context, role pki.Role) (*pki.Source, error) {
	dir, token := p.certificates(role), joinToken(p.cfg.Daemon.JoinTokenFile)
	if p.cfg.Daemon.Manager == "" {
		if token == nil {
			return nil, nil // nobody to show a certificate to
		}
		return nil, &darter.Error{Kind: darter.Invalid, Op: "join cluster", Err: errors.New("there is a join token and no manager"), Hint: "name the manager with --manager"}
	}
	if token == nil && !pkirest.Kept(dir) {
		if at, err := netip.ParseAddrPort(p.cfg.Daemon.Manager); err != nil || !at.Addr().IsLoopback() {
			p.log.Warn("the way to the manager is plain: give a join token, or keep it in a network that you trust as a whole", "manager", p.cfg.Daemon.Manager)
		}
		return nil, nil
	}
	cfg := pkirest.DefaultConfig()
	cfg.Dir, cfg.Role, cfg.Node, cfg.Manager, cfg.Token = dir, role, hostname(p.cfg.Host.Hostname), p.restOfManager(), token
	cfg.Events = telemetry.Certificates(p.log)
	if !pkirest.Kept(dir) {
		p.log.Info("joining the cluster", "manager", cfg.Manager, "as", cfg.Node)
	}
	node, err := pkirest.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	p.add("certificate", node.Run, nil)
	return node.Source, nil
}

// joinToken returns how to read the join text, nil when there is none. The environment counts before the file, as
// it does elsewhere.
func joinToken(file string) func() (string, error) {
	if text := os.Getenv(joinTokenEnv); text != "" {
		return func() (string, error) { return text, nil }
	}
	if file == "" {
		return nil
	}
	return func() (string, error) {
		text, err := privatefile.Read(file, maxJoinFile)
		return string(text), err
	}
}

// restOfManager is where the manager's REST API is.
func (p *process) restOfManager() string {
	if p.cfg.Daemon.ManagerREST != "" {
		return p.cfg.Daemon.ManagerREST
	}
	host, _, err := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(p.cfg.Daemon.Manager, "http://"), "/"))
	if err != nil {
		return ""
	}
	return net.JoinHostPort(host, restPort)
}

// issued returns a certificate for a role of this process, which has the authority at hand; nil without an authority.
// Each start signs anew: nothing that is kept can have run out.
func (p *process) issued(role pki.Role, revoked func(string) bool) (*pki.Source, error) {
	if p.cfg.Manager.Authority == "" {
		return nil, nil
	}
	authority, err := pki.OpenAuthority(p.cfg.Manager.Authority, time.Now())
	if err != nil {
		return nil, err
	}
	g := pki.Grant{Identity: pki.Identity{Role: role, Node: hostname(p.cfg.Host.Hostname)}}
	if role == pki.Manager {
		g.Names, g.Addresses = p.managerNames()
	} else {
		g.Identity.Cluster = strconv.Itoa(p.cfg.Host.Cluster)
	}
	dir := p.certificates(role)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &darter.Error{Kind: darter.Denied, Op: "make the folder for certificates " + dir, Err: err, Hint: "choose another --data-dir, or give this user the right to write there"}
	}
	files := pkirest.FilesIn(dir)
	if err := authority.IssueTo(files, g, time.Now()); err != nil {
		return nil, err
	}
	source, err := pki.Open(pki.SourceConfig{Files: files, Revoked: revoked, Events: telemetry.Certificates(p.log)})
	if err != nil {
		return nil, err
	}
	renewer, err := pki.NewRenewer(pki.RenewerConfig{Source: source, Names: g.Names, Addresses: g.Addresses,
		Ask: func(_ context.Context, csr []byte) (pki.Issued, error) { return authority.Sign(csr, g, time.Now()) }})
	if err != nil {
		return nil, err
	}
	p.add("certificate of the "+string(role), renewer.Run, nil)
	return source, nil
}

// managerNames are those under which browsers and scripts may know this manager: they look at names, where nodes look at
// the role.
func (p *process) managerNames() (names []string, addresses []netip.Addr) {
	names = []string{"localhost"}
	if name := hostname(p.cfg.Host.Hostname); name != "localhost" {
		names = append(names, name)
	}
	if all, err := net.InterfaceAddrs(); err == nil {
		for _, a := range all {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && !prefix.Addr().IsLinkLocalUnicast() {
				addresses = append(addresses, prefix.Addr().Unmap())
			}
		}
	}
	for _, more := range p.cfg.Manager.Names {
		if ip, err := netip.ParseAddr(more); err == nil {
			addresses = append(addresses, ip.Unmap())
		} else {
			names = append(names, more)
		}
	}
	const most = 32 // of each; a request may hold 64 in all
	slices.Sort(names[1:])
	names = slices.Compact(names)
	return names[:min(len(names), most)], addresses[:min(len(addresses), most)]
}

// guarded refuses a manager that other machines could reach in the clear, unless that was asked for.
func (p *process) guarded(listeners ...net.Listener) error {
	if p.cfg.Manager.Authority != "" {
		return nil
	}
	for _, l := range listeners {
		a, ok := l.Addr().(*net.TCPAddr)
		if !ok || a.IP.IsLoopback() {
			continue
		}
		if p.cfg.Manager.Plain {
			p.log.Warn("the manager's ports are plain: keep them in a network that you trust as a whole", "address", l.Addr().String())
			continue
		}
		return &darter.Error{Kind: darter.Invalid, Op: "open the manager's ports", Err: fmt.Errorf("other machines reach %s, and it would be plain", l.Addr()),
			Hint: "give --ca FOLDER (darter admin ca init makes one); or keep --manager-grpc and --manager-http on 127.0.0.1; or say --allow-plain in a network that you trust as a whole"}
	}
	return nil
}

// towardsManager returns the configuration of connections to managers, nil for plain ones.
func towardsManager(own *pki.Source) *tls.Config {
	if own == nil {
		return nil
	}
	return own.Client(pki.Manager, "")
}

func transport(c *tls.Config) credentials.TransportCredentials {
	if c == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(c)
}
