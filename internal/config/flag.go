package config

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/darter-p2p/darter"
)

// Flags holds what was said on a command line, until Load lays it over the other layers.
type Flags struct {
	file   string
	values []*flagValue
}

// Register adds the flags of a role's settings to set, and --config. Values are checked when they are parsed.
func Register(set *pflag.FlagSet, role string) *Flags {
	var scratch Config
	defaults := Default()
	f := &Flags{}
	if set.Lookup("config") == nil {
		set.StringVar(&f.file, "config", "", "configuration file (default: DARTER_CONFIG, else the user's or the system's darter.yaml, where present)")
	}
	shown := defaults.Fields()
	for i, field := range scratch.Fields() {
		if !field.For(role) || set.Lookup(field.Flag) != nil {
			continue
		}
		v := &flagValue{field: field, shown: shown[i].Text()}
		f.values = append(f.values, v)
		usage := field.Doc
		if len(field.Enum) > 0 {
			usage += " (" + strings.Join(field.Enum, ", ") + ")"
		}
		added := set.VarPF(v, field.Flag, "", usage)
		if field.Bool() {
			added.NoOptDefVal = "true"
		}
	}
	return f
}

// File returns what --config named.
func (f *Flags) File() string {
	if f == nil {
		return ""
	}
	return f.file
}

func (f *Flags) apply(cfg *Config, from Origins) error {
	if f == nil {
		return nil
	}
	said := map[string]*flagValue{}
	for _, v := range f.values {
		if len(v.texts) > 0 {
			said[v.field.Key] = v
		}
	}
	for _, field := range cfg.Fields() {
		v, ok := said[field.Key]
		if !ok {
			continue
		}
		if err := field.Set(v.texts...); err != nil {
			return &darter.Error{Kind: darter.Invalid, Op: "flag --" + field.Flag, Err: err}
		}
		from[field.Key] = "flag --" + field.Flag
	}
	return nil
}

// flagValue collects the texts of one flag. It never holds the final value: a default in the
// middle of the layers must not look like something that was said.
type flagValue struct {
	field Field // of a scratch Config, to check values early
	shown string
	texts []string
}

func (v *flagValue) String() string {
	if len(v.texts) > 0 {
		return strings.Join(v.texts, ",")
	}
	return v.shown
}

// Set takes one occurrence of the flag.
func (v *flagValue) Set(text string) error {
	if err := v.field.Set(text); err != nil {
		if hint := darter.HintOf(err); hint != "" {
			return fmt.Errorf("%w; %s", err, hint)
		}
		return err
	}
	if v.field.List() {
		v.texts = append(v.texts, text)
	} else {
		v.texts = []string{text}
	}
	return nil
}

// Type is the word that help shows for the value.
func (v *flagValue) Type() string {
	switch v.field.value.Interface().(type) {
	case bool:
		return "bool"
	case float64, int:
		return "number"
	case Duration:
		return "duration"
	case darter.Size:
		return "size"
	}
	switch v.field.Kind {
	case "listen", "loopback", "address", "endpoint":
		return "addr"
	case "ip":
		return "ip"
	}
	return "text"
}
