package manager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

// paper is one version of a document: of a policy, of a setting, of a cluster.
type paper struct {
	Kind       string          `json:"kind"` // of a policy
	Name       string          `json:"name"` // of anything else
	Version    int64           `json:"version"`
	InForce    bool            `json:"in_force"`
	Body       json.RawMessage `json:"body"`
	Author     darter.Actor    `json:"author"`
	Reason     string          `json:"reason"`
	Created    time.Time       `json:"created"`
	Activated  time.Time       `json:"activated"`
	RolledBack int64           `json:"rolled_back_from"`
	Diff       []darter.Change `json:"diff"`
	Next       time.Time       `json:"next_run"` // of a policy
}

func (p paper) versionText() string {
	if p.Version == 0 {
		return "built in"
	}
	return fmt.Sprintf("v%d", p.Version)
}

// papers is a kind of documents that have versions: what they are called, and where they lie.
type papers struct {
	noun    string // policy
	what    string // a kind of records
	list    string // /v1/gc/policies
	id      string // member of the list that names one
	preview bool   // a new version can be simulated
}

func (s papers) at(name string) string { return s.list + rest.Path(name) }

// read reads one version: the one in force for 0.
func (k *call) read(ctx context.Context, s papers, name string, version int64) (*rest.Answer, paper, error) {
	path := s.at(name)
	if version > 0 {
		path += rest.Path("revisions", strconv.FormatInt(version, 10))
	}
	return ask[paper](ctx, k, rest.Request{Op: "read the " + s.noun + " " + name, Path: path})
}

func (d *door) paperShow(s papers) *cobra.Command {
	c := &cobra.Command{Use: "show NAME", Short: "Show a " + s.noun + " as YAML, as \"set\" takes it", Args: exactly(1, s.what)}
	version := c.Flags().Int64("version", 0, "this version; default the one in force")
	d.completeIDs(c, s.list, s.id, "reason")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		answer, p, err := k.read(ctx, s, args[0], *version)
		if err != nil || !k.people() {
			return orShow(k, answer, err)
		}
		text, err := p.yaml(args[0], k.now)
		if err != nil {
			return err
		}
		_, err = d.app.Out.Write(text)
		return err
	})
}

// yaml is the document with what is to be known about the version above it.
func (p paper) yaml(name string, now time.Time) ([]byte, error) {
	text, err := yaml.JSONToYAML(p.Body)
	if err != nil {
		return nil, fmt.Errorf("write %s as YAML: %w", name, err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s, %s", name, p.versionText())
	if p.Version > 0 {
		fmt.Fprintf(&b, ", by %s, %s", sheet.Printable(actorText(p.Author)), sheet.Stamp(p.Created, now))
	}
	if p.Reason != "" {
		fmt.Fprintf(&b, "\n# %s", strings.ReplaceAll(sheet.Printable(p.Reason), "\n", "\n# "))
	}
	b.WriteByte('\n')
	b.Write(text)
	return b.Bytes(), nil
}

// edit is what every new version takes.
type edit struct {
	reason *string
	force  *bool
	dry    *bool
	draft  *bool
}

func edits(c *cobra.Command, s papers) edit {
	e := edit{reason: c.Flags().String("reason", "", "why, for the history"), dry: c.Flags().Bool("dry-run", false, "only say what would change"), force: new(bool),
		draft: c.Flags().Bool("draft", false, "keep it as a draft, which \"publish\" brings into force")}
	if s.preview {
		e.force = c.Flags().Bool("force", false, "also when records would be kept for less than an hour")
	}
	return e
}

func (e edit) query() url.Values {
	q := url.Values{}
	if *e.reason != "" {
		q.Set("reason", *e.reason)
	}
	if *e.force {
		q.Set("force", "true")
	}
	if *e.draft {
		q.Set("draft", "true")
	}
	return q
}

func (d *door) paperSet(s papers) *cobra.Command {
	c := &cobra.Command{Use: "set NAME FILE", Short: "Bring a new version of a " + s.noun + " into force", Args: exactly(2, s.what+" and a file"),
		Long: "FILE is YAML or JSON; - reads it from stdin. What it leaves out takes the default. The version that is replaced is the one in force when the command begins"}
	e := edits(c, s)
	version := c.Flags().Int64("if-version", -1, "only when this version is in force; default whichever is")
	d.completeIDs(c, s.list, s.id, "reason")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		document, err := d.app.readDocument(args[1])
		if err != nil {
			return err
		}
		answer, p, err := k.read(ctx, s, args[0], 0)
		if darter.KindOf(err) == darter.NotFound { // a setting that nobody has made yet
			answer, p, err = &rest.Answer{ETag: "*"}, paper{Body: []byte("{}")}, nil
		}
		if err != nil {
			return err
		}
		if *version >= 0 && p.Version != *version {
			return cli.Coded(cli.ExitConflict, &darter.Error{Kind: darter.Conflict, Op: "set the " + s.noun + " " + args[0],
				Err: fmt.Errorf("version %d is in force, not %d", p.Version, *version), Hint: "look at what changed with \"diff\", then make the change again"})
		}
		return k.publish(ctx, s, e, args[0], answer.ETag, p, document)
	})
}

// publish brings a document into force, or says what that would do.
func (k *call) publish(ctx context.Context, s papers, e edit, name, etag string, before paper, document []byte) error {
	r := rest.Request{Op: "set the " + s.noun + " " + name, Method: http.MethodPut, Path: s.at(name), Query: e.query(), IfMatch: etag, Body: document}
	if !*e.dry {
		answer, p, err := ask[paper](ctx, k, r)
		if err != nil {
			return err
		}
		return k.published(answer, before, p, *e.draft)
	}
	r.Query.Set("dry_run", "true")
	answer, p, err := ask[paper](ctx, k, r)
	if err != nil {
		return err
	}
	if s.preview {
		return k.simulate(ctx, e, name, document, differences(before.Body, p.Body))
	}
	if !k.people() {
		return k.show(answer.Body, sheet.Table{})
	}
	k.say("it can be used, as version %d; nothing was changed", p.Version)
	return k.show(nil, diffTable(differences(before.Body, p.Body)))
}

func (k *call) published(answer *rest.Answer, before, now paper, draft bool) error {
	if !k.people() {
		return k.show(answer.Body, sheet.Table{})
	}
	what := "is in force"
	if draft {
		what = "is a draft"
	}
	k.say("version %d %s", now.Version, what)
	return k.show(nil, diffTable(differences(before.Body, now.Body)))
}

// differences compares two documents place by place.
func differences(before, after json.RawMessage) []darter.Change {
	was, is := map[string]string{}, map[string]string{}
	places(before, "", was)
	places(after, "", is)
	for path, value := range was {
		if is[path] == value {
			delete(is, path)
			delete(was, path)
		}
	}
	paths := slices.AppendSeq(slices.Collect(maps.Keys(was)), maps.Keys(is))
	slices.Sort(paths)
	var out []darter.Change
	for _, path := range slices.Compact(paths) {
		out = append(out, darter.Change{Path: path, Before: was[path], After: is[path]})
	}
	return out
}

// places notes the value at each place of a document.
func places(document json.RawMessage, path string, into map[string]string) {
	var object map[string]json.RawMessage
	var array []json.RawMessage
	switch {
	case json.Unmarshal(document, &object) == nil && len(object) > 0:
		for name, inner := range object {
			places(inner, strings.TrimPrefix(path+"/"+name, "/"), into)
		}
	case json.Unmarshal(document, &array) == nil && len(array) > 0:
		for i, inner := range array {
			places(inner, path+"/"+strconv.Itoa(i), into)
		}
	case path != "":
		into[path] = string(document)
	}
}

func diffTable(diff []darter.Change) sheet.Table {
	t := sheet.Table{Head: []string{"CHANGED", "BEFORE", "AFTER"}}
	for _, ch := range diff {
		t.Add(ch.Path, plain(ch.Before), plain(ch.After))
	}
	return t
}

// plain takes the quotes off a text that is written as JSON.
func plain(value string) string {
	var text string
	if json.Unmarshal([]byte(value), &text) == nil {
		return text
	}
	return value
}

func (d *door) paperEdit(s papers) *cobra.Command {
	c := &cobra.Command{Use: "edit NAME", Short: "Change a " + s.noun + " in an editor", Args: exactly(1, s.what),
		Long: "The editor is VISUAL, else EDITOR, else vi. When somebody else changed the " + s.noun + " meanwhile the edit is refused, and its text is kept in a file"}
	e := edits(c, s)
	d.completeIDs(c, s.list, s.id, "reason")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		answer, p, err := k.read(ctx, s, args[0], 0)
		if err != nil {
			return err
		}
		before, err := p.yaml(args[0], k.now)
		if err != nil {
			return err
		}
		file, after, err := d.app.edit(ctx, before)
		if err != nil {
			return err
		}
		if bytes.Equal(before, after) {
			k.say("nothing was changed")
			return os.Remove(file)
		}
		document, err := toJSON(file, after)
		if err == nil {
			err = k.publish(ctx, s, e, args[0], answer.ETag, p, document)
		}
		if err != nil {
			k.say("what you wrote is in %s", file)
			return err
		}
		return os.Remove(file)
	})
}

func (d *door) paperDiff(s papers) *cobra.Command {
	c := &cobra.Command{Use: "diff NAME [VERSION [VERSION]]", Short: "Show what differs between two versions", Args: func(c *cobra.Command, args []string) error {
		if len(args) < 1 || len(args) > 3 {
			return cli.Usage(fmt.Errorf("%s takes %s and up to two versions", c.CommandPath(), s.what))
		}
		return nil
	}, Long: "Without a version: what the one in force changed. With one: from that to the one in force. With two: from the first to the second"}
	d.completeIDs(c, s.list, s.id, "reason")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		var versions []int64
		for _, text := range args[1:] {
			n, err := versionNumber(text)
			if err != nil {
				return err
			}
			versions = append(versions, n)
		}
		if len(versions) < 2 {
			_, p, err := k.read(ctx, s, args[0], 0)
			if err != nil {
				return err
			}
			if p.Version == 0 {
				k.say("nobody has written it: the built-in one holds")
				return nil
			}
			versions = append(versions, p.Version)
		}
		r := rest.Request{Op: "compare the versions", Path: s.at(args[0]) + rest.Path("revisions", strconv.FormatInt(versions[len(versions)-1], 10)) + ":diff"}
		if len(versions) == 2 {
			r.Query = url.Values{"against": {strconv.FormatInt(versions[0], 10)}}
		}
		return one(ctx, k, r, func(p paper) sheet.Table { return diffTable(p.Diff) })
	})
}

func versionNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(text, "v"), 10, 64)
	if err != nil || n < 1 {
		return 0, cli.Usage(errors.New("a version is a number from 1: \"history\" lists them"))
	}
	return n, nil
}

func (d *door) paperHistory(s papers) *cobra.Command {
	c := &cobra.Command{Use: "history NAME", Short: "List the versions of a " + s.noun + ", the newest first", Args: exactly(1, s.what)}
	most := c.Flags().Int("limit", 50, "how many at most; 0 is all")
	d.completeIDs(c, s.list, s.id, "reason")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		return list(ctx, k, rest.Request{Op: "list the versions", Path: s.at(args[0]) + "/revisions"}, *most, func(rows []paper) sheet.Table {
			t := sheet.Table{Head: []string{"VERSION", "IN FORCE", "BY", "MADE", "CHANGES", "REASON"}}
			for _, p := range rows {
				reason := p.Reason
				if p.RolledBack > 0 {
					reason = strings.TrimSuffix(fmt.Sprintf("as version %d; %s", p.RolledBack, reason), "; ")
				}
				t.Add(p.versionText(), sheet.YesNo(p.InForce), actorText(p.Author), sheet.Ago(p.Created, k.now), fmt.Sprint(len(p.Diff)), reason)
			}
			return t
		})
	})
}

// paperChoose makes "rollback" and "publish": another version that is there already comes into force.
func (d *door) paperChoose(s papers, verb, short string) *cobra.Command {
	c := &cobra.Command{Use: verb + " NAME VERSION", Short: short, Args: exactly(2, s.what+" and a version")}
	ch := changes(c)
	d.completeIDs(c, s.list, s.id, "reason")
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		version, err := versionNumber(args[1])
		if err != nil {
			return err
		}
		now, before, err := k.read(ctx, s, args[0], 0)
		if err != nil {
			return err
		}
		r := ch.post(verb+" the "+s.noun+" "+args[0], s.at(args[0])+":"+verb, map[string]any{"version": version})
		r.IfMatch = now.ETag
		answer, p, err := ask[paper](ctx, k, r)
		if err != nil {
			return err
		}
		return k.published(answer, before, p, false)
	})
}

func (d *door) paperRollback(s papers) *cobra.Command {
	return d.paperChoose(s, "rollback", "Bring what an earlier version said into force again, as a new version")
}

func (d *door) paperPublish(s papers) *cobra.Command {
	return d.paperChoose(s, "publish", "Bring a draft into force")
}
