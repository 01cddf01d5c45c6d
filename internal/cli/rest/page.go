package rest

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"net/url"
	"strconv"
)

// page is how the manager answers every list.
type page struct {
	Items []json.RawMessage `json:"items"`
	Next  string            `json:"next_page_token"`
}

// maxPage is the most that the manager gives at once.
const maxPage = 500

// Pages yields the items of a list one by one, as the manager wrote them, and asks for page after page until
// most have come (0: all) or the list ends. Op, Path and Query of r are used.
func (c *Client) Pages(ctx context.Context, r Request, most int) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		query := maps.Clone(r.Query)
		if query == nil {
			query = url.Values{}
		}
		for seen := 0; most <= 0 || seen < most; {
			size := maxPage
			if most > 0 {
				size = min(size, most-seen)
			}
			if !r.Whole {
				query.Set("page_size", strconv.Itoa(size))
			}
			answer, err := c.Do(ctx, Request{Op: r.Op, Path: r.Path, Query: query})
			var p page
			if err == nil {
				err = answer.Decode(&p)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, item := range p.Items {
				if seen++; most > 0 && seen > most {
					return
				}
				if !yield(item, nil) {
					return
				}
			}
			if p.Next == "" || len(p.Items) == 0 && p.Next == query.Get("page_token") {
				return
			}
			query.Set("page_token", p.Next)
		}
	}
}
