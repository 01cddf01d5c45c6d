package manager

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter/internal/cli"
)

func stream(events ...string) http.HandlerFunc {
	return answer(http.StatusOK, strings.Join(events, ""), "Content-Type", "text/event-stream")
}

func event(id, data string) string { return "id: " + id + "\nevent: x\ndata: " + data + "\n\n" }

const jobID = "01M7ZEGHDE04PDSKV6MMBYCXS6"

func jobIn(state, more string) string {
	return `{"id":"` + jobID + `","kind":"preheat.files","state":"` + state + `","owner":"anna","created":"2030-01-02T11:00:00Z"` + more + `}`
}

// TestAWatchEndsAsTheJobDid holds the exit codes that scripts rely on.
func TestAWatchEndsAsTheJobDid(t *testing.T) {
	const failed = `,"failure":"upstream_404","message":"the origin answered 404","progress":{"items":2,"complete":1,"pairs":2,"done":1,"failed":1}`
	for _, row := range []struct {
		last string
		exit cli.Exit
		text string
	}{
		{jobIn("succeeded", `,"progress":{"items":2,"warm":2,"complete":2,"pairs":4,"done":4,"bytes":3145728}`), cli.ExitOK, "2/2 (4/4 on hosts)"},
		{jobIn("partially_succeeded", failed), cli.ExitSomeFailed, "the origin has no such content"},
		{jobIn("failed", failed), cli.ExitFailed, "the origin answered 404"},
		{jobIn("expired", ""), cli.ExitFailed, "expired"},
		{jobIn("canceled", ""), cli.ExitFailed, "canceled"},
	} {
		d := newDesk(t)
		d.on("GET /v1/jobs/"+jobID, ok(jobIn("queued", "")), ok(jobIn("running", "")), ok(jobIn("running", "")), ok(row.last))
		d.on("GET /v1/jobs/"+jobID+":watch", stream(event("1", "{}")), stream(event("2", "{}")))
		require.Equal(t, row.exit, d.run("job", "watch", jobID), d.err.String())
		require.Equal(t, "1", d.last("GET /v1/jobs/"+jobID+":watch").header.Get("Last-Event-Id"), "the second stream goes on after the first")
		require.Contains(t, d.out.String()+d.err.String(), row.text)
		require.Contains(t, d.err.String(), "queued\n", "without a terminal each news is a line")
	}
}

func TestAPreheatSaysWhatItWants(t *testing.T) {
	d := newDesk(t)
	d.on("POST /v1/preheats", answer(202, jobIn("queued", ""), "Location", "/v1/jobs/"+jobID))
	require.Equal(t, cli.ExitOK, d.run("preheat", "file", "https://o/a", "https://o/b", "--scope", "all_peers", "--percentage", "20", "--host", "10.0.0.1,10.0.0.2",
		"-H", "Authorization: Bearer secret", "--timeout", "90s", "--piece-length", "4MiB", "--cluster", "1,2", "--idempotency-key", "mine"))
	sent := d.last("POST /v1/preheats")
	require.JSONEq(t, `{"kind":"files","urls":["https://o/a","https://o/b"],"headers":{"Authorization":"Bearer secret"},"timeout":"1m30s","piece_length":4194304,
		"clusters":[1,2],"targets":{"scope":"all_peers","percentage":20,"ips":["10.0.0.1","10.0.0.2"]}}`, sent.body)
	require.Equal(t, "mine", sent.header.Get("Idempotency-Key"))
	require.NotContains(t, d.out.String()+d.err.String(), "secret")
	require.Contains(t, d.err.String(), "darter job watch "+jobID)
	require.Equal(t, cli.ExitOK, d.run("preheat", "image", "app:1", "--platform", "linux/amd64"))
	require.JSONEq(t, `{"kind":"image","urls":["https://registry-1.docker.io/v2/library/app/manifests/1"],"platforms":["linux/amd64"],"targets":{"scope":"single_seed_peer"}}`, d.last("POST /v1/preheats").body)
	for _, args := range [][]string{{"file"}, {"file", "https://o/a", "https://o/b", "--digest", "sha256:x"}, {"file", "https://o/a", "--percentage", "101"},
		{"file", "https://o/a", "-H", "no header"}, {"file", "https://o/a", "--piece-length", "much"}, {"image", "APP:1"}, {"image"}} {
		require.Equal(t, cli.ExitUsage, d.run(append([]string{"preheat"}, args...)...), args)
	}
}

func TestReferences(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for ref, want := range map[string]string{
		"nginx":                          "https://registry-1.docker.io/v2/library/nginx/manifests/latest",
		"docker.io/nginx:1.27":           "https://registry-1.docker.io/v2/library/nginx/manifests/1.27",
		"team/app":                       "https://registry-1.docker.io/v2/team/app/manifests/latest",
		"r.example:5000/a/b_c:v1":        "https://r.example:5000/v2/a/b_c/manifests/v1",
		"localhost/a":                    "https://localhost/v2/a/manifests/latest",
		"r.example/a:1@" + digest:        "https://r.example/v2/a/manifests/" + digest,
		"https://r/v2/a/manifests/1":     "https://r/v2/a/manifests/1",
		"http://r/x/v2/a/b/manifests/v1": "http://r/x/v2/a/b/manifests/v1",
	} {
		got, err := manifestURL(ref, false)
		require.NoError(t, err, ref)
		require.Equal(t, want, got)
	}
	for _, ref := range []string{"", "UPPER", "a:b c", "r.example/", "a@sha256:12", "https://r/v2/a/blobs/x", "file:///v2/a/manifests/1", "a//b", "r.example/../b", "r.example/a?x", "-a"} {
		_, err := manifestURL(ref, false)
		require.Error(t, err, ref)
	}
	plain, err := manifestURL("localhost:5000/a", true)
	require.NoError(t, err)
	require.Equal(t, "http://localhost:5000/v2/a/manifests/latest", plain)
}

func FuzzReference(f *testing.F) {
	f.Add("r.example:5000/a/b:v1")
	f.Add("a@sha256:")
	f.Add(". /0")
	f.Fuzz(func(t *testing.T, ref string) {
		if strings.Contains(ref, "://") {
			return
		}
		got, err := manifestURL(ref, false)
		if err == nil && (strings.ContainsAny(got, " \t\n?#\\") || strings.Contains(got, "..")) {
			t.Errorf("%q became %q", ref, got)
		}
	})
}

func TestJobsAreListedAndSteered(t *testing.T) {
	d := newDesk(t)
	d.on("GET /v1/jobs", ok(`{"items":[`+jobIn("running", `,"started":"2030-01-02T11:59:00Z","progress":{"items":3,"complete":1,"pairs":3,"done":1}`)+`]}`))
	require.Equal(t, cli.ExitOK, d.run("job", "ls", "--state", "running,queued", "--limit", "3"))
	require.Equal(t, "page_size=3&state=running%2Cqueued", d.last("GET /v1/jobs").query)
	require.Contains(t, d.out.String(), "running  1/3       -      anna   1h00m ago  1m00s")
	d.on("POST /v1/jobs/"+jobID+":cancel", ok(jobIn("canceling", "")))
	require.Equal(t, cli.ExitOK, d.run("job", "cancel", jobID))
	require.Contains(t, d.out.String(), "canceling")
	d.on("POST /v1/jobs/"+jobID+":pin", ok(jobIn("failed", "")))
	require.Equal(t, cli.ExitOK, d.run("job", "pin", jobID, "--for", "1h"))
	require.JSONEq(t, `{"until":"2030-01-02T13:00:00Z"}`, d.last("POST /v1/jobs/"+jobID+":pin").body)
	require.Equal(t, cli.ExitUsage, d.run("job", "pin", jobID, "--for", "-1h"))
	d.on("POST /v1/jobs/"+jobID+":resume", answer(409, `{"status":409,"code":"job_over","detail":"the job is over"}`))
	require.Equal(t, cli.ExitConflict, d.run("job", "resume", jobID))
	require.Contains(t, d.err.String(), "the job is over")
}

func TestAJobIsShownWithWhatFailed(t *testing.T) {
	d := newDesk(t)
	d.on("GET /v1/jobs/"+jobID, ok(jobIn("failed", `,"failure":"tls","message":"x509","progress":{"items":1,"pairs":1,"failed":1}`)))
	d.on("GET /v1/jobs/"+jobID+"/steps", ok(`{"items":[{"number":1,"kind":"dispatch","cluster":1,"state":"ended","attempt":2,"owner":"s1","failure":"tls","progress":{"items":1}}]}`))
	d.on("GET /v1/jobs/"+jobID+"/failures", ok(`{"items":[{"step":1,"item":0,"host":"h1","failure":"tls","message":"unknown\nauthority","attempts":2,"at":"2030-01-02T11:59:00Z"}]}`))
	require.Equal(t, cli.ExitOK, d.run("job", "show", jobID), d.err.String())
	for _, part := range []string{"check the origin's certificate", "dispatch  1        ended", "h1    tls      2         1m00s ago  unknown authority"} {
		require.Contains(t, d.out.String(), part)
	}
	require.Equal(t, cli.ExitOK, d.run("job", "show", jobID, "-o", "json"))
	require.JSONEq(t, jobIn("failed", `,"failure":"tls","message":"x509","progress":{"items":1,"pairs":1,"failed":1}`), d.out.String())
}

// TestEventsAreFollowedToTheEnd holds that a stream that ends is taken up again until the job is over.
func TestEventsAreFollowedToTheEnd(t *testing.T) {
	d := newDesk(t)
	d.on("GET /v1/jobs/"+jobID, ok(jobIn("running", "")), ok(jobIn("succeeded", "")))
	d.on("GET /v1/jobs/"+jobID+":watch", stream(event("1", `{"sequence":1,"at":"2030-01-02T11:59:00Z","type":"state","detail":{"to":"running","why":""}}`)), stream())
	require.Equal(t, cli.ExitOK, d.run("job", "events", "-f", jobID))
	require.Contains(t, d.out.String(), "state       to=running\n")
	require.Equal(t, 1, strings.Count(d.out.String(), "\n"))
}

const runID = "01M7ZEGHDE04PDSKV6MMBYCXS7"

func runIn(state, more string) string {
	return `{"id":"` + runID + `","kind":"job","policy_version":3,"trigger":"manual","requester":{"name":"anna"},"state":"` + state + `","eligible":1000,"deleted":400,"busy":"1s","created":"2030-01-02T11:59:00Z"` + more + `}`
}

// TestARunEndsItsCommandAsItDid holds that a run that waits for a person is told from one that failed.
func TestARunEndsItsCommandAsItDid(t *testing.T) {
	for state, row := range map[string]struct {
		exit cli.Exit
		text string
	}{
		"succeeded":          {cli.ExitOK, "400 of 1,000"},
		"partial":            {cli.ExitSomeFailed, "ended early"},
		"needs_confirmation": {cli.ExitHeld, "darter gc confirm " + runID},
		"failed":             {cli.ExitFailed, "is failed: because"},
		"cancelled":          {cli.ExitFailed, "is cancelled"},
		"lost":               {cli.ExitFailed, "another one goes on"},
	} {
		d := newDesk(t)
		d.on("POST /v1/gc/runs", answer(202, runIn("queued", "")))
		d.on("GET /v1/gc/runs/"+runID, ok(runIn("queued", "")), ok(runIn(state, `,"message":"because"`)))
		d.on("GET /v1/gc/runs/"+runID+":watch", stream(event("a", runIn("running", "")), event("b", "{}"), event("c", runIn(state, `,"message":"because"`))))
		require.Equal(t, row.exit, d.run("gc", "run", "--kind", "job", "--wait", "--reason", "tidy"), state)
		require.Contains(t, d.out.String()+d.err.String(), row.text)
		require.Equal(t, "reason=tidy", d.last("POST /v1/gc/runs").query)
	}
}

func TestOnlyWhatWasSeenIsConfirmed(t *testing.T) {
	d := newDesk(t)
	d.on("GET /v1/gc/runs/"+runID, ok(runIn("needs_confirmation", `,"plan":"p1"`)))
	d.on("POST /v1/gc/runs/"+runID+":confirm", answer(202, runIn("queued", "")))
	require.Equal(t, cli.ExitOK, d.run("gc", "confirm", runID))
	require.JSONEq(t, `{"plan":"p1"}`, d.last("POST /v1/gc/runs/"+runID+":confirm").body)
	require.Equal(t, cli.ExitUsage, d.run("gc", "run", "--confirm"), "confirm what?")
	d.on("POST /v1/gc/plans/p1:apply", answer(409, `{"status":409,"code":"needs_confirmation","detail":"400 would go"}`), answer(409, `{"status":409,"code":"plan_stale","detail":"made 16 minutes ago"}`))
	require.Equal(t, cli.ExitHeld, d.run("gc", "run", "--plan", "p1"))
	require.Equal(t, cli.ExitConflict, d.run("gc", "run", "--plan", "p1", "--confirm"))
	require.JSONEq(t, `{"confirm":true}`, d.last("POST /v1/gc/plans/p1:apply").body)
	require.Contains(t, d.err.String(), "make a new plan")
}

func TestPlansSayWhatWouldGoAndWhy(t *testing.T) {
	d := newDesk(t)
	one := `{"id":"p1","kind":"job","policy_version":0,"total":2000,"eligible":1000,"oldest":"2029-12-01T00:00:00Z","newest":"2029-12-20T00:00:00Z","expires":"2030-01-02T12:15:00Z","estimate":"12s",
		"slices":[{"group":"preheat.files","state":"failed","reason":"expired","cutoff":"2029-12-03T12:00:00Z","count":1000,"oldest":"2029-12-01T00:00:00Z"},{"group":"x","reason":"expired","cutoff":"2029-12-03T12:00:00Z","count":0}],
		"vetoed":[{"reason":"pinned","count":3}],"samples":[{"key":"k1","group":"preheat.files","state":"failed","reason":"expired","at":"2029-12-01T00:00:00Z"}],"confirm":"half of all rows"}`
	d.on("POST /v1/gc/plans", answer(201, one))
	require.Equal(t, cli.ExitOK, d.run("gc", "plan", "--kind", "job"), d.err.String())
	for _, part := range []string{"1,000 of 2,000 (50%)", "3 pinned", "half of all rows", "about 12s", "(in 15m00s)", "preheat.files  failed  1,000     expired", "k1"} {
		require.Contains(t, d.out.String(), part)
	}
	require.Contains(t, d.err.String(), "darter gc run --plan p1 --confirm")
	d.on("GET /v1/gc/policies", ok(`{"items":[{"kind":"job"},{"kind":"audit"}]}`))
	require.Equal(t, cli.ExitOK, d.run("gc", "plan"))
	require.Equal(t, 3, strings.Count(d.out.String(), "\n"))
	require.JSONEq(t, `{"kind":"audit","owners":false}`, d.last("POST /v1/gc/plans").body)
	require.Empty(t, d.last("GET /v1/gc/policies").query)
}

func TestAPolicyIsTriedBeforeItHolds(t *testing.T) {
	d := newDesk(t)
	d.in = "rules: [{after: 3d}]\n"
	d.on("GET /v1/gc/policies/job", ok(`{"kind":"job","version":0,"in_force":true,"body":{"rules":[{"after":"7d"}],"rate":0},"diff":[]}`, "ETag", `"0"`))
	d.on("PUT /v1/gc/policies/job", ok(`{"kind":"job","version":1,"body":{"rules":[{"after":"3d"}],"rate":0},"diff":[{"path":"rate","after":"0"}]}`))
	d.on("POST /v1/gc/policies/job:simulate", ok(`{"now":{"eligible":10,"total":2000},"then":{"eligible":1500,"total":2000,"confirm":"more than half"},"newly":1490}`))
	require.Equal(t, cli.ExitOK, d.run("gc", "policy", "set", "job", "-", "--dry-run", "--reason", "x"), d.err.String())
	require.Equal(t, "dry_run=true&reason=x", d.last("PUT /v1/gc/policies/job").query)
	require.Empty(t, d.last("POST /v1/gc/policies/job:simulate").query)
	require.JSONEq(t, `{"rules":[{"after":"3d"}]}`, d.last("POST /v1/gc/policies/job:simulate").body)
	for _, part := range []string{"rules/0/after  7d      3d", "would remove 10 of 2,000 now", "1,500, of which 1,490 are new", "more than half"} {
		require.Contains(t, d.out.String(), part)
	}
	require.Equal(t, cli.ExitOK, d.run("gc", "policy", "set", "job", "-", "--force"))
	require.Equal(t, []string{`"0"`, "force=true"}, []string{d.last("PUT /v1/gc/policies/job").header.Get("If-Match"), d.last("PUT /v1/gc/policies/job").query})
	d.on("GET /v1/gc/policies", ok(`{"items":[{"kind":"job","version":0,"body":{"enabled":true,"rules":[{"after":"7d"},{"state":"failed","after":"30d"}],"keep_last":{"count":100,"per":"group"},"schedule":{"every":"2h"}},"next_run":"2030-01-02T12:30:00Z"}]}`))
	require.Equal(t, cli.ExitOK, d.run("gc", "policy", "ls"))
	require.Contains(t, d.out.String(), "job   built in  every 2h  in 30m00s  all 7d, failed 30d, last 100 per group")
}

func TestSchedulesTakeAJobFromAFile(t *testing.T) {
	d := newDesk(t)
	d.in = "kind: files\nurls: [https://o/a]\n"
	d.on("POST /v1/schedules", answer(201, `{"id":"s1","name":"nightly","cron":"0 2 * * *","zone":"UTC","kind":"preheat.files","next_at":"2030-01-03T02:00:00Z"}`))
	require.Equal(t, cli.ExitOK, d.run("schedule", "create", "nightly", "-", "--cron", "0 2 * * *"), d.err.String())
	require.JSONEq(t, `{"name":"nightly","cron":"0 2 * * *","zone":"UTC","job":{"kind":"files","urls":["https://o/a"]}}`, d.last("POST /v1/schedules").body)
	require.Contains(t, d.out.String(), "in 14h00m")
	require.Equal(t, cli.ExitUsage, d.run("schedule", "create", "nightly", "-"))
	d.on("GET /v1/schedules/s1", ok(`{"id":"s1"}`, "ETag", `"4"`))
	d.on("DELETE /v1/schedules/s1", answer(204, ""))
	require.Equal(t, cli.ExitOK, d.run("schedule", "rm", "s1"))
	require.Equal(t, `"4"`, d.last("DELETE /v1/schedules/s1").header.Get("If-Match"))
	require.Equal(t, cli.ExitFile, d.run("schedule", "create", "n", "/none", "--cron", "@daily"))
	d.in = "a: [b\n"
	require.Equal(t, cli.ExitUsage, d.run("schedule", "create", "n", "-", "--cron", "@daily"))
}
