package pki_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/pki"
)

func authority(t testing.TB) (*pki.Authority, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	a, err := pki.Init(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func node(role pki.Role, cluster string) pki.Identity {
	return pki.Identity{Role: role, Cluster: cluster, Node: string(role) + "-1"}
}

// issue makes a node's files.
func issue(t testing.TB, a *pki.Authority, g pki.Grant) pki.Files {
	t.Helper()
	f := pki.Files{Node: filepath.Join(t.TempDir(), "node.pem"), Trust: filepath.Join(t.TempDir(), "trust.pem")}
	reissue(t, a, g, f)
	return f
}

func reissue(t testing.TB, a *pki.Authority, g pki.Grant, f pki.Files) pki.Issued {
	t.Helper()
	r, err := pki.NewRequest(g.Names, g.Addresses)
	if err != nil {
		t.Fatal(err)
	}
	i, err := a.Sign(r.CSR, g, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Save(r, i); err != nil {
		t.Fatal(err)
	}
	return i
}

func open(t testing.TB, cfg pki.SourceConfig) *pki.Source {
	t.Helper()
	s, err := pki.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func source(t testing.TB, a *pki.Authority, i pki.Identity) *pki.Source {
	t.Helper()
	return open(t, pki.SourceConfig{Files: issue(t, a, pki.Grant{Identity: i})})
}

// shake connects the two and returns what each side says of the other. One byte travels each way, since a
// TLS 1.3 client is done before the server has looked at its certificate.
func shake(t testing.TB, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer conn.Close()
		done <- exchange(tls.Server(conn, server))
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	clientErr = exchange(tls.Client(conn, client))
	return <-done, clientErr
}

func exchange(c *tls.Conn) error {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if err := c.Handshake(); err != nil {
		return err
	}
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}

func TestIdentityRoundTrip(t *testing.T) {
	for _, i := range []pki.Identity{node(pki.Manager, ""), node(pki.Scheduler, "eu-1"), {Role: pki.Daemon, Cluster: "A.b_c", Node: "host-17.example"}} {
		got, err := pki.ParseIdentity(i.String())
		if err != nil || got != i {
			t.Errorf("%s: %+v, %v", i, got, err)
		}
	}
	for _, s := range []string{
		"", "spiffe://darter", "spiffe://darter/", "spiffe://other/role/manager/node/m", "spiffe://darter/role/root/node/m", "spiffe://darter/role/daemon/node/m",
		"spiffe://darter/role/manager/cluster/c/node/m", "spiffe://darter/role/daemon/cluster//node/m", "spiffe://darter/role/daemon/cluster/c/node/", "https://darter/role/manager/node/m",
		"spiffe://darter/role/daemon/cluster/c/node/a/b", "spiffe://darter/role/daemon/cluster/../node/a", "spiffe://darter/role/manager/node/m?x", "spiffe://darter/role/manager/node/m%2fn",
		"spiffe://darter/role/manager/node/" + strings.Repeat("x", 129), "SPIFFE://darter/role/manager/node/m", "spiffe://darter/node/manager/role/m",
	} {
		if i, err := pki.ParseIdentity(s); err == nil {
			t.Errorf("%q is taken as %+v", s, i)
		}
	}
}

func FuzzIdentity(f *testing.F) {
	f.Add("spiffe://darter/role/daemon/cluster/eu-1/node/host-17")
	f.Add("spiffe://darter/role/manager/node/m")
	f.Fuzz(func(t *testing.T, s string) {
		if i, err := pki.ParseIdentity(s); err == nil && i.String() != s {
			t.Fatalf("%q reads as %+v, which is written %q", s, i, i)
		}
	})
}

func TestAuthorityIsCreatedOnceAndGuarded(t *testing.T) {
	a, dir := authority(t)
	if about, err := os.Stat(filepath.Join(dir, "ca.key")); err != nil || about.Mode().Perm() != 0o600 {
		t.Errorf("ca.key: %v, %v", about.Mode(), err)
	}
	if _, err := pki.Init(dir, time.Now()); darter.KindOf(err) != darter.Conflict {
		t.Errorf("created over an authority: %v", err)
	}
	again, err := pki.OpenAuthority(dir, time.Now())
	if err != nil || again.Pin() != a.Pin() {
		t.Errorf("opened again: %v", err)
	}
	if _, err := pki.OpenAuthority(dir, time.Now().AddDate(11, 0, 0)); darter.KindOf(err) != darter.Invalid {
		t.Errorf("eleven years later: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, "ca.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.OpenAuthority(dir, time.Now()); darter.KindOf(err) != darter.Denied {
		t.Errorf("world-readable key: %v", err)
	}
	_, other := authority(t)
	mixed := t.TempDir()
	for from, name := range map[string]string{dir: "ca.pem", other: "ca.key"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(mixed, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pki.OpenAuthority(mixed, time.Now()); darter.KindOf(err) != darter.Invalid {
		t.Errorf("key of another authority: %v", err)
	}
	if _, err := pki.OpenAuthority(t.TempDir(), time.Now()); darter.KindOf(err) != darter.NotFound {
		t.Errorf("empty folder: %v", err)
	}
}

func request(t *testing.T, key crypto.Signer, template *x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func TestSignGrantsNoMoreThanIsGranted(t *testing.T) {
	a, _ := authority(t)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GODEBUG", "rsa1024min=0") // the library makes no such keys by itself
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	named := func(names ...string) []byte { return request(t, p256, &x509.CertificateRequest{DNSNames: names}) }
	grant := pki.Grant{Identity: node(pki.Daemon, "c"), Names: []string{"d.example"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	broken := bytes.Clone(named())
	broken[len(broken)/2] ^= 2
	other := node(pki.Manager, "")
	for name, c := range map[string]struct {
		csr  []byte
		g    pki.Grant
		kind darter.Kind
		fine bool
	}{
		"plain":           {csr: named(), g: grant, fine: true},
		"granted name":    {csr: named("d.example"), g: grant, fine: true},
		"granted address": {csr: request(t, p256, &x509.CertificateRequest{IPAddresses: []net.IP{{10, 0, 0, 1}}}), g: grant, fine: true},
		"asks for a role": {csr: request(t, p256, &x509.CertificateRequest{URIs: []*url.URL{other.URI()}}), g: grant, fine: true},
		"other name":      {csr: named("manager.example"), g: grant, kind: darter.Denied},
		"other address":   {csr: request(t, p256, &x509.CertificateRequest{IPAddresses: []net.IP{{10, 0, 0, 2}}}), g: grant, kind: darter.Denied},
		"broken":          {csr: broken, g: grant, kind: darter.Invalid},
		"no request":      {csr: []byte("hello"), g: grant, kind: darter.Invalid},
		"a certificate":   {csr: a.Trust(), g: grant, kind: darter.Invalid},
		"weak curve":      {csr: request(t, p224, &x509.CertificateRequest{}), g: grant, kind: darter.Invalid},
		"small RSA":       {csr: request(t, small, &x509.CertificateRequest{}), g: grant, kind: darter.Invalid},
		"bad identity":    {csr: named(), g: pki.Grant{Identity: pki.Identity{Role: pki.Daemon, Node: "x"}}, kind: darter.Invalid},
		"too long a life": {csr: named(), g: pki.Grant{Identity: grant.Identity, Life: 2 * pki.MaxLife}, kind: darter.Invalid},
		"negative life":   {csr: named(), g: pki.Grant{Identity: grant.Identity, Life: -time.Hour}, kind: darter.Invalid},
	} {
		issued, err := a.Sign(c.csr, c.g, time.Now())
		if c.fine != (err == nil) || err != nil && darter.KindOf(err) != c.kind {
			t.Errorf("%s: %v (kind %v)", name, err, darter.KindOf(err))
		}
		if err != nil {
			continue
		}
		block, _ := pem.Decode(issued.Chain)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := pki.IdentityOf(cert); err != nil || got != grant.Identity || cert.IsCA || cert.SerialNumber.Text(16) != issued.Serial {
			t.Errorf("%s: %v, %v, authority %v", name, got, err, cert.IsCA)
		}
	}
}

func TestWhoTalksToWhom(t *testing.T) {
	a, _ := authority(t)
	b, _ := authority(t)
	manager, scheduler, daemon := source(t, a, node(pki.Manager, "")), source(t, a, node(pki.Scheduler, "c")), source(t, a, node(pki.Daemon, "c"))
	stranger := source(t, b, node(pki.Scheduler, "c"))
	for name, c := range map[string]struct {
		server, client *tls.Config
		fine           bool
	}{
		"scheduler calls manager":                {manager.Server(pki.Scheduler, pki.Daemon), scheduler.Client(pki.Manager, ""), true},
		"daemon calls scheduler":                 {scheduler.Server(), daemon.Client(pki.Scheduler, "c"), true},
		"server refuses the role":                {manager.Server(pki.Scheduler), daemon.Client(pki.Manager, ""), false},
		"client refuses the role":                {daemon.Server(), scheduler.Client(pki.Manager, ""), false},
		"a daemon plays the scheduler":           {daemon.Server(), daemon.Client(pki.Scheduler, "c"), false},
		"a scheduler of another cluster":         {scheduler.Server(), daemon.Client(pki.Scheduler, "d"), false},
		"client of another authority":            {manager.Server(), stranger.Client(pki.Manager, ""), false},
		"server of another authority":            {stranger.Server(), daemon.Client(pki.Scheduler, "c"), false},
		"client without certificate":             {manager.Server(), &tls.Config{InsecureSkipVerify: true}, false},
		"client of old TLS":                      {manager.Server(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}, false},
		"open to those without a certificate":    {manager.Open(), &tls.Config{InsecureSkipVerify: true}, true},
		"open, and a good certificate":           {manager.Open(), daemon.Client(pki.Manager, ""), true},
		"open, and a stranger's certificate":     {manager.Open(), stranger.Client(pki.Manager, ""), false},
		"pinned to the manager's authority":      {manager.Open(), pki.Pinned(a.Pin(), nil), true},
		"pinned to another authority":            {manager.Open(), pki.Pinned(b.Pin(), nil), false},
		"pinned, and a scheduler answers":        {scheduler.Open(), pki.Pinned(a.Pin(), nil), false},
		"pinned to the manager's own, no issuer": {manager.Open(), pki.Pinned("", nil), false},
	} {
		s, c2 := shake(t, c.server, c.client)
		if fine := s == nil && c2 == nil; fine != c.fine {
			t.Errorf("%s: server says %v, client says %v", name, s, c2)
		}
	}
}

func TestRevokedAndExpiredPeersAreRefused(t *testing.T) {
	a, _ := authority(t)
	files := issue(t, a, pki.Grant{Identity: node(pki.Daemon, "c")})
	serial := reissue(t, a, pki.Grant{Identity: node(pki.Daemon, "c"), Life: time.Hour}, files).Serial
	daemon := open(t, pki.SourceConfig{Files: files})
	var revoked string
	now := time.Now()
	manager := open(t, pki.SourceConfig{Files: issue(t, a, pki.Grant{Identity: node(pki.Manager, ""), Life: pki.MaxLife}),
		Revoked: func(s string) bool { return s == revoked }, Now: func() time.Time { return now }})
	server, client := manager.Server(), daemon.Client(pki.Manager, "")
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8) // a ticket must not help
	client.ServerName = "manager"
	if s, c := shake(t, server, client); s != nil || c != nil {
		t.Fatal(s, c)
	}
	revoked = serial
	if s, _ := shake(t, server, client); s == nil || !strings.Contains(s.Error(), "revoked") {
		t.Errorf("revoked: %v", s)
	}
	revoked, now = "", now.Add(2*time.Hour)
	if s, _ := shake(t, server, client); s == nil || !strings.Contains(s.Error(), "expired") {
		t.Errorf("expired: %v", s)
	}
}

// An authority is replaced while everything runs: first everybody trusts both, then certificates change.
func TestAuthorityIsReplacedWithoutRestart(t *testing.T) {
	a, _ := authority(t)
	b, _ := authority(t)
	mf, df := issue(t, a, pki.Grant{Identity: node(pki.Manager, "")}), issue(t, a, pki.Grant{Identity: node(pki.Daemon, "c")})
	manager, daemon := open(t, pki.SourceConfig{Files: mf}), open(t, pki.SourceConfig{Files: df})
	server, client := manager.Server(), daemon.Client(pki.Manager, "")
	both := append(a.Trust(), b.Trust()...)
	step := func(name string, fine bool) {
		t.Helper()
		for _, s := range []*pki.Source{manager, daemon} {
			if _, err := s.Reload(); err != nil {
				t.Fatal(name, err)
			}
		}
		if s, c := shake(t, server, client); fine != (s == nil && c == nil) {
			t.Errorf("%s: %v, %v", name, s, c)
		}
	}
	write := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	step("in the beginning", true)
	write(mf.Trust, both)
	write(df.Trust, both)
	step("both trusted", true)
	reissue(t, b, pki.Grant{Identity: node(pki.Manager, "")}, mf)
	write(mf.Trust, both)
	step("manager under the new one", true)
	reissue(t, b, pki.Grant{Identity: node(pki.Daemon, "c")}, df)
	step("all under the new one", true)
	write(mf.Trust, b.Trust())
	step("the old one forgotten", true)
}

func TestBrokenFilesLeaveTheOldCertificateInUse(t *testing.T) {
	a, _ := authority(t)
	f := issue(t, a, pki.Grant{Identity: node(pki.Daemon, "c")})
	s := open(t, pki.SourceConfig{Files: f})
	good, err := os.ReadFile(f.Node)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := authority(t)
	foreign, err := os.ReadFile(issue(t, other, pki.Grant{Identity: node(pki.Daemon, "c")}).Node)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"half": good[:len(good)/2], "nonsense": []byte("x"), "another authority's": foreign} {
		if err := os.WriteFile(f.Node, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if changed, err := s.Reload(); err == nil || changed {
			t.Errorf("%s: changed %v, %v", name, changed, err)
		} else if strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: the error quotes the file: %v", name, err)
		}
		if i, _ := s.Identity(); i != node(pki.Daemon, "c") {
			t.Errorf("%s: the process lost its name: %v", name, i)
		}
		if _, err := pki.Open(pki.SourceConfig{Files: f}); err == nil {
			t.Errorf("%s: a new process takes it", name)
		}
	}
	if err := os.Chmod(f.Node, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reload(); darter.KindOf(err) != darter.Denied {
		t.Errorf("world-readable: %v", err)
	}
}
