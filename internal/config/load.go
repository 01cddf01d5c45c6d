package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/goccy/go-yaml"

	"github.com/darter-p2p/darter"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// Layers says where settings come from.
type Layers struct {
	File    string   // configuration file; empty means DARTER_CONFIG, else the default places
	Environ []string // "NAME=value" pairs, as os.Environ gives
	Flags   *Flags   // parsed flags; nil means none
}

// Origins tells per key which layer set it: "default", "file …", "env …", "flag …".
type Origins map[string]string

// Load fills the defaults layer by layer and validates the result. A file that was named must exist; a
// folder FILE.d beside it adds its *.yaml files in order of name.
func Load(l Layers) (*Config, Origins, error) {
	cfg := Default()
	from := Origins{}
	for _, f := range cfg.Fields() {
		from[f.Key] = "default"
	}
	environ := environment(l.Environ)
	if err := readFiles(&cfg, from, l.File, environ["DARTER_CONFIG"]); err != nil {
		return nil, nil, err
	}
	if err := readEnvironment(&cfg, from, environ); err != nil {
		return nil, nil, err
	}
	if err := l.Flags.apply(&cfg, from); err != nil {
		return nil, nil, err
	}
	if err := cfg.Validate(); err != nil {
		return nil, nil, err
	}
	return &cfg, from, nil
}

func environment(pairs []string) map[string]string {
	out := map[string]string{}
	for _, p := range pairs {
		if name, value, ok := strings.Cut(p, "="); ok {
			out[name] = value
		}
	}
	return out
}

func readFiles(cfg *Config, from Origins, named, fromEnv string) error {
	if named == "" {
		named = fromEnv
	}
	if named != "" {
		return readFileAndDropIns(cfg, from, named)
	}
	for _, file := range defaultFiles() {
		if _, err := os.Stat(file); err == nil {
			return readFileAndDropIns(cfg, from, file)
		}
	}
	return nil
}

func readFileAndDropIns(cfg *Config, from Origins, file string) error {
	dropIns, err := filepath.Glob(filepath.Join(file+".d", "*.yaml"))
	if err != nil {
		return &darter.Error{Kind: darter.Invalid, Op: "read configuration " + file, Err: err}
	}
	slices.Sort(dropIns)
	for _, name := range append([]string{file}, dropIns...) {
		data, err := readLimited(name)
		if err != nil {
			return err
		}
		if err := Decode(cfg, from, name, data); err != nil {
			return err
		}
	}
	return nil
}

func readLimited(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		kind := darter.Unavailable
		if errors.Is(err, fs.ErrNotExist) {
			kind = darter.NotFound
		}
		return nil, &darter.Error{Kind: kind, Op: "read configuration", Err: err, Hint: "name a file that exists and can be read, or leave --config out"}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %s", name, darter.Size(maxFile))
	}
	if err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "read configuration", Err: err}
	}
	return data, nil
}

// Decode lays one file's text over cfg. Unknown keys and wrong types are errors with line, column and
// an excerpt; cfg is not changed then.
func Decode(cfg *Config, from Origins, name string, data []byte) (err error) {
	defer func() {
		if r := recover(); r != nil { // the parser is not ours: a bad file must not end the process
			err = fileError(name, fmt.Errorf("the text cannot be read as YAML: %v", r))
		}
	}()
	var seen map[string]any
	if err := yaml.Unmarshal(data, &seen); err != nil && !errors.Is(err, io.EOF) {
		return fileError(name, errors.New(yaml.FormatError(err, false, true)))
	}
	said := map[string]any{}
	flatten(said, seen, "")
	next := *cfg
	if err := yaml.UnmarshalWithOptions(data, &next, yaml.Strict()); err != nil && !errors.Is(err, io.EOF) {
		return fileError(name, located(err, said, data))
	}
	// The parser empties what the file mentions without a value ("daemon:" and nothing below).
	before := cfg.Fields()
	for i, f := range next.Fields() {
		if said[f.Key] == nil {
			f.value.Set(before[i].value)
		} else if from != nil {
			from[f.Key] = "file " + name
		}
	}
	*cfg = next
	return nil
}

// located returns err with line, column and excerpt. The parser gives them for its own errors only,
// not for those of a type that reads its text itself: such a value is looked up by its key.
func located(err error, said map[string]any, data []byte) error {
	var own yaml.Error
	if errors.As(err, &own) {
		return errors.New(yaml.FormatError(err, false, true))
	}
	var scratch Config
	for _, f := range scratch.Fields() {
		value, ok := said[f.Key]
		if !ok || f.List() || f.Set(fmt.Sprint(value)) == nil {
			continue
		}
		path, perr := yaml.PathString("$." + f.Key)
		if perr != nil {
			break
		}
		node, perr := path.ReadNode(bytes.NewReader(data))
		if perr != nil {
			break
		}
		at := node.GetToken().Position
		excerpt, perr := path.AnnotateSource(data, false)
		if perr != nil {
			break
		}
		return fmt.Errorf("[%d:%d] %s: %w\n%s", at.Line, at.Column, f.Key, err, excerpt)
	}
	return err
}

func flatten(out, seen map[string]any, prefix string) {
	for key, value := range seen {
		if inner, ok := value.(map[string]any); ok {
			flatten(out, inner, prefix+key+".")
			continue
		}
		out[prefix+key] = value
	}
}

func fileError(name string, err error) error {
	return &darter.Error{Kind: darter.Invalid, Op: "configuration " + name, Err: err,
		Hint: "correct the file; \"darter config schema\" lists the keys, \"darter config check FILE\" tries it"}
}

func readEnvironment(cfg *Config, from Origins, environ map[string]string) error {
	if !concerns(environ) {
		return nil
	}
	if err := env.ParseWithOptions(cfg, env.Options{Prefix: envPrefix, Environment: environ}); err != nil {
		return &darter.Error{Kind: darter.Invalid, Op: "environment", Err: envReason(err),
			Hint: "correct or unset the variable; \"darter config show --origin\" tells which layer sets a key"}
	}
	for _, f := range cfg.Fields() {
		if _, set := environ[f.Env]; set {
			from[f.Key] = "env " + f.Env
		}
	}
	return nil
}

// concerns reports whether any variable could be ours. Mostly none is, and parsing is not free.
func concerns(environ map[string]string) bool {
	for name := range environ {
		if strings.HasPrefix(name, envPrefix) {
			return true
		}
	}
	return false
}

// envReason puts the variable's name in front: the parser names the struct field only.
func envReason(err error) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	var out []error
	for _, e := range all.Errors {
		var p env.ParseError
		if errors.As(e, &p) {
			out = append(out, fmt.Errorf("%s: %w", envOf(p.Name), p.Err))
			continue
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}

// envOf finds the variable of a Go field name; where two fields share a name it says the common end.
func envOf(field string) string {
	want := strings.ToUpper(strings.ReplaceAll(field, "_", ""))
	var cfg Config
	for _, f := range cfg.Fields() {
		if strings.HasSuffix(strings.ReplaceAll(f.Env, "_", ""), want) {
			return f.Env
		}
	}
	return field
}
