package retention

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/darter-p2p/darter"
)

func TestDefaultsAreSoundAndSafe(t *testing.T) {
	for _, kind := range Kinds() {
		s := Default(kind)
		if f := s.Check(kind, false); len(f) > 0 {
			t.Errorf("%s: %v", kind, f)
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Parse(kind, text, false); err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%s: %+v came back as %+v, %v", kind, s, back, err)
		}
		if empty, err := Parse(kind, []byte("{}"), false); err != nil || !reflect.DeepEqual(empty, s) {
			t.Errorf("%s: an empty document is %+v, %v", kind, empty, err)
		}
	}
	job := Default(Job)
	week, _ := job.After("preheat.files", "succeeded")
	month, _ := job.After("preheat.files", "failed")
	if week != 7*24*time.Hour || month != 30*24*time.Hour || job.KeepLast.Count != 100 || job.Batch.Start != 1000 || time.Duration(job.Schedule.Every) != 2*time.Hour {
		t.Errorf("defaults of jobs: %s, %s, %+v", week, month, job)
	}
}

func TestBadDocumentsAreRefused(t *testing.T) {
	for document, want := range map[string]string{
		``:                                      "malformed",
		`null`:                                  "malformed",
		`[]`:                                    "malformed",
		`{} {}`:                                 "malformed",
		`{"rules":null}`:                        "/rules missing",
		`{"batch":{"min":null}}`:                "/batch/min missing",
		`{"rules":[]}`:                          "/rules missing",
		`{"surprise":1}`:                        "unknown",
		`{"batch":{"surprise":1}}`:              "unknown",
		`{"rules":[{"after":"0s"}]}`:            "/rules/0/after out_of_range",
		`{"rules":[{"after":"59m"}]}`:           "/rules/0/after out_of_range",
		`{"rules":[{"after":"-1h"}]}`:           "malformed",
		`{"rules":[{"after":"36501d"}]}`:        "malformed",
		`{"rules":[{"after":"999999999999d"}]}`: "malformed",
		`{"rules":[{"after":"2562048h"}]}`:      "malformed",
		`{"rules":[{"after":3600}]}`:            "malformed",
		`{"rules":[{"after":"1d"},{"after":"2d"}]}`:             "/rules/1 conflict",
		`{"keep_last":{"count":-1}}`:                            "/keep_last/count out_of_range",
		`{"keep_last":{"per":"moon"}}`:                          "/keep_last/per unknown",
		`{"batch":{"max":50001}}`:                               "/batch/max out_of_range",
		`{"batch":{"min":0}}`:                                   "/batch/min out_of_range",
		`{"batch":{"busy":0}}`:                                  "/batch/busy out_of_range",
		`{"batch":{"start":10}}`:                                "/batch/start out_of_range",
		`{"ceiling":5}`:                                         "/ceiling out_of_range",
		`{"rate":-1}`:                                           "/rate out_of_range",
		`{"rate":1e30}`:                                         "malformed",
		`{"schedule":{"cron":"* * * * *"}}`:                     "/schedule conflict",
		`{"schedule":{"every":"1s"}}`:                           "/schedule/every out_of_range",
		`{"schedule":{"window":{"from":"25:00","to":"1:00"}}}`:  "/schedule/window/from malformed",
		`{"schedule":{"window":{"from":"01:00","to":"01:00"}}}`: "/schedule/window conflict",
		`{"schedule":{"window":{"from":"01:00","to":"02:00","days":["x"]}}}`: "/schedule/window/days/0 unknown",
		`{"blast":{"factor":0.5}}`:                            "/blast/factor out_of_range",
		`{"time_limit":"9d"}`:                                 "/time_limit out_of_range",
		`{"notify":[` + strings.Repeat(`"a",`, 200) + `"b"]}`: "/notify too_many",
		`{"x":"` + strings.Repeat("a", maxDocument) + `"}`:    "too_many",
	} {
		_, err := Parse(Job, []byte(document), false)
		faults, ok := errors.AsType[Faults](err)
		if !ok || darter.KindOf(err) != darter.Invalid || len(faults) == 0 {
			t.Errorf("%.60s: %v", document, err)
			continue
		}
		if got := strings.TrimSpace(faults[0].Pointer + " " + faults[0].Code); !strings.HasSuffix(got, want) {
			t.Errorf("%.60s: %s, want %s", document, got, want)
		}
	}
	if _, err := Parse(Job, []byte(`{"rules":[{"after":"1s"}]}`), true); err != nil {
		t.Errorf("forced: %v", err)
	}
	for _, document := range []string{`{"rules":[{"after":"89d"}]}`, `{"keep_last":{"count":999}}`, `{"ceiling":1000}`} {
		if _, err := Parse(RunRecord, []byte(document), true); darter.KindOf(err) != darter.Invalid {
			t.Errorf("run records, %s: %v", document, err)
		}
	}
	if _, err := Parse("users", []byte("{}"), false); darter.KindOf(err) != darter.NotFound {
		t.Errorf("an unknown kind: %v", err)
	}
}

// TestRulesAreNotMixedWithTheDefault: the decoder would fill the default's second rule.
func TestRulesAreNotMixedWithTheDefault(t *testing.T) {
	s, err := Parse(Job, []byte(`{"rules":[{"after":"2d"},{"group":"a","after":"3d"}]}`), false)
	if err != nil || fmt.Sprint(s.Rules) != "[{  2d} {a  3d}]" {
		t.Errorf("%v, %v", s.Rules, err)
	}
}

func TestTheMostExactRuleDecides(t *testing.T) {
	const h = Duration(time.Hour)
	s := Spec{Rules: []Rule{{After: 1 * h}, {State: "failed", After: 2 * h}, {Group: "a", After: 3 * h}, {Group: "a", State: "failed", After: 4 * h}}}
	for _, c := range []struct {
		group, state string
		want         time.Duration
	}{{"b", "done", 1}, {"b", "failed", 2}, {"a", "done", 3}, {"a", "failed", 4}} {
		if got, ok := s.After(c.group, c.state); !ok || got != c.want*time.Hour {
			t.Errorf("%s %s: %s", c.group, c.state, got)
		}
	}
	if _, ok := (Spec{Rules: []Rule{{Group: "a", After: h}}}).After("b", "done"); ok {
		t.Error("what no rule names is to be kept")
	}
}

func TestSlices(t *testing.T) {
	now := time.UnixMicro(1_000_000_000_000_000)
	s := Default(Job)
	s.KeepLast.Count = 2
	at := func(d time.Duration) int64 { return now.Add(-d).UnixMicro() }
	const day = 24 * time.Hour
	f := Facts{Final: []string{"done", "failed"}, Groups: []Group{{"b", "done"}, {"a", "running"}, {"a", "failed"}, {"a", "done"}, {"c", "done"}},
		Newest: map[string]Point{"a": {at(9 * day), "k"}, "b": {at(time.Hour), "k"}}}
	got := Slices(s, f, now)
	want := []Slice{
		{"a", "done", darter.Expired, Point{at(9 * day), "k"}, at(7 * day), true},
		{"a", "failed", darter.Expired, Point{at(30 * day), ""}, at(30 * day), false},
		{"b", "done", darter.Expired, Point{at(7 * day), ""}, at(7 * day), false},
		{"c", "done", darter.Expired, Point{}, at(7 * day), true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	f.Ceiling = at(3 * day)
	for _, slice := range Slices(s, f, now) {
		if slice.Cutoff != at(3*day)+1 || slice.Reason != darter.OverQuota {
			t.Errorf("with a ceiling: %+v", slice)
		}
	}
}

func TestDurationsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64Range(0, int64(longest)).Draw(t, "d"))
		var back Duration
		if err := back.UnmarshalText([]byte(d.String())); err != nil || back != d {
			t.Fatalf("%d is %q is %d, %v", d, d, back, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, kind := range Kinds() {
		text, _ := json.Marshal(Default(kind))
		f.Add(kind, text)
	}
	f.Add(Job, []byte(`{"schedule":{"window":{"from":"22:00","to":"06:00","days":["mon"]}}}`))
	f.Fuzz(func(t *testing.T, kind string, document []byte) {
		s, err := Parse(kind, document, false)
		if err != nil {
			return
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Parse(kind, text, false); err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%s came back as %+v, %v", text, back, err)
		}
	})
}
