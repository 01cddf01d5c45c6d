package rest

import (
	"fmt"
	"reflect"
)

// checkInput panics when an input embeds a struct whose name is not exported: huma passes over those, and what they
// say of path, query and header would be left out of the document and never be read.
func checkInput(t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for f := range t.Fields() {
		if f.Name == "Body" || !f.Anonymous {
			continue
		}
		if !f.IsExported() && f.Type.Kind() == reflect.Struct && f.Type.NumField() > 0 {
			panic(fmt.Sprintf("rest: the input %s embeds %s, which is not exported: huma does not see it", t, f.Type))
		}
		checkInput(f.Type)
	}
}
