package compat

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

func translated(t *testing.T, body string) (Order, error) {
	t.Helper()
	var b jobBody
	if err := json.Unmarshal([]byte(body), &b); err != nil {
		t.Fatal(err)
	}
	return b.order()
}

func TestPreheatsAreTranslated(t *testing.T) {
	o, err := translated(t, `{"type":"preheat","scheduler_cluster_ids":[1,2],"args":{"type":"image","url":"https://r.example/v2/a/manifests/1","filtered_query_params":"a&b",
		"platform":"linux/arm64","scope":"all_peers","percentage":20,"username":"u","password":"p","timeout":60000000000,"piece_length":4194304,"concurrent_task_count":3}}`)
	if err != nil || o.Kind != darter.PreheatImage || len(o.Clusters) != 2 || len(o.Filtered) != 2 || o.Platforms[0] != "linux/arm64" || o.Timeout != time.Minute ||
		o.Targets.Scope != darter.AllPeers || o.Targets.Percent != 20 || o.Headers["Authorization"] != "Basic dTpw" || o.PieceLength != 4<<20 || o.TasksAtOnce != 3 {
		t.Errorf("%+v, %v", o, err)
	}
	o, err = translated(t, `{"type":"preheat","args":{"type":"file","url":"https://a.example/1","urls":["https://a.example/1","https://a.example/2"],"scope":"odd","count":3,
		"headers":{"authorization":"Bearer x"},"username":"u"}}`)
	if err != nil || o.Kind != darter.PreheatFiles || len(o.URLs) != 2 || o.Targets.Scope != darter.OneSeed || o.Targets.Count != 0 || len(o.Headers) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestStatesAreTheThreeThatHarborKnows(t *testing.T) {
	for state, want := range map[darter.JobState]string{darter.JobQueued: pending, darter.JobResolving: pending, darter.JobRunning: pending, darter.JobPaused: pending,
		darter.JobCanceling: pending, darter.JobSucceeded: success, darter.JobPartial: success, darter.JobFailed: failure, darter.JobCanceled: failure, darter.JobExpired: failure} {
		if got := stateOf(state); got != want {
			t.Errorf("%s: %s, want %s", state, got, want)
		}
	}
}

// A job that failed before it reached a cluster says why all the same: Harbor shows what the states say.
func TestAFailureAlwaysHasItsReason(t *testing.T) {
	j := &Job{ID: "j", State: darter.JobFailed, Failure: darter.Failed401, Text: "the registry wants a token"}
	for name, results := range map[string][]Result{"no cluster": nil, "one that did well": {{Cluster: 1, Good: []Place{{URL: "u"}}}}, "one that failed": {{Cluster: 1, Bad: []Place{{URL: "u"}}}}} {
		g := group(j, results)
		if len(g.JobStates) == 0 || g.JobStates[0].Error != "upstream_401: the registry wants a token (give credentials for the origin)" || g.JobStates[0].State != failure {
			t.Errorf("%s: %+v", name, g)
		}
	}
}

func FuzzOrder(f *testing.F) {
	f.Add(`{"type":"preheat","args":{"type":"image","url":"https://r.example/v2/a/manifests/1","ips":["10.0.0.1"]}}`)
	f.Add(`{"type":"gc","args":{"type":"job"}}`)
	f.Add(`{"type":"get_task","args":{"task_id":"x"},"scheduler_cluster_ids":null}`)
	f.Fuzz(func(t *testing.T, body string) {
		var b jobBody
		if json.Unmarshal([]byte(body), &b) != nil {
			return
		}
		o, err := b.order()
		if err == nil && o.Kind == "" {
			t.Errorf("%q is taken as no kind of job", body)
		}
		if err == nil {
			if _, err := json.Marshal(args(&o)); err != nil {
				t.Error(err)
			}
		}
	})
}
