package rpc

import (
	"context"
	"errors"
	"io"

	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"google.golang.org/grpc/metadata"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

// DownloadTask downloads on behalf of a scheduler: a seed's trigger or a preheat. Who triggers need not
// stay: the download goes on when the stream breaks, because the swarm counts on it by then. It never
// writes an output file and never sends content, whatever is asked: this port has no owner to answer to.
func (u *Upload) DownloadTask(m *dfdaemonv2.DownloadTaskRequest, stream dfdaemonv2.DfdaemonUpload_DownloadTaskServer) error {
	return failure(u.trigger(m, stream), stream.SetTrailer)
}

func (u *Upload) trigger(m *dfdaemonv2.DownloadTaskRequest, stream dfdaemonv2.DfdaemonUpload_DownloadTaskServer) error {
	want, err := wire.ToWant(m.GetDownload())
	if err != nil {
		return err
	}
	want.OutputPath, want.Overwrite, want.ForceHardLink, want.NeedContent = "", false, false, false
	if err := u.beginTrigger(); err != nil {
		return err
	}
	defer u.triggers.Done()
	if err := stream.SendHeader(metadata.Pairs(wire.MetaNative, "1")); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(stream.Context()))
	defer cancel()
	defer u.onDrain(cancel)()
	if want.Timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, want.Timeout)
		defer cancel()
	}
	d, err := u.cfg.Downloads.Start(ctx, want)
	if err != nil {
		return u.drained(err)
	}
	defer d.Close()
	started := d.Started()
	if started.Finished {
		return u.recall(ctx, started, want)
	}
	return u.drained(u.report(ctx, d, started, stream))
}

// beginTrigger counts a triggered download, so that Run can wait for it.
func (u *Upload) beginTrigger() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.stopped {
		return shuttingDown("start a download")
	}
	u.triggers.Add(1)
	return nil
}

// recall reminds the scheduler that the task is here.
func (u *Upload) recall(ctx context.Context, s Started, w darter.Want) error {
	if u.cfg.Recall == nil {
		return nil
	}
	return u.cfg.Recall(ctx, s.Task, w)
}

// report tells of the beginning and of each piece. When nobody listens any more it only follows the download to
// its end.
func (u *Upload) report(ctx context.Context, d Download, started Started, stream dfdaemonv2.DfdaemonUpload_DownloadTaskServer) error {
	f := follower{started: started}
	deaf := stream.Send(f.begin())
	for {
		p, err := d.Next(ctx)
		if errors.Is(err, io.EOF) {
			return deaf
		}
		if err != nil {
			return f.late(ctx, err)
		}
		if deaf == nil {
			deaf = stream.Send(f.piece(p))
		}
	}
}

// drained names the cause of an error that came of this host's shutdown.
func (u *Upload) drained(err error) error {
	select {
	case <-u.draining:
		if err != nil {
			return shuttingDown("download")
		}
	default:
	}
	return err
}
