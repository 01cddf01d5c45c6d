package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/atomicfile"
	"github.com/darter-p2p/darter/internal/privatefile"
)

const (
	caFile  = "ca.pem"
	keyFile = "ca.key"
	maxFile = 1 << 20

	authorityLife = 10 * 365 * 24 * time.Hour
	skew          = 5 * time.Minute // how far clocks of a cluster may be apart
)

// How long a node's certificate lasts.
const (
	MaxLife     = 365 * 24 * time.Hour
	DefaultLife = 30 * 24 * time.Hour // when nothing is said
)

// Authority signs certificates.
type Authority struct {
	cert  *x509.Certificate
	key   crypto.Signer
	trust []byte // PEM of all that is trusted
}

// Init creates an authority in dir and returns it. It fails with Conflict when there is one.
func Init(dir string, now time.Time) (*Authority, error) {
	op := "create certificate authority in " + dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &darter.Error{Kind: darter.Unavailable, Op: op, Err: err}
	}
	for _, name := range []string{caFile, keyFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return nil, &darter.Error{Kind: darter.Conflict, Op: op, Hint: "every certificate that was issued depends on it; move it away only to begin anew",
				Err: errors.Join(fmt.Errorf("%s is there", name), err)}
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, &darter.Error{Op: op, Err: err}
	}
	serial := newSerial()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: fmt.Sprintf("Darter authority %x", serial.Bytes()[:4])},
		NotBefore: now.Add(-skew), NotAfter: now.Add(authorityLife), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, &darter.Error{Op: op, Err: err}
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, &darter.Error{Op: op, Err: err}
	}
	if err := atomicfile.Write(filepath.Join(dir, keyFile), keyPEM, privatefile.Mode); err != nil {
		return nil, &darter.Error{Kind: darter.Unavailable, Op: op, Err: err}
	}
	if err := atomicfile.Write(filepath.Join(dir, caFile), encodeCert(der), 0o644); err != nil {
		return nil, &darter.Error{Kind: darter.Unavailable, Op: op, Err: err}
	}
	return OpenAuthority(dir, now)
}

// OpenAuthority reads the authority in dir. It fails with NotFound when there is none, Denied when its key is
// open to others, and Invalid when key and certificate do not belong together or the certificate has run out.
func OpenAuthority(dir string, now time.Time) (*Authority, error) {
	op := "open certificate authority in " + dir
	keyPEM, err := privatefile.Read(filepath.Join(dir, keyFile), maxFile)
	if err != nil {
		return nil, err
	}
	trust, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		return nil, &darter.Error{Kind: darter.NotFound, Op: op, Hint: "darter admin ca init creates one", Err: err}
	}
	key, err := decodeKey(keyPEM)
	if err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: op, Err: err}
	}
	certs, err := decodeTrust(trust)
	if err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: op, Err: err}
	}
	a := &Authority{cert: certs[0], key: key, trust: trust}
	if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(a.cert.PublicKey) {
		return nil, &darter.Error{Kind: darter.Invalid, Op: op, Hint: "restore both files from the same backup", Err: errors.New("key and first certificate do not belong together")}
	}
	if now.After(a.cert.NotAfter) {
		return nil, &darter.Error{Kind: darter.Invalid, Op: op, Hint: "create a new authority and let every node join again",
			Err: fmt.Errorf("it ran out on %s", a.cert.NotAfter.Format(time.DateOnly))}
	}
	return a, nil
}

// Trust returns the certificates that nodes trust, as PEM.
func (a *Authority) Trust() []byte { return bytes.Clone(a.trust) }

// Pin returns the SHA-256 of the authority's certificate in hex. It travels in join tokens, so that a node
// knows its manager before it has any certificate.
func (a *Authority) Pin() string { return pinOf(a.cert) }

func pinOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// Grant says what a certificate may hold.
type Grant struct {
	Identity  Identity
	Names     []string     // DNS names that the request may ask for
	Addresses []netip.Addr // addresses that it may ask for
	Life      time.Duration
}

// Issued is a signed certificate, for its node.
type Issued struct {
	Chain    []byte // PEM: the node's certificate, then the authority's
	Trust    []byte // PEM
	Serial   string // hex
	NotAfter time.Time
}

// Sign answers a request (PEM) with a certificate for g. The request gives the key and proves that the asker
// has it; the identity is g's, whatever the request says. Names and addresses beyond g are refused with Denied,
// a broken request with Invalid.
func (a *Authority) Sign(request []byte, g Grant, now time.Time) (Issued, error) {
	op := "sign certificate for " + g.Identity.String()
	if err := g.Identity.Validate(); err != nil {
		return Issued{}, &darter.Error{Kind: darter.Invalid, Op: "sign certificate", Err: err}
	}
	if g.Life == 0 {
		g.Life = DefaultLife
	}
	if g.Life < 2*skew || g.Life > MaxLife {
		return Issued{}, &darter.Error{Kind: darter.Invalid, Op: op, Err: fmt.Errorf("a life of %v is not between %v and %v", g.Life, 2*skew, MaxLife)}
	}
	asked, err := parseRequest(request)
	if err != nil {
		return Issued{}, &darter.Error{Kind: darter.Invalid, Op: op, Err: err}
	}
	if err := g.covers(asked); err != nil {
		return Issued{}, &darter.Error{Kind: darter.Denied, Op: op, Hint: "name it when the join token is made", Err: err}
	}
	end := now.Add(g.Life)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	serial := newSerial()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: g.Identity.Node[:min(len(g.Identity.Node), 64)]},
		URIs: []*url.URL{g.Identity.URI()}, DNSNames: asked.DNSNames, IPAddresses: asked.IPAddresses, NotBefore: now.Add(-skew), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, asked.PublicKey, a.key)
	if err != nil {
		return Issued{}, &darter.Error{Op: op, Err: err}
	}
	return Issued{Chain: append(encodeCert(der), encodeCert(a.cert.Raw)...), Trust: a.Trust(), Serial: serial.Text(16), NotAfter: end.UTC().Truncate(time.Second)}, nil
}

// IssueTo gives a certificate to this very process, which has the authority at hand, with all names and addresses of g.
func (a *Authority) IssueTo(f Files, g Grant, now time.Time) error {
	request, err := NewRequest(g.Names, g.Addresses)
	if err != nil {
		return err
	}
	issued, err := a.Sign(request.CSR, g, now)
	if err != nil {
		return err
	}
	return f.Save(request, issued)
}

func (g Grant) covers(r *x509.CertificateRequest) error {
	for _, name := range r.DNSNames {
		if !slices.Contains(g.Names, name) {
			return fmt.Errorf("the request asks for the name %q, which is not granted", clip(name))
		}
	}
	for _, ip := range r.IPAddresses {
		a, ok := netip.AddrFromSlice(ip)
		if !ok || !slices.Contains(g.Addresses, a.Unmap()) {
			return fmt.Errorf("the request asks for the address %s, which is not granted", ip)
		}
	}
	return nil
}

// newSerial returns 126 random bits under a one, so that its length never varies.
func newSerial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[0] = b[0]&0x3f | 0x40
	return new(big.Int).SetBytes(b[:])
}

func goodKey(public any) error {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return nil
		}
		return errors.New("an elliptic curve other than P-256 and P-384")
	case ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits >= 2048 && bits <= 8192 {
			return nil
		}
		return errors.New("an RSA key that is not of 2048 to 8192 bits")
	}
	return errors.New("a kind of key that is not known")
}

func parseRequest(text []byte) (*x509.CertificateRequest, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("a request of %d bytes", len(text))
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("no PEM block of type CERTIFICATE REQUEST")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the request does not parse: %w", err)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the request is not signed by its key: %w", err)
	}
	if len(r.DNSNames)+len(r.IPAddresses) > 64 {
		return nil, errors.New("more than 64 names")
	}
	if err := goodKey(r.PublicKey); err != nil {
		return nil, fmt.Errorf("the request has %w", err)
	}
	return r, nil
}
