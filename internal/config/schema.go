package config

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/darter-p2p/darter"
)

// schema is the part of JSON Schema (2020-12) that settings need.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        string             `json:"type,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Default     any                `json:"default,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Closed      *bool              `json:"additionalProperties,omitempty"`
}

// Schema returns the JSON schema of a configuration file, for editors and checks.
func Schema() ([]byte, error) {
	cfg := Default()
	root := object("Darter configuration")
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	for _, f := range cfg.Fields() {
		parts := strings.Split(f.Key, ".")
		at := root
		for _, p := range parts[:len(parts)-1] {
			if at.Properties[p] == nil {
				at.Properties[p] = object("")
			}
			at = at.Properties[p]
		}
		at.Properties[parts[len(parts)-1]] = f.schema()
	}
	return json.MarshalIndent(root, "", "  ")
}

func object(title string) *schema {
	closed := false
	return &schema{Title: title, Type: "object", Properties: map[string]*schema{}, Closed: &closed}
}

func (f Field) schema() *schema {
	s := &schema{Description: f.Doc, Enum: f.Enum, Default: f.value.Interface()}
	switch f.value.Interface().(type) {
	case Duration:
		s.Type, s.Pattern = "string", `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`
	case darter.Size:
		s.Pattern = `^[0-9]+(\.[0-9]+)? ?([kKmMgGtT]?(i?[bB])?)$` // a bare number is allowed too, so no type
	}
	if s.Pattern != "" {
		return s
	}
	switch f.value.Kind() {
	case reflect.Bool:
		s.Type = "boolean"
	case reflect.Int:
		s.Type = "integer"
	case reflect.Float64:
		s.Type = "number"
	case reflect.Slice:
		s.Type, s.Items, s.Default = "array", &schema{Type: "string"}, nil
	default:
		s.Type = "string"
		if f.Key == "data_dir" {
			s.Default = nil // depends on the user
		}
	}
	return s
}
