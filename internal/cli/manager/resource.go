package manager

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

// resource is a kind of thing that the manager keeps and that needs no words of its own here: which list it is in,
// and which of its members make a table.
type resource struct {
	noun    string   // user
	what    string   // the id of a user
	path    string   // /v1/users
	id      string   // member that names one; default id
	about   string   // member that says more about one, for completion
	columns []string // members, "name" or "actor.name"
}

// member finds a member of an object by its path.
func member(row map[string]any, path string) any {
	name, rest, nested := strings.Cut(path, ".")
	if !nested {
		return row[name]
	}
	inner, _ := row[name].(map[string]any)
	return member(inner, rest)
}

// cell writes any value of JSON for people.
func cell(v any, now time.Time, when func(t, now time.Time) string) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		return sheet.YesNo(v)
	case json.Number:
		return v.String()
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return when(t, now)
		}
		return v
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, cell(e, now, when))
		}
		return strings.Join(out, ",")
	}
	text, err := json.Marshal(v)
	if err != nil || string(text) == "{}" {
		return ""
	}
	return string(text)
}

func readRow(raw []byte) (map[string]any, error) {
	var row map[string]any
	in := json.NewDecoder(bytes.NewReader(raw))
	in.UseNumber()
	err := in.Decode(&row)
	return row, err
}

// table shows rows by the columns of the resource.
func (r resource) table(rows []json.RawMessage, now time.Time) sheet.Table {
	var t sheet.Table
	for _, c := range r.columns {
		name := c[strings.LastIndexByte(c, '.')+1:]
		if name == "name" && strings.Contains(c, ".") {
			name, _, _ = strings.Cut(c, ".")
		}
		t.Head = append(t.Head, strings.ToUpper(strings.ReplaceAll(name, "_", " ")))
	}
	for _, raw := range rows {
		row, err := readRow(raw)
		if err != nil {
			continue // the manager wrote an item that is no object: -o json shows it
		}
		var cells []string
		for _, c := range r.columns {
			cells = append(cells, cell(member(row, c), now, sheet.When))
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}

// details shows every member of an object, in the order in which the manager wrote them.
func details(raw json.RawMessage, now time.Time) sheet.Table {
	var t sheet.Table
	row, err := readRow(raw)
	in := json.NewDecoder(bytes.NewReader(raw))
	if _, terr := in.Token(); err != nil || terr != nil {
		t.Add(string(raw))
		return t
	}
	for in.More() {
		key, err := in.Token()
		var skip json.RawMessage
		if err != nil || in.Decode(&skip) != nil {
			break
		}
		name, _ := key.(string)
		if text := cell(row[name], now, sheet.Stamp); text != "" {
			t.Add(strings.ReplaceAll(name, "_", " "), text)
		}
	}
	return t
}

// list makes "ls". query may be nil.
func (d *door) list(r resource, short string, query func(f *cobra.Command) func() url.Values) *cobra.Command {
	c := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: short, Args: exactly(0, "no argument")}
	most := c.Flags().Int("limit", 200, "how many at most; 0 is all")
	values := func() url.Values { return nil }
	if query != nil {
		values = query(c)
	}
	return d.asks(c, func(ctx context.Context, k *call, _ []string) error {
		return k.showList(ctx, r, rest.Request{Op: "list the " + r.noun + "s", Path: r.path, Query: values()}, *most)
	})
}

func (k *call) showList(ctx context.Context, r resource, ask rest.Request, most int) error {
	ask.Whole = comesWhole(ask.Path)
	rows := []json.RawMessage{}
	for item, err := range k.Pages(ctx, ask, most) {
		if err != nil {
			return err
		}
		rows = append(rows, item)
	}
	return k.show(rows, r.table(rows, k.now))
}

// showLast shows the end of a list that begins with the oldest, or all of it when most is 0.
func (k *call) showLast(ctx context.Context, r resource, ask rest.Request, most int) error {
	if most > 0 {
		ask.Query.Set("order", "newest")
	}
	rows := []json.RawMessage{}
	for item, err := range k.Pages(ctx, ask, most) {
		if err != nil {
			return err
		}
		rows = append(rows, item)
	}
	if most > 0 {
		slices.Reverse(rows)
	}
	return k.show(rows, r.table(rows, k.now))
}

// at is the path of one of them.
func (r resource) at(id string) string { return r.path + rest.Path(id) }

func (d *door) complete(c *cobra.Command, r resource) {
	id := r.id
	if id == "" {
		id = "id"
	}
	d.completeIDs(c, r.path, id, r.about)
}

// see makes "show".
func (d *door) see(r resource, short string) *cobra.Command {
	c := &cobra.Command{Use: "show " + strings.ToUpper(r.noun), Short: short, Args: exactly(1, r.what)}
	d.complete(c, r)
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		return k.details(ctx, rest.Request{Op: "read the " + r.noun, Path: r.at(args[0])})
	})
}

// details asks and shows all of the answer.
func (k *call) details(ctx context.Context, r rest.Request) error {
	answer, err := k.Do(ctx, r)
	if err != nil {
		return err
	}
	if len(answer.Body) == 0 { // 204
		if k.people() {
			k.say("done: %s", r.Op)
		}
		return nil
	}
	return k.show(answer.Body, details(answer.Body, k.now))
}

// drop makes "rm".
func (d *door) drop(r resource, short string) *cobra.Command {
	c := &cobra.Command{Use: "rm " + strings.ToUpper(r.noun), Short: short, Args: exactly(1, r.what)}
	d.complete(c, r)
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		return k.remove(ctx, "delete the "+r.noun, r.at(args[0]))
	})
}

// verb makes a command that says one word to one of them.
func (d *door) verb(r resource, verb, short string) *cobra.Command {
	c := &cobra.Command{Use: fmt.Sprintf("%s %s", verb, strings.ToUpper(r.noun)), Short: short, Args: exactly(1, r.what)}
	ch := changes(c)
	d.complete(c, r)
	return d.asks(c, func(ctx context.Context, k *call, args []string) error {
		return k.details(ctx, ch.post(verb+" the "+r.noun, r.at(args[0])+":"+verb, nil))
	})
}
