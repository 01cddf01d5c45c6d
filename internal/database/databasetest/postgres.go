package databasetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// errMissing tells that the package is not installed.
var errMissing = errors.New("PostgreSQL is not installed (make deps; Debian package postgresql-15)")

// server is the PostgreSQL of this process's tests, which care for speed and not for power cuts.
var server = sync.OnceValues(func() (*Server, error) { return Start(false) })

// Server is a PostgreSQL of one's own: the folder of its socket, and the pipe that keeps it alive. It ends
// with this process however that ends, with Stop, or when nobody refers to it any more.
type Server struct {
	dir  string
	life io.Closer
	cmd  *exec.Cmd
}

// keeper is the parent of the server. It ends the server and removes its files when its standard input
// ends, and that happens when this process ends, however it ends. The folder is this process's own.
const keeper = `
dir=$1 bin=$2
shift 2
"$bin/initdb" -D "$dir/data" -U darter -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 || exit 1
"$bin/postgres" -D "$dir/data" -k "$dir" -h '' "$@" \
	-c deadlock_timeout=50ms -c max_connections=200 -c shared_buffers=128MB -c max_wal_size=2GB -c wal_level=replica >>"$dir/log" 2>&1 &
server=$!
trap '' INT TERM HUP
cat >/dev/null
kill -INT $server
wait $server
rm -rf "$dir"
`

// Postgres returns the URL of a fresh database, which is dropped with the test.
func Postgres(t testing.TB) string {
	t.Helper()
	s, err := server()
	if err != nil {
		if errors.Is(err, errMissing) && os.Getenv("CI") != "true" {
			t.Skipf("NOT TESTED ON POSTGRESQL: %v", err)
		}
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url, drop, err := s.Create(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := drop(ctx); err != nil {
			t.Log(err)
		}
	})
	return url
}

// Create makes an empty database and returns its URL, and what drops it with whoever is connected.
func (s *Server) Create(ctx context.Context) (url string, drop func(context.Context) error, err error) {
	name := fmt.Sprintf("t%d_%d", os.Getpid(), time.Now().UnixNano())
	if err := command(ctx, s.dir, "CREATE DATABASE "+name); err != nil {
		return "", nil, err
	}
	drop = func(ctx context.Context) error { return command(ctx, s.dir, "DROP DATABASE "+name+" WITH (FORCE)") }
	return address(s.dir, name), drop, nil
}

// Stop ends the server and removes its files.
func (s *Server) Stop() error {
	return errors.Join(s.life.Close(), s.cmd.Wait())
}

func address(dir, name string) string {
	return "postgres://darter@/" + name + "?host=" + url.QueryEscape(dir)
}

func command(ctx context.Context, dir, sql string) error {
	conn, err := pgx.Connect(ctx, address(dir, "postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// Start starts a server from the Debian package. A durable one keeps what it has committed through a power
// cut, as one in service does; the other is quicker.
func Start(durable bool) (*Server, error) {
	bin, err := installed()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "darter-pg-") // short: the path of a socket has at most 107 bytes
	if err != nil {
		return nil, err
	}
	attr := &syscall.SysProcAttr{Setpgid: true} // not reached by the terminal's Ctrl-C: the keeper ends it in order
	if os.Getuid() == 0 {
		credential, err := unprivileged()
		if err != nil {
			return nil, err
		}
		if err := os.Chown(dir, int(credential.Uid), int(credential.Gid)); err != nil {
			return nil, err
		}
		attr.Credential = credential
	}
	args := []string{"-c", keeper, "keeper", dir, bin}
	if !durable {
		args = append(args, "-F", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")
	}
	cmd := exec.Command("/bin/sh", args...)
	cmd.SysProcAttr, cmd.Dir = attr, dir
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &Server{dir: dir, life: life, cmd: cmd}, ready(dir)
}

// unprivileged is who runs the server when we are root, which PostgreSQL refuses to be.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("no user postgres or nobody to run PostgreSQL as")
}

func installed() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", errMissing
	}
	best, newest := "", 0
	for _, f := range found {
		if n, err := strconv.Atoi(strings.Split(f, "/")[4]); err == nil && n > newest {
			best, newest = filepath.Dir(f), n
		}
	}
	return best, nil
}

func ready(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := command(ctx, dir, "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			return fmt.Errorf("PostgreSQL did not start: %w\n%s", err, log)
		case <-tick.C:
		}
	}
}
