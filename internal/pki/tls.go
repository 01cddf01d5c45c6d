package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
)

// Server returns the configuration of a server that talks only to peers of these roles (none: any role of the
// cluster). Certificates are those of the Source at the time of each connection.
func (s *Source) Server(roles ...Role) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAnyClientCert, // verified below, against what is trusted now
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert := s.current().cert
			return &cert, nil
		},
		VerifyConnection: func(c tls.ConnectionState) error {
			_, err := s.verify(c, x509.ExtKeyUsageClientAuth, func(i Identity) bool { return len(roles) == 0 || slices.Contains(roles, i.Role) })
			return err
		},
	}
}

// Open returns the configuration of a server that also talks to those who have no certificate: browsers, scripts,
// and nodes that join. A certificate that is shown has to be good.
func (s *Source) Open() *tls.Config {
	c := s.Server()
	c.ClientAuth = tls.RequestClientCert
	verify := c.VerifyConnection
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil
		}
		return verify(state)
	}
	return c
}

// Verify returns whom a finished connection of Server or Open is with, and the serial of the certificate (hex). It
// looks again: a connection can outlive a certificate.
func (s *Source) Verify(c *tls.ConnectionState) (i Identity, serial string, err error) {
	if c == nil {
		return i, "", refuse(errors.New("the connection has no TLS"))
	}
	if i, err = s.verify(*c, x509.ExtKeyUsageClientAuth, func(Identity) bool { return true }); err != nil {
		return Identity{}, "", err
	}
	return i, c.PeerCertificates[0].SerialNumber.Text(16), nil
}

// Client returns the configuration of a client that talks only to a peer of this role, and of this cluster
// unless the role is Manager or cluster is empty. The peer's host name does not matter: what a certificate
// says of its role is signed, and addresses change.
func (s *Source) Client(role Role, cluster string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // the host name only: VerifyConnection verifies the chain and the role
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert := s.current().cert
			return &cert, nil
		},
		VerifyConnection: func(c tls.ConnectionState) error {
			_, err := s.verify(c, x509.ExtKeyUsageServerAuth, func(i Identity) bool {
				return i.Role == role && (cluster == "" || role == Manager || i.Cluster == cluster)
			})
			return err
		},
	}
}

// verify runs for resumed connections as well, so that a certificate that ran out or was revoked does not
// live on in a session ticket.
func (s *Source) verify(c tls.ConnectionState, usage x509.ExtKeyUsage, accept func(Identity) bool) (Identity, error) {
	if len(c.PeerCertificates) == 0 {
		return Identity{}, refuse(errors.New("the peer has shown no certificate"))
	}
	leaf := c.PeerCertificates[0]
	if err := chain(c.PeerCertificates, s.current().roots, usage, s.cfg.Now()); err != nil {
		return Identity{}, refuse(err)
	}
	i, err := IdentityOf(leaf)
	switch {
	case err != nil:
		return i, err
	case s.cfg.Revoked != nil && s.cfg.Revoked(leaf.SerialNumber.Text(16)):
		return i, refuse(fmt.Errorf("the certificate of %s was revoked", i))
	case !accept(i):
		return i, refuse(fmt.Errorf("%s is not whom one talks to here", i))
	}
	return i, nil
}

func chain(certs []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage, now time.Time) error {
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: now})
	return err
}

// Pinned returns the configuration of a client that has no certificate yet and knows its manager by the pin of
// a join token. The manager's chain has to hold the authority with that pin.
func Pinned(pin string, now func() time.Time) *tls.Config {
	if now == nil {
		now = time.Now
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection verifies against the pin
		VerifyConnection: func(c tls.ConnectionState) error {
			roots, found := x509.NewCertPool(), false
			for _, cert := range c.PeerCertificates {
				if cert.IsCA && pinOf(cert) == pin {
					roots.AddCert(cert)
					found = true
				}
			}
			if !found {
				return refuse(errors.New("the server's authority is not the one that the join token names"))
			}
			if err := chain(c.PeerCertificates, roots, x509.ExtKeyUsageServerAuth, now()); err != nil {
				return refuse(err)
			}
			i, err := IdentityOf(c.PeerCertificates[0])
			if err != nil {
				return err
			}
			if i.Role != Manager {
				return refuse(fmt.Errorf("%s is not a manager", i))
			}
			return nil
		},
	}
}

// PeerIdentity returns whom a connection of Server or Client is with.
func PeerIdentity(c *tls.ConnectionState) (Identity, error) {
	if c == nil || len(c.PeerCertificates) == 0 || !c.HandshakeComplete {
		return Identity{}, refuse(errors.New("the peer has shown no certificate"))
	}
	return IdentityOf(c.PeerCertificates[0])
}

func refuse(err error) error {
	return &darter.Error{Kind: darter.Denied, Op: "verify peer", Hint: "check that both belong to the same authority, and their clocks", Err: err}
}
