package rest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// Page is what the input of a list embeds.
type Page struct {
	Size  int    `query:"page_size" default:"50" minimum:"1" maximum:"500" doc:"how many items at most"`
	Token string `query:"page_token" maxLength:"4000" doc:"next_page_token of the page before, with the same filter"`
}

// Items is a page of a list.
type Items[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next_page_token" doc:"empty on the last page"`
}

// Listed is the output of a list.
type Listed[T any] struct {
	Link string `header:"Link" doc:"rel=next, when there is a next page"`
	Body Items[T]
}

// token is what a page token says, signed: where to go on, and in which list.
type token struct {
	After string `json:"a"`
	List  string `json:"l"` // hash of the path and of what else the query says
}

const macSize = 16

// List answers with one page. fetch gets the key of the last item of the page before (empty at the beginning) and
// returns at most limit items after it; key returns an item's key. A token counts only for the list, and the query,
// that it was made for.
func List[T any](ctx context.Context, a *API, p Page, fetch func(after string, limit int) ([]T, error), key func(T) string) (*Listed[T], error) {
	query, list := listOf(ctx)
	after, err := a.after(p, list)
	if err != nil {
		return nil, err
	}
	size := p.Size
	if size <= 0 {
		size = 50
	}
	all, err := fetch(after, size)
	if err != nil {
		return nil, err
	}
	out := &Listed[T]{Body: Items[T]{Items: all}}
	if out.Body.Items == nil {
		out.Body.Items = []T{}
	}
	if len(all) > 0 && len(all) >= size {
		out.Body.Next = a.sign(token{After: key(all[len(all)-1]), List: list})
		query.Set("page_token", out.Body.Next)
		query.Set("page_size", strconv.Itoa(size))
		out.Link = "<" + infoOf(ctx).shown.URL.EscapedPath() + "?" + query.Encode() + `>; rel="next"`
	}
	return out, nil
}

// listOf names the list that is asked for: its path and query without what turns pages.
func listOf(ctx context.Context) (url.Values, string) {
	shown := infoOf(ctx).shown
	if shown == nil {
		return url.Values{}, ""
	}
	query := shown.URL.Query()
	query.Del("page_token")
	query.Del("page_size")
	sum := sha256.Sum256([]byte(shown.URL.EscapedPath() + "?" + query.Encode()))
	return query, base64.RawURLEncoding.EncodeToString(sum[:9])
}

func (a *API) mac(payload []byte) []byte {
	m := hmac.New(sha256.New, a.cfg.Secret)
	_, _ = m.Write([]byte("page\x00")) // never fails
	_, _ = m.Write(payload)
	return m.Sum(nil)[:macSize]
}

func (a *API) sign(t token) string {
	payload, _ := json.Marshal(t) // two strings
	return base64.RawURLEncoding.EncodeToString(append(a.mac(payload), payload...))
}

func (a *API) after(p Page, list string) (string, error) {
	if p.Token == "" {
		return "", nil
	}
	bad := Refusal(http.StatusUnprocessableEntity, InvalidPageToken, "the page token is not one that was given for this list", Detail{Pointer: "query/page_token", Code: "malformed", Detail: "begin at the first page"})
	raw, err := base64.RawURLEncoding.DecodeString(p.Token)
	if err != nil || len(raw) < macSize || !hmac.Equal(raw[:macSize], a.mac(raw[macSize:])) {
		return "", bad
	}
	var t token
	if err := json.Unmarshal(raw[macSize:], &t); err != nil || t.List != list {
		return "", bad
	}
	return t.After, nil
}
