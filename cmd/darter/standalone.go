package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/daemon"
	"github.com/darter-p2p/darter/internal/daemon/fetch"
	httpsource "github.com/darter-p2p/darter/internal/source/http"
)

// own is an engine inside this process, for when no daemon runs.
type own struct {
	engine *daemon.Local
	dir    string
	spare  bool // dir is this process's alone, and goes with it
	stop   func() error
}

// standalone starts an engine of this process's own. Its folder keeps what an interrupted run had fetched; while
// another run uses that folder, this one takes a folder for itself, which it cannot resume from.
func standalone(ctx context.Context, o cli.StandaloneOptions) (cli.Getter, error) {
	source := httpsource.DefaultConfig()
	source.UserAgent = "darter/" + version
	source.CAFile, source.InsecureSkipVerify = o.CAFile, o.Insecure
	e := &own{dir: filepath.Join(o.DataDir, "standalone")}
	var err error
	e.engine, err = daemon.NewLocal(daemon.LocalConfig{Dir: e.dir, Source: source, Rate: o.LimitRate})
	if darter.KindOf(err) == darter.Conflict {
		e.dir, e.spare = filepath.Join(o.DataDir, fmt.Sprintf("standalone-%d", os.Getpid())), true
		e.engine, err = daemon.NewLocal(daemon.LocalConfig{Dir: e.dir, Source: source, Rate: o.LimitRate})
	}
	if err != nil {
		return nil, err
	}
	e.stop = background(ctx, e.engine.Run)
	return e, nil
}

// Writes implements cli.Getter.
func (e *own) Writes() bool { return true }

// Close ends the engine and closes its folder.
func (e *own) Close() error {
	err := e.stop()
	if e.spare {
		err = errors.Join(err, os.RemoveAll(e.dir))
	}
	return err
}

// Get implements cli.Getter. What was delivered leaves the store: nobody else would ask for it there.
func (e *own) Get(ctx context.Context, w darter.Want, sink cli.Sink) (cli.Result, error) {
	w.ForceHardLink = w.OutputPath != "" && sameDevice(e.dir, filepath.Dir(w.OutputPath))
	s, err := e.engine.Start(ctx, w)
	if err != nil {
		return cli.Result{}, err
	}
	out, err := follow(ctx, s, w.NeedContent, sink)
	s.Close()
	if err == nil {
		err = e.engine.Remove(out.Task)
	}
	return out, err
}

func follow(ctx context.Context, s *fetch.Session, content bool, sink cli.Sink) (cli.Result, error) {
	task := s.Task()
	meta := task.Meta()
	out := cli.Result{Task: s.ID(), Length: meta.Layout.Length, Header: meta.Header}
	if sink.Started != nil {
		sink.Started(cli.Start{Task: s.ID(), Length: out.Length, Range: s.Range(), Held: s.AtStart().Contains(s.Pieces())})
	}
	next := s.Next
	if content {
		next = s.NextInOrder
	}
	var buffer []byte
	for {
		p, err := next(ctx)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if content {
			if int64(cap(buffer)) < p.Length {
				buffer = make([]byte, p.Length)
			}
			buffer = buffer[:p.Length]
			if _, err := task.ReadAt(buffer, p.Offset); err != nil && !errors.Is(err, io.EOF) {
				return out, fmt.Errorf("read piece %d: %w", p.Number, err)
			}
		}
		if sink.Piece != nil {
			if err := sink.Piece(p, buffer); err != nil {
				return out, err
			}
		}
	}
}

// sameDevice reports whether a hard link from one folder to the other can work.
func sameDevice(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	if errX != nil || errY != nil {
		return false
	}
	sx, okX := x.Sys().(*syscall.Stat_t)
	sy, okY := y.Sys().(*syscall.Stat_t)
	return okX && okY && sx.Dev == sy.Dev
}
