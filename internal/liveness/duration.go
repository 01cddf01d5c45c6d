package liveness

import (
	"fmt"
	"time"

	"github.com/darter-p2p/darter"
)

// Duration is a time.Duration that a policy document writes as text: "30s", "5m".
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return &darter.Error{Kind: darter.Invalid, Op: "read liveness policy", Err: fmt.Errorf("%q is not a duration", text),
			Hint: "write a number and a unit, as 500ms, 30s, 5m, 24h"}
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes what String prints.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string { return time.Duration(d).String() }

// Std returns the value as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// scaled is d times a factor.
func scaled(d time.Duration, factor float64) time.Duration {
	return time.Duration(float64(d) * factor)
}
