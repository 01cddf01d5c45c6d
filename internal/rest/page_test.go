package rest_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/darter-p2p/darter/internal/rest"
)

type listIn struct {
	rest.Page
	Filter string `query:"filter"`
}

// numbers is a list of n texts, in order.
func numbers(t *testing.T, n int, change func(*rest.Config)) *rig {
	r := build(t, change)
	for _, path := range []string{"/v1/numbers", "/v1/others"} {
		rest.Add(r.API, rest.Operation{Method: "GET", Path: path, ID: "list" + path, Tag: "numbers", Access: rest.Need("number.read")}, func(ctx context.Context, in *listIn) (*rest.Listed[string], error) {
			return rest.List(ctx, r.API, in.Page, func(after string, limit int) ([]string, error) {
				var out []string
				for i := range n {
					if key := fmt.Sprintf("%04d", i); key > after && len(out) < limit {
						out = append(out, key)
					}
				}
				return out, nil
			}, func(s string) string { return s })
		})
	}
	return r
}

func TestPagesAreTheWholeList(t *testing.T) {
	rapid.Check(t, func(q *rapid.T) {
		n, size := rapid.IntRange(0, 40).Draw(q, "n"), rapid.IntRange(1, 12).Draw(q, "size")
		r := numbers(t, n, nil)
		var all []string
		next := fmt.Sprintf("/v1/numbers?page_size=%d&filter=a", size)
		for pages := 0; next != ""; pages++ {
			a := r.ask(t, "GET", next, "")
			items, _ := a.body["items"].([]any)
			for _, i := range items {
				all = append(all, i.(string))
			}
			link := a.Header.Get("Link")
			if token, _ := a.body["next_page_token"].(string); (token == "") != (link == "") || !strings.Contains(link, url.QueryEscape(token)) || pages > n+1 || items == nil {
				q.Fatalf("token %q, link %q, page %d, %s", token, link, pages, a.text)
			}
			next = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		}
		if len(all) != n || !slices.IsSorted(all) {
			q.Fatalf("%d of %d: %v", len(all), n, all)
		}
	})
}

func TestPageTokensAreForOneList(t *testing.T) {
	r := numbers(t, 20, nil)
	token, _ := r.ask(t, "GET", "/v1/numbers?page_size=5", "").body["next_page_token"].(string)
	for name, target := range map[string]string{
		"another list":    "/v1/others?page_token=" + token,
		"another filter":  "/v1/numbers?filter=x&page_token=" + token,
		"a changed token": "/v1/numbers?page_token=" + token[:len(token)-2] + "zz",
		"a short one":     "/v1/numbers?page_token=abc",
		"not base64":      "/v1/numbers?page_token=%25%25",
	} {
		if a := r.ask(t, "GET", target, ""); a.StatusCode != 422 || a.body["code"] != "invalid_page_token" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.text)
		}
	}
	if a := r.ask(t, "GET", "/v1/numbers?page_size=9&page_token="+token, ""); a.StatusCode != 200 || !strings.Contains(a.text, `"0005"`) {
		t.Errorf("with another size: %d %s", a.StatusCode, a.text)
	}
	other := numbers(t, 20, nil) // another secret
	if a := other.ask(t, "GET", "/v1/numbers?page_token="+token, ""); a.StatusCode != 422 {
		t.Errorf("another manager's, with another secret: %d", a.StatusCode)
	}
}

func FuzzPageToken(f *testing.F) {
	f.Add("")
	f.Add("eyJhIjoiMDEifQ")
	f.Add(strings.Repeat("A", 900))
	f.Fuzz(func(t *testing.T, token string) {
		r := numbers(t, 3, nil)
		a := r.ask(t, "GET", "/v1/numbers?page_token="+url.QueryEscape(token), "")
		if token != "" && a.StatusCode != 422 {
			t.Fatalf("%q is taken: %d %s", token, a.StatusCode, a.text)
		}
	})
}

func TestFilters(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "[]",
		`state = "failed"`:                  "[{state = failed}]",
		`state=failed`:                      "[{state = failed}]",
		`state = failed AND kind = "a b"`:   "[{state = failed} {kind = a b}]",
		`kind = "a \"b\" \\" and state = x`: `[{kind = a "b" \} {state = x}]`,
		`created >= 2026-01-02T03:04:05Z AND created < "2027"`: "[{created >= 2026-01-02T03:04:05Z} {created < 2027}]",
		`state != x`:              "",
		`created ! x`:             "",
		`created == x`:            "",
		`state = a state = b`:     "",
		`state = a AND state = b`: "",
		`state = a AND`:           "",
		`state = a OR kind = b`:   "",
		`(state = a)`:             "",
		`state = "a`:              "",
		`state = "a"b`:            "",
		`state = "\n"`:            "",
		`state =`:                 "",
		`state = ""`:              "",
		`= a`:                     "",
		`password = a`:            "",
		`state = a'b`:             "",
		"state = \"a\x00\"":       "",
		strings.Repeat(`created > 1 AND `, 30) + `created > 1`: "",
	} {
		f, err := rest.ParseFilter(text, "state", "kind", "created<=>")
		if want == "" {
			if err == nil {
				t.Errorf("%q is read as %v", text, f)
			}
			continue
		}
		if got := fmt.Sprint(f); err != nil || got != want {
			t.Errorf("%q: %s, %v, want %s", text, got, err, want)
		}
	}
}

// A filter that is written from terms reads back as these terms.
func TestFiltersReadBack(t *testing.T) {
	fields := []string{"a<=>!", "b<=>!", "c<=>!"}
	rapid.Check(t, func(q *rapid.T) {
		n := rapid.IntRange(1, 10).Draw(q, "n")
		var want rest.Filter
		var text []string
		for range n {
			term := rest.Term{Field: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(q, "field"), Op: rapid.SampledFrom([]string{"=", "!=", "<", "<=", ">", ">="}).Draw(q, "op"),
				Value: rapid.StringOfN(rapid.RuneFrom([]rune(`aZ9 "\'();=%_é-`)), 1, 20, -1).Draw(q, "value")}
			want = append(want, term)
			text = append(text, term.Field+" "+term.Op+` "`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(term.Value)+`"`)
		}
		got, err := rest.ParseFilter(strings.Join(text, " AND "), fields...)
		if err != nil || !slices.Equal(got, want) {
			q.Fatalf("%q: %v, %v", text, got, err)
		}
	})
}

func FuzzFilter(f *testing.F) {
	f.Add(`state = "a\"b" AND kind = c`)
	f.Add(`created <= 5`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := rest.ParseFilter(text, "state", "kind", "created<=>")
		if err != nil {
			return
		}
		for _, term := range got {
			if !slices.Contains([]string{"state", "kind", "created"}, term.Field) || term.Value == "" || !strings.Contains(text, term.Field) {
				t.Fatalf("%q: %+v", text, term)
			}
		}
	})
}

func TestMergePatch(t *testing.T) {
	for _, c := range []struct{ document, patch, want string }{ // the examples of RFC 7396
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`}, {`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`}, {`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`}, {`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`}, {`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`}, {`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`}, {`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		if got, err := rest.MergePatch([]byte(c.document), []byte(c.patch)); err != nil || string(got) != c.want {
			t.Errorf("%s + %s: %s, %v, want %s", c.document, c.patch, got, err, c.want)
		}
	}
	for _, patch := range []string{`[]`, `"x"`, `null`, `{`} {
		if got, err := rest.MergePatch([]byte(`{}`), []byte(patch)); err == nil {
			t.Errorf("%s is taken: %s", patch, got)
		}
	}
}
