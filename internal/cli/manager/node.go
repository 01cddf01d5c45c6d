package manager

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/cli/sheet"
	"github.com/darter-p2p/darter/internal/pki"
)

func joins() resource {
	return resource{noun: "join token", what: "the id of a join token", path: "/v1/join-tokens", about: "node",
		columns: []string{"id", "role", "cluster", "node", "created", "expires", "used", "revoked"}}
}

func certificates() resource {
	return resource{noun: "certificate", path: "/v1/certificates", columns: []string{"serial", "role", "cluster", "node", "issued", "expires", "revoked"}}
}

func (d *door) caCommand() *cobra.Command {
	c := &cobra.Command{Use: "init [FOLDER]", Short: "Make the authority that signs the certificates of managers, schedulers and daemons", Args: func(c *cobra.Command, args []string) error {
		if len(args) > 1 {
			return cli.Usage(fmt.Errorf("%s takes a folder at most", c.CommandPath()))
		}
		return nil
	}, Long: "Works on files, without a manager: FOLDER gets ca.pem and ca.key (mode 0600); default is DATA/manager/ca. Start the manager with --ca FOLDER then. " +
		"An authority that is there already stays as it is"}
	c.RunE = func(_ *cobra.Command, args []string) error {
		if err := sheet.Check(*d.format); err != nil {
			return cli.Usage(err)
		}
		s, err := d.settings()
		if err != nil {
			return err
		}
		dir := filepath.Join(filepath.Dir(s.Manager), "ca")
		if len(args) == 1 {
			dir = args[0]
		}
		authority, err := pki.Init(dir, d.app.now())
		if err != nil {
			return err
		}
		var t sheet.Table
		t.Add("authority", filepath.Join(dir, "ca.pem"))
		t.Add("key", filepath.Join(dir, "ca.key"))
		t.Add("pin", authority.Pin())
		t.Add("next", "darter manager --ca "+dir)
		return sheet.Render(d.app.Out, *d.format, map[string]string{"folder": dir, "pin": authority.Pin()}, t)
	}
	return folder("ca", "The cluster's certificate authority", c)
}

func (d *door) joinCommand() *cobra.Command {
	c := &cobra.Command{Use: "create --role ROLE", Short: "Invite one node into the cluster; the text for it is shown this once", Args: exactly(0, "no argument"),
		Example: "  darter admin join-token create --role daemon --cluster eu-1 --node host-17 > join"}
	role := c.Flags().String("role", "daemon", "manager, scheduler or daemon; a seed is a daemon")
	cluster := c.Flags().String("cluster", "", "of the node; managers have none")
	node := c.Flags().String("node", "", "only this node; default whoever comes first")
	names := c.Flags().StringSlice("name", nil, "DNS names and addresses that its certificate may hold, beside the address it comes from")
	life := c.Flags().Duration("life", 0, "of the certificate; default 720h")
	valid := c.Flags().Duration("valid", 0, "of the token; default 24h")
	d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		if *life < 0 || *valid < 0 {
			return cli.Usage(errors.New("--life and --valid are times to come"))
		}
		body := map[string]any{"role": *role}
		put(body, "cluster", *cluster, *cluster != "")
		put(body, "node", *node, *node != "")
		put(body, "names", *names, len(*names) > 0)
		put(body, "life", life.String(), *life > 0)
		put(body, "valid", valid.Round(time.Second).String(), *valid > 0)
		return k.secretAnswer(ctx, rest.Request{Op: "make the join token", Method: http.MethodPost, Path: joins().path, Body: body})
	})
	revoke := &cobra.Command{Use: "revoke TOKEN", Short: "Take an invitation back; a certificate that it made stays", Args: exactly(1, joins().what)}
	d.complete(revoke, joins())
	d.asks(revoke, func(ctx context.Context, k *call, args []string) error {
		return k.details(ctx, rest.Request{Op: "take the join token back", Method: http.MethodDelete, Path: joins().at(args[0])})
	})
	return folder("join-token", "Invitations for nodes", d.list(joins(), "List invitations", nil), c, revoke)
}

func (d *door) certificateCommand() *cobra.Command {
	c := &cobra.Command{Use: "revoke NODE", Short: "Take back all certificates of a node; it joins again with a new token", Args: exactly(1, "what the node calls itself")}
	role := c.Flags().String("role", "daemon", "manager, scheduler or daemon; a seed is a daemon")
	cluster := c.Flags().String("cluster", "", "of the node")
	d.asks(c, func(ctx context.Context, k *call, args []string) error {
		return k.details(ctx, rest.Request{Op: "take the certificates back", Method: http.MethodPost, Path: certificates().path + ":revoke",
			Body: map[string]string{"role": *role, "cluster": *cluster, "node": args[0]}})
	})
	return folder("certificate", "Certificates of nodes", d.list(certificates(), "List certificates that were signed here", nil), c)
}
