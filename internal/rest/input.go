package rest

import (
	"fmt"
	"reflect"
)

// checkInput refuses an input that embeds a struct whose name is not exported: huma passes over those, and what they
// say of path, query and header would be left out of the document and never be read.
func checkInput(t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Fields() {
		if f.Name == "Body" || !f.Anonymous {
			continue
		}
		if !f.IsExported() && f.Type.Kind() == reflect.Struct && f.Type.NumField() > 0 {
			return fmt.Errorf("the input %s embeds %s, which is not exported: huma does not see it", t, f.Type)
		}
		if err := checkInput(f.Type); err != nil {
			return err
		}
	}
	return nil
}
