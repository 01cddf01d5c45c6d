package manager

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/atomicfile"
	"github.com/darter-p2p/darter/internal/privatefile"
)

var errNotOneLine = errors.New("it does not hold exactly one line")

// credential is what a sign-in left behind.
type credential struct {
	URL     string    `json:"url"`
	User    string    `json:"user,omitempty"`
	Token   string    `json:"token"`
	TokenID string    `json:"token_id,omitempty"` // to revoke it
	CAFile  string    `json:"ca_file,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// keyring is the file of sign-ins, one per manager.
type keyring struct {
	Current  string       `json:"current,omitempty"` // asked when no manager is named and none runs here
	Managers []credential `json:"managers"`
}

func (r keyring) of(url string) (credential, bool) {
	for _, c := range r.Managers {
		if c.URL == url {
			return c, true
		}
	}
	return credential{}, false
}

// with replaces the sign-in at a manager, which becomes the current one.
func (r keyring) with(c credential) keyring {
	r = r.without(c.URL)
	r.Managers, r.Current = append(r.Managers, c), c.URL
	return r
}

// without forgets the sign-in at a manager.
func (r keyring) without(url string) keyring {
	r.Managers = slices.DeleteFunc(slices.Clone(r.Managers), func(c credential) bool { return c.URL == url })
	if r.Current == url {
		r.Current = ""
	}
	return r
}

// maxKeyring bounds the file of sign-ins.
const maxKeyring = 1 << 20

// credentialFile is where sign-ins are kept.
func (a *App) credentialFile() (string, error) {
	if path := a.getenv("DARTER_CREDENTIALS"); path != "" {
		return path, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", &darter.Error{Kind: darter.Invalid, Op: "find the file of sign-ins", Err: err, Hint: "name one in DARTER_CREDENTIALS"}
	}
	return filepath.Join(dir, "darter", "credentials.json"), nil
}

// credentials reads the file of sign-ins; there being none is no error.
func (a *App) credentials() (keyring, error) {
	var out keyring
	path, err := a.credentialFile()
	if err != nil {
		return out, nil // nobody can have signed in
	}
	data, err := privatefile.Read(path, maxKeyring)
	if darter.KindOf(err) == darter.NotFound {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, &darter.Error{Kind: darter.Invalid, Op: "read " + path, Err: fmt.Errorf("it is no file of sign-ins: %w", err), Hint: "remove it and sign in again with \"darter admin login\""}
	}
	return out, nil
}

// keep writes the file of sign-ins.
func (a *App) keep(r keyring) error {
	path, err := a.credentialFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return &darter.Error{Kind: darter.Denied, Op: "keep the sign-in", Err: err, Hint: "name another file in DARTER_CREDENTIALS"}
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(path, append(data, '\n'), privatefile.Mode); err != nil {
		return &darter.Error{Kind: darter.Denied, Op: "keep the sign-in", Err: err, Hint: "name another file in DARTER_CREDENTIALS"}
	}
	return nil
}
