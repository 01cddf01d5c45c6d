package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
)

// sample gives a text that differs from the default, by key or by kind of setting.
func sample(f Field) string {
	byKey := map[string]string{
		"data_dir": "/tmp/x", "log.level": "debug", "log.format": "json",
		"daemon.announce_interval": "7s", "daemon.drain": "3s", "daemon.upload_slots": "5", "host.cluster": "7",
		"scheduler.max_peers": "5000", "scheduler.max_locations": "6000",
		"telemetry.tracing.ratio": "0.5", "telemetry.tracing.headers": "k=v",
	}
	if s, ok := byKey[f.Key]; ok {
		return s
	}
	switch f.Kind {
	case "listen", "endpoint", "address", "loopback":
		return "127.0.0.1:1234"
	case "ip":
		return "10.0.0.9"
	case "network":
		return "10.0.0.0/9"
	case "site":
		return "https://word.example"
	}
	if f.Bool() {
		return "true"
	}
	if strings.HasSuffix(f.Key, "_rate") || strings.HasSuffix(f.Key, "_length") {
		return "3MiB"
	}
	return "word"
}

func named(t *testing.T, c *Config, key string) Field {
	t.Helper()
	for _, f := range c.Fields() {
		if f.Key == key {
			return f
		}
	}
	t.Fatalf("no setting %s", key)
	return Field{}
}

func TestEveryFieldHasItsNames(t *testing.T) {
	cfg := Default()
	keys, envs, flags := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, f := range cfg.Fields() {
		require.NotEmpty(t, f.Doc, f.Key)
		require.NotEmpty(t, f.Roles, f.Key)
		require.False(t, strings.HasSuffix(f.Doc, "."), "%s: doc ends in a full stop", f.Key)
		require.Equal(t, "DARTER_"+strings.ToUpper(strings.ReplaceAll(f.Key, ".", "_")), f.Env, "env follows the key")
		require.NotEmpty(t, f.Flag, f.Key)
		require.False(t, keys[f.Key] || envs[f.Env] || flags[f.Flag], "%s has a name twice", f.Key)
		keys[f.Key], envs[f.Env], flags[f.Flag] = true, true, true
	}
	require.NoError(t, cfg.Validate())
}

// TestEveryLayerReachesEveryField sets each setting by file, by environment and by flag alone.
func TestEveryLayerReachesEveryField(t *testing.T) {
	defaults := Default()
	for _, f := range defaults.Fields() {
		t.Run(f.Key, func(t *testing.T) {
			want := sample(f)
			require.NotEqual(t, want, f.Text(), "the sample must differ from the default")
			for layer, l := range map[string]Layers{
				"file ": {File: fileWith(t, f, want)},
				"env ":  {File: emptyFile(t), Environ: []string{f.Env + "=" + want}},
				"flag ": {File: emptyFile(t), Flags: parsed(t, f, want)},
			} {
				cfg, from, err := Load(l)
				require.NoError(t, err, layer)
				require.Equal(t, want, named(t, cfg, f.Key).Text(), layer)
				require.True(t, strings.HasPrefix(from[f.Key], layer), "%s: origin is %q", layer, from[f.Key])
				for _, other := range cfg.Fields() {
					if other.Key != f.Key {
						require.Equal(t, named(t, &defaults, other.Key).Text(), other.Text(), "%s changed %s too", layer, other.Key)
					}
				}
			}
		})
	}
}

func emptyFile(t *testing.T) string {
	name := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	return name
}

func fileWith(t *testing.T, f Field, value string) string {
	parts := strings.Split(f.Key, ".")
	var b strings.Builder
	for i, p := range parts {
		b.WriteString(strings.Repeat("  ", i) + p + ":")
		if i < len(parts)-1 {
			b.WriteString("\n")
		}
	}
	switch {
	case f.List():
		b.WriteString(" [\"" + value + "\"]\n")
	case f.Bool() || f.Key == "telemetry.tracing.ratio" || f.Key == "daemon.upload_slots" || f.Key == "host.cluster" || strings.HasPrefix(f.Key, "scheduler.max_"):
		b.WriteString(" " + value + "\n")
	default:
		b.WriteString(" \"" + value + "\"\n")
	}
	name := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(name, []byte(b.String()), 0o600))
	return name
}

func parsed(t *testing.T, f Field, value string) *Flags {
	role := f.Roles[0] // "all" is no role, and takes the flags of all

	set := pflag.NewFlagSet(role, pflag.ContinueOnError)
	flags := Register(set, role)
	require.NoError(t, set.Parse([]string{"--" + f.Flag + "=" + value}))
	return flags
}

func TestLaterLayersWin(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "d.yaml")
	require.NoError(t, os.WriteFile(file, []byte("log: {level: debug}\ndaemon:\n  upload_listen: \":1\"\n  piece_listen: \":1\"\n  metrics_listen: \":1\"\n  health_listen: \":1\"\n"), 0o600))
	require.NoError(t, os.Mkdir(file+".d", 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(file+".d", "10-a.yaml"), []byte("daemon: {piece_listen: \":2\", metrics_listen: \":2\", health_listen: \":2\"}\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(file+".d", "05-z.yaml"), []byte("daemon: {piece_listen: \":9\"}\n"), 0o600))
	set := pflag.NewFlagSet("daemon", pflag.ContinueOnError)
	flags := Register(set, "daemon")
	require.NoError(t, set.Parse([]string{"--health-listen", ":4"}))
	cfg, from, err := Load(Layers{Environ: []string{"DARTER_CONFIG=" + file, "DARTER_DAEMON_METRICS_LISTEN=:3", "DARTER_DAEMON_HEALTH_LISTEN=:3"}, Flags: flags})
	require.NoError(t, err)
	require.Equal(t, []string{":1", ":2", ":3", ":4"}, []string{cfg.Daemon.UploadListen, cfg.Daemon.PieceListen, cfg.Daemon.MetricsListen, cfg.Daemon.HealthListen})
	require.Equal(t, "flag --health-listen", from["daemon.health_listen"])
	require.Equal(t, "file "+filepath.Join(file+".d", "10-a.yaml"), from["daemon.piece_listen"])
	require.Equal(t, "default", from["daemon.debug_listen"])
}

func TestFileErrorsNameThePlace(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":     {"daemon:\n  upload_listn: \":1\"\n", "[2:3]"},
		"bad duration":    {"daemon:\n  announce_interval: soon\n", "announce_interval: soon"},
		"no number":       {"daemon:\n  upload_slots: many\n", "[2:"},
		"bad size":        {"daemon:\n  upload_rate: fast\n", "upload_rate: fast"},
		"not a mapping":   {"- a\n", "[1:"},
		"broken":          {"daemon: {a: [1\n", "configuration f.yaml"},
		"list of a text":  {"daemon:\n  seed: maybe\n", "[2:"},
		"duplicate":       {"log: {level: info}\nlog: {level: warn}\n", "[2:"},
		"unknown section": {"cache:\n  size: 1\n", "[1:1]"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Default()
			err := Decode(&cfg, nil, "f.yaml", []byte(c.text))
			require.Error(t, err)
			require.Contains(t, err.Error(), c.want)
			require.Contains(t, err.Error(), "f.yaml")
			require.Equal(t, darter.Invalid, darter.KindOf(err))
			require.Equal(t, Default(), cfg, "a bad file must leave the settings alone")
		})
	}
}

func TestValidateReportsAllAtOnce(t *testing.T) {
	cfg := Default()
	cfg.Log.Level = "loud"
	cfg.Daemon.UploadListen = "4000"
	cfg.Daemon.DebugListen = "0.0.0.0:4004"
	cfg.Daemon.AnnounceInterval = Duration(time.Millisecond)
	cfg.Daemon.Schedulers = []string{"10.0.0.1:8002", "nowhere"}
	cfg.Manager.Schedulers = []string{"host:8002"}
	cfg.Scheduler.AdvertiseIP = "me"
	cfg.Daemon.UploadSlots = 65
	cfg.Manager.PublicURL = "https://darter.example/console"
	cfg.Manager.Proxies = []string{"10.0.0.0/8", "proxy"}
	cfg.Telemetry.Tracing.Ratio = 2
	cfg.Telemetry.Tracing.Headers = []string{"hunter2"}
	err := cfg.Validate()
	require.Error(t, err)
	for _, key := range []string{"log.level", "daemon.upload_listen", "daemon.debug_listen", "daemon.announce_interval",
		"daemon.schedulers: \"nowhere\"", "manager.schedulers", "scheduler.advertise_ip", "manager.public_url", "manager.trusted_proxies: \"proxy\"", "daemon.upload_slots", "tracing.ratio", "tracing.headers"} {
		require.Contains(t, err.Error(), key)
	}
	require.NotContains(t, err.Error(), "hunter2")
	cfg = Default()
	cfg.Daemon.DebugListen = "off"
	cfg.Daemon.UploadListen = "[::1]:0"
	cfg.Manager.PublicURL = "https://darter.example:8443/"
	cfg.Manager.Proxies = []string{"10.0.0.7", "::ffff:10.0.0.8", "2001:db8::/32"}
	require.NoError(t, cfg.Validate())
}

func TestEnvironmentErrorNamesTheVariable(t *testing.T) {
	_, _, err := Load(Layers{File: emptyFile(t), Environ: []string{"DARTER_DAEMON_ANNOUNCE_INTERVAL=soon"}})
	require.ErrorContains(t, err, "DARTER_DAEMON_ANNOUNCE_INTERVAL")
	require.Equal(t, darter.Invalid, darter.KindOf(err))
}

func TestFlagErrorsComeEarly(t *testing.T) {
	set := pflag.NewFlagSet("daemon", pflag.ContinueOnError)
	Register(set, "daemon")
	require.ErrorContains(t, set.Parse([]string{"--upload-rate", "fast"}), "4MiB")
	require.NoError(t, set.Parse([]string{"--seed"}))
}

func TestShowRoundTripsAndMasks(t *testing.T) {
	cfg := Default()
	cfg.Daemon.UploadRate = 3 << 20
	cfg.Telemetry.Tracing.Headers = []string{"token=hunter2"}
	var b bytes.Buffer
	require.NoError(t, cfg.Show(&b, nil))
	require.NotContains(t, b.String(), "hunter2")
	back := Config{}
	require.NoError(t, Decode(&back, nil, "shown", b.Bytes()))
	cfg.Telemetry.Tracing.Headers = []string{"token=" + mask}
	for i, f := range back.Fields() {
		require.Equal(t, cfg.Fields()[i].Text(), f.Text(), f.Key)
	}

	b.Reset()
	require.NoError(t, cfg.Show(&b, Origins{"daemon.upload_rate": "flag --upload-rate"}))
	require.Contains(t, b.String(), "daemon.upload_rate: 3MiB")
	require.Contains(t, b.String(), "# flag --upload-rate")
}

func TestMaskingLeavesTheOriginal(t *testing.T) {
	cfg := Default()
	cfg.Telemetry.Tracing.Headers = []string{"token=hunter2"}
	masked := cfg.Masked()
	require.Equal(t, []string{"token=" + mask}, masked.Telemetry.Tracing.Headers)
	require.Equal(t, []string{"token=hunter2"}, cfg.Telemetry.Tracing.Headers)
}

func TestSchemaListsEveryKey(t *testing.T) {
	data, err := Schema()
	require.NoError(t, err)
	var root map[string]any
	require.NoError(t, json.Unmarshal(data, &root))
	cfg := Default()
	for _, f := range cfg.Fields() {
		at := root
		for p := range strings.SplitSeq(f.Key, ".") {
			require.Equal(t, false, at["additionalProperties"], f.Key)
			next, ok := at["properties"].(map[string]any)[p].(map[string]any)
			require.True(t, ok, f.Key)
			at = next
		}
		require.Equal(t, f.Doc, at["description"])
		if want, ok := map[string]string{"daemon.seed": "boolean", "daemon.upload_slots": "integer", "scheduler.max_peers": "integer", "telemetry.tracing.ratio": "number",
			"daemon.schedulers": "array", "log.level": "string"}[f.Key]; ok {
			require.Equal(t, want, at["type"], f.Key)
		}
	}
}

func TestEmptySectionChangesNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "daemon:\n", "daemon:\n  # seed: true\nlog:\n  level:\n"} {
		cfg := Default()
		require.NoError(t, Decode(&cfg, nil, "f", []byte(text)))
		require.Equal(t, Default(), cfg, "%q", text)
	}
}

func TestNamedFileMustExist(t *testing.T) {
	_, _, err := Load(Layers{File: filepath.Join(t.TempDir(), "none.yaml")})
	require.Equal(t, darter.NotFound, darter.KindOf(err))
}

var update = flag.Bool("update", false, "rewrite docs/reference/config.md")

// TestReference holds docs/reference/config.md to the struct.
func TestReference(t *testing.T) {
	var b strings.Builder
	b.WriteString(referenceHead)
	cfg := Default()
	for _, f := range cfg.Fields() {
		def := f.Text()
		if f.Key == "data_dir" {
			def = "/var/lib/darter"
		}
		if def == "" {
			def = "-"
		}
		doc := f.Doc
		if len(f.Enum) > 0 {
			doc += "; one of " + strings.Join(f.Enum, ", ")
		}
		if f.Min != "" {
			doc += "; at least " + f.Min
		}
		fmt.Fprintf(&b, "| `%s` | %s | `--%s` | `%s` | %s |\n", f.Key, def, f.Flag, f.Env, strings.ReplaceAll(doc, "|", `\|`))
	}
	const file = "../../docs/reference/config.md"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
	}
	have, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(have), "run go test ./internal/config -update")
}

const referenceHead = `# Configuration

Nothing needs to be configured. What is set, is laid over the defaults in this order; the later wins:

1. the file named with ` + "`--config`" + ` or ` + "`DARTER_CONFIG`" + `, else ` + "`~/.config/darter/darter.yaml`" + ` (not for root), else ` + "`/etc/darter/darter.yaml`" + `, where present;
2. the files ` + "`*.yaml`" + ` in the folder of that file's name with ` + "`.d`" + ` appended, in order of their names;
3. environment variables; lists are separated by commas;
4. flags; lists by repeating the flag.

Unknown keys are errors with line and column. A section or key without a value says nothing. Durations are written as ` + "`30s`" + ` or ` + "`5m`" + `,
sizes as ` + "`64KiB`" + `, ` + "`4MiB`" + ` (powers of 1024) or ` + "`1.5GB`" + ` (powers of 1000). Port 0 is any free port; the real one is printed at the start.

` + "`darter config show --origin`" + ` prints what is in force and which layer set it, ` + "`darter config check FILE`" + ` tries a file,
` + "`darter config schema`" + ` prints the JSON schema for editors.

| key | default | flag | environment | meaning |
|---|---|---|---|---|
`

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "log: {level: info}", "daemon:\n  upload_rate: 3MiB\n", "a: &x [*x]", "? - : -", "\xff\xfe", "daemon: !!binary aGk=\n", "<<: *a"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg := Default()
		if err := Decode(&cfg, nil, "f", data); err != nil {
			require.Equal(t, Default(), cfg)
			return
		}
		_ = cfg.Validate()
	})
}
