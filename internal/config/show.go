package config

import (
	"fmt"
	"io"
	"strings"

	"github.com/goccy/go-yaml"
)

// mask stands for a secret wherever settings are printed.
const mask = "******"

// Masked returns a copy whose secrets are replaced.
func (c *Config) Masked() Config {
	out := *c
	for _, f := range out.Fields() {
		if !f.Secret {
			continue
		}
		texts := f.Texts() // a copy: the original's list stays as it is
		for i, text := range texts {
			if key, _, ok := strings.Cut(text, "="); ok && f.List() {
				texts[i] = key + "=" + mask
			} else if text != "" {
				texts[i] = mask
			}
		}
		if err := f.Set(texts...); err != nil {
			continue // only texts can be secret, and those always fit
		}
	}
	return out
}

// Show writes the settings as YAML, secrets masked. What it writes can be read back as a file. With origins, every line
// ends in a comment that says which layer set it.
func (c *Config) Show(w io.Writer, from Origins) error {
	masked := c.Masked()
	if from == nil {
		data, err := yaml.Marshal(masked)
		if err != nil {
			return fmt.Errorf("print configuration: %w", err)
		}
		_, err = w.Write(data)
		return err
	}
	width := 0
	lines := make([]string, 0, 32)
	fields := masked.Fields()
	for _, f := range fields {
		line := f.Key + ": " + quoted(f)
		width = max(width, len(line))
		lines = append(lines, line)
	}
	for i, f := range fields {
		if _, err := fmt.Fprintf(w, "%-*s  # %s\n", min(width, 60), lines[i], from[f.Key]); err != nil {
			return err
		}
	}
	return nil
}

func quoted(f Field) string {
	if f.List() {
		parts := f.Texts()
		for i, p := range parts {
			parts[i] = fmt.Sprintf("%q", p)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if text := f.Text(); text == "" || strings.ContainsAny(text, ":#|") {
		return fmt.Sprintf("%q", text)
	}
	return f.Text()
}
