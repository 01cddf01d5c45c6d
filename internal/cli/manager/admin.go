package manager

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

func (a *App) adminCommand() *cobra.Command {
	d, c := a.group("admin", "Set the manager up; people, tokens, nodes, clusters, settings")
	c.AddCommand(d.setupCommand(), d.loginCommand(), d.logoutCommand(), d.whoamiCommand(), d.userCommand(), d.roleCommand(), d.tokenCommand(),
		d.caCommand(), d.joinCommand(), d.certificateCommand(), d.auditCommand(), d.eventsCommand(), d.systemCommand(), d.clusterCommand(), d.schedulerCommand(),
		d.hostCommand(), d.settingsCommand(), d.applicationCommand(), d.notificationCommand())
	return c
}

// leastPassword is what the manager asks for; asked here first, so that nobody types a long one twice in vain.
const leastPassword = 12

func (d *door) setupCommand() *cobra.Command {
	c := &cobra.Command{Use: "setup", Short: "Make the first administrator, once, with the set-up token", Args: exactly(0, "no argument"),
		Long: "The manager shows the token at its first start and leaves it in DATA/manager/setup-token, where this command finds it on the same machine. " +
			"Elsewhere put it into a file and name that with --setup-token-file",
		Example: "  darter admin setup --user anna"}
	user := c.Flags().String("user", "admin", "name of the administrator")
	tokenFile := c.Flags().String("setup-token-file", "", "file with the set-up token; default the manager's own on this machine")
	password := secretFlags(c, "password")
	return d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		token, err := d.setupToken(*tokenFile)
		if err != nil {
			return err
		}
		pass, err := password.read(ctx, d.app, fmt.Sprintf("password for %s (%d characters at least): ", *user, leastPassword), true)
		if err != nil {
			return err
		}
		return k.details(ctx, rest.Request{Op: "make the first administrator", Method: http.MethodPost, Path: "/v1/setup", Single: true,
			Body: map[string]string{"token": token, "name": *user, "password": pass}})
	})
}

// setupToken is the one-time token: from a file that is named, or the manager's own.
func (d *door) setupToken(file string) (string, error) {
	if file != "" {
		return secretFile(file)
	}
	s, err := d.settings()
	if err != nil {
		return "", err
	}
	own := filepath.Join(filepath.Dir(s.Manager), "setup-token")
	token, err := secretFile(own)
	if darter.KindOf(err) == darter.NotFound {
		return "", &darter.Error{Kind: darter.NotFound, Op: "find the set-up token", Err: fmt.Errorf("%s is not there", own),
			Hint: "the manager has an administrator already (\"darter admin login\"), or runs elsewhere: give its token with --setup-token-file"}
	}
	return token, err
}

// who is whom the manager takes the caller for.
type who struct {
	Kind       string   `json:"kind"`
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Method     string   `json:"method"`
	Credential string   `json:"credential"`
	Rights     []string `json:"rights"`
	Scopes     []string `json:"scopes"`
}

const whoPath = "/v1/sessions/current"

func (d *door) whoamiCommand() *cobra.Command {
	c := &cobra.Command{Use: "whoami", Short: "Say which manager is asked, as whom, and what that one may do", Args: exactly(0, "no argument")}
	return d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		return one(ctx, k, rest.Request{Op: "ask who I am", Path: whoPath}, func(w who) sheet.Table {
			var t sheet.Table
			t.Add("manager", k.Where())
			t.Add("name", w.Name)
			t.Add("kind", w.Kind)
			t.Add("id", w.ID)
			t.Add("by", w.Method)
			t.Add("rights", strings.Join(w.Rights, " "))
			if len(w.Scopes) > 0 {
				t.Add("token's scopes", strings.Join(w.Scopes, " "))
			}
			return t
		})
	})
}

func (d *door) loginCommand() *cobra.Command {
	c := &cobra.Command{Use: "login", Short: "Sign in, and keep a token for the commands to come", Args: exactly(0, "no argument"),
		Long: "Signs in with name and password, makes an API token that lives as long as --life says, and keeps that in a file of yours (mode 0600). " +
			"With --token-file or DARTER_TOKEN that token is kept instead. The password is not kept",
		Example: "  darter admin login --manager https://manager.example:8080 --user anna"}
	user := c.Flags().String("user", "", "name; without it a token has to be given")
	life := c.Flags().Duration("life", 30*24*time.Hour, "of the token")
	scopes := c.Flags().StringSlice("scope", []string{"*:*"}, "what the token may do, as far as you may: verb:resource[:cluster]")
	password := secretFlags(c, "password")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return exits(d.login(c.Context(), *user, password, func(n string) map[string]any {
			return map[string]any{"name": n, "scopes": *scopes, "life": life.String()}
		}))
	}
	return c
}

// login proves who somebody is, and keeps what proves it the next time.
func (d *door) login(ctx context.Context, user string, password secret, order func(name string) map[string]any) error {
	where, err := d.find()
	if err != nil {
		return err
	}
	if where.URL == "" {
		return cli.Usage(errors.New("on the manager's own machine no sign-in is needed; name another manager with --manager URL"))
	}
	c := credential{URL: where.URL, CAFile: where.CAFile}
	given, err := d.bearer("")
	if err != nil {
		return err
	}
	if user == "" && given == "" {
		return cli.Usage(errors.New("give --user, or a token with --token-file or DARTER_TOKEN"))
	}
	if strings.HasPrefix(where.URL, "http://") && !loopback(where.URL) {
		fmt.Fprintln(d.app.Err, "warning: without TLS everybody on the way can read the password and the token")
	}
	where.Token = ""
	if user == "" {
		where.Token, c.Token = given, given
	}
	k, err := d.openAt(where)
	if err != nil {
		return err
	}
	defer k.Close()
	if user != "" {
		pass, err := password.read(ctx, d.app, "password for "+user+" at "+where.URL+": ", false)
		if err != nil {
			return err
		}
		if err := k.tokenFor(ctx, user, pass, order, &c); err != nil {
			return err
		}
		where.Token = c.Token
	}
	return d.kept(ctx, where, c)
}

// kept looks whether the token is good, and keeps it.
func (d *door) kept(ctx context.Context, where rest.Config, c credential) error {
	k, err := d.openAt(where)
	if err != nil {
		return err
	}
	defer k.Close()
	answer, w, err := ask[who](ctx, k, rest.Request{Op: "sign in", Path: whoPath})
	if err != nil {
		return err
	}
	c.User = w.Name
	ring, err := d.app.credentials()
	if err == nil {
		err = d.app.keep(ring.with(c))
	}
	if err != nil {
		return err
	}
	var t sheet.Table
	t.Add("signed in at", c.URL)
	t.Add("as", w.Name)
	if !c.Expires.IsZero() {
		t.Add("until", sheet.Stamp(c.Expires, k.now))
	}
	return k.show(answer.Body, t)
}

// tokenFor signs in, makes a token and signs out again: a session is for browsers.
func (k *call) tokenFor(ctx context.Context, user, pass string, order func(string) map[string]any, c *credential) error {
	answer, s, err := ask[struct {
		CSRF string `json:"csrf_token"`
	}](ctx, k, rest.Request{Op: "sign in", Method: http.MethodPost, Path: "/v1/sessions", Single: true, Body: map[string]string{"name": user, "password": pass}})
	if err != nil {
		return err
	}
	var cookies []string
	for _, cookie := range (&http.Response{Header: answer.Header}).Cookies() {
		cookies = append(cookies, cookie.Name+"="+cookie.Value)
	}
	session := map[string]string{"Cookie": strings.Join(cookies, "; "), "X-Csrf-Token": s.CSRF}
	host, err := os.Hostname()
	if err != nil {
		host = "a machine"
	}
	_, token, err := ask[struct {
		ID      string    `json:"id"`
		Secret  string    `json:"secret"`
		Expires time.Time `json:"expires"`
	}](ctx, k, rest.Request{Op: "make a token", Method: http.MethodPost, Path: "/v1/tokens", Single: true, Header: session, Body: order("darter on " + host)})
	if err == nil {
		c.Token, c.TokenID, c.Expires = token.Secret, token.ID, token.Expires
	}
	_, out := k.Do(ctx, rest.Request{Op: "end the session", Method: http.MethodDelete, Path: "/v1/sessions/current", Header: session})
	return errors.Join(err, out)
}

func (d *door) logoutCommand() *cobra.Command {
	c := &cobra.Command{Use: "logout", Short: "Revoke the token of the last sign-in, and forget it", Args: exactly(0, "no argument")}
	c.RunE = func(c *cobra.Command, _ []string) error { return exits(d.logout(c.Context())) }
	return c
}

func (d *door) logout(ctx context.Context) error {
	ring, err := d.app.credentials()
	if err != nil {
		return err
	}
	url := strings.TrimSuffix(*d.manager, "/")
	if url == "" {
		url = ring.Current
	}
	c, known := ring.of(url)
	if !known {
		fmt.Fprintln(d.app.Err, "there is no sign-in to forget")
		return nil
	}
	k, err := d.openAt(rest.Config{URL: c.URL, Token: c.Token, CAFile: c.CAFile, UserAgent: "darter/" + d.app.Version})
	if err == nil {
		defer k.Close()
		if c.TokenID != "" {
			_, err = k.Do(ctx, rest.Request{Op: "revoke the token", Method: http.MethodDelete, Path: rest.Path("v1", "tokens", c.TokenID)})
		}
	}
	if darter.KindOf(err) == darter.Denied { // it has ended already
		err = nil
	}
	if kept := d.app.keep(ring.without(url)); kept != nil {
		return kept
	}
	if err != nil {
		fmt.Fprintf(d.app.Err, "forgotten here, but not revoked: token %s ends %s\n", c.TokenID, sheet.When(c.Expires, d.app.now()))
		return err
	}
	fmt.Fprintln(d.app.Err, "signed out at "+url)
	return nil
}

// openAt opens a way to a manager that was found.
func (d *door) openAt(where rest.Config) (*call, error) {
	if err := sheet.Check(*d.format); err != nil {
		return nil, cli.Usage(err)
	}
	client, err := rest.Open(where)
	if err != nil {
		return nil, err
	}
	return &call{Client: client, door: d, format: *d.format, now: d.app.now()}, nil
}
