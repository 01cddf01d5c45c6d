package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/darter-p2p/darter/test/e2e/rig"
)

// nginx is an origin: its own prefix, its own configuration, one worker, sendfile.
type nginx struct {
	process *rig.Process
	dir     string
	root    string // files to serve
	addr    string
}

const nginxConfig = `daemon off;
worker_processes 1;
user root;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 1024; }
http {
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000;
  open_file_cache max=1000;
  default_type application/octet-stream;
  client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3;
  uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
  log_format bytes '$uri $status $body_bytes_sent $remote_addr $msec $http_range';
  access_log %[1]s/access.log bytes;
  server { listen %[2]s%[4]s; root %[3]s; }
}
`

// startNginx serves root at ip:port, in a namespace if one is named. Port 0 takes a free one, which
// works on loopback only.
func startNginx(ctx context.Context, dir, root, netns, ip string, port int) (*nginx, error) {
	if port == 0 {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			return nil, err
		}
		port = l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	n := &nginx{dir: dir, root: root, addr: net.JoinHostPort(ip, strconv.Itoa(port))}
	buffer := ""
	if netns != "" {
		// On slow links little may lie in a send buffer when a client dies: the log would count it.
		buffer = " sndbuf=64k"
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, n.addr, root, buffer), 0o644); err != nil {
		return nil, err
	}
	var err error
	n.process, err = rig.Start(rig.Command{Name: "nginx", Netns: netns, Program: "nginx", Args: []string{"-p", dir, "-c", config}})
	if err != nil {
		return nil, err
	}
	return n, n.waitListening(ctx)
}

// waitListening waits for the pid file, which nginx writes after it listens.
func (n *nginx) waitListening(ctx context.Context) error {
	for range 500 {
		if _, err := os.Stat(filepath.Join(n.dir, "nginx.pid")); err == nil {
			return nil
		}
		if n.process.State() != nil {
			return fmt.Errorf("nginx ended: %s", n.process.Log())
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			n.process.Kill()
			return err
		}
	}
	n.process.Kill()
	return fmt.Errorf("nginx did not start: %s", n.process.Log())
}

func (n *nginx) url(name string) string { return "http://" + n.addr + "/" + name }

// stop lets running requests end, so that the log is whole.
func (n *nginx) stop(ctx context.Context) error {
	if err := n.process.Signal(syscall.SIGQUIT); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := n.process.Wait(ctx); err != nil {
		n.kill()
		return err
	}
	return nil
}

// kill asks nginx to end at once; its master ends the worker.
func (n *nginx) kill() {
	if n.process.Signal(syscall.SIGTERM) == nil {
		select {
		case <-n.process.Done():
			return
		case <-time.After(5 * time.Second):
		}
	}
	n.process.Kill()
}

// served returns what was sent under a path, from nginx's own log.
func (n *nginx) served(uri string) (answers, error) {
	b, err := os.ReadFile(filepath.Join(n.dir, "access.log"))
	if err != nil {
		return nil, err
	}
	return readLog(string(b), uri)
}
