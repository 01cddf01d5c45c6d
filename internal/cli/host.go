package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
)

// HostRow is one host as "darter host ls" tells it.
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
}

func (a *App) hostCommand() *cobra.Command {
	c := &cobra.Command{Use: "host", Short: "Show hosts"}
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
		return render(a.Out, *format, rows, hostTable(rows))
	}
	c.AddCommand(ls)
	return c
}

func hostRow(h darter.Host) HostRow {
	return HostRow{ID: h.ID, Kind: h.Kind.String(), Name: h.Name, Hostname: h.Hostname, Address: h.Endpoint().String(),
		IDC: h.IDC, Location: h.Location, Version: h.Version, Shares: !h.NoSharing}
}

func hostTable(rows []HostRow) table {
	t := table{head: []string{"ID", "KIND", "ADDRESS", "IDC", "LOCATION", "VERSION"}}
	for _, r := range rows {
		t.rows = append(t.rows, []string{string(r.ID), r.Kind, r.Address, r.IDC, r.Location, r.Version})
	}
	return t
}
