package manager

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/catalog"
)

// LifecycleSetting names the setting that says how long silent members are kept.
const LifecycleSetting = "lifecycle"

// Lifecycle is the setting's document.
type Lifecycle struct {
	SchedulerRemoveAfter retention.Duration `json:"scheduler_remove_after"` // of silence; default 24h
	SeedRemoveAfter      retention.Duration `json:"seed_remove_after"`      // of silence; default 24h
}

// leastRemoval keeps a member for longer than a restart takes.
const leastRemoval = 5 * time.Minute

func defaultLifecycle() Lifecycle {
	day := retention.Duration(24 * time.Hour)
	return Lifecycle{SchedulerRemoveAfter: day, SeedRemoveAfter: day}
}

func checkLifecycle(body []byte) ([]byte, error) {
	l := defaultLifecycle()
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return nil, fmt.Errorf("it does not parse: %w", err)
	}
	if time.Duration(l.SchedulerRemoveAfter) < leastRemoval || time.Duration(l.SeedRemoveAfter) < leastRemoval {
		return nil, errors.New("less than five minutes would remove who only restarts")
	}
	return json.Marshal(l)
}

// settings are the documents that may be set.
func settings() map[string]func([]byte) ([]byte, error) {
	return map[string]func([]byte) ([]byte, error){EgressSetting: checkEgress, LifecycleSetting: checkLifecycle}
}

// lifecycle is what holds now.
func lifecycle(c *catalog.Catalog) Lifecycle {
	out := defaultLifecycle()
	if d, set := c.InForce(catalog.Setting, LifecycleSetting); set {
		if err := json.Unmarshal(d.Body, &out); err != nil { // it was checked when it was stored
			return defaultLifecycle()
		}
	}
	return out
}
