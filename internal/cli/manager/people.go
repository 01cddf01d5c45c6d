package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

func users() resource {
	return resource{noun: "user", what: "the name or id of a user", path: "/v1/users", id: "name", about: "display",
		columns: []string{"name", "id", "kind", "display", "disabled", "issuer", "seen", "created"}}
}

func tokens() resource {
	return resource{noun: "token", what: "the id of a token", path: "/v1/tokens", about: "name",
		columns: []string{"id", "name", "owner", "scopes", "created", "expires", "used", "revoked"}}
}

func roles() resource {
	return resource{noun: "role", what: "the name of a role", path: "/v1/roles", id: "name", about: "description",
		columns: []string{"name", "built_in", "description", "grants"}}
}

func bindings() resource {
	return resource{noun: "role binding", path: "/v1/role-bindings", columns: []string{"id", "role", "cluster", "source", "created"}}
}

func (d *door) userCommand() *cobra.Command {
	return folder("user", "People and service accounts", d.list(users(), "List users and service accounts", nil), d.userShow(), d.userCreate(),
		d.userEdit("disable", "Lock somebody out: sessions end, tokens stop", true), d.userEdit("enable", "Let somebody in again", false),
		d.userPassword(), d.userUnlock(), d.userRemove(), d.userGrant(), d.userRevoke())
}

// userAt finds a user by name or id, and returns the path of theirs.
func (k *call) userAt(ctx context.Context, name string) (id, path string, err error) {
	for item, err := range k.Pages(ctx, rest.Request{Op: "find the user " + name, Path: users().path}, 0) {
		var u struct{ ID, Name string }
		if err == nil {
			err = (&rest.Answer{Body: item}).Decode(&u)
		}
		if err != nil {
			return "", "", err
		}
		if u.Name == name || u.ID == name {
			return u.ID, users().at(u.ID), nil
		}
	}
	return "", "", &darter.Error{Kind: darter.NotFound, Op: "find the user " + name, Err: errors.New("nobody has that name or id"), Hint: "\"darter admin user ls\" lists them"}
}

// ofUser finishes a command about one user.
func (d *door) ofUser(c *cobra.Command, do func(ctx context.Context, k *call, id, path string) error) *cobra.Command {
	if c.Args == nil {
		c.Args = exactly(1, users().what)
	}
	d.complete(c, users())
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		id, path, err := k.userAt(ctx, args[0])
		if err != nil {
			return err
		}
		return do(ctx, k, id, path)
	})
}

func (d *door) userShow() *cobra.Command {
	c := &cobra.Command{Use: "show USER", Short: "Show a user, and which roles they have"}
	return d.ofUser(c, func(ctx context.Context, k *call, id, path string) error {
		if err := k.details(ctx, rest.Request{Op: "read the user", Path: path}); err != nil || !k.people() {
			return err
		}
		fmt.Fprintln(d.app.Out)
		return k.showList(ctx, bindings(), rest.Request{Op: "list the roles", Path: bindings().path, Query: url.Values{"user": {id}}}, 0)
	})
}

func (d *door) userCreate() *cobra.Command {
	c := &cobra.Command{Use: "create NAME", Short: "Add a user, who asks for a password, or a service account, which has tokens", Args: exactly(1, "a name"),
		Example: "  darter admin user create anna --role operator\n  darter admin user create harbor --service --role preheater"}
	service := c.Flags().Bool("service", false, "a service account: it has tokens and no password")
	display := c.Flags().String("display", "", "name in full")
	email := c.Flags().String("email", "", "address")
	role := c.Flags().String("role", "", "give this role everywhere; \"darter admin role ls\" lists them")
	password := secretFlags(c, "password")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		body := map[string]string{"kind": "user", "name": args[0], "display": *display, "email": *email}
		if *service {
			body["kind"] = "service"
		} else {
			pass, err := password.read(ctx, d.app, fmt.Sprintf("password for %s (%d characters at least): ", args[0], leastPassword), true)
			if err != nil {
				return err
			}
			body["password"] = pass
		}
		answer, u, err := ask[struct{ ID string }](ctx, k, rest.Request{Op: "create the user", Method: http.MethodPost, Path: users().path, Body: body})
		if err != nil {
			return err
		}
		if *role != "" {
			if err := k.bind(ctx, u.ID, *role, ""); err != nil {
				return fmt.Errorf("the user is there, without a role: %w", err)
			}
		}
		return k.show(answer.Body, details(answer.Body, k.now))
	})
}

func (k *call) bind(ctx context.Context, user, role, cluster string) error {
	_, err := k.Do(ctx, rest.Request{Op: "give the role " + role, Method: http.MethodPost, Path: bindings().path, Body: map[string]string{"user": user, "role": role, "cluster": cluster}})
	return err
}

func (d *door) userEdit(use, short string, disabled bool) *cobra.Command {
	c := &cobra.Command{Use: use + " USER", Short: short}
	return d.ofUser(c, func(ctx context.Context, k *call, _, path string) error {
		answer, err := k.Do(ctx, rest.Request{Op: "read the user", Path: path})
		if err != nil {
			return err
		}
		return k.details(ctx, rest.Request{Op: use + " the user", Method: http.MethodPatch, Path: path, IfMatch: answer.ETag, Body: map[string]bool{"disabled": disabled}})
	})
}

func (d *door) userPassword() *cobra.Command {
	c := &cobra.Command{Use: "password USER", Short: "Set a password; all of the user's sessions end"}
	password := secretFlags(c, "password")
	old := secretFlags(c, "old-password")
	own := c.Flags().Bool("own", false, "it is your own: the old one is asked for")
	return d.ofUser(c, func(ctx context.Context, k *call, _, path string) error {
		body := map[string]string{}
		if *own || *old.file != "" || *old.stdin {
			text, err := old.read(ctx, d.app, "old password: ", false)
			if err != nil {
				return err
			}
			body["old"] = text
		}
		text, err := password.read(ctx, d.app, fmt.Sprintf("new password (%d characters at least): ", leastPassword), true)
		if err != nil {
			return err
		}
		body["password"] = text
		return k.details(ctx, rest.Request{Op: "set the password", Method: http.MethodPost, Path: path + ":password", Single: true, Body: body})
	})
}

func (d *door) userUnlock() *cobra.Command {
	c := &cobra.Command{Use: "unlock USER", Short: "Forget failed sign-ins, so that the next one is not refused"}
	return d.ofUser(c, func(ctx context.Context, k *call, _, path string) error {
		return k.details(ctx, rest.Request{Op: "unlock the user", Method: http.MethodPost, Path: path + ":unlock"})
	})
}

func (d *door) userRemove() *cobra.Command {
	c := &cobra.Command{Use: "rm USER", Short: "Delete a user with sessions, tokens and roles"}
	return d.ofUser(c, func(ctx context.Context, k *call, _, path string) error {
		return k.remove(ctx, "delete the user", path)
	})
}

func (d *door) userGrant() *cobra.Command {
	c := &cobra.Command{Use: "grant USER ROLE", Short: "Give a user a role", Args: exactly(2, "a user and a role")}
	cluster := c.Flags().String("cluster", "", "in this cluster only, by id; default everywhere")
	d.complete(c, users())
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		id, _, err := k.userAt(ctx, args[0])
		if err != nil {
			return err
		}
		return k.details(ctx, rest.Request{Op: "give the role", Method: http.MethodPost, Path: bindings().path, Body: map[string]string{"user": id, "role": args[1], "cluster": *cluster}})
	})
}

func (d *door) userRevoke() *cobra.Command {
	c := &cobra.Command{Use: "revoke USER ROLE", Short: "Take a role from a user", Args: exactly(2, "a user and a role")}
	cluster := c.Flags().String("cluster", "", "the one in this cluster; default the one everywhere")
	d.complete(c, users())
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		id, _, err := k.userAt(ctx, args[0])
		if err != nil {
			return err
		}
		for item, err := range k.Pages(ctx, rest.Request{Op: "list the roles", Path: bindings().path, Query: url.Values{"user": {id}}, Whole: true}, 0) {
			var b struct{ ID, Role, Cluster string }
			if err == nil {
				err = json.Unmarshal(item, &b)
			}
			if err != nil {
				return err
			}
			if b.Role == args[1] && b.Cluster == *cluster {
				return k.details(ctx, rest.Request{Op: "take the role", Method: http.MethodDelete, Path: bindings().at(b.ID)})
			}
		}
		return &darter.Error{Kind: darter.NotFound, Op: "take the role " + args[1], Err: errors.New("the user does not have it there"), Hint: "\"darter admin user show " + args[0] + "\" lists what they have"}
	})
}

func (d *door) roleCommand() *cobra.Command {
	set := &cobra.Command{Use: "set ROLE --grant GRANT", Short: "Create a role, or replace what it gives", Args: exactly(1, "a name"), Example: "  darter admin role set ci --grant create:preheat --grant read:job"}
	grants := set.Flags().StringSlice("grant", nil, "verb:resource[:cluster]; either of the first two may be *. Required")
	about := set.Flags().String("description", "", "for people")
	d.complete(set, roles())
	d.asks(set, func(ctx context.Context, k *call, args []string) error {
		if len(*grants) == 0 {
			return cli.Usage(errors.New("a role gives something: --grant is required"))
		}
		r := rest.Request{Op: "set the role", Method: http.MethodPut, Path: roles().at(args[0]), Body: map[string]any{"description": *about, "grants": *grants}}
		version, found, err := k.roleVersion(ctx, args[0])
		if err != nil {
			return err
		}
		if r.IfMatch = version; !found {
			r.Header = map[string]string{"If-None-Match": "*"}
		}
		return k.details(ctx, r)
	})
	rm := &cobra.Command{Use: "rm ROLE", Short: "Delete a role that nobody has", Args: exactly(1, "the name of a role")}
	d.complete(rm, roles())
	d.asks(rm, func(ctx context.Context, k *call, args []string) error {
		version, _, err := k.roleVersion(ctx, args[0])
		if err != nil {
			return err
		}
		return k.details(ctx, rest.Request{Op: "delete the role", Method: http.MethodDelete, Path: roles().at(args[0]), IfMatch: version})
	})
	return folder("role", "What can be given to users", d.list(roles(), "List roles and what they give", nil), set, rm)
}

// roleVersion is the ETag of a role: there is only the list to learn it from.
func (k *call) roleVersion(ctx context.Context, name string) (etag string, found bool, err error) {
	for item, err := range k.Pages(ctx, rest.Request{Op: "read the role", Path: roles().path, Whole: true}, 0) {
		var r struct {
			Name    string `json:"name"`
			Version int64  `json:"version"`
		}
		if err == nil {
			err = json.Unmarshal(item, &r)
		}
		if err != nil {
			return "", false, err
		}
		if r.Name == name {
			return fmt.Sprintf("%q", fmt.Sprint(r.Version)), true, nil
		}
	}
	return "*", false, nil
}

func (d *door) tokenCommand() *cobra.Command {
	return folder("token", "Tokens for programs", d.tokenList(), d.tokenCreate(), d.tokenRotate(), d.tokenRevoke())
}

func (d *door) tokenList() *cobra.Command {
	c := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List tokens: your own, or everybody's when you may see them", Args: exactly(0, "no argument")}
	owner := c.Flags().String("owner", "", "only those of a user, by name or id")
	return d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		r := rest.Request{Op: "list the tokens", Path: tokens().path}
		if *owner != "" {
			id, _, err := k.userAt(ctx, *owner)
			if err != nil {
				return err
			}
			r.Query = url.Values{"filter": {fmt.Sprintf("owner = %q", id)}}
		}
		return k.showList(ctx, tokens(), r, 0)
	})
}

// secretAnswer shows what is told once: to a person with a warning, the secret alone on stdout.
func (k *call) secretAnswer(ctx context.Context, r rest.Request) error {
	answer, v, err := ask[struct {
		ID      string    `json:"id"`
		Secret  string    `json:"secret"`
		Expires time.Time `json:"expires"`
	}](ctx, k, r)
	if err != nil || !k.people() {
		return orShow(k, answer, err)
	}
	if v.Secret == "" {
		return cli.Coded(cli.ExitConflict, &darter.Error{Kind: darter.Conflict, Op: r.Op, Err: errors.New("it was made before with this key, and its secret was shown then"), Hint: "revoke " + v.ID + " and make another"})
	}
	k.say("%s, good until %s. It is shown this once:", v.ID, sheet.Stamp(v.Expires, k.now))
	_, err = fmt.Fprintln(k.door.app.Out, v.Secret)
	return err
}

func (d *door) tokenCreate() *cobra.Command {
	c := &cobra.Command{Use: "create NAME --scope SCOPE", Short: "Make a token, and show it this once", Args: exactly(1, "a name that says what it is for"),
		Example: "  darter admin token create ci --scope create:preheat --scope read:job --life 2160h > token\n  darter admin token create harbor --owner harbor --scope create:preheat,read:job"}
	scopes := c.Flags().StringSlice("scope", nil, "what it may do, as far as its owner may: verb:resource[:cluster]. Required")
	life := c.Flags().Duration("life", 90*24*time.Hour, "how long it is good")
	owner := c.Flags().String("owner", "", "a service account, by name or id; default yourself")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		if len(*scopes) == 0 {
			return cli.Usage(errors.New("say what the token may do with --scope, such as create:preheat; *:* is all that its owner may"))
		}
		body := map[string]any{"name": args[0], "scopes": *scopes, "life": life.String()}
		if *owner != "" {
			id, _, err := k.userAt(ctx, *owner)
			if err != nil {
				return err
			}
			body["owner"] = id
		}
		return k.secretAnswer(ctx, rest.Request{Op: "make the token", Method: http.MethodPost, Path: tokens().path, Body: body})
	})
}

func (d *door) tokenRotate() *cobra.Command {
	c := &cobra.Command{Use: "rotate TOKEN", Short: "Make a successor of a token, and show it this once", Args: exactly(1, tokens().what)}
	overlap := c.Flags().Duration("overlap", time.Hour, "how long the old one goes on; 168h at most")
	life := c.Flags().Duration("life", 90*24*time.Hour, "of the new one")
	d.complete(c, tokens())
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		return k.secretAnswer(ctx, rest.Request{Op: "rotate the token", Method: http.MethodPost, Path: tokens().at(args[0]) + ":rotate",
			Body: map[string]string{"overlap": overlap.String(), "life": life.String()}})
	})
}

func (d *door) tokenRevoke() *cobra.Command {
	c := &cobra.Command{Use: "revoke TOKEN", Short: "End a token at once", Args: exactly(1, tokens().what)}
	d.complete(c, tokens())
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		return k.details(ctx, rest.Request{Op: "revoke the token", Method: http.MethodDelete, Path: tokens().at(args[0])})
	})
}
