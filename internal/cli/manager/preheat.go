package manager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli"
)

const preheatsPath = "/v1/preheats"

const headerUsage = "a request header \"Key: value\" for the origin, repeatable; @FILE reads one per line, which keeps credentials off the command line"

// preheatFlags are those that files and images share.
type preheatFlags struct {
	change
	scope       *string
	hosts       *[]string
	count       *uint32
	percentage  *uint32
	clusters    *[]uint
	headers     *[]string
	tag         *string
	application *string
	pieceLength *string
	priority    *int32
	within      *time.Duration
	limit       *time.Duration
	timeout     *time.Duration
	threshold   *uint32
	force       *bool
	wait        *bool
}

func registerPreheat(c *cobra.Command) preheatFlags {
	f := c.Flags()
	return preheatFlags{
		change:      repeatable(c),
		scope:       f.String("scope", "single_seed_peer", "which hosts: single_seed_peer, all_seed_peers or all_peers, which are the seeds where there are no others"),
		hosts:       f.StringSlice("host", nil, "only these hosts, by IP address; comma separated or repeated"),
		count:       f.Uint32("count", 0, "only so many of the hosts"),
		percentage:  f.Uint32("percentage", 0, "only so many of a hundred hosts"),
		clusters:    f.UintSlice("cluster", nil, "only in these clusters, by number; default all"),
		headers:     f.StringArrayP("header", "H", nil, headerUsage),
		tag:         f.String("tag", "", "part of what names the content, as for \"darter get\""),
		application: f.String("application", "", "on whose behalf"),
		pieceLength: f.String("piece-length", "", "size of the pieces, such as 4MiB; default as the hosts choose"),
		priority:    f.Int32("priority", 0, "higher goes first"),
		within:      f.Duration("start-within", 0, "give up when it has not begun by then; default 24h"),
		limit:       f.Duration("run-for", 0, "end it after so long; default 6h"),
		timeout:     f.Duration("timeout", 0, "for one download at one host"),
		threshold:   f.Uint32("success-threshold", 0, "percent of the contents that have to be on at least one host; default 100"),
		force:       f.Bool("force", false, "make a new job also when one that does the same is under way"),
		wait:        f.Bool("wait", false, "show how it goes on until it is over; the exit code says how it ended"),
	}
}

// body is what both kinds say.
func (f preheatFlags) body() (map[string]any, error) {
	header, err := cli.Headers(*f.headers)
	if err != nil {
		return nil, err
	}
	targets := map[string]any{"scope": *f.scope}
	put(targets, "ips", *f.hosts, len(*f.hosts) > 0)
	put(targets, "count", *f.count, *f.count > 0)
	put(targets, "percentage", *f.percentage, *f.percentage > 0)
	if *f.percentage > 100 {
		return nil, cli.Usage(fmt.Errorf("--percentage %d is more than all", *f.percentage))
	}
	body := map[string]any{"targets": targets}
	put(body, "clusters", *f.clusters, len(*f.clusters) > 0)
	put(body, "headers", header, len(header) > 0)
	put(body, "tag", *f.tag, *f.tag != "")
	put(body, "application", *f.application, *f.application != "")
	put(body, "priority", *f.priority, *f.priority != 0)
	put(body, "start_within", f.within.String(), *f.within > 0)
	put(body, "run_for", f.limit.String(), *f.limit > 0)
	put(body, "timeout", f.timeout.String(), *f.timeout > 0)
	put(body, "success_threshold", *f.threshold, *f.threshold > 0)
	put(body, "force", true, *f.force)
	if *f.pieceLength != "" {
		var size darter.Size
		if err := size.UnmarshalText([]byte(*f.pieceLength)); err != nil {
			return nil, cli.Usage(fmt.Errorf("--piece-length: %w", err))
		}
		body["piece_length"] = int64(size)
	}
	return body, nil
}

// put sets a field that somebody asked for.
func put(body map[string]any, name string, value any, given bool) {
	if given {
		body[name] = value
	}
}

func (a *App) preheatCommand() *cobra.Command {
	d, c := a.group("preheat", "Bring content to hosts before somebody asks for it")
	c.AddCommand(d.preheatFile(), d.preheatImage())
	return c
}

func (d *door) preheatFile() *cobra.Command {
	c := &cobra.Command{Use: "file URL...", Short: "Bring files to hosts", Args: some("the addresses of files"),
		Long:    "The exit code with --wait: 0, all of it is where it should be; 13, a part of it; 1, it failed. Ctrl-C ends the watching, not the job",
		Example: "  darter preheat file https://example.com/model.safetensors --scope all_peers --percentage 20 --wait"}
	f := registerPreheat(c)
	digest := c.Flags().String("digest", "", "sha256:… that the one file has to have")
	filtered := c.Flags().StringSlice("filtered-query-param", nil, "query parameters that do not name the content; default the usual ones of signatures")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		body, err := f.body()
		if err != nil {
			return err
		}
		if *digest != "" && len(args) != 1 {
			return cli.Usage(errors.New("--digest goes with one URL"))
		}
		body["kind"], body["urls"] = "files", args
		put(body, "digest", *digest, *digest != "")
		put(body, "filtered_query_params", *filtered, len(*filtered) > 0)
		return k.submitted(ctx, f.post("create the preheat", preheatsPath, body), *f.wait)
	})
}

func (d *door) preheatImage() *cobra.Command {
	c := &cobra.Command{Use: "image REF", Short: "Bring an image's configuration and layers to hosts", Args: exactly(1, "a reference such as registry.example/app:1.2"),
		Long:    "The exit code with --wait: 0, all of it is where it should be; 13, a part of it; 1, it failed. Ctrl-C ends the watching, not the job",
		Example: "  darter preheat image registry.example/team/app:1.2 --scope all_peers --platform linux/amd64 -H @token --wait"}
	f := registerPreheat(c)
	platforms := c.Flags().StringSlice("platform", nil, "os/arch, comma separated or repeated; default all that the image has")
	plain := c.Flags().Bool("plain-http", false, "ask the registry without TLS")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		body, err := f.body()
		if err != nil {
			return err
		}
		manifest, err := manifestURL(args[0], *plain)
		if err != nil {
			return err
		}
		body["kind"], body["urls"] = "image", []string{manifest}
		put(body, "platforms", *platforms, len(*platforms) > 0)
		return k.submitted(ctx, f.post("create the preheat", preheatsPath, body), *f.wait)
	})
}
