package rest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/pki"
)

// FilesIn names the files of a folder for one process's certificate.
func FilesIn(dir string) pki.Files {
	return pki.Files{Node: filepath.Join(dir, "node.pem"), Trust: filepath.Join(dir, "trust.pem")}
}

// Kept reports whether there is a certificate in dir, of whatever worth. What cannot be looked at counts as there: a
// process must not go on in the clear because a folder cannot be read.
func Kept(dir string) bool {
	_, err := os.Lstat(FilesIn(dir).Node)
	return !errors.Is(err, fs.ErrNotExist)
}

// Node is a process with a certificate.
type Node struct {
	*pki.Source

	renewer *pki.Renewer
}

// Renew asks for a new certificate now. Run does so in time.
func (n *Node) Renew(ctx context.Context) error { return n.renewer.Renew(ctx) }

// Open returns this process's certificate: the one in Dir, else one that the join text gets. It fails with NotFound when
// there is neither, with Denied when the manager refuses the text or is not the one that the text names, and with
// Unavailable when no manager could be reached within Patience.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	source, err := cfg.open()
	if kind := darter.KindOf(err); err != nil && cfg.Token != nil && (kind == darter.NotFound || kind == darter.Invalid) { // there is none, or it has run out
		if err = cfg.join(ctx); err != nil {
			return nil, err
		}
		source, err = cfg.open()
	}
	if err != nil {
		return nil, err
	}
	if who, _ := source.Identity(); who.Role != cfg.Role {
		return nil, &darter.Error{Kind: darter.Conflict, Op: "open certificate " + cfg.files().Node, Err: fmt.Errorf("it is for %s, and this is a %s", who, cfg.Role),
			Hint: "make the join token with --role " + string(cfg.Role) + ", and remove the folder " + cfg.Dir}
	}
	return newNode(source, cfg)
}

func (c *Config) open() (*pki.Source, error) {
	return pki.Open(pki.SourceConfig{Files: c.files(), Now: c.Now, Events: c.Events})
}

func newNode(source *pki.Source, cfg Config) (*Node, error) {
	client := ask(cfg, source.Client(pki.Manager, ""))
	who, _ := source.Identity()
	spread := fnv.New64a()
	_, _ = spread.Write([]byte(who.String()))
	renewer, err := pki.NewRenewer(pki.RenewerConfig{Source: source, Ask: client.renew, Seed: spread.Sum64()})
	if err != nil {
		return nil, err
	}
	return &Node{Source: source, renewer: renewer}, nil
}
