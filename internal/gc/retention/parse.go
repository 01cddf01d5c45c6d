package retention

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
)

// Limits of what a policy may say.
const (
	maxDocument = 64 << 10 // bytes
	maxRules    = 200
	leastAfter  = time.Hour           // unless forced
	leastForced = time.Second         // a record that goes at once was never one
	leastRuns   = 1000                // run records are the evidence of everything else
	leastRunAge = 90 * 24 * time.Hour // likewise
)

// Fault is one thing that is wrong with a document.
type Fault struct {
	Pointer string // "/rules/2/after"
	Code    string // unknown, missing, out_of_range, malformed, conflict, too_many
	Detail  string
}

// Faults is all that is wrong with a document.
type Faults []Fault

func (f Faults) Error() string {
	var b strings.Builder
	for i, one := range f {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", one.Pointer, one.Detail)
	}
	return b.String()
}

// Parse reads a policy for a kind. What the document leaves out is the kind's default. force allows
// rules shorter than an hour. The error is a darter.Error of kind Invalid that wraps Faults.
func Parse(kind string, document []byte, force bool) (Spec, error) {
	op := "read policy " + kind
	if !known(kind) {
		return Spec{}, &darter.Error{Kind: darter.NotFound, Op: op, Hint: "kinds are " + strings.Join(Kinds(), ", "), Err: errors.New("there is no such kind of records")}
	}
	refuse := func(f Faults) (Spec, error) {
		return Spec{}, &darter.Error{Kind: darter.Invalid, Op: op, Hint: "correct the parts named; nothing was changed", Err: f}
	}
	if len(document) > maxDocument {
		return refuse(Faults{{"", "too_many", fmt.Sprintf("the document has %d bytes, more than %d", len(document), maxDocument)}})
	}
	parts, f := nulls(document)
	if f != nil {
		return refuse(f)
	}
	spec := Default(kind)
	if _, given := parts["rules"]; given {
		spec.Rules = nil // the decoder would mix the default's elements with the document's
	}
	d := json.NewDecoder(bytes.NewReader(document))
	d.DisallowUnknownFields()
	if err := d.Decode(&spec); err != nil {
		return refuse(Faults{malformed(err)})
	}
	if f := spec.Check(kind, force); len(f) > 0 {
		return refuse(f)
	}
	return spec, nil
}

// malformed names the place when the decoder knows it.
func malformed(err error) Fault {
	f := Fault{Code: "malformed", Detail: err.Error()}
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		f.Pointer = "/" + strings.ReplaceAll(t.Field, ".", "/")
		f.Detail = "a " + t.Value + " does not fit here"
	}
	if strings.Contains(f.Detail, "unknown field") {
		f.Code = "unknown"
	}
	return f
}

// nulls refuses a document that is not one object, and explicit nulls in it: whether "null" was meant as
// "none" or as "as before" is not ours to guess. It returns the document's parts.
func nulls(document []byte) (map[string]any, Faults) {
	d := json.NewDecoder(bytes.NewReader(document))
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, Faults{malformed(err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, Faults{{"", "malformed", "there is more than one document"}}
	}
	parts, ok := v.(map[string]any)
	if !ok {
		return nil, Faults{{"", "malformed", "the document is not an object"}}
	}
	var out Faults
	findNulls("", v, &out)
	return parts, out
}

func findNulls(at string, v any, out *Faults) {
	switch v := v.(type) {
	case nil:
		*out = append(*out, Fault{at, "missing", "null is not a value here: leave it out for the default"})
	case map[string]any:
		for _, name := range sortedKeys(v) {
			findNulls(at+"/"+name, v[name], out)
		}
	case []any:
		for i, e := range v {
			findNulls(fmt.Sprintf("%s/%d", at, i), e, out)
		}
	}
}
