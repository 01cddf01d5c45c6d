package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

const (
	plansPath = "/v1/gc/plans"
	runsPath  = "/v1/gc/runs"
)

// plan is what a policy would remove.
type plan struct {
	ID       string      `json:"id"`
	Kind     string      `json:"kind"`
	Version  int64       `json:"policy_version"`
	Made     time.Time   `json:"made"`
	Expires  time.Time   `json:"expires"`
	Total    int64       `json:"total"`
	Eligible int64       `json:"eligible"`
	Oldest   time.Time   `json:"oldest"`
	Newest   time.Time   `json:"newest"`
	Slices   []planSlice `json:"slices"`
	Vetoed   []struct {
		Reason string `json:"reason"`
		Count  int64  `json:"count"`
	} `json:"vetoed"`
	Owners []struct {
		Owner string `json:"owner"`
		Count int64  `json:"count"`
	} `json:"owners"`
	Samples []struct {
		Key    string    `json:"key"`
		Group  string    `json:"group"`
		State  string    `json:"state"`
		Reason string    `json:"reason"`
		At     time.Time `json:"at"`
	} `json:"samples"`
	Estimate string `json:"estimate"`
	Confirm  string `json:"confirm"`
}

type planSlice struct {
	Group  string    `json:"group"`
	State  string    `json:"state"`
	Reason string    `json:"reason"`
	Cutoff time.Time `json:"cutoff"`
	Count  int64     `json:"count"`
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
}

func (a *App) gcCommand() *cobra.Command {
	d, c := a.group("gc", "Clean the manager's records: policies, plans, runs")
	c.AddCommand(d.policyCommand(), d.planCommand(), d.runCommand(), d.runsCommand(), d.runShow(), d.runWatch(), d.runConfirm(),
		d.runVerb("cancel", "End a run; the batch under way is undone"),
		d.runVerb("pause", "Let a run rest"), d.runVerb("resume", "Let a resting run go on from where it was"))
	return c
}

func (d *door) planCommand() *cobra.Command {
	c := &cobra.Command{Use: "plan", Short: "Say what would be removed, and why; nothing is", Args: exactly(0, "no argument"),
		Long:    "A plan is kept for 15 minutes. \"darter gc run --plan ID\" carries out exactly that one, or refuses it once it is stale",
		Example: "  darter gc plan --kind job"}
	kind := c.Flags().String("kind", "", "kind of records, as \"darter gc policy ls\" lists them; default all kinds")
	owners := c.Flags().Bool("owners", false, "count by owner, too: reads every row that would go")
	ch := changes(c)
	return d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		kinds := []string{*kind}
		if *kind == "" {
			if *ch.key != "" {
				return cli.Usage(errors.New("--idempotency-key goes with --kind: without, there are several requests"))
			}
			var err error
			if kinds, err = k.kinds(ctx); err != nil {
				return err
			}
		}
		raw, plans := []json.RawMessage{}, []plan{}
		for _, kind := range kinds {
			answer, p, err := ask[plan](ctx, k, ch.post("plan for "+kind, plansPath, map[string]any{"kind": kind, "owners": *owners}))
			if err != nil {
				return err
			}
			raw, plans = append(raw, answer.Body), append(plans, p)
		}
		if *kind != "" && !k.people() {
			return k.show(raw[0], sheet.Table{})
		}
		if *kind != "" {
			return k.planSheet(plans[0])
		}
		return k.show(raw, planTable(plans, k.now))
	})
}

// kinds are those that have a policy.
func (k *call) kinds(ctx context.Context) ([]string, error) {
	var out []string
	for item, err := range k.Pages(ctx, rest.Request{Op: "list the policies", Path: policiesPath, Whole: true}, 0) {
		var p paper
		if err == nil {
			err = (&rest.Answer{Body: item}).Decode(&p)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, p.Kind)
	}
	return out, nil
}

func planTable(plans []plan, now time.Time) sheet.Table {
	t := sheet.Table{Head: []string{"KIND", "PLAN", "POLICY", "THERE ARE", "WOULD GO", "OLDEST", "STAY", "CONFIRM"}}
	for _, p := range plans {
		t.Add(p.Kind, p.ID, fmt.Sprintf("v%d", p.Version), sheet.Count(p.Total), sheet.Count(p.Eligible), sheet.Ago(p.Oldest, now), p.vetoes(), p.Confirm)
	}
	return t
}

// vetoes says what stays though its time has come.
func (p plan) vetoes() string {
	var out []string
	for _, v := range p.Vetoed {
		out = append(out, sheet.Count(v.Count)+" "+v.Reason)
	}
	return strings.Join(out, ", ")
}

// mostSamples is how many examples of a plan a person is shown.
const mostSamples = 5

// planSheet shows one plan to a person.
func (k *call) planSheet(p plan) error {
	var t sheet.Table
	t.Add("plan", p.ID)
	t.Add("policy", fmt.Sprintf("%s, version %d", p.Kind, p.Version))
	t.Add("would remove", fmt.Sprintf("%s of %s (%s)", sheet.Count(p.Eligible), sheet.Count(p.Total), percent(p.Eligible, p.Total)))
	if v := p.vetoes(); v != "" {
		t.Add("stay all the same", v)
	}
	if p.Eligible > 0 {
		t.Add("from", sheet.Stamp(p.Oldest, k.now))
		t.Add("to", sheet.Stamp(p.Newest, k.now))
	}
	if p.Estimate != "" && p.Estimate != "0s" {
		t.Add("would take", "about "+p.Estimate)
	}
	t.Add("good until", sheet.Stamp(p.Expires, k.now))
	if p.Confirm != "" {
		t.Add("to be confirmed", p.Confirm)
	}
	out := k.door.app.Out
	if err := t.Write(out); err != nil {
		return err
	}
	slices := sheet.Table{Head: []string{"GROUP", "STATE", "WOULD GO", "REASON", "OLDER THAN", "OLDEST"}}
	for _, s := range p.Slices {
		if s.Count > 0 {
			slices.Add(s.Group, s.State, sheet.Count(s.Count), s.Reason, sheet.Stamp(s.Cutoff, k.now), sheet.Ago(s.Oldest, k.now))
		}
	}
	samples := sheet.Table{Head: []string{"FOR EXAMPLE", "GROUP", "STATE", "REASON", "ENDED"}}
	for _, s := range p.Samples[:min(len(p.Samples), mostSamples)] {
		samples.Add(s.Key, s.Group, s.State, s.Reason, sheet.Ago(s.At, k.now))
	}
	owners := sheet.Table{Head: []string{"OWNER", "WOULD GO"}}
	for _, o := range p.Owners {
		owners.Add(o.Owner, sheet.Count(o.Count))
	}
	for _, t := range []sheet.Table{slices, owners, samples} {
		if len(t.Rows) == 0 {
			continue
		}
		fmt.Fprintln(out)
		if err := t.Write(out); err != nil {
			return err
		}
	}
	if p.Eligible > 0 {
		confirm := ""
		if p.Confirm != "" {
			confirm = " --confirm"
		}
		k.say("carry it out: darter gc run --plan %s%s", p.ID, confirm)
	}
	return nil
}
