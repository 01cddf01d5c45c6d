package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

func clusters() resource {
	return resource{noun: "cluster", what: "the id of a cluster", path: "/v1/clusters", about: "name",
		columns: []string{"id", "compat_id", "name", "default", "scopes.idc", "scopes.location", "scopes.cidrs", "version", "updated"}}
}

func schedulers() resource {
	return resource{noun: "scheduler", what: "the id of a scheduler", path: "/v1/schedulers", about: "hostname",
		columns: []string{"id", "cluster", "hostname", "ip", "port", "state", "draining", "features", "seen"}}
}

func applications() resource {
	return resource{noun: "application", what: "the id of an application", path: "/v1/applications", about: "name",
		columns: []string{"id", "name", "url", "owner", "updated"}}
}

func notifications() resource {
	return resource{noun: "notification", what: "the id of a notification target", path: "/v1/notifications", about: "name",
		columns: []string{"id", "name", "url", "enabled", "waiting", "told", "failed", "error"}}
}

func (d *door) clusterCommand() *cobra.Command {
	s := papers{noun: "cluster", what: "the id of a cluster", list: clusters().path, id: "id"}
	return folder("cluster", "Clusters: sets of schedulers, seeds and daemons", d.list(clusters(), "List clusters", nil), d.see(clusters(), "Show a cluster"),
		d.create(clusters(), "Make a cluster of what a file says"), d.replace(clusters(), "Replace what is said of a cluster"), d.drop(clusters(), "Delete a cluster that nobody belongs to"),
		d.paperHistory(s), d.paperDiff(s), d.paperRollback(s), d.clusterMatch())
}

func (d *door) clusterMatch() *cobra.Command {
	c := &cobra.Command{Use: "match", Short: "Say which cluster a daemon would be sent to, and why", Args: exactly(0, "no argument"), Example: "  darter admin cluster match --ip 10.3.4.5 --idc a"}
	flags := map[string]*string{}
	for name, usage := range map[string]string{"ip": "its address", "hostname": "its host name", "idc": "its data centre", "location": "country|city|rack"} {
		flags[name] = c.Flags().String(name, "", usage)
	}
	return d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		body := map[string]any{}
		for name, value := range flags {
			put(body, name, *value, *value != "")
		}
		type match struct {
			Cluster, Name string
			Score         float64
			Parts         []struct {
				Name, Why     string
				Weight, Score float64
			}
		}
		return one(ctx, k, rest.Request{Op: "match", Method: http.MethodPost, Path: clusters().path + ":match", Body: body}, func(v struct{ Matches []match }) sheet.Table {
			t := sheet.Table{Head: []string{"CLUSTER", "NAME", "SCORE", "BECAUSE"}}
			for _, m := range v.Matches {
				var why []string
				for _, p := range m.Parts {
					if p.Score > 0 {
						why = append(why, p.Why)
					}
				}
				t.Add(m.Cluster, m.Name, percent(int64(100*m.Score), 100), strings.Join(why, "; "))
			}
			return t
		})
	})
}

// create makes "create FILE".
func (d *door) create(r resource, short string) *cobra.Command {
	c := &cobra.Command{Use: "create FILE", Short: short, Args: exactly(1, "a file"), Long: "FILE is YAML or JSON; - reads it from stdin"}
	ch := changes(c)
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		document, err := d.app.readDocument(args[0])
		if err != nil {
			return err
		}
		return k.details(ctx, ch.post("create the "+r.noun, r.path, document))
	})
}

// replace makes "set ID FILE".
func (d *door) replace(r resource, short string) *cobra.Command {
	c := &cobra.Command{Use: "set ID FILE", Short: short, Args: exactly(2, r.what+" and a file"), Long: "FILE is YAML or JSON; - reads it from stdin. Nobody else may have changed it meanwhile"}
	reason := c.Flags().String("reason", "", "why, for the history")
	d.complete(c, r)
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		document, err := d.app.readDocument(args[1])
		if err != nil {
			return err
		}
		now, err := k.Do(ctx, rest.Request{Op: "read the " + r.noun, Path: r.at(args[0])})
		if err != nil {
			return err
		}
		q := url.Values{}
		if *reason != "" {
			q.Set("reason", *reason)
		}
		return k.details(ctx, rest.Request{Op: "set the " + r.noun, Method: http.MethodPut, Path: r.at(args[0]), Query: q, IfMatch: now.ETag, Body: document})
	})
}

func (d *door) schedulerCommand() *cobra.Command {
	return folder("scheduler", "Schedulers that the manager knows", d.list(schedulers(), "List schedulers", nil), d.see(schedulers(), "Show a scheduler"),
		d.verb(schedulers(), "drain", "Send no new daemons there"), d.verb(schedulers(), "resume", "Send daemons there again"), d.drop(schedulers(), "Forget a scheduler that is inactive"))
}

func (d *door) settingsCommand() *cobra.Command {
	s := papers{noun: "setting", what: "the name of a setting", list: "/v1/settings", id: "name"}
	r := resource{noun: "setting", path: s.list, id: "name", columns: []string{"name", "version", "author.name", "reason"}}
	return folder("settings", "Settings: documents that all managers follow at once", d.list(r, "List settings", nil), d.paperShow(s), d.paperSet(s), d.paperEdit(s), d.paperDiff(s), d.paperHistory(s), d.paperPublish(s), d.paperRollback(s))
}

func (d *door) applicationCommand() *cobra.Command {
	return folder("application", "Applications: on whose behalf content is asked for", d.list(applications(), "List applications", nil), d.see(applications(), "Show an application"),
		d.create(applications(), "Make an application of what a file says"), d.replace(applications(), "Replace what is said of an application"), d.drop(applications(), "Delete an application"))
}

func (d *door) notificationCommand() *cobra.Command {
	return folder("notification", "Webhooks that are told of what somebody has to look at", d.list(notifications(), "List targets, and how telling them goes", nil),
		d.see(notifications(), "Show a target"), d.create(notifications(), "Add a target; its secret is shown this once"), d.replace(notifications(), "Replace what is said of a target"),
		d.notificationTest(), d.deliveries(), d.drop(notifications(), "Delete a target"))
}

func (d *door) notificationTest() *cobra.Command {
	r := notifications()
	c := &cobra.Command{Use: "test NOTIFICATION", Short: "Send a test to a target, and say how that went", Args: exactly(1, r.what)}
	d.complete(c, r)
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		answer, v, err := ask[struct {
			OK    bool   `json:"ok"`
			Error string `json:"error"`
		}](ctx, k, rest.Request{Op: "test the notification", Method: http.MethodPost, Path: r.at(args[0]) + ":test", Single: true})
		if err != nil {
			return err
		}
		if err := k.show(answer.Body, details(answer.Body, k.now)); err != nil || v.OK {
			return err
		}
		return cli.Coded(cli.ExitFailed, &darter.Error{Kind: darter.Unavailable, Op: "test the notification", Err: errors.New(v.Error), Hint: "look at the target's log, and at its address here"})
	})
}

func (d *door) deliveries() *cobra.Command {
	r := notifications()
	c := &cobra.Command{Use: "deliveries NOTIFICATION", Short: "List what a target was told, and what waits", Args: exactly(1, r.what)}
	most := c.Flags().Int("limit", 50, "how many at most; 0 is all")
	d.complete(c, r)
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		to := resource{columns: []string{"id", "type", "state", "attempts", "created", "next", "error"}}
		return k.showList(ctx, to, rest.Request{Op: "list the deliveries", Path: r.at(args[0]) + "/deliveries"}, *most)
	})
}

func hosts() resource {
	return resource{noun: "host", what: "the id of a host", path: "/v1/hosts", about: "hostname", columns: []string{"id", "kind", "verdict", "since", "ip", "cluster", "seen"}}
}

func (d *door) hostCommand() *cobra.Command {
	events := &cobra.Command{Use: "events HOST", Short: "Tell what happened to a host, the newest first", Args: exactly(1, hosts().what)}
	most := events.Flags().Int("limit", 50, "how many at most; 0 is all")
	d.complete(events, hosts())
	d.asks(events, func(ctx context.Context, k *call, args []string) error {
		r := resource{columns: []string{"at", "before", "verdict", "reporter", "epoch", "detail"}}
		return k.showList(ctx, r, rest.Request{Op: "read the host's events", Path: hosts().at(args[0]) + "/events"}, *most)
	})
	forget := &cobra.Command{Use: "forget HOST", Short: "Free the records of a host that is gone, at all schedulers", Args: exactly(1, hosts().what)}
	force := forget.Flags().Bool("force", false, "also when it is still heard of; it comes back with its next word")
	ch := changes(forget)
	d.complete(forget, hosts())
	d.asks(forget, func(ctx context.Context, k *call, args []string) error {
		r := ch.post("forget the host", hosts().at(args[0])+":forget", nil)
		if *force {
			r.Query.Set("force", "true")
		}
		return k.details(ctx, r)
	})
	ls := d.list(hosts(), "List hosts, as all schedulers together see them", func(c *cobra.Command) func() url.Values {
		cluster := c.Flags().String("cluster", "", "only in this cluster, by id")
		verdict := c.Flags().String("verdict", "", "only these: alive, late, suspect, offline, left or forgotten")
		return func() url.Values { return filter(map[string]string{"cluster": *cluster, "verdict": *verdict}) }
	})
	return folder("host", "Hosts, as all schedulers together see them", ls, d.see(hosts(), "Show a host"), events,
		d.verb(hosts(), "drain", "Offer a host as a parent no more"), d.verb(hosts(), "undrain", "Offer a host as a parent again"), forget)
}

// systemCommand shows the manager itself.
func (d *door) systemCommand() *cobra.Command {
	c := &cobra.Command{Use: "system", Short: "Show the manager's version, and since when it runs", Args: exactly(0, "no argument")}
	return d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		return k.details(ctx, rest.Request{Op: "ask for the system", Path: "/v1/system"})
	})
}

// eventsCommand shows what happens anywhere.
func (d *door) eventsCommand() *cobra.Command {
	events := resource{noun: "event", path: "/v1/events", columns: []string{"at", "type", "resource", "actor.name", "text"}}
	c := &cobra.Command{Use: "events", Short: "Tell what happens: jobs, runs, hosts, policies, settings", Args: exactly(0, "no argument")}
	follow := c.Flags().BoolP("follow", "f", false, "tell what happens from now on")
	most := c.Flags().Int("limit", 50, "how many at most, the last ones; 0 is all")
	types := c.Flags().StringSlice("type", nil, "only these, such as job.failed or gc.run.*")
	about := c.Flags().String("resource", "", "only of this and what lies below it, such as gc/runs")
	return d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		q := url.Values{}
		if len(*types) > 0 {
			q.Set("type", strings.Join(*types, ","))
		}
		if *about != "" {
			q.Set("resource", *about)
		}
		if !*follow {
			return k.showLast(ctx, events, rest.Request{Op: "list the events", Path: events.path, Query: q}, *most)
		}
		return k.Follow(ctx, rest.Request{Op: "follow the events", Path: "/v1/events:stream", Query: q}, "", func(e rest.Event) error {
			if e.Type == rest.Closed {
				return nil
			}
			if !k.people() {
				_, err := fmt.Fprintf(d.app.Out, "%s\n", e.Data)
				return err
			}
			var ev struct {
				At             time.Time
				Resource, Text string
			}
			if json.Unmarshal(e.Data, &ev) != nil || ev.At.IsZero() {
				ev.Text = string(e.Data)
			}
			_, err := fmt.Fprintln(d.app.Out, sheet.Printable(fmt.Sprintf("%s  %-24s  %s  %s", ev.At.Local().Format(time.DateTime), e.Type, ev.Resource, ev.Text)))
			return err
		})
	})
}

func (d *door) auditCommand() *cobra.Command {
	events := resource{noun: "audit event", path: "/v1/audit-events", columns: []string{"at", "actor.name", "actor.method", "action", "resource", "result", "reason"}}
	c := d.list(events, "List who did what, the newest first", func(c *cobra.Command) func() url.Values {
		actor := c.Flags().String("actor", "", "only by this one, by id")
		action := c.Flags().String("action", "", "only this, such as policy.publish")
		resource := c.Flags().String("resource", "", "only to this, such as gc_policy/job")
		result := c.Flags().String("result", "", "only done, denied or failed")
		return func() url.Values {
			return filter(map[string]string{"actor": *actor, "action": *action, "resource": *resource, "result": *result})
		}
	})
	export := &cobra.Command{Use: "export", Short: "Write all audit events, one JSON object per line, the newest first", Args: exactly(0, "no argument")}
	d.asks(export, func(ctx context.Context, k *call, _ []string) error {
		for item, err := range k.Pages(ctx, rest.Request{Op: "read the audit events", Path: events.path}, 0) {
			if err != nil {
				return err
			}
			if err := sheet.JSONLine(d.app.Out, item); err != nil {
				return err
			}
		}
		return nil
	})
	return folder("audit", "Who did what", c, export)
}

// filter writes what lists take: field = "value" AND field = "value".
func filter(fields map[string]string) url.Values {
	var terms []string
	for _, name := range []string{"actor", "action", "resource", "result", "cluster", "verdict"} {
		if v := fields[name]; v != "" {
			terms = append(terms, name+` = "`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v)+`"`)
		}
	}
	if len(terms) == 0 {
		return nil
	}
	return url.Values{"filter": {strings.Join(terms, " AND ")}}
}
