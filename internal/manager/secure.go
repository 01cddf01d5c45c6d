package manager

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/manager/auth/gate"
	"github.com/darter-p2p/darter/internal/pki"
)

// methods says who may call what over gRPC where there are certificates. What is not listed is refused.
func methods() pki.Methods {
	members := []pki.Role{pki.Scheduler, pki.Daemon} // seeds are daemons
	return pki.Methods{
		"/manager.v2.Manager/ListSchedulers":   {pki.Daemon, pki.Scheduler, pki.Manager},
		"/manager.v2.Manager/ListApplications": members,
		"/manager.v2.Manager/GetScheduler":     {pki.Scheduler},
		"/manager.v2.Manager/UpdateScheduler":  {pki.Scheduler},
		"/manager.v2.Manager/KeepAlive":        members,
		"/manager.v2.Manager/GetSeedPeer":      members,
		"/manager.v2.Manager/ListSeedPeers":    members,
		"/manager.v2.Manager/UpdateSeedPeer":   {pki.Daemon},
		"/manager.v2.Manager/DeleteSeedPeer":   {pki.Daemon},
		"/darter.v1.Control/*":                 {pki.Scheduler},
		"/darter.v1.Hosts/*":                   {pki.Scheduler},
		"/grpc.health.v1.Health/*":             {pki.Daemon, pki.Scheduler, pki.Manager},
	}
}

// credentials are the gRPC server's, none where ports are plain.
func (m *Manager) credentials() []grpc.ServerOption {
	if m.cfg.TLS == nil {
		return nil
	}
	guard := pki.Guard{Methods: methods(), Status: wire.Status, Verify: m.cfg.TLS.Verify}
	// A connection lasts longer than the certificate it was opened with, and that is looked at again: so callers move to
	// another connection, and the certificate of then, well within the third of its life that is left at a renewal (three
	// minutes of the shortest one). Calls under way end first, and streams stay.
	alive := keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second, MaxConnectionAge: m.cfg.Reconnect}
	return []grpc.ServerOption{grpc.KeepaliveParams(alive), grpc.Creds(credentials.NewTLS(m.cfg.TLS.Server())), grpc.ChainUnaryInterceptor(guard.Unary), grpc.ChainStreamInterceptor(guard.Stream)}
}

// secured puts TLS on the REST port where there is a certificate: browsers and scripts need none of their own.
func (m *Manager) secured(l net.Listener) net.Listener {
	if m.cfg.TLS == nil {
		return l
	}
	c := m.cfg.TLS.Open()
	c.NextProtos = []string{"http/1.1"}
	return tls.NewListener(l, c)
}

// origin is how browsers name the public URL; empty when there is none.
func (c *Config) origin() (string, error) {
	if c.PublicURL == "" {
		return "", nil
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || strings.TrimSuffix(c.PublicURL, "/") != u.Scheme+"://"+u.Host {
		return "", errors.New("manager: PublicURL is not the http or https URL of a whole site")
	}
	host := strings.ToLower(u.Host)
	return u.Scheme + "://" + strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80"}[u.Scheme]), nil
}

// door sets what a gate has to know of the way that requests come, and returns whether that is TLS: here, or at a proxy
// before us.
func (c *Config) door(g *gate.Config) (secure bool, err error) {
	origin, err := c.origin()
	if origin != "" {
		g.Origins = []string{origin}
	}
	g.Proxies, g.Secure = c.Proxies, c.TLS != nil || strings.HasPrefix(origin, "https://")
	return g.Secure, err
}

// Revoked reports whether a certificate was taken back, as far as this manager knows; for the pki.Source that TLS is.
func (m *Manager) Revoked(serial string) bool {
	return m.rooms.Desk != nil && m.rooms.Desk.Revoked(serial)
}
