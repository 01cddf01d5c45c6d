package rest

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/darter-p2p/darter/internal/rest"
)

// patch applies a merge patch to what something says now, and reads the result.
func patch(now any, change rest.Document, into any) error {
	document, err := json.Marshal(now)
	if err != nil {
		return err
	}
	if document, err = rest.MergePatch(document, change); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(document))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return rest.Refusal(http.StatusUnprocessableEntity, rest.Invalid, "what the patch makes of it cannot be used", rest.Detail{Code: "malformed", Detail: err.Error()})
	}
	return nil
}
