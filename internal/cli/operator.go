package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
)

// withOperator asks the scheduler on this machine.
func (a *App) withOperator(ctx context.Context, s Settings, ask func(context.Context, Operator) error) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	o, err := a.OpenOperator(ctx, s.Operator)
	if err != nil {
		return err
	}
	defer o.Close()
	return ask(ctx, o)
}

func (a *App) hostDrainCommand(undo bool) *cobra.Command {
	c := &cobra.Command{Use: "drain HOST", Short: "Hide a host: what runs there ends well, nothing new comes", Args: exactly(1, "the id of a host")}
	if undo {
		c.Use, c.Short = "undrain HOST", "Take a drained host into use again"
	}
	return a.order(c, func(ctx context.Context, o Operator, host darter.HostID, why string) (darter.HostStatus, error) {
		return o.DrainHost(ctx, host, undo, why)
	})
}

func (a *App) hostForgetCommand() *cobra.Command {
	c := &cobra.Command{Use: "forget HOST", Short: "Free the records of a host that is gone, without waiting", Args: exactly(1, "the id of a host")}
	force := c.Flags().Bool("force", false, "also when the host is well; it comes back with its next word")
	return a.order(c, func(ctx context.Context, o Operator, host darter.HostID, why string) (darter.HostStatus, error) {
		return o.ForgetHost(ctx, host, *force, why)
	})
}

// order finishes a command that does something to one host.
func (a *App) order(c *cobra.Command, do func(context.Context, Operator, darter.HostID, string) (darter.HostStatus, error)) *cobra.Command {
	format := formatFlag(c)
	why := c.Flags().String("reason", "", "why, for the scheduler's log")
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
		err = a.withOperator(c.Context(), s, func(ctx context.Context, o Operator) error {
			status, err = do(ctx, o, darter.HostID(args[0]), *why)
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

// ZoneRow is one zone as "darter zone ls" tells it.
type ZoneRow struct {
	Zone    string     `json:"zone"`
	Guard   string     `json:"guard"`
	Since   *time.Time `json:"since,omitempty"`
	Hosts   int        `json:"hosts"`
	Down    int        `json:"down"`    // suspect or offline
	Waiting int        `json:"waiting"` // would be forgotten if the guard let them
	Lifted  *time.Time `json:"lifted_until,omitempty"`
}

// zoneReport is what "darter zone ls -o json" writes.
type zoneReport struct {
	SelfHealth float64   `json:"self_health"` // of the scheduler: 1 is well, 8 is the worst
	Zones      []ZoneRow `json:"zones"`
}

func (a *App) zoneCommand() *cobra.Command {
	c := &cobra.Command{Use: "zone", Short: "Show zones and the guard against mass failures, and answer it"}
	c.AddCommand(a.zoneListCommand(), a.zonePolicyCommand(), a.zoneConfirmCommand(), a.zoneLiftCommand())
	return c
}

func (a *App) zoneListCommand() *cobra.Command {
	c := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List the zones that a scheduler knows", Args: exactly(0, "no argument")}
	format := formatFlag(c)
	settings := a.Bind(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := checkFormat(*format); err != nil {
			return err
		}
		s, err := settings()
		if err != nil {
			return err
		}
		report := zoneReport{Zones: []ZoneRow{}}
		err = a.withCluster(c.Context(), s, func(ctx context.Context, cl Cluster) error {
			zones, health, err := cl.Zones(ctx)
			report.SelfHealth = health
			for _, z := range zones {
				report.Zones = append(report.Zones, zoneRow(z))
			}
			return err
		})
		if err != nil {
			return err
		}
		return render(a.Out, *format, report, zoneTable(report, now()))
	}
	return c
}

func zoneRow(z darter.ZoneStatus) ZoneRow {
	return ZoneRow{Zone: z.Zone, Guard: z.Guard, Since: known(z.Since), Hosts: z.Hosts, Down: z.Down, Waiting: z.Waiting, Lifted: known(z.Lifted)}
}

func zoneTable(r zoneReport, now time.Time) table {
	t := table{head: []string{"ZONE", "GUARD", "SINCE", "HOSTS", "DOWN", "WAITING"}}
	for _, z := range r.Zones {
		t.rows = append(t.rows, []string{z.Zone, z.Guard, since(z.Since, now), fmt.Sprint(z.Hosts), fmt.Sprint(z.Down), fmt.Sprint(z.Waiting)})
	}
	return t
}

func (a *App) zonePolicyCommand() *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "Show the liveness policy in force", Args: exactly(0, "no argument")}
	settings := a.Bind(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := settings()
		if err != nil {
			return err
		}
		return a.withCluster(c.Context(), s, func(ctx context.Context, cl Cluster) error {
			p, err := cl.Policy(ctx)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.Out, "# number %d, from %s, in force since %s\n%s", p.Number, p.Source, p.Since.Local().Format(time.DateTime), p.Document)
			return err
		})
	}
	return c
}

func (a *App) zoneConfirmCommand() *cobra.Command {
	c := &cobra.Command{Use: "confirm ZONE", Short: "Say that the dead hosts of a zone are really gone: they are forgotten", Args: exactly(1, "the name of a zone")}
	return a.release(c, func(*cobra.Command) (bool, time.Duration, error) { return true, 0, nil })
}

func (a *App) zoneLiftCommand() *cobra.Command {
	c := &cobra.Command{Use: "lift ZONE", Short: "Lift the guard over a zone for a while", Args: exactly(1, "the name of a zone")}
	span := c.Flags().Duration("for", time.Hour, "how long, 24h at most; 0 puts the guard back")
	return a.release(c, func(*cobra.Command) (bool, time.Duration, error) {
		if *span < 0 || *span > 24*time.Hour {
			return false, 0, Usage(errors.New("--for must lie between 0 and 24h"))
		}
		return false, *span, nil
	})
}

// release finishes a command that answers the guard.
func (a *App) release(c *cobra.Command, how func(*cobra.Command) (confirm bool, lift time.Duration, err error)) *cobra.Command {
	format := formatFlag(c)
	why := c.Flags().String("reason", "", "why, for the log")
	settings := a.Bind(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := checkFormat(*format); err != nil {
			return err
		}
		confirm, lift, err := how(c)
		if err != nil {
			return err
		}
		s, err := settings()
		if err != nil {
			return err
		}
		var zone darter.ZoneStatus
		err = a.withOperator(c.Context(), s, func(ctx context.Context, o Operator) error {
			zone, err = o.ReleaseZone(ctx, args[0], confirm, lift, *why)
			return err
		})
		if err != nil {
			return err
		}
		row := zoneRow(zone)
		return render(a.Out, *format, row, zoneTable(zoneReport{Zones: []ZoneRow{row}}, now()))
	}
	return c
}
