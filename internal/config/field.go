package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// envPrefix starts the name of every environment variable.
const envPrefix = "DARTER_"

// Field is one setting: its four names, its rules, and where its value lies.
type Field struct {
	Key    string   // "daemon.upload_listen", as in a file
	Env    string   // "DARTER_DAEMON_UPLOAD_LISTEN"
	Flag   string   // "upload-listen"
	Doc    string   // one sentence, without a full stop
	Roles  []string // commands that take the flag
	Enum   []string // allowed texts; empty means any
	Kind   string   // listen, loopback, endpoint, address, ip: how the text is checked
	Min    string   // least value, as text; empty means none
	Max    string   // greatest value, as text; empty means none
	Secret bool     // masked wherever it is printed

	index []int // of the struct's field, from Config down
	value reflect.Value
}

// Fields lists the settings of c in the order of the struct. Setting through them changes c.
func (c *Config) Fields() []Field {
	out := slices.Clone(shape())
	all := reflect.ValueOf(c).Elem()
	for i := range out {
		out[i].value = all.FieldByIndex(out[i].index)
	}
	return out
}

// shape is every setting without a value. Reading the tags costs more than all else that a short command does
// with its settings, hence once.
var shape = sync.OnceValue(func() []Field { return walk(reflect.TypeFor[Config](), nil, "", envPrefix) })

func walk(t reflect.Type, index []int, keys, env string) []Field {
	var out []Field
	for i := range t.NumField() {
		f := t.Field(i)
		tag, here := f.Tag, append(slices.Clone(index), i)
		key := keys + tag.Get("yaml")
		if f.Type.Kind() == reflect.Struct {
			out = append(out, walk(f.Type, here, key+".", env+tag.Get("envPrefix"))...)
			continue
		}
		out = append(out, Field{
			Key: key, Env: env + tag.Get("env"), Flag: tag.Get("flag"), Doc: tag.Get("doc"),
			Roles: split(tag.Get("roles")), Enum: split(tag.Get("enum")), Kind: tag.Get("kind"),
			Min: tag.Get("min"), Max: tag.Get("max"), Secret: tag.Get("secret") == "true", index: here,
		})
	}
	return out
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// Pseudo roles of commands that are none.
const (
	Client = "client" // talks to roles
	Every  = "all"    // takes the flags of all
)

// For reports whether the command of that role takes the flag. "all" in the tag means every real role.
func (f Field) For(role string) bool {
	return role == Every || slices.Contains(f.Roles, role) || role != Client && slices.Contains(f.Roles, "all")
}

// List reports whether the setting holds several texts.
func (f Field) List() bool { return f.value.Kind() == reflect.Slice }

// Bool reports whether the setting is a switch.
func (f Field) Bool() bool { return f.value.Kind() == reflect.Bool }

// Texts returns the value as text: one, or as many as a list holds.
func (f Field) Texts() []string {
	if f.List() {
		return slices.Clone(f.value.Interface().([]string))
	}
	if m, ok := f.value.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err == nil {
			return []string{string(text)}
		}
	}
	return []string{fmt.Sprint(f.value.Interface())}
}

// Text returns the value as one line, lists with commas.
func (f Field) Text() string { return strings.Join(f.Texts(), ",") }

// Set parses texts into the setting. A list takes all of them, anything else the last.
func (f Field) Set(texts ...string) error {
	if f.List() {
		f.value.Set(reflect.ValueOf(slices.Clone(texts)))
		return nil
	}
	if len(texts) == 0 {
		return nil
	}
	text := texts[len(texts)-1]
	if u, ok := f.value.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch f.value.Kind() {
	case reflect.String:
		f.value.SetString(text)
	case reflect.Bool:
		v, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is not true or false", text)
		}
		f.value.SetBool(v)
	case reflect.Int:
		v, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		f.value.SetInt(int64(v))
	case reflect.Float64:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		f.value.SetFloat(v)
	default:
		return fmt.Errorf("setting %s has a type that no text can fill", f.Key)
	}
	return nil
}
