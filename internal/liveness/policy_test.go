package liveness

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/goccy/go-yaml"
)

func TestDefaultsAreValid(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

// TestPolicyIsADocument: it reads what it writes, as YAML and as JSON, with durations as text.
func TestPolicyIsADocument(t *testing.T) {
	p := DefaultPolicy()
	p.Number, p.Forget.After = 7, Duration(90*time.Second)
	for name, codec := range map[string]struct {
		write func(any) ([]byte, error)
		read  func([]byte, any) error
	}{"json": {json.Marshal, json.Unmarshal}, "yaml": {yaml.Marshal, func(b []byte, v any) error { return yaml.Unmarshal(b, v) }}} {
		raw, err := codec.write(p)
		if err != nil {
			t.Fatal(err)
		}
		var back Policy
		if err := codec.read(raw, &back); err != nil || back != p {
			t.Errorf("%s: %v\n%s\n%+v", name, err, raw, back)
		}
		if !strings.Contains(string(raw), "1m30s") {
			t.Errorf("%s writes durations as numbers: %s", name, raw)
		}
	}
	if err := json.Unmarshal([]byte(`{"forget":{"after":"soon"}}`), &p); darter.KindOf(err) != darter.Invalid {
		t.Errorf("a malformed duration gives %v", err)
	}
}

// TestEveryFieldHasBounds: no number of a policy can be negative or absurd without being refused by name.
func TestEveryFieldHasBounds(t *testing.T) {
	walk(t, reflect.TypeFor[Policy](), nil, func(t *testing.T, index []int, name string) {
		for _, n := range []int64{-1, math.MaxInt64} {
			p := DefaultPolicy()
			f := reflect.ValueOf(&p).Elem().FieldByIndex(index)
			if f.Kind() == reflect.Float64 {
				for _, x := range []float64{float64(n), math.NaN(), math.Inf(1)} {
					f.SetFloat(x)
					refused(t, &p, name)
				}
				continue
			}
			f.SetInt(n)
			refused(t, &p, name)
		}
	})
}

func refused(t *testing.T, p *Policy, name string) {
	t.Helper()
	if err := p.Validate(); darter.KindOf(err) != darter.Invalid || err == nil || !strings.Contains(err.Error(), name+":") || darter.HintOf(err) == "" {
		t.Errorf("%s out of bounds gives %v", name, err)
	}
}

func walk(t *testing.T, typ reflect.Type, index []int, do func(*testing.T, []int, string)) {
	for i := range typ.NumField() {
		group := typ.Field(i)
		if group.Type.Kind() != reflect.Struct {
			continue
		}
		for j := range group.Type.NumField() {
			do(t, []int{i, j}, group.Tag.Get("yaml")+"."+group.Type.Field(j).Tag.Get("yaml"))
		}
	}
}

func TestConfigBounds(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Tick = 0 },
		func(c *Config) { c.MaxGap = c.Tick },
		func(c *Config) { c.Policy.Limit.Items = 0 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if _, err := New(cfg); darter.KindOf(err) != darter.Invalid {
			t.Errorf("%+v gives %v", cfg, err)
		}
	}
}

func TestZones(t *testing.T) {
	for _, one := range []struct{ idc, location, want string }{
		{"", "", "1/-/-"}, {" dc ", "a|b", "1/dc/a|b"}, {"a/b", "c", "1/a_b/c"}, {strings.Repeat("x", 100), "y", "1/" + strings.Repeat("x", 64) + "/y"},
	} {
		z := ZoneOf(1, one.idc, one.location)
		back, err := ParseZone(z.String())
		if z.String() != one.want || err != nil || back != z {
			t.Errorf("%q %q: %s, back %s %v, want %s", one.idc, one.location, z, back, err, one.want)
		}
	}
	for _, bad := range []string{"", "1", "1/a", "x/a/b", "-1/a/b"} {
		if _, err := ParseZone(bad); darter.KindOf(err) != darter.Invalid {
			t.Errorf("%q gives %v", bad, err)
		}
	}
}
