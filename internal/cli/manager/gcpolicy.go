package manager

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

const policiesPath = "/v1/gc/policies"

func policies() papers {
	return papers{noun: "policy", what: "a kind of records", list: policiesPath, id: "kind", preview: true}
}

// brief is what the table of policies tells of a spec.
type brief struct {
	Enabled    bool `json:"enabled"`
	DryRunOnly bool `json:"dry_run_only"`
	Rules      []struct {
		Group string `json:"group"`
		State string `json:"state"`
		After string `json:"after"`
	} `json:"rules"`
	KeepLast struct {
		Count int    `json:"count"`
		Per   string `json:"per"`
	} `json:"keep_last"`
	Schedule struct {
		Every string `json:"every"`
		Cron  string `json:"cron"`
	} `json:"schedule"`
}

func (p paper) brief() brief {
	var b brief
	_ = json.Unmarshal(p.Body, &b) // a spec of a later version is shown as far as it is understood
	return b
}

// keeps says for how long, in one cell.
func (b brief) keeps() string {
	var out []string
	for _, r := range b.Rules {
		name := strings.Trim(r.Group+"/"+r.State, "/")
		if name == "" {
			name = "all"
		}
		out = append(out, name+" "+r.After)
	}
	if b.KeepLast.Count > 0 {
		out = append(out, fmt.Sprintf("last %d per %s", b.KeepLast.Count, b.KeepLast.Per))
	}
	return strings.Join(out, ", ")
}

func (b brief) when() string {
	switch {
	case !b.Enabled:
		return "off"
	case b.Schedule.Cron != "":
		return b.Schedule.Cron
	case b.Schedule.Every != "":
		return "every " + b.Schedule.Every
	}
	return ""
}

func (d *door) policyCommand() *cobra.Command {
	s := policies()
	return folder("policy", "Show and change how long records are kept", d.policyList(), d.paperShow(s), d.paperSet(s), d.paperEdit(s), d.paperDiff(s), d.paperHistory(s), d.paperPublish(s), d.paperRollback(s))
}

func (d *door) policyList() *cobra.Command {
	c := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List the policies in force, one per kind of records", Args: exactly(0, "no argument")}
	return d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		return list(ctx, k, rest.Request{Op: "list the policies", Path: policiesPath}, 0, func(rows []paper) sheet.Table {
			t := sheet.Table{Head: []string{"KIND", "VERSION", "RUNS", "NEXT", "KEEPS", "BY", "SINCE"}}
			for _, p := range rows {
				b := p.brief()
				t.Add(p.Kind, p.versionText(), b.when(), sheet.When(p.Next, k.now), b.keeps(), actorText(p.Author), sheet.Ago(p.Activated, k.now))
			}
			return t
		})
	})
}

// impact is what another policy would change.
type impact struct {
	Now   plan  `json:"now"`
	Then  plan  `json:"then"`
	Newly int64 `json:"newly"`
}

// simulate says what a policy that is not in force would remove.
func (k *call) simulate(ctx context.Context, e edit, kind string, document []byte, diff []darter.Change) error {
	r := rest.Request{Op: "try the policy for " + kind, Method: http.MethodPost, Path: policies().at(kind) + ":simulate", Query: e.query(), Body: document}
	r.Query.Del("reason")
	r.Query.Del("draft")
	answer, i, err := ask[impact](ctx, k, r)
	if err != nil || !k.people() {
		return orShow(k, answer, err)
	}
	if err := diffTable(diff).Write(k.door.app.Out); err != nil {
		return err
	}
	var t sheet.Table
	t.Add("in force", fmt.Sprintf("would remove %s of %s now", sheet.Count(i.Now.Eligible), sheet.Count(i.Now.Total)))
	t.Add("with this one", fmt.Sprintf("%s, of which %s are new", sheet.Count(i.Then.Eligible), sheet.Count(i.Newly)))
	if i.Then.Confirm != "" {
		t.Add("to be confirmed", i.Then.Confirm)
	}
	fmt.Fprintln(k.door.app.Out)
	if err := t.Write(k.door.app.Out); err != nil {
		return err
	}
	k.say("nothing was changed")
	return nil
}
