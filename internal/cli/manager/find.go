package manager

import (
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/privatefile"
)

// maxToken is more than any token has.
const maxToken = 4096

// find says which manager is asked, and as whom: the one that is named, else the one on this machine, else the one
// that was signed in to last.
func (d *door) find() (rest.Config, error) {
	cfg := rest.Config{UserAgent: "darter/" + d.app.Version, CAFile: *d.ca}
	s, err := d.settings()
	if err != nil {
		return cfg, err
	}
	named := *d.manager
	if named == "" {
		named = d.app.getenv("DARTER_MANAGER_URL")
	}
	if path, is := strings.CutPrefix(named, "unix://"); is {
		cfg.Socket = path
		return cfg, nil
	}
	cfg.Socket = s.Manager
	if named == "" && isSocket(s.Manager) {
		return cfg, nil
	}
	known, err := d.app.credentials()
	if err != nil {
		return cfg, err
	}
	if named == "" {
		if named = known.Current; named == "" {
			return cfg, nil // the socket's error says what to do
		}
	}
	cfg.URL = strings.TrimSuffix(named, "/")
	c, _ := known.of(cfg.URL)
	if cfg.CAFile == "" {
		cfg.CAFile = c.CAFile
	}
	cfg.Token, err = d.bearer(c.Token)
	return cfg, err
}

// bearer is the token to show: from a file, the environment, or the last sign-in.
func (d *door) bearer(kept string) (string, error) {
	if *d.token != "" {
		return secretFile(*d.token)
	}
	if t := strings.TrimSpace(d.app.getenv("DARTER_TOKEN")); t != "" {
		return t, nil
	}
	return kept, nil
}

// secretFile reads the one line of a file that nobody else may read.
func secretFile(path string) (string, error) {
	data, err := privatefile.Read(path, maxToken)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(data))
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return "", &darter.Error{Kind: darter.Invalid, Op: "read " + path, Err: errNotOneLine, Hint: "put the secret alone into the file, on one line"}
	}
	return text, nil
}

// loopback reports whether an address never leaves this machine.
func loopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Type() == os.ModeSocket
}
