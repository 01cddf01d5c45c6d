package rest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Prefer is what the input of an operation embeds whose answer is worth waiting for.
type Prefer struct {
	Prefer string `header:"Prefer" maxLength:"200" doc:"wait=30: answer when it has ended, after 30 seconds at the latest" example:"wait=30"`
}

// maxWait is how long an answer waits at most.
const maxWait = 30 * time.Second

// Wait returns how long the caller would wait, 0 for not at all. In a request with a key, or a dry run, nobody waits:
// what would be waited for begins when its transaction has ended.
func (p Prefer) Wait(ctx context.Context) time.Duration {
	if infoOf(ctx).enclosed {
		return 0
	}
	for part := range strings.SplitSeq(p.Prefer, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if strings.EqualFold(strings.TrimSpace(name), "wait") && err == nil && n > 0 {
			return min(time.Duration(min(n, 3600))*time.Second, maxWait)
		}
	}
	return 0
}

// Duration is a time.Duration that reads and writes as text: 90s, 1h30m.
type Duration time.Duration

// String writes it as time.Duration does.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes 90s as 1m30s.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration reads, and whole days as in 30d.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 36500 {
			*d = Duration(time.Duration(n) * 24 * time.Hour)
			return nil
		}
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 90s, 12h or 30d", clip(s, 40))
	}
	*d = Duration(v)
	return nil
}

// Schema is for huma.
func (Duration) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "a duration", Examples: []any{"90s"}, MaxLength: new(40)}
}

// Document is JSON of a form that the operation's own room checks.
type Document []byte

// MarshalJSON passes it on.
func (d Document) MarshalJSON() ([]byte, error) {
	if len(d) == 0 {
		return []byte("null"), nil
	}
	return d, nil
}

// UnmarshalJSON keeps it.
func (d *Document) UnmarshalJSON(b []byte) error {
	*d = append((*d)[:0], b...)
	return nil
}

// Schema is for huma: any object.
func (Document) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "a document; what it may say depends on its kind"}
}

var _ huma.SchemaProvider = Document(nil)
