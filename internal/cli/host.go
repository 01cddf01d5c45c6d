package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
)

// HostRow is one host as "darter host ls" and "host show" tell it. What follows Shares is of our own schedulers only.
type HostRow struct {
	ID       darter.HostID `json:"id"`
	Kind     string        `json:"kind"`
	Name     string        `json:"name"`
	Hostname string        `json:"hostname"`
	Address  string        `json:"address"` // upload gRPC
	IDC      string        `json:"idc"`
	Location string        `json:"location"`
	Version  string        `json:"version"`
	Shares   bool          `json:"shares"`

	Verdict  string       `json:"verdict,omitempty"`
	Since    *time.Time   `json:"since,omitempty"` // of the verdict
	Reason   string       `json:"reason,omitempty"`
	Heard    *time.Time   `json:"heard,omitempty"`    // last evidence for the host
	Interval string       `json:"interval,omitempty"` // between two of its words
	Epoch    darter.Epoch `json:"epoch,omitempty"`
	Zone     string       `json:"zone,omitempty"`
	Policy   uint64       `json:"policy,omitempty"`
	Peers    int          `json:"peers,omitempty"`
	Tasks    int          `json:"tasks,omitempty"`
	Gone     bool         `json:"gone,omitempty"` // only a tombstone is left
}

func (a *App) hostCommand() *cobra.Command {
	c := &cobra.Command{Use: "host", Short: "Show hosts, and take them out of use"}
	c.AddCommand(a.hostListCommand(), a.hostShowCommand(), a.hostEventsCommand(), a.hostDrainCommand(false), a.hostDrainCommand(true), a.hostForgetCommand())
	return c
}

func (a *App) hostListCommand() *cobra.Command {
	ls := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List the hosts that a scheduler knows", Args: exactly(0, "no argument")}
	format := formatFlag(ls)
	settings := a.Bind(ls.Flags())
	ls.RunE = func(c *cobra.Command, _ []string) error {
		if err := checkFormat(*format); err != nil {
			return err
		}
		s, err := settings()
		if err != nil {
			return err
		}
		rows := []HostRow{} // an empty list, not null
		err = a.withCluster(c.Context(), s, func(ctx context.Context, cl Cluster) error {
			statuses, err := cl.HostTable(ctx)
			for _, h := range statuses {
				rows = append(rows, statusRow(h))
			}
			if !errors.Is(err, ErrPlainScheduler) {
				return err
			}
			hosts, err := cl.Hosts(ctx)
			for _, h := range hosts {
				rows = append(rows, hostRow(h))
			}
			return err
		})
		if err != nil {
			return err
		}
		slices.SortFunc(rows, func(x, y HostRow) int { return strings.Compare(string(x.ID), string(y.ID)) })
		return render(a.Out, *format, rows, hostTable(rows, now()))
	}
	return ls
}

func hostRow(h darter.Host) HostRow {
	return HostRow{ID: h.ID, Kind: h.Kind.String(), Name: h.Name, Hostname: h.Hostname, Address: h.Endpoint().String(),
		IDC: h.IDC, Location: h.Location, Version: h.Version, Shares: !h.NoSharing}
}

func statusRow(s darter.HostStatus) HostRow {
	r := hostRow(s.Host)
	r.Verdict, r.Reason, r.Epoch, r.Zone, r.Policy = s.Verdict.String(), s.Reason, s.Host.Epoch, s.Zone, s.Policy
	r.Since, r.Heard, r.Peers, r.Tasks, r.Gone = known(s.Since), known(s.Heard), s.Peers, s.Tasks, s.Gone
	if s.Interval > 0 {
		r.Interval = s.Interval.String()
	}
	if s.Gone {
		r.Address, r.Kind = "", ""
	}
	return r
}

// known returns nil for the zero time, so that it is left out.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func hostTable(rows []HostRow, now time.Time) table {
	t := table{head: []string{"ID", "KIND", "VERDICT", "SINCE", "ADDRESS", "ZONE", "TASKS", "VERSION"}}
	for _, r := range rows {
		verdict, tasks := r.Verdict, fmt.Sprint(r.Tasks)
		if verdict == "" { // one of Dragonfly's schedulers does not tell
			verdict, tasks = "-", "-"
		}
		t.rows = append(t.rows, []string{string(r.ID), r.Kind, verdict, since(r.Since, now), r.Address, zoneOf(r), tasks, r.Version})
	}
	return t
}

func zoneOf(r HostRow) string {
	if r.Zone != "" {
		return r.Zone
	}
	return strings.Trim(r.IDC+"/"+r.Location, "/")
}

// since is ago for what may not be known.
func since(t *time.Time, now time.Time) string {
	if t == nil {
		return "-"
	}
	return ago(*t, now)
}

func (a *App) hostShowCommand() *cobra.Command {
	c := &cobra.Command{Use: "show HOST", Short: "Show one host: what is thought of it, since when and why", Args: exactly(1, "the id of a host")}
	format := formatFlag(c)
	settings := a.Bind(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := checkFormat(*format); err != nil {
			return err
		}
		s, err := settings()
		if err != nil {
			return err
		}
		var status darter.HostStatus
		err = a.withCluster(c.Context(), s, func(ctx context.Context, cl Cluster) error {
			status, err = cl.HostStatus(ctx, darter.HostID(args[0]))
			return err
		})
		if err != nil {
			return err
		}
		row := statusRow(status)
		return render(a.Out, *format, row, hostSheet(row, now()))
	}
	return c
}

func hostSheet(r HostRow, now time.Time) table {
	var t table
	line := func(name, value string) {
		if value != "" {
			t.rows = append(t.rows, []string{name, value})
		}
	}
	line("id", string(r.ID))
	verdict := r.Verdict
	if r.Gone {
		verdict += " (only a tombstone is left)"
	}
	line("verdict", verdict)
	line("since", stamp(r.Since, now))
	line("reason", r.Reason)
	line("last heard of", stamp(r.Heard, now))
	line("interval", r.Interval)
	line("kind", r.Kind)
	line("address", r.Address)
	line("zone", zoneOf(r))
	line("epoch", fmt.Sprint(r.Epoch))
	line("version", r.Version)
	line("peers", fmt.Sprint(r.Peers))
	line("tasks", fmt.Sprint(r.Tasks))
	line("policy", fmt.Sprint(r.Policy))
	return t
}

func stamp(t *time.Time, now time.Time) string {
	if t == nil {
		return ""
	}
	return t.Local().Format(time.DateTime) + " (" + ago(*t, now) + ")"
}

// eventLine is one event as "host events -o json" tells it, one object per line.
type eventLine struct {
	Seq      uint64        `json:"seq"`
	At       time.Time     `json:"at"`
	Host     darter.HostID `json:"host"`
	Epoch    darter.Epoch  `json:"epoch"`
	From     string        `json:"from"`
	To       string        `json:"to"`
	Reason   string        `json:"reason"`
	Evidence string        `json:"evidence"`
	Heard    *time.Time    `json:"last_heard,omitempty"`
	Exit     string        `json:"exit,omitempty"`
	Times    int           `json:"times,omitempty"`
	Policy   uint64        `json:"policy"`
	Run      uint64        `json:"run,omitempty"`
}

// gapLine stands where events are missing.
type gapLine struct {
	Seq    uint64 `json:"seq"`
	Run    uint64 `json:"run"`
	Gap    bool   `json:"gap"`
	Missed uint64 `json:"missed,omitempty"`
}

func (a *App) hostEventsCommand() *cobra.Command {
	c := &cobra.Command{Use: "events [HOST]", Short: "Show what happened to one host, or to all: when, what, why", Args: func(c *cobra.Command, args []string) error {
		if len(args) > 1 {
			return Usage(fmt.Errorf("%s takes one host at most, got %d", c.CommandPath(), len(args)))
		}
		return nil
	}}
	format := c.Flags().StringP("output", "o", "text", "text or json (one object per line)")
	follow := c.Flags().BoolP("follow", "f", false, "go on with what happens from now on, until Ctrl-C")
	after := c.Flags().Uint64("after", 0, "only events after this sequence number")
	settings := a.Bind(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		if *format != "text" && *format != "json" {
			return Usage(fmt.Errorf("-o %q is none of text, json", *format))
		}
		s, err := settings()
		if err != nil {
			return err
		}
		var host darter.HostID
		if len(args) == 1 {
			host = darter.HostID(args[0])
		}
		each := func(e darter.HostEvent) error { return writeEvent(a.Out, *format, e, host == "") }
		if !*follow {
			return a.withCluster(c.Context(), s, func(ctx context.Context, cl Cluster) error { return cl.HostEvents(ctx, host, *after, false, each) })
		}
		return a.followEvents(c.Context(), s, host, *after, each)
	}
	return c
}

// followEvents has no limit on time: it ends with ctx.
func (a *App) followEvents(ctx context.Context, s Settings, host darter.HostID, after uint64, each func(darter.HostEvent) error) error {
	var all []error
	for _, address := range a.schedulers(ctx, s) {
		cl, err := a.OpenCluster(ctx, address)
		if err == nil {
			err = cl.HostEvents(ctx, host, after, true, each)
			_ = cl.Close() // everything was read
		}
		if ctx.Err() != nil {
			return nil // the user had enough
		}
		if darter.KindOf(err) != darter.Unavailable {
			return err
		}
		all = append(all, fmt.Errorf("%s: %w", address, err))
	}
	return &darter.Error{Kind: darter.Unavailable, Op: "follow events", Err: errors.Join(all...), Hint: "name a scheduler with --scheduler HOST:PORT"}
}

// writeGap tells that events are missing.
func writeGap(w io.Writer, format string, e darter.HostEvent) error {
	if format == "json" {
		text, err := json.Marshal(gapLine{Seq: e.Seq, Run: e.Run, Gap: true, Missed: e.Missed})
		if err != nil {
			return err
		}
		_, err = w.Write(append(text, '\n'))
		return err
	}
	many := "events"
	if e.Missed > 0 {
		many = fmt.Sprintf("%d events", e.Missed)
	}
	_, err := fmt.Fprintf(w, "... %s are missing: the scheduler no longer has them\n", many)
	return err
}

func writeEvent(w io.Writer, format string, e darter.HostEvent, named bool) error {
	if e.Gap {
		return writeGap(w, format, e)
	}
	if format == "json" {
		line := eventLine{Seq: e.Seq, At: e.At, Host: e.Host, Epoch: e.Epoch, From: e.From.String(), To: e.To.String(),
			Reason: e.Reason, Evidence: e.Evidence, Heard: known(e.LastHeard), Times: e.Times, Policy: e.Policy, Run: e.Run}
		if e.Exit != darter.Running {
			line.Exit = e.Exit.String()
		}
		text, err := json.Marshal(line)
		if err != nil {
			return err
		}
		_, err = w.Write(append(text, '\n'))
		return err
	}
	var b strings.Builder
	b.WriteString(e.At.Local().Format("2006-01-02 15:04:05.000"))
	if named {
		fmt.Fprintf(&b, "  %s", printable(string(e.Host)))
	}
	from := e.From.String()
	if e.From == 0 {
		from = "new"
	}
	change := from + " -> " + e.To.String()
	if e.From == e.To {
		change = e.To.String()
	}
	fmt.Fprintf(&b, "  %-22s %s (%s", change, printable(e.Reason), printable(e.Evidence))
	if !e.LastHeard.IsZero() {
		fmt.Fprintf(&b, ", quiet %s", e.At.Sub(e.LastHeard).Round(time.Millisecond))
	}
	if e.Exit != darter.Running {
		fmt.Fprintf(&b, ", exit %s", e.Exit)
	}
	if e.Times > 1 {
		fmt.Fprintf(&b, ", %d times", e.Times)
	}
	fmt.Fprintf(&b, ", epoch %d, policy %d)\n", e.Epoch, e.Policy)
	_, err := io.WriteString(w, b.String())
	return err
}
