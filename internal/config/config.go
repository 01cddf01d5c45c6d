package config

import (
	"time"

	"github.com/darter-p2p/darter"
)

// Config is every setting of every role. Start from Default, then Load.
type Config struct {
	DataDir   string    `yaml:"data_dir" env:"DATA_DIR" flag:"data-dir" roles:"all,client" doc:"folder for everything kept on disk; each role uses a folder of its own in it"`
	Log       Log       `yaml:"log" envPrefix:"LOG_"`
	Host      Host      `yaml:"host" envPrefix:"HOST_"`
	Manager   Manager   `yaml:"manager" envPrefix:"MANAGER_"`
	Scheduler Scheduler `yaml:"scheduler" envPrefix:"SCHEDULER_"`
	Daemon    Daemon    `yaml:"daemon" envPrefix:"DAEMON_"`
	Telemetry Telemetry `yaml:"telemetry" envPrefix:"TELEMETRY_"`
}

// Log says what is logged, and how. Logs go to stderr.
type Log struct {
	Level  string `yaml:"level" env:"LEVEL" flag:"log-level" roles:"all" enum:"debug,info,warn,error" doc:"least level that is logged"`
	Format string `yaml:"format" env:"FORMAT" flag:"log-format" roles:"all" enum:"auto,text,json" doc:"auto is text on a terminal, JSON else"`
}

// Host is who this machine is to others.
type Host struct {
	IP       string `yaml:"ip" env:"IP" flag:"host-ip" roles:"daemon,up" doc:"address under which others reach this host; empty means the first non-loopback one"`
	Hostname string `yaml:"hostname" env:"HOSTNAME" flag:"hostname" roles:"daemon,scheduler,up" doc:"the machine's name, part of the host id; empty means the system's"`
	Name     string `yaml:"name" env:"NAME" flag:"name" roles:"daemon,up" doc:"unique name for people; empty means the hostname"`
	IDC      string `yaml:"idc" env:"IDC" flag:"idc" roles:"daemon,scheduler,up" doc:"data centre; neighbours in the same one are preferred"`
	Location string `yaml:"location" env:"LOCATION" flag:"location" roles:"daemon,scheduler,up" doc:"place as \"a|b|c\", widest first"`
	Cluster  int    `yaml:"cluster" env:"CLUSTER" flag:"cluster" roles:"daemon,scheduler" min:"0" max:"1000000000" doc:"number of the scheduler cluster; a daemon with 0 goes to the one that fits it best"`
}

// Manager is the manager role's part.
type Manager struct {
	GRPC       string   `yaml:"grpc" env:"GRPC" flag:"manager-grpc" roles:"manager,up" kind:"listen" doc:"where the manager's gRPC API listens"`
	HTTP       string   `yaml:"http" env:"HTTP" flag:"manager-http" roles:"manager,up" kind:"listen" doc:"where the manager's REST API and health listen"`
	Schedulers []string `yaml:"schedulers" env:"SCHEDULERS" flag:"manager-scheduler" roles:"manager" kind:"endpoint" doc:"scheduler, as ip:port, that daemons are sent to (repeat for more)"`

	Metrics   string   `yaml:"metrics" env:"METRICS" flag:"manager-metrics" roles:"manager" kind:"listen" doc:"where the manager's metrics and health listen"`
	Database  string   `yaml:"database" env:"DATABASE" flag:"database" roles:"manager,up" secret:"true" doc:"where the manager's rows lie: sqlite:PATH or postgres://USER@HOST/NAME; empty means the file manager/darter.db in the data folder"`
	Socket    string   `yaml:"socket" env:"SOCKET" flag:"manager-socket" roles:"manager,up,client" doc:"unix socket on which the manager's REST API serves this machine's tools; empty means the default place"`
	KeyFile   string   `yaml:"key_file" env:"KEY_FILE" flag:"secret-key" roles:"manager,up" doc:"file with the keys that seal secrets in the database, the same for all its managers; empty means manager/secret.key in the data folder, made at the first start"`
	SetupFile string   `yaml:"setup_file" env:"SETUP_FILE" flag:"setup-file" roles:"manager,up" doc:"file with the secret of the first sign-in; empty has one made and shown"`
	OIDCFile  string   `yaml:"oidc_file" env:"OIDC_FILE" flag:"oidc-file" roles:"manager,up" doc:"file that describes the identity provider at which people sign in (YAML, readable by the manager alone); empty means passwords only"`
	Authority string   `yaml:"authority" env:"AUTHORITY" flag:"ca" roles:"manager,up" doc:"folder of the certificate authority: nodes join, gRPC callers need a certificate, and REST has TLS; empty leaves both ports plain"`
	Names     []string `yaml:"names" env:"NAMES" flag:"manager-name" roles:"manager,up" doc:"name or address that the manager's certificate holds, beside those that this machine knows of itself (repeat for more)"`
	Plain     bool     `yaml:"allow_plain" env:"ALLOW_PLAIN" flag:"allow-plain" roles:"manager,up" doc:"let other machines reach gRPC and REST without TLS, in a network that is trusted as a whole; without it a manager that has no --ca listens on loopback only"`
	Private   []string `yaml:"egress_private" env:"EGRESS_PRIVATE" flag:"egress-private" roles:"manager,up" doc:"host, host:port or prefix with private addresses that preheats may name (repeat for more)"`
	Exempt    []string `yaml:"egress_exempt" env:"EGRESS_EXEMPT" flag:"egress-exempt" roles:"manager,up" doc:"prefix such as 127.0.0.0/8 that preheats may name although it is refused else (repeat for more)"`
	PublicURL string   `yaml:"public_url" env:"PUBLIC_URL" flag:"public-url" roles:"manager,up" kind:"site" doc:"where browsers find the REST API when a proxy stands before it, as https://darter.example; https makes cookies be for TLS only"`
	Proxies   []string `yaml:"trusted_proxies" env:"TRUSTED_PROXIES" flag:"trusted-proxy" roles:"manager,up" kind:"network" doc:"address or prefix of a proxy whose X-Forwarded-For says who calls the REST API (repeat for more); empty believes nobody"`
}

// Scheduler is the scheduler role's part.
type Scheduler struct {
	Listen      string `yaml:"listen" env:"LISTEN" flag:"scheduler-listen" roles:"scheduler,up" kind:"listen" doc:"where the scheduler's gRPC API listens"`
	Metrics     string `yaml:"metrics" env:"METRICS" flag:"scheduler-metrics" roles:"scheduler" kind:"listen" doc:"where the scheduler's metrics and health listen"`
	AdvertiseIP string `yaml:"advertise_ip" env:"ADVERTISE_IP" flag:"scheduler-advertise-ip" roles:"scheduler,up" kind:"ip" doc:"address under which daemons reach this scheduler; empty means the first non-loopback one"`

	OperatorSocket string `yaml:"operator_socket" env:"OPERATOR_SOCKET" flag:"operator-socket" roles:"scheduler,up,client" doc:"unix socket on which the scheduler takes orders about hosts; empty means the default place"`
	LivenessPolicy string `yaml:"liveness_policy" env:"LIVENESS_POLICY" flag:"liveness-policy" roles:"scheduler,up" doc:"YAML file with the liveness policy, read again when it changes; empty means the defaults"`
	MaxPeers       int    `yaml:"max_peers" env:"MAX_PEERS" flag:"max-peers" roles:"scheduler,up" min:"100" max:"100000000" doc:"downloads that are kept in memory at most; beyond it finished ones shrink to locations at once, then registrations are refused"`
	MaxLocations   int    `yaml:"max_locations" env:"MAX_LOCATIONS" flag:"max-locations" roles:"scheduler,up" min:"100" max:"1000000000" doc:"records of what hosts hold that are kept in memory at most; beyond it the ones confirmed least recently go"`
}

// Daemon is the daemon role's part.
type Daemon struct {
	Seed             bool        `yaml:"seed" env:"SEED" flag:"seed" roles:"daemon" doc:"fetch from the source on behalf of others"`
	Socket           string      `yaml:"socket" env:"SOCKET" flag:"socket" roles:"daemon,up,client" doc:"unix socket for this machine's tools; empty means the default place"`
	UploadListen     string      `yaml:"upload_listen" env:"UPLOAD_LISTEN" flag:"upload-listen" roles:"daemon,up" kind:"listen" doc:"where other daemons and schedulers call (gRPC)"`
	PieceListen      string      `yaml:"piece_listen" env:"PIECE_LISTEN" flag:"piece-listen" roles:"daemon,up" kind:"listen" doc:"where pieces are served (vortex over TCP)"`
	MetricsListen    string      `yaml:"metrics_listen" env:"METRICS_LISTEN" flag:"metrics-listen" roles:"daemon,up" kind:"listen" doc:"where Prometheus scrapes"`
	HealthListen     string      `yaml:"health_listen" env:"HEALTH_LISTEN" flag:"health-listen" roles:"daemon,up" kind:"listen" doc:"where /livez, /readyz and /healthy listen"`
	DebugListen      string      `yaml:"debug_listen" env:"DEBUG_LISTEN" flag:"debug-listen" roles:"daemon,scheduler,manager,up" kind:"loopback" doc:"where profiles and the flight recorder listen; loopback only; empty or \"off\" is off"`
	Manager          string      `yaml:"manager" env:"MANAGER" flag:"manager" roles:"daemon,scheduler" kind:"address" doc:"manager's gRPC address; it tells daemons which schedulers there are, and schedulers what to do"`
	ManagerREST      string      `yaml:"manager_rest" env:"MANAGER_REST" flag:"manager-rest" roles:"daemon,scheduler" kind:"address" doc:"manager's REST address, where certificates are got and renewed; empty means port 8080 of the manager's gRPC address"`
	JoinTokenFile    string      `yaml:"join_token_file" env:"JOIN_TOKEN_FILE" flag:"join-token-file" roles:"daemon,scheduler" doc:"file with a join token, mode 0600, spent at the first start on a certificate that is kept; DARTER_JOIN_TOKEN may hold it instead"`
	Schedulers       []string    `yaml:"schedulers" env:"SCHEDULERS" flag:"scheduler" roles:"daemon,client" kind:"address" doc:"scheduler, as host:port (repeat for more); used when no manager is set"`
	AnnounceInterval Duration    `yaml:"announce_interval" env:"ANNOUNCE_INTERVAL" flag:"announce-interval" roles:"daemon,up" min:"50ms" doc:"time between two announcements to the schedulers"`
	DownloadRate     darter.Size `yaml:"download_rate" env:"DOWNLOAD_RATE" flag:"download-rate" roles:"daemon,up" doc:"bytes per second fetched from peers; 0 is unlimited"`
	UploadRate       darter.Size `yaml:"upload_rate" env:"UPLOAD_RATE" flag:"upload-rate" roles:"daemon,up" doc:"bytes per second served to peers; 0 is unlimited"`
	SourceRate       darter.Size `yaml:"source_rate" env:"SOURCE_RATE" flag:"source-rate" roles:"daemon,up" doc:"bytes per second fetched from sources; 0 is unlimited"`
	MaxUnknown       darter.Size `yaml:"max_unknown_length" env:"MAX_UNKNOWN_LENGTH" flag:"max-unknown-length" roles:"daemon,up" doc:"bytes of a content whose length its source does not say, at most; 0 is no limit but free space"`
	UploadSlots      int         `yaml:"upload_slots" env:"UPLOAD_SLOTS" flag:"upload-slots" roles:"daemon,up" min:"1" max:"64" doc:"pieces sent at once while the uplink is the limit; one more is tried now and then, and kept when it helps"`
	Drain            Duration    `yaml:"drain" env:"DRAIN" flag:"drain" roles:"daemon,up" doc:"time that running uploads get to end at a graceful stop"`
	SourceCAFile     string      `yaml:"source_ca_file" env:"SOURCE_CA_FILE" flag:"source-ca-file" roles:"daemon,up" doc:"PEM file of further authorities trusted for sources"`
}

// Telemetry is what is told to machines that watch.
type Telemetry struct {
	Tracing Tracing `yaml:"tracing" envPrefix:"TRACING_"`
}

// Tracing sends spans to an OpenTelemetry collector. It is off until Endpoint or the standard
// OTEL_EXPORTER_OTLP_ENDPOINT is set.
type Tracing struct {
	Endpoint string   `yaml:"endpoint" env:"ENDPOINT" flag:"tracing-endpoint" roles:"all" kind:"address" doc:"OTLP gRPC collector as host:port; empty is off"`
	Insecure bool     `yaml:"insecure" env:"INSECURE" flag:"tracing-insecure" roles:"all" doc:"speak to the collector without TLS"`
	Ratio    float64  `yaml:"ratio" env:"RATIO" flag:"tracing-ratio" roles:"all" min:"0" max:"1" doc:"share of downloads that are traced, 0 to 1"`
	Headers  []string `yaml:"headers" env:"HEADERS" flag:"tracing-header" roles:"all" secret:"true" doc:"header sent to the collector, as key=value (repeat for more)"`
}

// Default returns the settings that hold where nothing else is said. Ports are Dragonfly's.
func Default() Config {
	return Config{
		DataDir:   DefaultDataDir(),
		Log:       Log{Level: "info", Format: "auto"},
		Host:      Host{Cluster: 1},
		Manager:   Manager{GRPC: ":65003", HTTP: ":8080", Metrics: ":8001"},
		Scheduler: Scheduler{Listen: ":8002", Metrics: ":8000", MaxPeers: 2_000_000, MaxLocations: 10_000_000},
		Daemon: Daemon{
			UploadListen:     ":4000",
			PieceListen:      ":4005",
			MetricsListen:    ":4002",
			HealthListen:     ":4003",
			DebugListen:      "127.0.0.1:4004",
			AnnounceInterval: Duration(time.Minute),
			MaxUnknown:       64 << 30,
			UploadSlots:      2,
			Drain:            Duration(10 * time.Second),
		},
		Telemetry: Telemetry{Tracing: Tracing{Ratio: 0.01}},
	}
}
