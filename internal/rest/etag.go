package rest

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Match is what the input of PUT, PATCH and DELETE of configuration embeds.
type Match struct {
	IfMatch string `header:"If-Match" maxLength:"200" doc:"ETag of what the change was made from, or *"`
}

// Version returns what If-Match names, as the resource's own text: without quotes, "*" for any.
// Without the header the request is refused with precondition_required.
func (m Match) Version() (string, error) {
	text := strings.TrimSpace(m.IfMatch)
	switch {
	case text == "":
		return "", Refusal(http.StatusPreconditionRequired, PreconditionRequired, "a change says which version it was made from",
			Detail{Pointer: "header/If-Match", Code: "required", Detail: "the ETag of the resource as it was read, or *"})
	case text == "*":
		return text, nil
	case len(text) > 2 && text[0] == '"' && text[len(text)-1] == '"' && !strings.ContainsAny(text[1:len(text)-1], "\", "):
		return text[1 : len(text)-1], nil
	}
	return "", Refusal(http.StatusUnprocessableEntity, Invalid, "If-Match is not one ETag", Detail{Pointer: "header/If-Match", Code: "malformed", Detail: `"…" as it was given, or *`})
}

// Quoted writes a version as an ETag.
func Quoted(version string) string { return `"` + version + `"` }

// MergePatch applies a JSON Merge Patch (RFC 7396) to a document.
func MergePatch(document, patch []byte) ([]byte, error) {
	var d, p any
	if err := json.Unmarshal(document, &d); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(patch, &p); err != nil {
		return nil, Refusal(http.StatusBadRequest, Invalid, "the patch is not JSON")
	}
	if _, object := p.(map[string]any); !object {
		return nil, Refusal(http.StatusUnprocessableEntity, Invalid, "a merge patch is an object", Detail{Code: "malformed", Detail: "an object"})
	}
	return json.Marshal(merge(d, p))
}

func merge(d, p any) any {
	patch, object := p.(map[string]any)
	if !object {
		return p
	}
	into, object := d.(map[string]any)
	if !object {
		into = make(map[string]any)
	}
	for name, value := range patch {
		if value == nil {
			delete(into, name)
			continue
		}
		into[name] = merge(into[name], value)
	}
	return into
}
