package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/atomicfile"
	"github.com/darter-p2p/darter/internal/privatefile"
)

// Files are where a process keeps its certificate; see doc.go.
type Files struct {
	Node  string // key and chain
	Trust string
}

// Save writes an answer and the key that it is for. Trust goes first: a process that has it and not yet the
// new certificate loses nothing.
func (f Files) Save(r Request, i Issued) error {
	if err := atomicfile.Write(f.Trust, i.Trust, 0o644); err != nil {
		return &darter.Error{Kind: darter.Unavailable, Op: "save trusted certificates", Err: err}
	}
	if err := atomicfile.Write(f.Node, append(append([]byte(nil), r.key...), i.Chain...), privatefile.Mode); err != nil {
		return &darter.Error{Kind: darter.Unavailable, Op: "save certificate", Err: err}
	}
	return nil
}

// SourceConfig says where certificates come from.
type SourceConfig struct {
	Files   Files                    // required
	Every   time.Duration            // how often the files are looked at; default 30 s
	Revoked func(serial string) bool // whether a peer's certificate (hex serial) was taken back; may be nil
	Now     func() time.Time         // default time.Now
	Events  Events
}

// Events tells what happens to a process's own certificate. Any may be nil.
type Events struct {
	Loaded  func(Identity, time.Time) // a certificate, valid until then, is in use
	Failed  func(error)               // files did not load, or a renewal failed; what was in use stays in use
	Renewed func(Identity, time.Time)
}

// Source holds the certificate of this process and those it trusts, as the files have them.
type Source struct {
	cfg SourceConfig

	mu struct {
		sync.RWMutex
		now material
	}
}

type material struct {
	text     string // both files, to see a change
	cert     tls.Certificate
	identity Identity
	roots    *x509.CertPool
}

// Open loads the files. It fails when they do not load: a server without a certificate is of no use.
func Open(cfg SourceConfig) (*Source, error) {
	if cfg.Files.Node == "" || cfg.Files.Trust == "" {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "open certificates", Err: errors.New("both files are required")}
	}
	if cfg.Every == 0 {
		cfg.Every = 30 * time.Second
	}
	if cfg.Every < 0 {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "open certificates", Err: errors.New("the interval is negative")}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Source{cfg: cfg}
	if _, err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload looks at the files and takes over what changed. When it fails, what was in use stays in use.
func (s *Source) Reload() (changed bool, err error) {
	node, err := privatefile.Read(s.cfg.Files.Node, maxFile)
	if err != nil {
		return false, err
	}
	trust, err := os.ReadFile(s.cfg.Files.Trust)
	if err != nil {
		return false, &darter.Error{Kind: darter.NotFound, Op: "read trusted certificates", Hint: "let the node join again", Err: err}
	}
	text := string(node) + "\x00" + string(trust)
	s.mu.RLock()
	same := text == s.mu.now.text
	s.mu.RUnlock()
	if same {
		return false, nil
	}
	m, err := s.read(node, trust)
	if err != nil {
		return false, &darter.Error{Kind: darter.Invalid, Op: "read certificate " + s.cfg.Files.Node, Hint: "let the node join again, or restore the file", Err: err}
	}
	m.text = text
	s.mu.Lock()
	s.mu.now = m
	s.mu.Unlock()
	if s.cfg.Events.Loaded != nil {
		s.cfg.Events.Loaded(m.identity, m.cert.Leaf.NotAfter)
	}
	return true, nil
}

func (s *Source) read(node, trust []byte) (material, error) {
	cert, err := tls.X509KeyPair(node, node)
	if err != nil {
		return material{}, errors.New("key and certificate do not load, or do not belong together") // the library's text may quote the file
	}
	authorities, err := decodeTrust(trust)
	if err != nil {
		return material{}, fmt.Errorf("%s: %w", s.cfg.Files.Trust, err)
	}
	m := material{cert: cert, roots: x509.NewCertPool()}
	for _, a := range authorities {
		m.roots.AddCert(a)
	}
	if m.identity, err = IdentityOf(cert.Leaf); err != nil {
		return material{}, err
	}
	now := s.cfg.Now()
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: m.roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return material{}, fmt.Errorf("the certificate is not signed by what is trusted, or is not valid at %s: %w", now.UTC().Format(time.RFC3339), err)
	}
	return m, nil
}

func (s *Source) current() material {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.now
}

// Identity returns who this process is, and until when it can prove it.
func (s *Source) Identity() (Identity, time.Time) {
	m := s.current()
	return m.identity, m.cert.Leaf.NotAfter
}
