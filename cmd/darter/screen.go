package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/darter-p2p/darter/internal/manager"
)

func terminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// paint is ANSI colour where it is wanted.
type paint bool

func (p paint) bold(s string) string  { return p.with("1", s) }
func (p paint) green(s string) string { return p.with("32", s) }
func (p paint) dim(s string) string   { return p.with("2", s) }

func (p paint) with(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// announceReady tells that a role serves: one log line for machines, the screen for people.
func announceReady(log *slog.Logger, role, dataDir string, shown []door, took time.Duration) {
	line := []any{"role", role, "data", dataDir, "seconds", took.Seconds()}
	for _, d := range shown {
		line = append(line, d.key, d.address)
	}
	log.Info("ready", line...)
}

// screen writes what listens where, and what to do next.
func screen(w io.Writer, p paint, role, dataDir, next string, shown []door, took time.Duration) {
	fmt.Fprintf(w, "\n  %s %s  %s\n\n", p.bold("darter "+role), version, p.green(fmt.Sprintf("ready in %d ms", took.Milliseconds())))
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, d := range shown {
		fmt.Fprintf(tw, "  %s\t%s\n", d.what, link(d))
	}
	fmt.Fprintf(tw, "  data\t%s\n", dataDir)
	_ = tw.Flush()
	fmt.Fprintln(w)
	if next != "" {
		fmt.Fprintf(w, "  next   %s\n", p.bold(next))
	}
	fmt.Fprintf(w, "  %s\n\n", p.dim("Ctrl-C stops in order, twice at once"))
}

// screenSetup shows, once, how the first administrator gets in. It is for a terminal only: logs are kept and copied.
func screenSetup(w io.Writer, p paint, s manager.Setup) {
	if s.Token == "" {
		return
	}
	fmt.Fprintf(w, "  %s\n", p.bold("The manager has no administrator yet. This token makes one, once, within the hour:"))
	fmt.Fprintf(w, "\n    %s\n\n  with  %s  %s\n\n", s.Token, p.bold("darter admin setup"), p.dim("(it also lies in "+s.File+")"))
}

// link adds the scheme where a browser or curl can use it.
func link(d door) string {
	host, port, err := net.SplitHostPort(d.address)
	if err != nil {
		return d.address
	}
	if host == "::" || host == "0.0.0.0" {
		host = "localhost"
	}
	switch d.key {
	case "metrics":
		return "http://" + net.JoinHostPort(host, port) + "/metrics"
	case "health":
		return "http://" + net.JoinHostPort(host, port) + "/readyz"
	case "debug":
		return "http://" + net.JoinHostPort(host, port) + "/debug/pprof/"
	case "manager_http":
		scheme := "http://"
		if d.secure {
			scheme = "https://"
		}
		return scheme + net.JoinHostPort(host, port) + "/v1/system"
	}
	return strings.Replace(d.address, "[::]", "*", 1)
}
