package config

import (
	"os"
	"path/filepath"
)

// rootSocket is where Dragonfly's tools look for a daemon.
const rootSocket = "/var/run/dragonfly/dfdaemon.sock"

// DefaultDataDir returns where data lies when nothing is said: /var/lib/darter for root, else a
// folder of the user's own.
func DefaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/darter"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "darter")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "share", "darter")
	}
	return filepath.Join(os.TempDir(), "darter")
}

// DefaultSocket returns where the daemon's socket lies when nothing is said: Dragonfly's place for
// root, else the user's run-time folder, else the data folder.
func DefaultSocket(dataDir string) string {
	if os.Geteuid() == 0 {
		return rootSocket
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "darter", "dfdaemon.sock")
	}
	return filepath.Join(dataDir, "dfdaemon.sock")
}

// SocketPath returns the socket in force.
func (c *Config) SocketPath() string {
	if c.Daemon.Socket != "" {
		return c.Daemon.Socket
	}
	return DefaultSocket(c.DataDir)
}

// OperatorSocketPath returns the scheduler's own socket in force.
func (c *Config) OperatorSocketPath() string {
	if c.Scheduler.OperatorSocket != "" {
		return c.Scheduler.OperatorSocket
	}
	return filepath.Join(c.RoleDir("scheduler"), "operator.sock")
}

// ManagerSocketPath returns the manager's own socket in force.
func (c *Config) ManagerSocketPath() string {
	if c.Manager.Socket != "" {
		return c.Manager.Socket
	}
	return filepath.Join(c.RoleDir("manager"), "api.sock")
}

// defaultFiles are looked for, in this order, when no file is named.
func defaultFiles() []string {
	var out []string
	if os.Geteuid() != 0 {
		if dir, err := os.UserConfigDir(); err == nil {
			out = append(out, filepath.Join(dir, "darter", "darter.yaml"))
		}
	}
	return append(out, "/etc/darter/darter.yaml")
}
