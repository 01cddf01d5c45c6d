package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
)

// Problem is one wrong setting.
type Problem struct {
	Key   string // of the setting
	Value string // as it stands; masked when secret
	Why   string // what is wrong
	Do    string // what to do
}

func (p Problem) Error() string {
	return fmt.Sprintf("%s: %q %s; %s", p.Key, p.Value, p.Why, p.Do)
}

// Validate checks every setting and reports all problems at once, as darter.Invalid.
func (c *Config) Validate() error {
	var found []error
	for _, f := range c.Fields() {
		for _, text := range f.Texts() {
			if why, do := f.check(text); why != "" {
				found = append(found, Problem{Key: f.Key, Value: f.shown(text), Why: why, Do: do})
			}
		}
	}
	if p, bad := c.checkPlace(); bad {
		found = append(found, p)
	}
	if len(found) == 0 {
		return nil
	}
	return &darter.Error{Kind: darter.Invalid, Op: "configuration", Err: errors.Join(found...),
		Hint: "\"darter config show --origin\" tells which layer set a key"}
}

func (f Field) shown(text string) string {
	if f.Secret && text != "" {
		return mask
	}
	return text
}

func (c *Config) checkPlace() (Problem, bool) {
	if c.DataDir == "" {
		return Problem{Key: "data_dir", Why: "is empty", Do: "name a folder"}, true
	}
	if s := c.SocketPath(); len(s) > 107 {
		return Problem{Key: "daemon.socket", Value: s, Why: "is longer than the 107 bytes that a unix socket's path may have", Do: "choose a shorter path with --socket"}, true
	}
	if s := c.Scheduler.OperatorSocket; len(s) > 107 {
		return Problem{Key: "scheduler.operator_socket", Value: s, Why: "is longer than the 107 bytes that a unix socket's path may have", Do: "choose a shorter path with --operator-socket"}, true
	}
	if s := c.Manager.Socket; len(s) > 107 {
		return Problem{Key: "manager.socket", Value: s, Why: "is longer than the 107 bytes that a unix socket's path may have", Do: "choose a shorter path with --manager-socket"}, true
	}
	if c.Host.Hostname != "" && strings.ContainsAny(c.Host.Hostname, " /\t\n") {
		return Problem{Key: "host.hostname", Value: c.Host.Hostname, Why: "has blanks or slashes", Do: "use letters, digits, dots and hyphens"}, true
	}
	return Problem{}, false
}

// check returns why a text is wrong and what to do, or two empty texts.
func (f Field) check(text string) (why, do string) {
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, text) {
		return "is not a known value", "choose one of " + strings.Join(f.Enum, ", ")
	}
	if text == "" {
		if f.Kind == "listen" {
			return "is empty", "write host:port, or :0 for any free port"
		}
		return "", ""
	}
	switch f.Kind {
	case "listen":
		return checkAddress(text, 0)
	case "loopback":
		return checkLoopback(text)
	case "endpoint":
		if a, err := netip.ParseAddrPort(text); err != nil || a.Port() == 0 {
			return "is not ip:port", "write it as 10.0.0.1:8002"
		}
	case "address":
		return checkAddress(text, 1)
	case "ip":
		if _, err := netip.ParseAddr(text); err != nil {
			return "is not an IP address", "write it as 10.0.0.1 or 2001:db8::1"
		}
	case "network":
		if _, err := Network(text); err != nil {
			return "is neither an IP address nor a prefix", "write it as 10.0.0.1 or 10.0.0.0/8"
		}
	case "site":
		if u, err := url.Parse(text); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || strings.TrimSuffix(text, "/") != u.Scheme+"://"+u.Host {
			return "is not the URL of a whole site", "write it as https://darter.example, without a path"
		}
	}
	if f.Secret && f.List() && !strings.Contains(text, "=") {
		return "has no \"=\"", "write it as key=value"
	}
	return f.checkBounds(text)
}

// Network reads an address, which stands for itself, or a prefix.
func Network(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

func checkAddress(text string, least int) (why, do string) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "is not host:port", "write it as 127.0.0.1:8002 or :8002"
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < least || n > 65535 {
		return fmt.Sprintf("has no port from %d to 65535", least), "write it as 127.0.0.1:8002"
	}
	if least > 0 && host == "" {
		return "names no host", "write it as 127.0.0.1:8002"
	}
	return "", ""
}

func checkLoopback(text string) (why, do string) {
	if text == "off" {
		return "", ""
	}
	if why, do = checkAddress(text, 0); why != "" {
		return why, do
	}
	host, _, _ := net.SplitHostPort(text)
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return "is not a loopback address", "profiles show the process's memory: use 127.0.0.1:4004, and an SSH tunnel from elsewhere"
	}
	return "", ""
}

func (f Field) checkBounds(text string) (why, do string) {
	switch v := f.value.Interface().(type) {
	case Duration:
		if least, err := time.ParseDuration(f.Min); f.Min != "" && err == nil && v.Std() < least {
			return "is too short", "use at least " + f.Min
		}
		if v < 0 {
			return "is negative", "use 0 or more"
		}
	case float64:
		return f.checkNumber(v)
	case int:
		return f.checkNumber(float64(v))
	case darter.Size:
		if v < 0 {
			return "is negative", "use 0 for unlimited"
		}
	}
	return "", ""
}

func (f Field) checkNumber(v float64) (why, do string) {
	least, _ := strconv.ParseFloat(f.Min, 64)
	most, err := strconv.ParseFloat(f.Max, 64)
	if v != v || v < least || (err == nil && v > most) {
		return "is out of bounds", fmt.Sprintf("use %s to %s", f.Min, f.Max)
	}
	return "", ""
}

// RoleDir returns the folder of one role's data, so that roles on one machine never share one.
func (c *Config) RoleDir(role string) string { return filepath.Join(c.DataDir, role) }
