package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/darter-p2p/darter"
)

// Diff returns what differs between two JSON documents, by path. A list is compared place by place.
func Diff(before, after []byte) ([]darter.Change, error) {
	a, err := flat(before)
	if err != nil {
		return nil, err
	}
	b, err := flat(after)
	if err != nil {
		return nil, err
	}
	all := make(map[string]bool)
	for path := range a {
		all[path] = true
	}
	for path := range b {
		all[path] = true
	}
	out := []darter.Change{}
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if a[path] != b[path] {
			out = append(out, darter.Change{Path: path, Before: a[path], After: b[path]})
		}
	}
	return out, nil
}

// flat returns each leaf of a document as text by its path.
func flat(body []byte) (map[string]string, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	out := make(map[string]string)
	flatten("", v, out)
	return out, nil
}

func flatten(path string, v any, out map[string]string) {
	at := func(name string) string { return strings.TrimPrefix(path+"/"+name, "/") }
	switch v := v.(type) {
	case map[string]any:
		for name, e := range v { // into a map: the order does not show
			flatten(at(strings.NewReplacer("~", "~0", "/", "~1").Replace(name)), e, out)
		}
		if len(v) == 0 && path != "" {
			out[path] = "{}"
		}
	case []any:
		for i, e := range v {
			flatten(at(fmt.Sprint(i)), e, out)
		}
		if len(v) == 0 {
			out[path] = "[]"
		}
	default:
		text, _ := json.Marshal(v) // a leaf of decoded JSON
		out[path] = string(text)
	}
}
